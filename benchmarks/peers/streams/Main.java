import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * Contestant: Kafka Streams, exactly_once_v2, rooms and members in memory with a changelog each.
 *
 * <p>Topics and schema ids come from the environment (contestants.py). All other settings are defaults; the two
 * topics of a task are merged by append time, as in the pipeline (KIP-695).
 */
public final class Main {
    static final String ROOMS = "rooms";
    static final String MEMBERS = "members";

    private Main() {}

    public static void main(String[] args) throws InterruptedException {
        Map<String, String> env = System.getenv();
        String prefix = env.get("PEER_PREFIX");
        Codec.Ids ids = Codec.Ids.parse(env.get("PEER_SCHEMA_IDS"));

        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, env.get("PEER_GROUP"));
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("KAFKA_BOOTSTRAP_SERVERS"));
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, env.get("PEER_COMMIT_MS"));
        config.put(StreamsConfig.STATE_DIR_CONFIG, env.get("PEER_STATE_DIR"));

        KafkaStreams streams = new KafkaStreams(topology(prefix, ids), config);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            ended.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(8))));
        streams.start();
        ended.await();
        System.exit(1);
    }

    private static Topology topology(String prefix, Codec.Ids ids) {
        Topology topology = new Topology();
        ByteArrayDeserializer in = new ByteArrayDeserializer();
        ByteArraySerializer out = new ByteArraySerializer();
        topology.addSource("signals", in, in, prefix + ".api.signals", prefix + ".media.signals");
        topology.addProcessor("decide", () -> new RoomProcessor(prefix, ids), "signals");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(
                        Stores.inMemoryKeyValueStore(ROOMS), Serdes.String(), Room.serde(ids)),
                "decide");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(
                        Stores.inMemoryKeyValueStore(MEMBERS), Serdes.String(), Member.serde(ids)),
                "decide");
        // The default partitioner (murmur2 of the same key) keeps the partition number.
        topology.addSink("events", prefix + ".events", out, out, "decide");
        return topology;
    }
}
