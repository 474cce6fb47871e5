import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HashMap;
import java.util.Map;

/** The servers from the environment, and what every client of the registry needs. */
final class Settings {
    static final String BROKERS = env("KAFKA_BOOTSTRAP_SERVERS", null);
    static final String PREFIX = env("PIPELINE_TOPIC_PREFIX", "conference");

    static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC);

    /** Apicurio's own API, not the Confluent-compatible one that SCHEMA_REGISTRY_URL names. */
    static Map<String, Object> registry(Object... more) {
        String url = env("SCHEMA_REGISTRY_URL", null).replaceFirst("/apis/ccompat/v\\d+/?$", "/apis/registry/v3");
        Map<String, Object> settings = new HashMap<>(Map.of("apicurio.registry.url", url));
        for (int i = 0; i < more.length; i += 2) settings.put((String) more[i], more[i + 1]);
        return settings;
    }

    /** Avro 1.12.2 refuses generated classes of packages that are not listed. Call it before any class of Avro. */
    static void trustGeneratedClasses() {
        System.setProperty("org.apache.avro.SERIALIZABLE_PACKAGES", "conference");
    }

    private static String env(String name, String otherwise) {
        String value = System.getenv(name);
        if (value != null && !value.isEmpty()) return value;
        if (otherwise != null) return otherwise;
        System.err.println(name + " is not set: run eval \"$(conference-pipeline up)\", or name your own");
        System.exit(2);
        return null;
    }
}
