import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryUsage;
import java.util.Arrays;
import javax.management.Attribute;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.openmbean.CompositeData;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/**
 * Both ends of the JMX benchmark (tests/bench/jmx.py): "serve BEANS..." registers so many beans
 * of five attributes each and waits for the end of stdin; "poll PORT BEANS WARM POLLS GAP_MS" is the smallest
 * client that reads them all, the way Java users do: one getAttributes for each bean.
 */
public class JmxBench {
    static final String[] ATTRIBUTES = {"Busy", "Count", "Ratio", "Title", "Usage"};

    public interface BenchMXBean {
        int getBusy();
        long getCount();
        double getRatio();
        String getTitle();
        MemoryUsage getUsage();
    }

    static class Bench implements BenchMXBean {
        long count = 123456789;

        public int getBusy() { return 17; }
        public long getCount() { return ++count; }
        public double getRatio() { return count / 1e9; }
        public String getTitle() { return "http-nio-8080"; }
        public MemoryUsage getUsage() { return new MemoryUsage(0, count, count * 2, count * 3); }
    }

    /** A domain for each number of beans. */
    static ObjectName name(int beans, int i) throws Exception {
        return new ObjectName("bench" + beans + ":type=Bench,name=" + i);
    }

    static void serve(String[] args) throws Exception {
        for (int k = 1; k < args.length; k++) {
            int beans = Integer.parseInt(args[k]);
            for (int i = 0; i < beans; i++)
                ManagementFactory.getPlatformMBeanServer().registerMBean(new Bench(), name(beans, i));
        }
        System.out.println("ready");
        System.out.flush();
        while (System.in.read() >= 0) { }
        System.exit(0);
    }

    static long sum; // so that nothing is optimized away

    static void once(MBeanServerConnection server, ObjectName[] names) throws Exception {
        int seen = 0;
        for (ObjectName name : names) {
            for (Attribute a : server.getAttributes(name, ATTRIBUTES).asList()) {
                Object value = a.getValue();
                if (value instanceof CompositeData usage)
                    value = usage.get("used");
                sum += value instanceof Number n ? n.longValue() : value.toString().length();
                seen++;
            }
        }
        if (seen != names.length * ATTRIBUTES.length)
            throw new IllegalStateException("only " + seen + " values");
    }

    static void poll(String port, int beans, int warm, int polls, int gapMs) throws Exception {
        ObjectName[] names = new ObjectName[beans];
        for (int i = 0; i < beans; i++)
            names[i] = name(beans, i);
        var url = new JMXServiceURL("service:jmx:rmi:///jndi/rmi://127.0.0.1:" + port + "/jmxrmi");
        var os = (com.sun.management.OperatingSystemMXBean)
            ManagementFactory.getOperatingSystemMXBean();
        try (JMXConnector connector = JMXConnectorFactory.connect(url)) {
            MBeanServerConnection server = connector.getMBeanServerConnection();
            for (int i = 0; i < warm; i++)
                once(server, names);
            System.out.println("ready");
            System.out.flush();
            new BufferedReader(new InputStreamReader(System.in)).readLine();
            long cpu = os.getProcessCpuTime();
            double[] took = new double[polls];
            for (int i = 0; i < polls; i++) {
                long begin = System.nanoTime();
                once(server, names);
                took[i] = (System.nanoTime() - begin) / 1e6;
                if (gapMs > 0)
                    Thread.sleep(gapMs);
            }
            cpu = os.getProcessCpuTime() - cpu;
            Arrays.sort(took);
            System.out.printf("{\"polls\":%d,\"cpu_ms\":%.4f,\"p50_ms\":%.4f}%n",
                polls, cpu / 1e6 / polls, took[polls / 2]);
        }
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("serve"))
            serve(args);
        else
            poll(args[1], Integer.parseInt(args[2]), Integer.parseInt(args[3]),
                Integer.parseInt(args[4]), Integer.parseInt(args[5]));
        System.exit(0);
    }
}
