import jakarta.jms.Connection;
import jakarta.jms.MessageConsumer;
import jakarta.jms.MessageProducer;
import jakarta.jms.Session;
import java.io.File;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.broker.BrokerService;

/** An ActiveMQ Classic broker with a queue, a topic and a durable subscription. Argument: a folder. */
public class ActiveMqBroker {
    public static void main(String[] args) throws Exception {
        BrokerService broker = new BrokerService();
        broker.setBrokerName("demo");
        broker.setDataDirectoryFile(new File(args[0]));
        broker.getManagementContext().setCreateConnector(false);
        broker.start();
        Connection connection = new ActiveMQConnectionFactory("vm://demo?create=false").createConnection();
        connection.setClientID("reader");
        connection.start();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageConsumer durable = session.createDurableSubscriber(session.createTopic("news"), "all");
        MessageProducer queue = session.createProducer(session.createQueue("orders"));
        MessageProducer topic = session.createProducer(session.createTopic("news"));
        for (int i = 0; i < 20; i++) {
            queue.send(session.createTextMessage("order " + i));
            topic.send(session.createTextMessage("news " + i));
        }
        MessageConsumer orders = session.createConsumer(session.createQueue("orders"));
        for (int i = 0; i < 5; i++) {
            orders.receive(2000);
            durable.receive(2000);
        }
        System.out.println("ready");
        while (System.in.read() >= 0) { }
        connection.close();
        broker.stop();
        System.exit(0);
    }
}
