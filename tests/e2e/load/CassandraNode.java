import com.datastax.driver.core.Cluster;
import com.datastax.driver.core.Session;
import com.datastax.driver.core.exceptions.DriverException;
import org.apache.cassandra.service.CassandraDaemon;

/** One Cassandra node in this JVM, with a little of everything asked of it. Argument: its port for clients. */
public class CassandraNode {
    static final String[] TABLES = {
        "create keyspace shop with replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "create keyspace far with replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "create table shop.orders (id int primary key, customer text)",
        "create index on shop.orders (customer)",
        "create materialized view shop.by_customer as select * from shop.orders where customer is not null "
            + "and id is not null primary key (customer, id)",
        "create table shop.hits (page text primary key, n counter)",
        "create table far.away (id int primary key)"};

    public static void main(String[] args) throws Exception {
        new CassandraDaemon(true).activate();
        try (Cluster cluster = Cluster.builder().addContactPoint("127.0.0.1")
                .withPort(Integer.parseInt(args[0])).build(); Session session = cluster.connect()) {
            for (String table : TABLES) {
                session.execute(table);
            }
            for (int i = 0; i < 50; i++) {
                session.execute("insert into shop.orders (id, customer) values (?, ?)", i, "c" + i % 5);
                session.execute("update shop.hits set n = n + 1 where page = ?", "p" + i % 5);
                session.execute("select * from shop.orders where id = ?", i);
            }
            session.execute("select * from shop.orders");
            session.execute("insert into shop.orders (id, customer) values (1, 'x') if not exists");
            try {
                session.execute("insert into far.away (id) values (1)");
            } catch (DriverException e) {
                System.out.println("unavailable, as wanted: " + e.getMessage());
            }
            System.out.println("ready");
            while (System.in.read() >= 0) { }
        }
        System.exit(0);
    }
}
