// A consumer of conference events with kafkajs: node dist/consume.js GROUP MAX
import { type CloudEventV1, Kafka as CloudEvents } from "cloudevents";
import type { KafkaMessage } from "kafkajs";
import type { Created } from "./generated/Created.js";
import type { Destroyed } from "./generated/Destroyed.js";
import type { MemberJoined } from "./generated/MemberJoined.js";
import type { MemberLeft } from "./generated/MemberLeft.js";
import type { MemberMuted } from "./generated/MemberMuted.js";
import type { MemberUnmuted } from "./generated/MemberUnmuted.js";
import type { PlayFailed } from "./generated/PlayFailed.js";
import type { PlayFinished } from "./generated/PlayFinished.js";
import type { PlayPaused } from "./generated/PlayPaused.js";
import type { PlayResumed } from "./generated/PlayResumed.js";
import type { PlayStarted } from "./generated/PlayStarted.js";
import type { PlayStopped } from "./generated/PlayStopped.js";
import type { PlayVolumeChanged } from "./generated/PlayVolumeChanged.js";
import { kafka, prefix, registry } from "./settings.js";

// The types that this service understands. Others are passed before they are decoded: more may come.
type Events = {
  "conference.created": Created;
  "conference.destroyed": Destroyed;
  "conference.member.joined": MemberJoined;
  "conference.member.left": MemberLeft;
  "conference.member.muted": MemberMuted;
  "conference.member.unmuted": MemberUnmuted;
  "conference.play.started": PlayStarted;
  "conference.play.paused": PlayPaused;
  "conference.play.resumed": PlayResumed;
  "conference.play.stopped": PlayStopped;
  "conference.play.volume_changed": PlayVolumeChanged;
  "conference.play.finished": PlayFinished;
  "conference.play.failed": PlayFailed;
};
type Event = { [K in keyof Events]: Omit<Events[K], "event"> & { event: K } }[keyof Events];
const KNOWN: Record<keyof Events, true> = {
  "conference.created": true,
  "conference.destroyed": true,
  "conference.member.joined": true,
  "conference.member.left": true,
  "conference.member.muted": true,
  "conference.member.unmuted": true,
  "conference.play.started": true,
  "conference.play.paused": true,
  "conference.play.resumed": true,
  "conference.play.stopped": true,
  "conference.play.volume_changed": true,
  "conference.play.finished": true,
  "conference.play.failed": true,
};

// What the consumer remembers of a room. In memory it drops repeats within this run. After a crash, events come
// again: store the sequence in the database transaction of your own write.
type Room = { sequence: number; firstId: string; members: Set<string> };
const rooms = new Map<string, Room>();

async function handle(message: KafkaMessage): Promise<boolean> {
  // The CloudEvents SDK wants headers as strings; kafkajs has them as buffers.
  const headers = Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, v]) => [name, String(v)]));
  const record = { headers, key: String(message.key), value: message.value, body: message.value };
  const { type } = CloudEvents.toEvent(record) as CloudEventV1<Buffer>;
  if (!(type in KNOWN)) {
    console.log("ignored", type);
    return false;
  }
  const event: Event = await registry.decode(message.value!); // by the writer's schema: newer fields are just there
  const { sequence, event_id, occurred_at } = event.meta;
  const room = rooms.get(event.room_id) ?? { sequence: 0, firstId: "", members: new Set() };
  rooms.set(event.room_id, room);
  if (sequence === 1 && event_id !== room.firstId) {
    room.firstId = event_id; // a life of the room begins
    room.members.clear();
  } else if (sequence <= room.sequence) {
    return false;
  } else if (room.sequence > 0 && sequence > room.sequence + 1) {
    console.error(`room ${event.room_id}: ${room.sequence} is followed by ${sequence}`);
  }
  room.sequence = sequence;
  if (event.event === "conference.member.joined") room.members.add(event.session_uuid);
  if (event.event === "conference.member.left") room.members.delete(event.session_uuid);
  const time = new Date(occurred_at / 1000); // microseconds to milliseconds: a Date has no more
  console.log(event.room_id, `#${sequence}`, type, time.toISOString());
  return true;
}

const [group, max] = process.argv.slice(2);
const most = Number(max);
if (!group || !(most > 0)) throw new Error("usage: consume GROUP MAX");
const consumer = kafka.consumer({ groupId: group, readUncommitted: false }); // false is the default: keep it
await consumer.connect();
await consumer.subscribe({ topic: `${prefix}.events`, fromBeginning: true });
consumer.on(consumer.events.GROUP_JOIN, () => rooms.clear()); // another consumer may have handled events in between
let seen = 0;
const done = new Promise<void>((resolve, reject) => {
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  consumer.run({
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isStale }) => {
      for (const message of batch.messages) {
        if (seen === most || isStale()) break;
        if (await handle(message)) seen++;
        resolveOffset(message.offset); // only after the work; kafkajs commits resolved offsets
        await heartbeat();
      }
      if (seen === most) {
        await commitOffsetsIfNecessary();
        resolve();
      }
    },
  });
});
await done;
await consumer.disconnect(); // ends the batch, which commits its offsets
for (const [id, { members }] of rooms) if (members.size) console.log(`in ${id}: ${[...members].sort().join(", ")}`);
