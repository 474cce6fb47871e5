import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Avro records, field by field, with reused encoder and decoder: like the code that Avro generates for
 * specific records, without its intermediate objects.
 */
final class Codec {
    private Codec() {}

    /** Schema ids of the registry by full record name, and back. */
    static final class Ids {
        private final Map<String, Integer> byName = new HashMap<>();
        private final Map<Integer, String> byId = new HashMap<>();

        /** Reads a flat JSON object of numbers. */
        static Ids parse(String json) {
            Ids ids = new Ids();
            Matcher matcher = Pattern.compile("\"([^\"]+)\"\\s*:\\s*(\\d+)").matcher(json);
            while (matcher.find()) {
                int id = Integer.parseInt(matcher.group(2));
                ids.byName.put(matcher.group(1), id);
                ids.byId.put(id, matcher.group(1));
            }
            return ids;
        }

        int id(String record) {
            return byName.get(record);
        }

        String record(int id) {
            return byId.get(id);
        }
    }

    /** Writes one record after the other; for one thread, as there is one stream thread. */
    static final class Writer {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(1024);
        private final BinaryEncoder out = EncoderFactory.get().binaryEncoder(bytes, null);

        /** Begins a record in the registry's wire format. */
        BinaryEncoder begin(int id) {
            bytes.reset();
            bytes.write(0);
            bytes.write(id >>> 24);
            bytes.write(id >>> 16);
            bytes.write(id >>> 8);
            bytes.write(id);
            return out;
        }

        byte[] end() throws IOException {
            out.flush();
            return bytes.toByteArray();
        }
    }

    /** Reads one record after the other. */
    static final class Reader {
        private BinaryDecoder in;

        BinaryDecoder begin(byte[] value) {
            in = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, in);
            return in;
        }
    }

    /** The schema id of a value in the registry's wire format. */
    static int id(byte[] value) {
        return (value[1] & 255) << 24 | (value[2] & 255) << 16 | (value[3] & 255) << 8 | value[4] & 255;
    }

    static List<String> strings(BinaryDecoder in) throws IOException {
        List<String> found = new ArrayList<>();
        for (long left = in.readArrayStart(); left != 0; left = in.arrayNext()) {
            for (long item = 0; item < left; item++) {
                found.add(in.readString());
            }
        }
        return found;
    }

    static void strings(BinaryEncoder out, List<String> values) throws IOException {
        out.writeArrayStart();
        out.setItemCount(values.size());
        for (String value : values) {
            out.startItem();
            out.writeString(value);
        }
        out.writeArrayEnd();
    }

    static String optional(BinaryDecoder in) throws IOException {
        if (in.readIndex() == 0) {
            in.readNull();
            return null;
        }
        return in.readString();
    }

    static void optional(BinaryEncoder out, String value) throws IOException {
        out.writeIndex(value == null ? 0 : 1);
        if (value == null) {
            out.writeNull();
        } else {
            out.writeString(value);
        }
    }

    /** Reads a nullable long; null as such. */
    static Long optionalLong(BinaryDecoder in) throws IOException {
        if (in.readIndex() == 0) {
            return null;
        }
        return in.readLong();
    }

    static void optionalLong(BinaryEncoder out, Long value) throws IOException {
        out.writeIndex(value == null ? 0 : 1);
        if (value != null) {
            out.writeLong(value);
        }
    }

    static UncheckedIOException impossible(IOException error) {
        return new UncheckedIOException(error);
    }
}
