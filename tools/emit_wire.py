"""Emit pipeline/model/wire.py for tools/generate.py: one encoder and one decoder per record."""

from __future__ import annotations

from typing import Any

from schemas import PACKED, Record

TITLE = """Encoders and decoders of every record in Avro's binary encoding, and the schemas as registered.

`encode_x(record, prefix)` returns `prefix` + Avro; the prefix is the head of the registry's wire format
(pipeline/model/framing.py). `decode_x(data, start)` decodes `data[start:]`, checks the rules of contract §4 and raises
SignalError, which names the field, what was expected and what was found."""
IMPORTS = """import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import astuple

from pipeline.errors import SignalError
from pipeline.model import signal_ids as remembered
from pipeline.model.avro import (
    LENGTH, LONG, MAX_ITEMS, MAX_RECORDS, USUAL, read_block, read_bytes, read_number, read_string, read_time, strings,
    time,
)
from pipeline.model.avro_reader import explain
from pipeline.model.framing import HEAD
"""
INT = (-(2**31), 2**31 - 1)
LONG = (-(2**63), 2**63 - 1)


def module(records: list[Record], header: str) -> str:
    """Return the text of pipeline/model/wire.py."""
    text = header.format(title=TITLE) + IMPORTS + _class_imports(records) + "\nSCHEMAS: dict[str, str] = {\n"
    text += "".join(f"    {r.full!r}: {r.text!r},\n" for r in records)
    text += '}\n"""Full name of a record → its self-contained schema, as registered."""\n\n'
    text += "_BAD = (LookupError, ValueError, OverflowError)\n\n\n"
    text += "def _error(name: str, data: bytes, start: int) -> SignalError:\n"
    text += "    return SignalError(explain(SCHEMAS[name], data, start))\n"
    for record in records:
        text += _Encoder(record).function() + _Decoder(record).function()
    text += "\n\nENCODERS: dict[type[Any], Callable[[Any, bytes], bytes]] = {\n"
    text += "".join(f"    {r.alias}: encode_{r.function},\n" for r in records)
    text += '}\n"""Class → encoder."""\n\nDECODERS: dict[str, Callable[..., Any]] = {\n'
    text += "".join(f"    {r.full!r}: decode_{r.function},\n" for r in records)
    return text + '}\n"""Full name of a record → decoder."""\n'


def _class_imports(records: list[Record]) -> str:
    text = ""
    homes = {"event": "events", "meta": "events", "record": "records", "signal": "signals"}
    for home in ("events", "records", "signals"):
        members = [r for r in records if homes[r.kind] == home]
        names = [r.name if r.name == r.alias else f"{r.name} as {r.alias}" for r in members]
        text += f"from pipeline.model.{home} import (\n" + "".join(f"    {n},\n" for n in names) + ")\n"
    return text


def _zigzag(value: int) -> bytes:
    bits, out = value << 1, bytearray()
    while bits > 127:
        out.append(bits & 127 | 128)
        bits >>= 7
    return bytes([*out, bits])


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "nullable"
    if isinstance(schema, str):
        return schema
    return "time" if schema.get("logicalType") else str(schema["type"])


def _local(schema: Any) -> str:
    """Return the type of a local variable in an encoder.

    A number that is only looked up in LONG stays an object: mypyc then saves two conversions.
    """
    kind = _kind(schema)
    if kind == "nullable":
        inner = _local(schema[1])
        return inner if inner == "Any" else f"{inner} | None"
    known = {"string": "str", "bytes": "bytes", "time": "int", "boolean": "bool"}
    return "tuple[Any, ...]" if kind == "array" else known.get(kind, "Any")


def _size(name: str) -> str:
    """Return an expression for the encoded length of `name`."""
    return f"LENGTH[n] if (n := len({name})) < USUAL else LONG[n]"


