import java.io.File;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.MiniDFSCluster;

/** HDFS with two DataNodes in this JVM, and a few files written and read. Argument: a folder. */
public class MiniHdfs {
    public static void main(String[] args) throws Exception {
        MiniDFSCluster cluster = new MiniDFSCluster.Builder(new Configuration(), new File(args[0]))
            .numDataNodes(2).build();
        cluster.waitActive();
        FileSystem files = cluster.getFileSystem();
        for (int i = 0; i < 10; i++) {
            Path path = new Path("/f" + i);
            try (FSDataOutputStream out = files.create(path)) {
                out.write(new byte[1000]);
            }
            try (FSDataInputStream in = files.open(path)) {
                in.readFully(new byte[1000]);
            }
        }
        System.out.println("ready");
        while (System.in.read() >= 0) { }
        cluster.shutdown();
        System.exit(0);
    }
}
