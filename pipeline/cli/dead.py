"""`dead`: the dead letters, that is, the records that are no valid signals."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli import completion, room_now
from pipeline.cli.dead_redrive import redrive
from pipeline.cli.output import Output
from pipeline.cli.shared import Since, Until, kafka_errors, server_settings, span_of
from pipeline.cli.tables import Column, Listing, short_time
from pipeline.errors import ConfigError
from pipeline.terminal import show as print_line
from pipeline.terminal import warn

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.view.letters import Letter

HELP: Final = """Show the records that are no valid signals, and send them again.

[dim]$ conference-pipeline dead list --since 1d[/dim]
"""
dead = typer.Typer(help=HELP, no_args_is_help=True)
dead.command("redrive")(redrive)

DUMPED: Final = 128
"""Bytes of a value that `dead show` prints."""

Room = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Only letters with this key; only its partition is read.", autocompletion=completion.rooms
    ),
]
Place = Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="The letter, as `dead list` names it.")]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object instead of text.")]


def _from(row: dict[str, Any]) -> str:
    if row["topic"] is None:
        return "unknown"
    last = "" if row["last_offset"] is None else f"–{row['last_offset']}"
    return f"{row['topic'].partition('.')[2]}/{row['partition']}/{row['offset']}{last}"


COLUMNS: Final = (
    Column("letter", lambda row: row["letter"], fixed=True),
    Column("written", lambda row: short_time(row["written_at"]), fixed=True),
    Column("room", lambda row: "–" if row["room_id"] is None else row["room_id"]),
    Column("reason", lambda row: row["reason"] + (" (redriven)" if row["redriven_from"] else ""), style="red"),
    room_now.COLUMN,
    Column("from", _from),
)


@dead.command("list")
def list_(room: Room = None, since: Since = None, until: Until = None, output: Output = None) -> None:
    """List dead letters: what, why, when, from where, and their room now.

    They come in the order of their append times, up to the end of the log.
    A table shows the last 1,000; the JSON forms have all. The rooms are read
    first: a million take some 15 seconds, with --room only one partition.

    Exit codes: 0 done, 2 Kafka failed.

    [dim]$ conference-pipeline dead list --since 1d
    $ conference-pipeline dead list -o jsonl | jq -r .letter[/dim]
    """
    from pipeline.kafka.partitioning import room_key
    from pipeline.kafka.ranges import RangeReader, Span
    from pipeline.topics import DEAD
    from pipeline.view.letters import letter_of

    async def job(settings: Settings, span: Span) -> None:
        listing = Listing(output, COLUMNS, "no dead letter")
        reader = RangeReader(settings, [DEAD], span, room=room, on_bad_batch=warn)
        async with room_now.rooms_now(settings, room) as state, reader:
            async for found in listing.scan(reader):
                if room is None or found.record.key == room_key(room):
                    fields = letter_of(found).fields()
                    listing.add({**fields, "room_now": state(fields["room_id"])})
        listing.end()

    span = span_of(since, until)
    settings = server_settings()
    with kafka_errors(settings):
        asyncio.run(job(settings, span))


@dead.command("show")
def show(place: Place, as_json: AsJson = False) -> None:
    """Explain a dead letter: its framing, its schema, the field at fault.

    Exit codes: 0 done, 2 there is no such letter, or Kafka or the registry
    failed.

    [dim]$ conference-pipeline dead show 3/17[/dim]
    """
    settings = server_settings()
    number, offset = letter_place(place)
    with kafka_errors(settings):
        letter, steps = asyncio.run(_explained(settings, number, offset))
    if as_json:
        value = letter.found.record.value
        shown = {
            **letter.fields(),
            "headers": letter.found.headers,
            "explanation": dict(steps),
            "value": None if value is None else value.decode("utf-8", "replace"),
        }
        print_line(json.dumps(shown, ensure_ascii=False))
        return
    rows = [*_about(letter), *steps]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print_line(f"{name:<{width}}  {text}")
    for line in _dump(letter.found.record.value or b""):
        print_line(f"{'':<{width}}  {line}")


def letter_place(text: str) -> tuple[int, int]:
    """Return partition and offset of a letter's place, also of one with its topic. Raises BadParameter."""
    numbers = text.split("/")[-2:]
    if len(numbers) == 2 and all(one.isascii() and one.isdigit() and len(one) < 20 for one in numbers):
        return int(numbers[0]), int(numbers[1])
    raise typer.BadParameter(f"expected PARTITION/OFFSET such as 3/17, got {text!r}")


async def read_letter(settings: Settings, number: int, offset: int) -> Letter:
    """Return the letter at a place. Raises ConfigError if there is none, KafkaError."""
    from pipeline.kafka.ranges import Found, RangeReader
    from pipeline.topics import DEAD
    from pipeline.view.letters import letter_of

    topic = DEAD.full_name(settings.topic_prefix)
    async with RangeReader(settings, [DEAD]) as reader:
        record = await reader.record(number, offset)
    if record is None or record.offset != offset:
        raise ConfigError(f"no letter at {number}/{offset} of {topic}: see `conference-pipeline dead list`")
    return letter_of(Found(topic, number, record))


async def _explained(settings: Settings, number: int, offset: int) -> tuple[Letter, list[tuple[str, str]]]:
    from pipeline.kafka.schema_registry import Registry
    from pipeline.model import framing
    from pipeline.view.letters import explain, explain_batch

    letter = await read_letter(settings, number, offset)
    record = letter.found.record
    value = record.value
    if letter.last is not None:
        return letter, explain_batch(value or b"")
    schema = None
    if value and value[:1] == b"\0" and len(value) >= framing.HEAD:
        async with Registry(settings) as registry:
            schema = await registry.schema(framing.schema_id(value))
    return letter, explain(value, record.headers, schema)


def _about(letter: Letter) -> list[tuple[str, str]]:
    row = letter.fields()
    rows = [
        ("letter", f"{letter.place} of {letter.found.topic}"),
        ("written", f"{row['written_at']}"),
        ("from", "unknown" if letter.source is None else "{}/{}/{}".format(*letter.source)),
        ("key", "none" if letter.room is None else repr(letter.room)),
        ("reason", letter.reason),
    ]
    if letter.last is not None:
        rows.append(("batch", f"it stands for all signals up to offset {letter.last}"))
    rows += [("cut", f"of the {part}, {size} bytes, only the beginning is kept") for part, size in letter.cut.items()]
    rows += [("redriven", f"from {place}, where it failed with: {reason}") for place, reason in letter.history]
    size = len(letter.found.record.value or b"")
    return [*rows, ("value", f"{size} bytes")]


def _dump(value: bytes) -> list[str]:
    """Return the first bytes as `xxd` shows them."""
    lines = []
    for at in range(0, min(len(value), DUMPED), 16):
        part = value[at : min(at + 16, DUMPED)]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:04x}  {part.hex(' '):<47}  {text}")
    return [*lines, f"… and {len(value) - DUMPED} bytes more"] if len(value) > DUMPED else lines
