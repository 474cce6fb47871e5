import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** A row of the rooms: conference.Room. */
final class Room {
    static final int REMEMBERED = 16;

    String roomId;
    String appId = "";
    String name = "";
    long sequence;
    String status = "stopped";
    String operationId = "";
    List<String> urls = List.of();
    String endedOperationId = "";
    String endedBy = "";
    Long endedAt;
    List<String> endedUrls = List.of();
    Long createdAt;
    Long lastEventAt;
    Long startedAt;
    List<String> recent = new ArrayList<>();

    Room(String roomId) {
        this.roomId = roomId;
    }

    /** Returns whether the signal is new: not one of the last 16 API signals. */
    boolean remember(String signalId) {
        if (recent.contains(signalId)) {
            return false;
        }
        recent.add(signalId);
        if (recent.size() > REMEMBERED) {
            recent.remove(0);
        }
        return true;
    }

    static Serde<Room> serde(Codec.Ids ids) {
        int id = ids.id("conference.Room");
        Codec.Writer writer = new Codec.Writer();
        Codec.Reader reader = new Codec.Reader();
        return Serdes.serdeFrom(
                (topic, room) -> room == null ? null : room.write(writer, id),
                (topic, value) -> value == null ? null : read(reader, value));
    }

    private byte[] write(Codec.Writer writer, int id) {
        try {
            BinaryEncoder out = writer.begin(id);
            out.writeString(roomId);
            out.writeString(appId);
            out.writeString(name);
            out.writeLong(sequence);
            out.writeString(status);
            out.writeString(operationId);
            Codec.strings(out, urls);
            out.writeInt(0); // files_finished
            out.writeIndex(0); // no deadline
            out.writeIndex(0); // no remaining time
            out.writeString(endedOperationId);
            out.writeString(endedBy);
            Codec.optionalLong(out, endedAt);
            Codec.strings(out, endedUrls);
            Codec.optionalLong(out, createdAt);
            Codec.optionalLong(out, lastEventAt);
            Codec.optionalLong(out, startedAt);
            Codec.strings(out, recent);
            return writer.end();
        } catch (IOException error) {
            throw Codec.impossible(error);
        }
    }

    private static Room read(Codec.Reader reader, byte[] value) {
        try {
            BinaryDecoder in = reader.begin(value);
            Room room = new Room(in.readString());
            room.appId = in.readString();
            room.name = in.readString();
            room.sequence = in.readLong();
            room.status = in.readString();
            room.operationId = in.readString();
            room.urls = Codec.strings(in);
            in.readInt();
            in.readIndex();
            in.readIndex();
            room.endedOperationId = in.readString();
            room.endedBy = in.readString();
            room.endedAt = Codec.optionalLong(in);
            room.endedUrls = Codec.strings(in);
            room.createdAt = Codec.optionalLong(in);
            room.lastEventAt = Codec.optionalLong(in);
            room.startedAt = Codec.optionalLong(in);
            room.recent = Codec.strings(in);
            return room;
        } catch (IOException error) {
            throw Codec.impossible(error);
        }
    }
}
