import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;

/**
 * One Kafka client of every kind, each with a little to do: producer, consumer, share consumer, Streams.
 * Arguments: bootstrap servers, a folder for Streams.
 */
public class KafkaClients {
    static volatile boolean stop;
    static String bootstrap;

    static Properties settings(String group, Object... more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        if (group != null) {
            p.put("group.id", group);
            p.put("key.deserializer", StringDeserializer.class);
            p.put("value.deserializer", StringDeserializer.class);
        }
        for (int i = 0; i < more.length; i += 2)
            p.put(more[i], more[i + 1]);
        return p;
    }

    interface Body { void run() throws Exception; }

    static Thread start(Body body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    static void produce() throws Exception {
        try (var producer = new KafkaProducer<>(settings(null, "client.id", "writer"),
                new StringSerializer(), new StringSerializer())) {
            for (long i = 0; !stop; i++) {
                producer.send(new ProducerRecord<>("orders", "k" + i % 10, "order " + i));
                Thread.sleep(20);
            }
        }
    }

    static void consume(CountDownLatch seen) {
        try (var consumer = new KafkaConsumer<String, String>(settings("readers", "client.id", "reader",
                "auto.offset.reset", "earliest", "auto.commit.interval.ms", 500))) {
            consumer.subscribe(List.of("orders"));
            while (!stop)
                if (consumer.poll(Duration.ofMillis(200)).count() > 0)
                    seen.countDown();
        }
    }

    static void share(CountDownLatch seen) {
        try (var consumer = new KafkaShareConsumer<String, String>(settings("sharers",
                "client.id", "sharer"))) {
            consumer.subscribe(List.of("orders"));
            while (!stop) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (records.count() > 0)
                    seen.countDown();
            }
        }
    }

    static KafkaStreams stream(String folder) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream("orders").mapValues(v -> v.toUpperCase()).to("loud");
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(null,
            "application.id", "shouter", "state.dir", folder, "commit.interval.ms", 500,
            "default.key.serde", Serdes.StringSerde.class,
            "default.value.serde", Serdes.StringSerde.class));
        streams.start();
        return streams;
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic("orders", 2, (short) 1),
                new NewTopic("loud", 1, (short) 1))).all().get();
        }
        CountDownLatch consumed = new CountDownLatch(2), shared = new CountDownLatch(1);
        Thread[] threads = {start(KafkaClients::produce), start(() -> consume(consumed)),
            start(() -> share(shared))};
        KafkaStreams streams = stream(args[1]);
        consumed.await();
        shared.await();
        System.out.println("ready");
        while (System.in.read() >= 0) { }
        stop = true;
        streams.close(Duration.ofSeconds(5));
        for (Thread thread : threads)
            thread.join(3000);
        System.exit(0);
    }
}
