// Writes src/generated/NAME.ts from the schemas of the events in ../../avro (SCHEMAS names another folder).
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { avroToTypeScript } from "avro-typescript";

const folder = process.env.SCHEMAS ?? "../../avro";
const read = (name) => JSON.parse(readFileSync(`${folder}/${name}.avsc`, "utf8"));
const meta = read("conference.Meta");
mkdirSync("src/generated", { recursive: true });
for (const file of readdirSync(folder)) {
  const schema = read(file.replace(/\.avsc$/, ""));
  if (schema.fields[0].const === undefined) continue; // not an event
  for (const field of schema.fields) if (field.type === "conference.Meta") field.type = meta;
  writeFileSync(`src/generated/${schema.name}.ts`, avroToTypeScript(schema));
}
