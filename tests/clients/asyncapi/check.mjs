// Reads an AsyncAPI document from standard input with the official parser; prints what is wrong with it.
import { readFileSync } from "node:fs";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(0, "utf8"));
for (const one of diagnostics) console.log(one.severity === 0 ? "error" : "warning", one.path.join("/"), one.message);
if (document) {
  for (const message of document.allMessages()) console.log("message", message.name());
  for (const channel of document.allChannels()) console.log("channel", channel.address());
}
process.exit(document ? 0 : 1);