class _Encoder:
    """Emits an encoder: statements for the parts, then one join of all parts.

    `astuple` reads all fields in one call: compiled, reading one field after the other took longer than to
    encode them.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.lines: list[str] = []
        self.parts: list[str] = []
        self.count = 0

    def function(self) -> str:
        r = self.record
        self.fields(r.schema, "r")
        body = "".join(f"    {line}\n" for line in self.lines)
        return (
            f'\n\ndef encode_{r.function}(r: {r.alias}, prefix: bytes = b"") -> bytes:\n'
            f'    """Return `prefix` + the encoding of a `{r.full}`."""\n'
            f'{body}    return b"".join((prefix, {", ".join(self.parts)}))\n'
        )

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def fields(self, schema: dict[str, Any], owner: str) -> None:
        arguments = Record(schema).arguments
        types = ["bytes" if f["name"] in PACKED else _local(f["type"]) for f in arguments]
        self.lines.append(f"{owner}_all: tuple[{', '.join(types)}] = astuple({owner})")
        names = ", ".join(f"{owner}_{f['name']}" for f in arguments)
        self.lines.append(f"({names},) = {owner}_all")
        for field in schema["fields"]:
            name = f"{owner}_{field['name']}"
            if "const" in field:
                text = field["const"].encode()
                self.parts.append(repr(_zigzag(len(text)) + text))
            elif field["name"] in PACKED:
                self.parts.append(name)
            else:
                self.value(field["type"], name)

    def value(self, schema: Any, source: str) -> None:
        kind = _kind(schema)
        getattr(self, f"_{kind}")(schema, source)

    def _record(self, schema: Any, source: str) -> None:
        self.fields(schema, source)

    def _string(self, schema: Any, source: str) -> None:
        name = self.name()
        self.lines.append(f"{name} = {source}.encode()")
        self.parts += [_size(name), name]

    def _bytes(self, schema: Any, source: str) -> None:
        self.parts += [_size(source), source]

    def _long(self, schema: Any, source: str) -> None:
        self.parts.append(f"LONG[{source}]")

    _int = _long

    def _boolean(self, schema: Any, source: str) -> None:
        self.parts.append(f'b"\\1" if {source} else b"\\0"')

    def _time(self, schema: Any, source: str) -> None:
        self.parts.append(f"time({source})")

    def _nullable(self, schema: Any, source: str) -> None:
        name, inner = self.name(), _kind(schema[1])
        self.lines += [f"if {source} is None:", f'    {name} = b"\\0"', "else:"]
        if inner == "string":
            self.lines.append(f"    {name} = {source}.encode()")
            self.lines.append(f'    {name} = b"\\2" + ({_size(name)}) + {name}')
        else:
            code = f"time({source})" if inner == "time" else f"LONG[{source}]"
            self.lines.append(f'    {name} = b"\\2" + {code}')
        self.parts.append(name)

    def _array(self, schema: Any, source: str) -> None:
        if schema["items"] == "string":
            self.parts.append(f'strings({source}) if {source} else b"\\0"')
            return
        items = Record(schema["items"]).function
        self.parts.append(
            f'b"".join((LONG[len({source})], *map(encode_{items}, {source}), b"\\0")) if {source} else b"\\0"'
        )


class _Decoder:
    """Emits a decoder: it reads field after field at offset `p`, and calls `pipeline.model.avro` for unusual forms."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.lines: list[str] = []

    def function(self) -> str:
        r = self.record
        self.record_(r.schema, "", "        ")
        arguments = ", ".join(f["name"] for f in r.arguments)
        patterns = "".join(
            f"\n\n_{r.function.upper()}_{f['name'].upper()} = re.compile({f['items']['pattern']!r}).search"
            for f in r.fields
            if "pattern" in f.get("items", {})
        )
        return (
            f"{patterns}\n\ndef decode_{r.function}(d: bytes, start: int = HEAD) -> {r.alias}:\n"
            f'    """Return the `{r.full}` in `d[start:]`. Raises SignalError."""\n'
            "    p = start\n    try:\n" + "\n".join(self.lines) + "\n        if p != len(d):\n"
            '            raise ValueError("more or fewer bytes")\n    except _BAD:\n'
            f'        raise _error("{r.full}", d, start) from None\n'
            f"    return {r.alias}({arguments})\n"
        )

    def add(self, pad: str, text: str) -> None:
        self.lines += [pad + line for line in text.splitlines()]

    def record_(self, schema: dict[str, Any], prefix: str, pad: str) -> None:
        for field in schema["fields"]:
            name = prefix + field["name"]
            if field["name"] in PACKED:
                self.add(pad, f"{name}, p = remembered.read(d, p)")
            else:
                self.value(field["type"], field, name, pad)

    def value(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        getattr(self, f"_{_kind(schema)}")(schema, rules, name, pad)

    def _record(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        self.record_(schema, f"{name}_", pad)
        arguments = ", ".join(f"{name}_{f['name']}" for f in Record(schema).arguments)
        self.add(pad, f"{name} = {Record(schema).name}({arguments})")

    def _string(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        low, high = rules.get("minLength", 0), rules.get("maxLength", 2**63)
        if "const" in rules:
            text = rules["const"].encode()
            data = _zigzag(len(text)) + text
            self.add(pad, f"if d.startswith({data!r}, p):\n    p += {len(data)}\nelse:")
            self.add(pad, f"    {name}, p = read_string(d, p, 0, {high})")
            self.add(pad, f"    if {name} != {rules['const']!r}:")
            self.add(pad, '        raise ValueError("another event")')
            return
        # A length of one byte is even and at most 126, so up to 63 bytes: only the rule "not empty" can forbid them.
        usual = "n and not n & 129" if low else "not n & 129"
        self.add(pad, f"n = d[p]\nif {usual}:")
        self.add(pad, f"    {name} = d[p + 1 : (p := p + 1 + (n >> 1))].decode()\nelse:")
        self.add(pad, f"    {name}, p = read_string(d, p, {low}, {high})")

    def _bytes(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        self.add(pad, f"{name}, p = read_bytes(d, p)")

    def _number(self, rules: dict[str, Any], name: str, pad: str, limits: tuple[int, int]) -> None:
        low, high = limits
        self.add(pad, f"n = d[p]\nif n < 128:\n    {name} = n >> 1 ^ -(n & 1)\n    p += 1\nelse:")
        self.add(pad, f"    {name}, p = read_number(d, p, {low}, {high})")

    def _int(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        self._number(rules, name, pad, INT)

    def _long(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        self._number(rules, name, pad, LONG)

    def _time(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        low, high = rules.get("minimum", LONG[0]), rules.get("maximum", LONG[1])
        self.add(pad, f"{name} = read_time(d, p)\nif {name} >= 0:\n    p += 8\nelse:")
        self.add(pad, f"    {name}, p = read_number(d, p, {low}, {high})")

    def _boolean(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        self.add(pad, 'n = d[p]\np += 1\nif n > 1:\n    raise ValueError("not a boolean")')
        self.add(pad, f"{name} = n == 1")

    def _nullable(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        hint = {"string": "str"}.get(_kind(schema[1]), "int")
        self.add(pad, "n = d[p]\np += 1\nif n != 2 and n:\n    n, p = read_number(d, p - 1, 0, 1)")
        self.add(pad, f"{name}: {hint} | None = None\nif n:")
        self.value(schema[1], rules, name, f"{pad}    ")

    def _array(self, schema: Any, rules: dict[str, Any], name: str, pad: str) -> None:
        items, one = schema["items"], f"{name}_item"
        hint = "str" if items == "string" else Record(items).name
        self.add(pad, f"if d[p] == 0:\n    p += 1\n    {name}: tuple[{hint}, ...] = ()\nelse:")
        self.add(pad, f"    {name}_: list[{hint}] = []\n    while True:")
        inner = pad + " " * 8
        self.add(inner, "c = d[p]\nif c & 129:  # more than 63 items, or a block with its size in bytes")
        self.add(inner, "    c, e, p = read_block(d, p)\nelse:\n    c >>= 1\n    e = -1\n    p += 1")
        self.add(inner, "if not c:\n    break")
        low, high = (
            rules.get("minItems", 0),
            rules.get("maxItems", "MAX_ITEMS" if items == "string" else "MAX_RECORDS"),
        )
        # Checked per block, before a million items, or a million blocks of one item, are read.
        self.add(inner, f"if len({name}_) + c > {high}:\n    raise ValueError('number of items')")
        self.add(inner, "for _ in range(c):")
        self.value(items, rules.get("items", {}), one, inner + "    ")
        if "pattern" in rules.get("items", {}):
            pattern = f"_{self.record.function.upper()}_{name.upper()}"
            self.add(inner, f"    if not {pattern}({one}):\n        raise ValueError('pattern')")
        self.add(inner, f"    {name}_.append({one})")
        self.add(inner, "if e != -1 and e != p:\n    raise ValueError('block size')")
        self.add(pad, f"    {name} = tuple({name}_)")
        if low:
            self.add(pad, f"if len({name}) < {low}:\n    raise ValueError('number of items')")
