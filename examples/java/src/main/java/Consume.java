import conference.MemberJoined;
import conference.MemberLeft;
import conference.Meta;
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A consumer of conference events: java -cp 'target/classes:target/lib/*' Consume GROUP MAX. */
final class Consume {
    /** The types that this service understands. Others are passed before they are decoded: more may come. */
    private static final Set<String> KNOWN = Set.of(
            "conference.created", "conference.destroyed", "conference.member.joined", "conference.member.left",
            "conference.member.muted", "conference.member.unmuted", "conference.play.started",
            "conference.play.paused", "conference.play.resumed", "conference.play.stopped",
            "conference.play.volume_changed", "conference.play.finished", "conference.play.failed");

    /**
     * What the consumer remembers of a room. In memory it drops repeats within this run. After a crash, events come
     * again: store the sequence in the database transaction of your own write.
     */
    private static final class Room {
        long sequence;
        String firstId = "";
        final Set<String> members = new TreeSet<>();
    }

    private final Map<String, Room> rooms = new TreeMap<>();
    private final AvroKafkaDeserializer<SpecificRecord> decoder = new AvroKafkaDeserializer<>();

    public static void main(String[] arguments) {
        Settings.trustGeneratedClasses();
        new Consume().run(arguments[0], Integer.parseInt(arguments[1]));
    }

    private void run(String group, int most) {
        // Projects what a newer writer has written to the classes of this program.
        decoder.configure(Settings.registry("apicurio.registry.use-specific-avro-reader", true), false);
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", Settings.BROKERS,
                "group.id", group,
                "isolation.level", "read_committed", // not the default: aborted events would arrive
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false);
        // Bytes, not AvroKafkaDeserializer: poll() would throw at the first event of an unknown type, for ever.
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(Settings.PREFIX + ".events"), new Forget());
            Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();
            int seen = 0;
            while (seen < most) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (seen == most) break;
                    if (handle(record)) seen++;
                    done.put(new TopicPartition(record.topic(), record.partition()),
                            new OffsetAndMetadata(record.offset() + 1));
                }
                consumer.commitSync(done); // only after the work
                done.clear();
            }
            print(); // here, because close() gives the partitions back, and the rooms are forgotten
        }
    }

    private void print() {
        rooms.forEach((id, room) -> {
            if (!room.members.isEmpty()) System.out.println("in " + id + ": " + String.join(", ", room.members));
        });
    }

    /** Forgets the rooms when partitions go: another consumer may handle their next events. */
    private final class Forget implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            rooms.clear();
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
    }

    /** Does the work for a record. Returns whether the event was new. */
    private boolean handle(ConsumerRecord<String, byte[]> record) {
        String name = new String(record.headers().lastHeader("ce_type").value(), StandardCharsets.UTF_8);
        if (!KNOWN.contains(name)) {
            System.out.println("ignored " + name);
            return false;
        }
        SpecificRecord event = decoder.deserialize(record.topic(), record.headers(), record.value());
        Meta meta = (Meta) event.get(event.getSchema().getField("meta").pos());
        Room room = rooms.computeIfAbsent(record.key(), id -> new Room()); // the key is the room_id
        if (meta.getSequence() == 1 && !meta.getEventId().equals(room.firstId)) { // a life of the room begins
            room.firstId = meta.getEventId();
            room.members.clear();
        } else if (meta.getSequence() <= room.sequence) {
            return false;
        } else if (room.sequence > 0 && meta.getSequence() > room.sequence + 1) {
            System.err.printf("room %s: %d is followed by %d%n", record.key(), room.sequence, meta.getSequence());
        }
        room.sequence = meta.getSequence();
        if (event instanceof MemberJoined joined) room.members.add(joined.getSessionUuid());
        if (event instanceof MemberLeft left) room.members.remove(left.getSessionUuid());
        String time = Settings.TIME.format(meta.getOccurredAt()); // an Instant, to the microsecond
        System.out.println(record.key() + " #" + meta.getSequence() + " " + name + " " + time);
        return true;
    }
}
