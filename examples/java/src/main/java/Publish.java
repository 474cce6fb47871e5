import conference.signal.ConferenceCreate;
import conference.signal.ConferencePause;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** A producer of signals: java -cp 'target/classes:target/lib/*' Publish ROOM. */
final class Publish {
    public static void main(String[] arguments) throws Exception {
        Settings.trustGeneratedClasses();
        String room = arguments[0];
        AvroKafkaSerializer<SpecificRecord> encoder = new AvroKafkaSerializer<>();
        encoder.configure(
                Settings.registry(
                        "apicurio.registry.artifact-resolver-strategy", SubjectStrategy.class.getName(),
                        "apicurio.registry.find-latest", true, // use the registered schema
                        "apicurio.registry.auto-register", false), // the schemas are the pipeline's
                false);
        // The default partitioner of the Java client is the one that the pipeline requires: murmur2.
        Map<String, Object> settings = Map.of("bootstrap.servers", Settings.BROKERS, "acks", "all");
        Instant now = Instant.now().truncatedTo(ChronoUnit.MICROS);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), encoder)) {
            for (SpecificRecord signal : List.of(
                    new ConferenceCreate(id(), room, now, "my-app", "From Java"),
                    new ConferencePause(id(), room, now, id()))) {
                String topic = Settings.PREFIX + ".api.signals";
                RecordMetadata place = producer.send(new ProducerRecord<>(topic, room, signal)).get();
                System.out.println(signal.getSchema().getName() + " " + place.partition() + " " + place.offset());
            }
        }
    }

    private static String id() {
        return UUID.randomUUID().toString();
    }
}
