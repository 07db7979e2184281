import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** What a Java program does: records rendered into a string, batches of 1000 posted by HttpClient.
 * usage: RestProducer URL TOPIC RECORDS [CA] */
public class RestProducer {
    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(file)) {
            store.setCertificateEntry("ca",
                CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust =
            TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    static void render(StringBuilder out, long seq) {
        out.append("{\"key\":\"web-1\",\"value\":{\"v\":1,\"agent\":\"edge-7\",\"stream\":")
            .append("\"3f9c2a71d04be811\",\"seq\":").append(seq)
            .append(",\"timestamp\":").append(1763812800000L + seq)
            .append(",\"host\":\"web-1\",\"target\":\"orders\",\"bean\":\"java.lang:name=G1 Young ")
            .append("Generation,type=GarbageCollector\",\"domain\":\"java.lang\",\"properties\":{")
            .append("\"name\":\"G1 Young Generation\"},\"attributes\":{\"CollectionCount\":")
            .append(seq).append(",\"CollectionTime\":").append(3 * seq).append("}}}");
    }

    public static void main(String[] args) throws Exception {
        long records = Long.parseLong(args[2]), seq = 0;
        HttpClient.Builder builder = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1);
        if (args.length > 3)
            builder.sslContext(trusting(args[3]));
        HttpClient client = builder.build();
        while (seq < records) {
            StringBuilder body = new StringBuilder("{\"records\":[");
            for (int i = 0; i < 1000 && seq < records; i++) {
                if (i > 0)
                    body.append(',');
                render(body, ++seq);
            }
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[0] + "/topics/" + args[1]))
                .header("Content-Type", "application/vnd.kafka.json.v2+json")
                .POST(HttpRequest.BodyPublishers.ofString(body.append("]}").toString())).build();
            String answer = client.send(request, HttpResponse.BodyHandlers.ofString()).body();
            for (int at = 0; (at = answer.indexOf("\"error_code\":", at)) >= 0; at += 13)
                if (!answer.startsWith("null", at + 13))
                    throw new IllegalStateException(answer);
        }
    }
}
