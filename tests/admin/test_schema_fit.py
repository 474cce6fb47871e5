"""Whether a change of a schema fits, and why not, compared with the registry's own verdict."""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from pipeline.admin.schema_fit import explain, misfit
from testkit.servers import Servers

BASE: dict[str, Any] = {
    "type": "record",
    "name": "Base",
    "namespace": "n",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "number", "type": "int"},
        {"name": "long", "type": "long"},
        {"name": "real", "type": "double"},
        {"name": "raw", "type": "bytes"},
        {"name": "flag", "type": "boolean", "default": False},
        {"name": "maybe", "type": ["null", "string"], "default": None},
        {"name": "many", "type": {"type": "array", "items": "string"}},
        {"name": "map", "type": {"type": "map", "values": "int"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "safe", "type": {"type": "enum", "name": "Safe", "symbols": ["A", "B"], "default": "A"}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 4}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "inner",
            "type": {
                "type": "record",
                "name": "Inner",
                "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "string", "default": ""}],
            },
        },
    ],
}
NULLABLE = ["null", "string"]
Change = Callable[[dict[str, Any]], object]


def at(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a field of the record, `inner.x` of the inner one."""
    outer, _, inner = name.partition(".")
    field: dict[str, Any] = next(each for each in schema["fields"] if each["name"] == outer)
    return at(field["type"], inner) if inner else field


def retype(name: str, kind: Any) -> Change:
    return lambda schema: at(schema, name).update(type=kind)


def drop(name: str) -> Change:
    return lambda schema: schema["fields"].remove(at(schema, name))


def drop_inner(name: str) -> Change:
    return lambda schema: drop(name)(at(schema, "inner")["type"])


def add(name: str, kind: Any, **more: Any) -> Change:
    return lambda schema: schema["fields"].append({"name": name, "type": kind, **more})


def add_inner(name: str, kind: Any, **more: Any) -> Change:
    return lambda schema: at(schema, "inner")["type"]["fields"].append({"name": name, "type": kind, **more})


def of(field: str, /, **more: Any) -> Change:
    return lambda schema: at(schema, field)["type"].update(more)


CHANGES: dict[str, Change] = {
    "nothing": lambda schema: None,
    "a doc": lambda schema: schema.update(doc="new"),
    "order of fields": lambda schema: schema["fields"].reverse(),
    "another record name": lambda schema: schema.update(name="Other"),
    "another inner name": of("inner", name="Other"),
    "new text without default": add("region", "string"),
    "new text with default": add("region", "string", default=""),
    "new nullable without default": add("region", NULLABLE),
    "new nullable with default": add("region", NULLABLE, default=None),
    "new array without default": add("tags", {"type": "array", "items": "string"}),
    "new array with default": add("tags", {"type": "array", "items": "string"}, default=[]),
    "new enum without default": add("mode", {"type": "enum", "name": "Mode", "symbols": ["A"]}),
    "new enum with default": add("mode", {"type": "enum", "name": "Mode", "symbols": ["A"]}, default="A"),
    "new inner field without default": add_inner("z", "int"),
    "new inner field with default": add_inner("z", "int", default=0),
    "drop text": drop("text"),
    "drop flag, which has a default": drop("flag"),
    "drop nullable, which has a default": drop("maybe"),
    "drop array": drop("many"),
    "drop inner record": drop("inner"),
    "drop inner field": drop_inner("x"),
    "drop inner field with default": drop_inner("y"),
    "drop a default": lambda schema: at(schema, "flag").pop("default"),
    "another default": lambda schema: at(schema, "flag").update(default=True),
    "rename a field": lambda schema: at(schema, "text").update(name="words"),
    "text to nullable": retype("text", NULLABLE),
    "text to nullable with default": lambda schema: at(schema, "text").update(type=["null", "string"], default=None),
    "nullable to text": lambda schema: (at(schema, "maybe").pop("default"), at(schema, "maybe").update(type="string")),
    "order of a union": lambda schema: (
        at(schema, "maybe").pop("default"),
        retype("maybe", ["string", "null"])(schema),
    ),
    "one more branch": retype("maybe", ["null", "string", "int"]),
    "one branch less": retype("maybe", ["null"]),
    "int to long": retype("number", "long"),
    "long to int": retype("long", "int"),
    "int to double": retype("number", "double"),
    "double to float": retype("real", "float"),
    "int to text": retype("number", "string"),
    "text to bytes": retype("text", "bytes"),
    "bytes to text": retype("raw", "string"),
    "boolean to int": lambda schema: at(schema, "flag").update(type="int", default=0),
    "items to int": of("many", items="int"),
    "items to nullable": of("many", items=NULLABLE),
    "values to long": of("map", values="long"),
    "values to text": of("map", values="string"),
    "array to map": retype("many", {"type": "map", "values": "string"}),
    "one more symbol": of("kind", symbols=["A", "B", "C"]),
    "one symbol less": of("kind", symbols=["A"]),
    "one more symbol, with a default": of("safe", symbols=["A", "B", "C"]),
    "one symbol less, with a default": of("safe", symbols=["A"]),
    "another size": of("hash", size=8),
    "inner int to text": retype("inner.x", "string"),
    "inner record to text": retype("inner", "string"),
    "another attribute": lambda schema: at(schema, "text").update(maxLength=5),
}


def changed(change: Change) -> str:
    schema = copy.deepcopy(BASE)
    change(schema)
    return json.dumps(schema)


@pytest.fixture(scope="module")
def subject(servers: Servers) -> tuple[SchemaRegistryClient, str]:
    """A subject with the base schema as its only version, FULL_TRANSITIVE."""
    client = SchemaRegistryClient({"url": servers.registry_url})
    name = f"fit-{secrets.token_hex(5)}"
    client.register_schema(name, Schema(json.dumps(BASE), "AVRO"))
    client.set_compatibility(name, "FULL_TRANSITIVE")
    return client, name


@pytest.mark.broker
@pytest.mark.parametrize("name", CHANGES)
def test_the_verdict_is_that_of_the_registry(name: str, subject: tuple[SchemaRegistryClient, str]) -> None:
    client, registered = subject
    text = changed(CHANGES[name])
    fits = client.test_compatibility(registered, Schema(text, "AVRO"))
    reasons = explain(text, json.dumps(BASE), 1)
    assert (reasons == []) == fits, reasons
    assert (misfit(text, json.dumps(BASE)) == "") == fits


OLD, NEW = "consumers with version 3 fail: ", "consumers with the new schema fail at records of version 3: "


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("new text without default", [f"{NEW}`region` is missing and has no default"]),
        ("new inner field without default", [f"{NEW}`inner.z` is missing and has no default"]),
        ("drop text", [f"{OLD}`text` is missing and has no default"]),
        (
            "rename a field",
            [f"{OLD}`text` is missing and has no default", f"{NEW}`words` is missing and has no default"],
        ),
        ("text to nullable", [f"{OLD}`text` may be null, expected string"]),
        ("int to text", [f"{OLD}`number` is string, expected int", f"{NEW}`number` is int, expected string"]),
        ("int to long", [f"{OLD}`number` is long, expected int"]),
        ("values to text", [f"{OLD}`map[]` is string, expected int", f"{NEW}`map[]` is int, expected string"]),
        ("one more symbol", [f"{OLD}`kind` may be C, which is unknown and has no default"]),
        ("another size", [f"{OLD}`hash` has 8 bytes, expected 4", f"{NEW}`hash` has 4 bytes, expected 8"]),
        (
            "another record name",
            [
                f"{OLD}the record is named n.Other, expected n.Base",
                f"{NEW}the record is named n.Base, expected n.Other",
            ],
        ),
        ("one branch less", [f"{NEW}`maybe` may be string, expected null"]),
    ],
)
def test_the_reason_names_who_fails_and_where(name: str, reasons: list[str]) -> None:
    assert explain(changed(CHANGES[name]), json.dumps(BASE), 3) == reasons


def test_there_are_fifty_changes_of_both_kinds() -> None:
    fits = [name for name, change in CHANGES.items() if not explain(changed(change), json.dumps(BASE), 1)]
    assert len(CHANGES) >= 50
    assert 12 <= len(fits) <= len(CHANGES) - 12


@pytest.mark.parametrize("text", ["{", '"nothing"', '{"type":"record"}'])
def test_a_schema_that_is_none_is_a_reason(text: str) -> None:
    assert explain(text, json.dumps(BASE), 1)[0].startswith("the schema can't be read: ")
    assert explain(json.dumps(BASE), text, 1)[0].startswith("version 1 can't be read: ")
