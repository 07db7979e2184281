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
    static final int EACH = 5; // attributes of a bean
    static final int ROWS = 5; // of polls; the cheapest counts, since the machine has other work

    /** What most beans show. */
    public interface PlainMXBean {
        int getBusy();
        long getCount();
        double getRatio();
        String getTitle();
        long getTotalTime();
    }

    /** What a memory pool shows; one bean of five is one, as in a JVM with an application in it. */
    public interface PoolMXBean {
        MemoryUsage getCollectionUsage();
        MemoryUsage getPeakUsage();
        String getTitle();
        String getType();
        MemoryUsage getUsage();
    }

    static final String[] PLAIN = {"Busy", "Count", "Ratio", "Title", "TotalTime"};
    static final String[] POOL = {"CollectionUsage", "PeakUsage", "Title", "Type", "Usage"};

    static class Plain implements PlainMXBean {
        long count = 123456789;

        public int getBusy() { return 17; }
        public long getCount() { return ++count; }
        public double getRatio() { return count / 1e9; }
        public String getTitle() { return "http-nio-8080"; }
        public long getTotalTime() { return count * 7; }
    }

    static class Pool implements PoolMXBean {
        long used = 123456789;

        MemoryUsage usage() { return new MemoryUsage(0, ++used, used * 2, used * 3); }
        public MemoryUsage getCollectionUsage() { return usage(); }
        public MemoryUsage getPeakUsage() { return usage(); }
        public String getTitle() { return "G1 Old Gen"; }
        public String getType() { return "HEAP"; }
        public MemoryUsage getUsage() { return usage(); }
    }

    static boolean isPool(int i) {
        return i % 5 == 4;
    }

    /** A domain for each number of beans. */
    static ObjectName name(int beans, int i) throws Exception {
        return new ObjectName("bench" + beans + ":type=Bench,name=" + i);
    }

    static void serve(String[] args) throws Exception {
        for (int k = 1; k < args.length; k++) {
            int beans = Integer.parseInt(args[k]);
            for (int i = 0; i < beans; i++)
                ManagementFactory.getPlatformMBeanServer().registerMBean(
                    isPool(i) ? new Pool() : new Plain(), name(beans, i));
        }
        System.out.println("ready");
        System.out.flush();
        while (System.in.read() >= 0) { }
        System.exit(0);
    }

    static long sum; // so that nothing is optimized away

    static void once(MBeanServerConnection server, ObjectName[] names) throws Exception {
        int seen = 0;
        for (int i = 0; i < names.length; i++) {
            String[] wanted = isPool(i) ? POOL : PLAIN;
            for (Attribute a : server.getAttributes(names[i], wanted).asList()) {
                Object value = a.getValue();
                if (value instanceof CompositeData usage)
                    value = usage.get("used");
                sum += value instanceof Number n ? n.longValue() : value.toString().length();
                seen++;
            }
        }
        if (seen != names.length * EACH)
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
            long cpu = Long.MAX_VALUE, start = os.getProcessCpuTime();
            double[] took = new double[polls];
            for (int i = 0; i < polls; i++) {
                if (i % (polls / ROWS) == 0 && i > 0) {
                    cpu = Math.min(cpu, os.getProcessCpuTime() - start);
                    start = os.getProcessCpuTime();
                }
                long begin = System.nanoTime();
                once(server, names);
                took[i] = (System.nanoTime() - begin) / 1e6;
                if (gapMs > 0)
                    Thread.sleep(gapMs);
            }
            cpu = Math.min(cpu, os.getProcessCpuTime() - start) * ROWS;
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
