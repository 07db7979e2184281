import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;

/** A HikariCP pool over H2 with one connection held. */
public class Pools {
    public static void main(String[] args) throws Exception {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:h2:mem:demo");
        config.setPoolName("demo");
        config.setMaximumPoolSize(4);
        config.setRegisterMbeans(true);
        HikariDataSource pool = new HikariDataSource(config);
        Connection held = pool.getConnection();
        for (int i = 0; i < 5; i++)
            try (Connection c = pool.getConnection()) {
                c.createStatement().execute("select 1");
            }
        System.out.println("ready");
        while (System.in.read() >= 0) { }
        held.close();
        pool.close();
        System.exit(0);
    }
}
