import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.UUID;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** Computes an event's id and headers (contract, section 3). */
final class Identity {
    private static final byte[] VERSION = "1.0".getBytes(UTF_8);
    private static final byte[] CONTENT = "application/avro".getBytes(UTF_8);
    private static final UUID URLS = UUID.fromString("6ba7b811-9dad-11d1-80b4-00c04fd430c8");

    private final byte[] namespace = ByteBuffer.allocate(16)
            .putLong(URLS.getMostSignificantBits())
            .putLong(URLS.getLeastSignificantBits())
            .array();
    private final MessageDigest sha1;
    private final byte[] source;

    Identity(String prefix) {
        source = ("/" + prefix).getBytes(UTF_8);
        try {
            sha1 = MessageDigest.getInstance("SHA-1");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Returns the UUIDv5 of room_id/sequence/cause in the URL namespace. */
    String eventId(String roomId, long sequence, String cause) {
        sha1.update(namespace);
        ByteBuffer hash = ByteBuffer.wrap(sha1.digest((roomId + "/" + sequence + "/" + cause).getBytes(UTF_8)));
        long high = hash.getLong() & ~0xF000L | 0x5000L;
        long low = hash.getLong() & 0x3FFFFFFFFFFFFFFFL | 0x8000000000000000L;
        return new UUID(high, low).toString();
    }

    Headers headers(String id, String event, byte[] key, long occurredAt, RecordMetadata from) {
        return new RecordHeaders()
                .add("ce_specversion", VERSION)
                .add("ce_id", id.getBytes(UTF_8))
                .add("ce_type", event.getBytes(UTF_8))
                .add("ce_source", source)
                .add("ce_subject", key)
                .add("ce_time", time(occurredAt))
                .add("content-type", CONTENT)
                .add("ce_signal", (from.topic() + "/" + from.partition() + "/" + from.offset()).getBytes(UTF_8));
    }

    /** RFC 3339 with six decimals: yyyy-MM-ddTHH:mm:ss.ffffffZ. */
    private static byte[] time(long micros) {
        LocalDateTime at = LocalDateTime.ofEpochSecond(
                Math.floorDiv(micros, 1_000_000L), 0, ZoneOffset.UTC);
        byte[] text = new byte[27];
        digits(text, 0, 4, at.getYear());
        digits(text, 5, 2, at.getMonthValue());
        digits(text, 8, 2, at.getDayOfMonth());
        digits(text, 11, 2, at.getHour());
        digits(text, 14, 2, at.getMinute());
        digits(text, 17, 2, at.getSecond());
        digits(text, 20, 6, Math.floorMod(micros, 1_000_000L));
        text[4] = text[7] = '-';
        text[10] = 'T';
        text[13] = text[16] = ':';
        text[19] = '.';
        text[26] = 'Z';
        return text;
    }

    private static void digits(byte[] text, int at, int count, long value) {
        for (int place = at + count - 1; place >= at; place--, value /= 10) {
            text[place] = (byte) ('0' + value % 10);
        }
    }
}
