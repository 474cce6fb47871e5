import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads the headers with the CloudEvents SDK, the data stays bytes: Consume has the rest. Arguments: GROUP MAX. */
final class ReadCloudEvents {
    public static void main(String[] arguments) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", Settings.BROKERS,
                "group.id", arguments[0],
                "isolation.level", "read_committed",
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new CloudEventDeserializer())) {
            consumer.subscribe(List.of(Settings.PREFIX + ".events"));
            int seen = 0;
            while (seen < Integer.parseInt(arguments[1])) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    CloudEvent event = record.value();
                    System.out.println(String.join(" ", event.getSpecVersion().toString(), event.getId(), event.getType(),
                            event.getSource().toString(), event.getSubject(), Settings.TIME.format(event.getTime()),
                            event.getDataContentType(), String.valueOf(event.getExtension("signal"))));
                    seen++;
                }
            }
        }
    }
}
