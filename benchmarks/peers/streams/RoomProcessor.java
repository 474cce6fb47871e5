import java.io.IOException;
import java.util.List;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Processes a signal into the rows of room and member and an event, with the rules of rooms.py. */
final class RoomProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    private final Codec.Ids ids;
    private final Codec.Reader reader = new Codec.Reader();
    private final Codec.Writer writer = new Codec.Writer();
    private final Identity identity;
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<String, Room> rooms;
    private KeyValueStore<String, Member> members;

    // The current signal: its common fields, its room, and its record.
    private String cause;
    private long occurredAt;
    private long now;
    private Room room;
    private Record<byte[], byte[]> from;

    RoomProcessor(String prefix, Codec.Ids ids) {
        this.ids = ids;
        this.identity = new Identity(prefix);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        rooms = context.getStateStore(Main.ROOMS);
        members = context.getStateStore(Main.MEMBERS);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        try {
            from = record;
            apply(ids.record(Codec.id(record.value())), reader.begin(record.value()));
        } catch (IOException error) {
            throw Codec.impossible(error);
        }
    }

    private void apply(String kind, BinaryDecoder in) throws IOException {
        cause = in.readString();
        String roomId = in.readString();
        occurredAt = in.readLong();
        now = from.timestamp() * 1000;
        room = rooms.get(roomId);
        if (room == null) {
            room = new Room(roomId);
            room.createdAt = now;
        }
        boolean media = kind.startsWith("conference.signal.Member");
        if (!media && !room.remember(cause)) {
            return;
        }
        switch (kind) {
            case "conference.signal.ConferenceCreate" -> created(in);
            case "conference.signal.ConferencePlay" -> started(in);
            case "conference.signal.ConferencePause" -> toggled(in);
            case "conference.signal.ConferenceStop" -> stopped(in);
            case "conference.signal.ConferenceVolume" -> volume(in);
            case "conference.signal.MemberJoined" -> joined(in);
            case "conference.signal.MemberLeft" -> left(in);
            default -> throw new IllegalStateException("unexpected signal: " + kind);
        }
        rooms.put(roomId, room);
    }

    private void created(BinaryDecoder in) throws IOException {
        room.appId = in.readString();
        room.name = in.readString();
        BinaryEncoder out = begin("conference.Created", "conference.created");
        out.writeString(room.appId);
        out.writeString(room.roomId);
        out.writeString(room.name);
        publish("conference.created", out, null, false);
    }

    private void started(BinaryDecoder in) throws IOException {
        List<String> urls = Codec.strings(in);
        String operation = in.readString();
        if (!room.status.equals("stopped")) {
            return;
        }
        room.status = "playing";
        room.operationId = operation;
        room.urls = urls;
        room.startedAt = now;
        BinaryEncoder out = begin("conference.PlayStarted", "conference.play.started");
        out.writeString(room.roomId);
        Codec.strings(out, urls);
        out.writeString(operation);
        publish("conference.play.started", out, operation, false);
    }

    private void toggled(BinaryDecoder in) throws IOException {
        String operation = in.readString();
        if (room.status.equals("playing")) {
            room.status = "paused";
            BinaryEncoder out = begin("conference.PlayPaused", "conference.play.paused");
            out.writeString(room.roomId);
            out.writeString(operation);
            publish("conference.play.paused", out, room.operationId, false);
        } else if (room.status.equals("paused")) {
            room.status = "playing";
            BinaryEncoder out = begin("conference.PlayResumed", "conference.play.resumed");
            out.writeString(room.appId);
            out.writeString(room.roomId);
            out.writeString(operation);
            publish("conference.play.resumed", out, room.operationId, false);
        }
    }

    private void stopped(BinaryDecoder in) throws IOException {
        String operation = in.readString();
        if (room.status.equals("stopped")) {
            return;
        }
        String playback = room.operationId;
        room.endedOperationId = playback;
        room.endedBy = "stop";
        room.endedAt = now;
        room.endedUrls = room.urls;
        room.startedAt = null;
        room.status = "stopped";
        room.operationId = "";
        room.urls = List.of();
        BinaryEncoder out = begin("conference.PlayStopped", "conference.play.stopped");
        out.writeString(room.roomId);
        out.writeString(operation);
        publish("conference.play.stopped", out, playback, true);
    }

    private void volume(BinaryDecoder in) throws IOException {
        int volume = in.readInt();
        String operation = in.readString();
        BinaryEncoder out = begin("conference.PlayVolumeChanged", "conference.play.volume_changed");
        out.writeString(room.roomId);
        out.writeInt(volume);
        out.writeString(operation);
        publish("conference.play.volume_changed", out, room.status.equals("stopped") ? null : room.operationId, false);
    }

    private void joined(BinaryDecoder in) throws IOException {
        String session = in.readString();
        String caller = in.readString();
        boolean muted = in.readBoolean();
        String key = room.roomId + "/" + session;
        if (members.get(key) != null) {
            return;
        }
        members.put(key, new Member(room.roomId, session, caller, muted, room.sequence + 1, now, muted ? now : null));
        BinaryEncoder out = begin("conference.MemberJoined", "conference.member.joined");
        out.writeString(session);
        out.writeString(room.roomId);
        out.writeString(caller);
        publish("conference.member.joined", out, null, false);
    }

    private void left(BinaryDecoder in) throws IOException {
        String session = in.readString();
        String reason = Codec.optional(in);
        Member member = members.delete(room.roomId + "/" + session);
        if (member == null) {
            return;
        }
        BinaryEncoder out = begin("conference.MemberLeft", "conference.member.left");
        out.writeString(session);
        out.writeString(room.roomId);
        out.writeString(reason == null ? "hangup" : reason);
        out.writeString(member.callerId());
        publish("conference.member.left", out, null, false);
    }

    private BinaryEncoder begin(String record, String event) throws IOException {
        BinaryEncoder out = writer.begin(ids.id(record));
        out.writeString(event);
        return out;
    }

    /** Appends `meta` and forwards the event. */
    private void publish(String event, BinaryEncoder out, String playback, boolean ends) throws IOException {
        room.sequence++;
        room.lastEventAt = now;
        String id = identity.eventId(room.roomId, room.sequence, cause);
        out.writeString(id);
        out.writeLong(room.sequence);
        out.writeLong(occurredAt);
        out.writeString(room.appId);
        out.writeString(cause);
        Codec.optional(out, playback);
        out.writeBoolean(ends);
        out.writeBoolean(false); // synthetic
        context.forward(new Record<>(
                from.key(),
                writer.end(),
                from.timestamp(),
                identity.headers(id, event, from.key(), occurredAt, context.recordMetadata().orElseThrow())));
    }
}
