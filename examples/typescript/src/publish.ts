// A producer of signals with kafkajs: node dist/publish.js ROOM
import { randomUUID } from "node:crypto";
import { Partitioners } from "kafkajs";
import { kafka, prefix, registry } from "./settings.js";

const room = process.argv[2];
if (!room) throw new Error("usage: publish ROOM");
const common = { room_id: room, occurred_at: Date.now() * 1000 }; // microseconds
const signals: [string, object][] = [
  ["ConferenceCreate", { ...common, signal_id: randomUUID(), app_id: "my-app", name: "From TypeScript" }],
  ["ConferencePause", { ...common, signal_id: randomUUID(), operation_id: randomUUID() }],
];
const producer = kafka.producer({
  createPartitioner: Partitioners.DefaultPartitioner, // murmur2, as the pipeline requires; never LegacyPartitioner
  idempotent: true,
});
await producer.connect();
const topic = `${prefix}.api.signals`;
for (const [name, signal] of signals) {
  // The registered schema of TopicRecordNameStrategy: a producer needs no write access to the registry.
  const id = await registry.getLatestSchemaId(`${topic}-conference.signal.${name}`);
  const value = await registry.encode(id, signal);
  const [place] = await producer.send({ topic, acks: -1, messages: [{ key: room, value }] });
  console.log(name, place!.partition, place!.baseOffset);
}
await producer.disconnect();
