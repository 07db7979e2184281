import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.Append;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.Delete;
import org.apache.hadoop.hbase.client.Get;
import org.apache.hadoop.hbase.client.Increment;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.ResultScanner;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.master.HMaster;

/** HBase in local mode (master, region server and ZooKeeper in this JVM), and every kind of request. */
public class HBaseLocal {
    static final TableName ORDERS = TableName.valueOf("orders");
    static final byte[] FAMILY = {'f'}, NAME = {'n'}, COUNT = {'c'};

    public static void main(String[] args) throws Exception {
        Thread master = new Thread(() -> {
            try {
                HMaster.main(new String[] {"start"});
            } catch (Throwable e) {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }, "start");
        master.setDaemon(true);
        master.start();
        Configuration conf = HBaseConfiguration.create();
        try (Connection connection = ConnectionFactory.createConnection(conf);
             Admin admin = connection.getAdmin()) {
            admin.createTable(TableDescriptorBuilder.newBuilder(ORDERS)
                .setColumnFamily(ColumnFamilyDescriptorBuilder.of(FAMILY)).build());
            try (Table table = connection.getTable(ORDERS)) {
                load(table);
            }
            admin.flush(ORDERS);
            System.out.println("ready");
            while (System.in.read() >= 0) { }
        }
        Runtime.getRuntime().halt(0);
    }

    static void load(Table table) throws Exception {
        for (int i = 0; i < 50; i++) {
            byte[] row = ("row" + i).getBytes("US-ASCII");
            table.put(new Put(row).addColumn(FAMILY, NAME, row));
            table.get(new Get(row));
            table.append(new Append(row).addColumn(FAMILY, NAME, row));
            table.increment(new Increment(row).addColumn(FAMILY, COUNT, 1));
        }
        table.delete(new Delete("row1".getBytes("US-ASCII")));
        try (ResultScanner rows = table.getScanner(FAMILY)) {
            for (Result row : rows) {
                row.size();
            }
        }
    }
}
