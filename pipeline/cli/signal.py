"""`signal`: write one signal and show its outcome."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from pipeline.cli import completion
from pipeline.cli.output import Form, print_json_rows
from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.errors import SignalError
from pipeline.terminal import event_colour, printable, show, warn

if TYPE_CHECKING:
    from pipeline.model.signals import AnySignal
    from pipeline.settings import Settings
    from pipeline.view import Outcome, Place

EXITS: Final = {"events": 0, "no_op": 0, "rejected": 3, "dead": 4, "unknown": 5}
"""What became of the signal → exit code."""
OPTIONS: Final = {
    "app_id": "--app", "name": "--name", "urls": "--url", "url": "--url", "operation_id": "--operation",
    "volume": "--volume", "session_uuid": "--session", "caller_id": "--caller", "muted": "--muted",
    "reason": "--reason",
}  # fmt: skip
"""Field of a signal → its option."""


Type = Annotated[
    str,
    typer.Argument(
        metavar="TYPE",
        help="The signal's type or the last word of it: pause, joined.",
        autocompletion=completion.signal_words,
    ),
]
Room = Annotated[str, typer.Option("--room", metavar="ID", help="The room_id.", autocompletion=completion.rooms)]
App = Annotated[str | None, typer.Option("--app", metavar="ID", help="create: the app that owns the room.")]
Name = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="create: the room's name.")]
Url = Annotated[
    list[str] | None,
    typer.Option("--url", metavar="URL", help="play, failed: a file, repeatable; finished, progress: the file."),
]
Operation = Annotated[
    str | None,
    typer.Option(
        "--operation", metavar="ID", help="The operation_id. Default: a new one for play, pause, stop, volume."
    ),
]
Volume = Annotated[int | None, typer.Option("--volume", metavar="N", help="volume: -50 to 7.")]
Session = Annotated[str | None, typer.Option("--session", metavar="UUID", help="The member's session_uuid.")]
Caller = Annotated[str | None, typer.Option("--caller", metavar="TEXT", help='joined: the caller_id. Default: "".')]
Muted = Annotated[bool, typer.Option("--muted", metavar="", help="joined: the member is muted.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="left: why, such as orphan.")]
SignalId = Annotated[str | None, typer.Option("--id", metavar="ID", help="The signal_id. Default: a new one.")]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait for the outcome.")
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object; the default in a pipe.")]


def signal(
    kind: Type,
    room: Room,
    app: App = None,
    name: Name = None,
    url: Url = None,
    operation: Operation = None,
    volume: Volume = None,
    session: Session = None,
    caller: Caller = None,
    muted: Muted = False,
    reason: Reason = None,
    signal_id: SignalId = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Write one signal and show what became of it.

    It gets a new signal_id and the time now. What became of it is read from
    the topics. If nothing is known after --timeout, the signal may still
    take effect. A media signal without effect leaves no record.

    Exit codes: 0 events or no effect, 2 Kafka or the registry failed or the
    usage is wrong, 3 it was rejected, 4 it is a dead letter, 5 the outcome is
    unknown, 130 Ctrl-C.

    [dim]$ conference-pipeline signal create --room r1 --app my-app --name Standup
    $ conference-pipeline signal pause --room r1
    $ conference-pipeline signal joined --room r1 --session s1 --caller +1555[/dim]
    """
    given = {
        "app_id": app, "name": name, "urls": url, "operation_id": operation, "volume": volume,
        "session_uuid": session, "caller_id": caller, "muted": muted or None, "reason": reason,
    }  # fmt: skip
    made, text = _signal(kind, room, signal_id or str(uuid.uuid4()), given)
    settings = server_settings()
    with kafka_errors(settings):
        result = asyncio.run(_send(settings, made, text, timeout))
    if as_json or not sys.stdout.isatty():
        print_json_rows([_fields(made, result)], Form.JSONL)
    else:
        _print(made, result)
    raise typer.Exit(EXITS[result.kind])


# --- the signal ----------------------------------------------------------------------------------------------


def _type(word: str) -> Any:
    """Return the class of a type, given as a whole or by its last word. Raises BadParameter."""
    from pipeline.model.likely_cause import nearest
    from pipeline.model.signals import SIGNALS

    for one in SIGNALS:
        if word in (one.TYPE, one.TYPE.rpartition(".")[2]):
            return one
    known = tuple(one.TYPE for one in SIGNALS)
    meant = nearest(word, known)
    hint = f"do you mean {meant!r}?" if meant else f"expected one of {', '.join(known)}"
    raise typer.BadParameter(f"TYPE {word!r} is no signal; {hint}")


