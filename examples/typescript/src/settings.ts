import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";
import { Kafka, logLevel } from "kafkajs";

function env(name: string, otherwise?: string): string {
  const value = process.env[name] || otherwise;
  if (value) return value;
  console.error(`${name} is not set: run eval "$(conference-pipeline up)", or name your own`);
  process.exit(2);
}

export const kafka = new Kafka({ brokers: env("KAFKA_BOOTSTRAP_SERVERS").split(","), logLevel: logLevel.ERROR });
export const registry = new SchemaRegistry({ host: env("SCHEMA_REGISTRY_URL") });
export const prefix = env("PIPELINE_TOPIC_PREFIX", "conference");
