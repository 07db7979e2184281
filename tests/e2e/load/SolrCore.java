import java.nio.file.Path;
import org.apache.solr.client.solrj.SolrQuery;
import org.apache.solr.client.solrj.embedded.EmbeddedSolrServer;
import org.apache.solr.common.SolrInputDocument;

/** Solr with one core in this JVM, a few documents and queries. Arguments: its home, the core. */
public class SolrCore {
    public static void main(String[] args) throws Exception {
        try (EmbeddedSolrServer solr = new EmbeddedSolrServer(Path.of(args[0]), args[1])) {
            for (int i = 0; i < 50; i++) {
                SolrInputDocument document = new SolrInputDocument();
                document.addField("id", "o" + i);
                document.addField("name", "order " + i);
                solr.add(document);
            }
            solr.commit();
            for (int i = 0; i < 5; i++) {
                solr.query(new SolrQuery("name:order").addFilterQuery("id:[o1 TO o3]"));
            }
            System.out.println("ready");
            while (System.in.read() >= 0) { }
        }
        System.exit(0);
    }
}