def _signal(word: str, room: str, signal_id: str, given: Mapping[str, Any]) -> tuple[AnySignal, bytes]:
    """Return the signal and its JSON text. Raises BadParameter."""
    import msgspec

    from pipeline.model.codec import decode_json
    from pipeline.model.times import format_time

    kind = _type(word)
    fields: tuple[str, ...] = kind.__struct_fields__[3:]
    values = {name: value for name, value in given.items() if value is not None}
    if "url" in fields and "urls" in values:
        urls = values.pop("urls")
        if len(urls) != 1:
            raise typer.BadParameter(f"{kind.TYPE} takes one --url, got {len(urls)}")
        values["url"] = urls[0]
    for name in values:
        if name not in fields:
            takes = ", ".join(OPTIONS[one] for one in fields) or "no more options"
            raise typer.BadParameter(f"{kind.TYPE} has no {OPTIONS[name]}; it takes --room, {takes}")
    if kind.TOPIC == "api" and "operation_id" in fields:
        values.setdefault("operation_id", str(uuid.uuid4()))
    if "caller_id" in fields:
        values.setdefault("caller_id", "")
    required = fields[: len(fields) - len(kind.__struct_defaults__)]
    if missing := [OPTIONS[name] for name in required if name not in values]:
        raise typer.BadParameter(f"{kind.TYPE} needs {', '.join(missing)}")
    common = {"type": kind.TYPE, "signal_id": signal_id, "room_id": room}
    try:
        text = msgspec.json.encode({**common, "occurred_at": format_time(time.time_ns() // 1000), **values})
        return decode_json(text), text
    except SignalError as error:
        raise typer.BadParameter(str(error)) from None
    except UnicodeEncodeError as error:
        raise typer.BadParameter(f"{error.object!r} is not UTF-8") from None


# --- its outcome ---------------------------------------------------------------------------------------------


class _Result(NamedTuple):
    """The place of the signal (None: not acknowledged), its outcome (None: unknown), and how long it took (ms)."""

    place: Place | None
    outcome: Outcome | None
    milliseconds: float

    @property
    def kind(self) -> str:
        return "unknown" if self.outcome is None else self.outcome.kind


async def _send(settings: Settings, made: AnySignal, text: bytes, timeout: float) -> _Result:
    from pipeline.kafka.signal_producer import SignalProducer
    from pipeline.view import Outcomes, place_of

    place = outcome = None
    producer = SignalProducer(settings, keep_order=False, linger_ms=0)
    async with producer, Outcomes(settings, media=made.TOPIC == "media", notice=warn) as outcomes:
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                place = place_of(await (await producer.send(made, text)))
                outcome = await outcomes.outcome(place)
        except TimeoutError:
            pass
        return _Result(place, outcome, (time.monotonic() - began) * 1e3)


def _fields(made: AnySignal, result: _Result) -> dict[str, Any]:
    import msgspec

    from pipeline.model.codec import event_json

    place, outcome = result.place, result.outcome
    return {
        "signal_id": made.signal_id,
        "room_id": made.room_id,
        "type": made.TYPE,
        "topic": None if place is None else place.topic,
        "partition": None if place is None else place.partition,
        "offset": None if place is None else place.offset,
        "outcome": result.kind,
        "reason": None if outcome is None or not outcome.reason else outcome.reason,
        "events": [] if outcome is None else [msgspec.Raw(event_json(event)[:-1]) for event in outcome.events],
        "members_left": 0 if outcome is None else outcome.left,
        "record": None if outcome is None else str(outcome.place),
        "milliseconds": round(result.milliseconds, 1),
    }


def _print(made: AnySignal, result: _Result) -> None:
    outcome, after = result.outcome, f"after {result.milliseconds:.0f} ms"
    if outcome is None:
        written = f"it is at {result.place}" if result.place else "it was not acknowledged, and may have been written"
        show(f"unknown {after}: {written}; signal_id {made.signal_id}", colour="yellow")
    elif outcome.kind == "events":
        _print_events(outcome)
        show(f"{made.TYPE} took effect {after}")
    elif outcome.kind == "no_op":
        show(f"{made.TYPE} had no event {after}: {outcome.reason}")
    elif outcome.kind == "rejected":
        show(f"{made.TYPE} was rejected {after}: {outcome.reason}", colour="red")
    else:
        show(f"{made.TYPE} is a dead letter {after}, {outcome.place}: {outcome.reason}", colour="red")


def _print_events(outcome: Outcome) -> None:
    from pipeline.view.wording import details

    for event in outcome.events:
        name = typer.style(event.EVENT, fg=event_colour(event.EVENT))
        typer.echo(f"{name}  {printable(details(event))}".rstrip())
    if outcome.left:
        show(f"and {outcome.left} conference.member.left")
