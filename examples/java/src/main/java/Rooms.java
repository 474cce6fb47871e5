import com.fasterxml.jackson.databind.ObjectMapper;
import conference.Member;
import conference.Room;
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import java.nio.file.Files;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.Set;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * The rooms of now, with Kafka Streams: java -cp 'target/classes:target/lib/*' Rooms.
 *
 * <p>A GlobalKTable, not a KTable: a record lies on the partition of its room, not on that of its own key, so that a
 * lookup by key in a KTable, a join after a repartition and ksqlDB's pull queries look in the wrong place.
 */
final class Rooms {
    public static void main(String[] arguments) throws Exception {
        Settings.trustGeneratedClasses();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", Settings.BROKERS);
        settings.put("application.id", "example-rooms");
        settings.put("state.dir", Files.createTempDirectory("rooms").toString());
        settings.put("global.consumer.isolation.level", "read_committed"); // not the default
        StreamsBuilder builder = new StreamsBuilder();
        // Bytes: the store keeps them, and needs no serializer that knows the registry.
        builder.globalTable(
                Settings.PREFIX + ".rooms",
                Consumed.with(Serdes.String(), Serdes.ByteArray()),
                Materialized.<String, byte[], KeyValueStore<Bytes, byte[]>>as("rooms"));
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
            streams.start(); // returns when the table has been read to its end
            print(streams);
        }
    }

    private static void print(KafkaStreams streams) throws Exception {
        var decoder = new AvroKafkaDeserializer<SpecificRecord>();
        decoder.configure(Settings.registry("apicurio.registry.use-specific-avro-reader", true), false);
        var json = new ObjectMapper();
        Map<String, Set<String>> rooms = new TreeMap<>();
        var store = streams.store(StoreQueryParameters.fromNameAndType(
                "rooms", QueryableStoreTypes.<String, byte[]>keyValueStore()));
        try (var rows = store.all()) {
            while (rows.hasNext()) {
                var row = rows.next();
                String kind = json.readTree(row.key).path(0).asText(); // ["room",id], ["member",id,session], others
                if (!Set.of("room", "member").contains(kind)) continue;
                var value = decoder.deserialize(Settings.PREFIX + ".rooms", row.value);
                if (value instanceof Room room) rooms.computeIfAbsent(room.getRoomId(), id -> new TreeSet<>());
                if (value instanceof Member member) {
                    rooms.computeIfAbsent(member.getRoomId(), id -> new TreeSet<>()).add(member.getSessionUuid());
                }
            }
        }
        rooms.forEach((id, members) -> System.out.println("room " + id + ": " + String.join(", ", members)));
    }
}
