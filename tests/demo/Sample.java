import java.util.ArrayDeque;
import java.util.Random;

/** An ordinary program for the demo: nobody gave it a JMX flag. It makes some work for the heap. */
public class Sample {
    public static void main(String[] args) throws InterruptedException {
        ArrayDeque<byte[]> orders = new ArrayDeque<>();
        Random random = new Random();
        while (true) {
            orders.add(new byte[10_000 + random.nextInt(50_000)]);
            if (orders.size() > 200)
                orders.remove();
            Thread.sleep(20);
        }
    }
}
