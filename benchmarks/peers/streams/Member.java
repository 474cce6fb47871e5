import java.io.IOException;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** A row of the members: conference.Member. */
record Member(String roomId, String session, String callerId, boolean muted, long sequence, Long joinedAt, Long mutedAt) {
    static Serde<Member> serde(Codec.Ids ids) {
        int id = ids.id("conference.Member");
        Codec.Writer writer = new Codec.Writer();
        Codec.Reader reader = new Codec.Reader();
        return Serdes.serdeFrom(
                (topic, member) -> member == null ? null : member.write(writer, id),
                (topic, value) -> value == null ? null : read(reader, value));
    }

    private byte[] write(Codec.Writer writer, int id) {
        try {
            BinaryEncoder out = writer.begin(id);
            out.writeString(roomId);
            out.writeString(session);
            out.writeString(callerId);
            out.writeBoolean(muted);
            out.writeBoolean(false); // leaving
            out.writeLong(sequence);
            Codec.optionalLong(out, joinedAt);
            Codec.optionalLong(out, mutedAt);
            return writer.end();
        } catch (IOException error) {
            throw Codec.impossible(error);
        }
    }

    private static Member read(Codec.Reader reader, byte[] value) {
        try {
            BinaryDecoder in = reader.begin(value);
            String roomId = in.readString();
            String session = in.readString();
            String callerId = in.readString();
            boolean muted = in.readBoolean();
            in.readBoolean();
            long sequence = in.readLong();
            Long joinedAt = Codec.optionalLong(in);
            return new Member(roomId, session, callerId, muted, sequence, joinedAt, Codec.optionalLong(in));
        } catch (IOException error) {
            throw Codec.impossible(error);
        }
    }
}
