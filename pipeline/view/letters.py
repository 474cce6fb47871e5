"""Dead letters and rejected signals as people need them: what, why, when, from where (contract §2, §4)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from pipeline.errors import SignalError
from pipeline.kafka.ranges import Found
from pipeline.kafka.stored_batch import HEAD, BatchHead
from pipeline.kafka.unpacking import codec_name
from pipeline.model import framing
from pipeline.model.decoders import SignalDecoder
from pipeline.model.error_text import one_line
from pipeline.model.likely_cause import likely_cause
from pipeline.model.schema_resolution import OtherFormat
from pipeline.model.signals import SIGNALS
from pipeline.model.times import format_time

ERROR: Final = "__connect.errors."
"""What the names of the headers begin with that say why and where a record failed."""
MESSAGE: Final = f"{ERROR}exception.message"
REDRIVEN: Final = "redriven-from"
"""The header of a signal that was a dead letter: the letter's place, `topic/partition/offset`. One for each redrive."""
CUT: Final = {"original-size": "value", "original-key-size": "key", "original-headers-size": "headers"}
"""Headers with the original size of what a letter has only a part of."""
SHOWN_REASON: Final = 400
_RECORDS: Final = {signal.RECORD: signal.TYPE for signal in SIGNALS}


class Letter(NamedTuple):
    """A dead letter. `written_at` is in microseconds of the broker's clock.

    source    the topic, partition and offset of the record that it stands for; None if its headers don't tell
    last      the last offset that it stands for, if it stands for a batch; else None
    reason    why it is no signal
    cut       the original sizes, in bytes, of the parts that it has only a part of
    history   the redrives before: the letter's place, and its reason; the oldest first
    """

    found: Found
    written_at: int
    source: tuple[str, int, int] | None
    last: int | None
    reason: str
    cut: dict[str, int]
    history: list[tuple[str, str]]

    @property
    def place(self) -> str:
        """Its own place within the topic: `partition/offset`."""
        return f"{self.found.partition}/{self.found.record.offset}"

    @property
    def room(self) -> str | None:
        """The key as text; what is not UTF-8 in it becomes U+FFFD. None without a key."""
        key = self.found.record.key
        return None if key is None else key.decode("utf-8", "replace")

    def fields(self) -> dict[str, Any]:
        """Return what `dead list` prints as JSON."""
        topic, partition, offset = self.source or (None, None, None)
        return {
            "letter": self.place,
            "written_at": format_time(self.written_at),
            "room_id": self.room,
            "reason": self.reason,
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "last_offset": self.last,
            "size": self.cut.get("value", len(self.found.record.value or b"")),
            "cut": sorted(self.cut),
            "redriven_from": [place for place, _ in self.history],
        }


def letter_of(found: Found) -> Letter:
    """Return the dead letter in a record. Anyone who may write to the topic may have written something else."""
    headers = [(name, (value or b"").decode("utf-8", "replace")) for name, value in found.header_pairs()]
    known = dict(headers)
    reason = one_line(known.get(MESSAGE, ""), SHOWN_REASON) or "no reason given"
    cut = {part: int(known[name]) for name, part in CUT.items() if _is_number(known.get(name))}
    last = known.get("last-offset")
    return Letter(
        found,
        found.record.time,
        place_of(known.get("ce_signal", "")),
        int(last) if last is not None and _is_number(last) else None,
        reason,
        cut,
        _history(headers),
    )


def _history(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the redrives and the reasons before them. Each redrive keeps the headers of its letter before its own."""
    found, reason = [], ""
    for name, value in headers:
        if name == MESSAGE:
            reason = one_line(value, SHOWN_REASON)
        elif name == REDRIVEN:
            found.append((one_line(value), reason))
    return found


def _is_number(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit() and len(text) < 20


def place_of(text: str) -> tuple[str, int, int] | None:
    """Return topic, partition and offset of a place such as `topic/3/17`; None if it is none."""
    topic, _, rest = text.rpartition("/")[0].rpartition("/")
    offset = text.rpartition("/")[2]
    return (topic, int(rest), int(offset)) if topic and _is_number(rest) and _is_number(offset) else None


def explain(value: bytes | None, headers: bytes | Any, schema: str | None) -> list[tuple[str, str]]:
    """Return what the bytes of a letter are, step by step: (step, finding).

    `schema` is the text that the registry has for the schema id in `value`; None if there is none.
    """
    if not value:
        return [("value", "null" if value is None else "empty")]
    cause = likely_cause(value, headers).removeprefix(": ")
    steps: list[tuple[str, str]] = []
    decoder = SignalDecoder()
    if value[:1] == b"\0" and len(value) >= framing.HEAD:
        schema_id = framing.schema_id(value)
        steps.append(("framing", f"magic byte 0, schema id {schema_id}"))
        steps.append(("schema", _schema_text(schema)))
        decoder.learn(schema_id, schema)
    elif value[:1] == b"{":
        steps.append(("form", "JSON"))
    else:
        steps.append(("framing", f"neither magic byte 0 nor a JSON object: the first byte is {value[0]:#04x}"))
    try:
        signal = decoder.decode(value)
    except SignalError as error:
        steps.append(("fault", one_line(str(error), SHOWN_REASON)))
    else:
        text = f"a valid {signal.TYPE} of room {signal.room_id!r}: the fault is its topic, its key or its partition"
        steps.append(("record", one_line(text, SHOWN_REASON)))
    return [*steps, ("cause", cause)] if cause else steps


def explain_batch(value: bytes) -> list[tuple[str, str]]:
    """Return what the head of a batch says, of which a letter has the first bytes."""
    if len(value) < HEAD.size:
        return [("batch", f"{len(value)} bytes, too few for the head of a batch")]
    head = BatchHead(*HEAD.unpack_from(value))
    text = (
        f"message format {head.magic}, {head.records} records, offsets {head.base} to {head.last}, compression "
        f"{codec_name(head.codec)}, {head.length} bytes"
    )
    return [("batch", text)]


def _schema_text(schema: str | None) -> str:
    if schema is None:
        return "the registry has none with this id"
    if isinstance(schema, OtherFormat):
        return "not Avro"
    try:
        parsed = msgspec.json.decode(schema)
        name = f"{parsed.get('namespace', '')}.{parsed['name']}".lstrip(".")
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError):
        return "not that of a record"
    known = _RECORDS.get(name)
    return one_line(f"{name}: the signal {known}" if known else f"{name}: no signal")
