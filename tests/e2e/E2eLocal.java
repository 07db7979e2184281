/** The fixture under another name, so that local:E2eLocal means this JVM alone. */
public class E2eLocal {
    public static void main(String[] args) throws Exception {
        Fixture.main(args);
    }
}
