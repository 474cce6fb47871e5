"""CPU time of each step in processing a signal, in microseconds, to locate regressions.

    python -m benchmarks.micro [--rounds 7] [--save]

Each step is called 2,000 times on the same input. The table has the minimum of the rounds, without the loop. `decide`
is pure and always gets the same room (16 recent signal_ids, 100 members). The last rows are whole signals through the
worker's engine, from fetched records to encoded batches, in units of 1,000.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from aiokafka.producer.message_accumulator import BatchBuilder

from benchmarks.shared import Row, parser, save, show
from pipeline.core.lazy_rooms import deadline_of
from pipeline.core.merge import Input, Record
from pipeline.core.room import decide
from pipeline.core.watchdog import Rules
from pipeline.kafka.record_batch import batches, encode, encode_row, header
from pipeline.kafka.stored_batch import StoredBatch, head_of
from pipeline.model import framing, signals
from pipeline.model.codec import signal_json
from pipeline.model.records import Position, Room, TopicPosition
from pipeline.model.wire import DECODERS, ENCODERS, decode_room
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.unit import Unit
from testkit import engine
from testkit.rows import member, recents, room

LOOP: Final = 2000
NOW: Final = engine.NOW
RULES: Final = Rules()
Step = tuple[str, str, Callable[[], Any]]


def best(step: Callable[[], Any], rounds: int) -> float:
    """Return the CPU microseconds of one call, the minimum of the rounds."""
    least = sys.float_info.max
    empty = sys.float_info.max
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(LOOP):
            step()
        between = time.process_time_ns()
        for _ in range(LOOP):
            _nothing()
        least, empty = min(least, between - began), min(empty, time.process_time_ns() - between)
    return max(0, least - empty) / LOOP / 1000


def _nothing() -> None: ...


def of_signals() -> Iterator[tuple[str, Room, Any]]:
    """Yield a signal of each kind with a room in which it causes an event (or has its usual effect)."""
    still, playing = room(1, recents(1)[0]), room(0, recents(1)[0])
    ids = ("signal-1", still.room_id, NOW)
    session = member(still.room_id, 5).session_uuid
    yield "create", still, signals.ConferenceCreate(*ids, "my-app", "Team Standup")
    yield "join", still, signals.ConferenceJoin(*ids, "new")
    yield "member.joined", still, signals.MemberJoined(*ids, "new", "+15551234567")
    yield "member.left", still, signals.MemberLeft(*ids, session, "hangup")
    yield "leave", still, signals.ConferenceLeave(*ids, session)
    yield "mute", still, signals.ConferenceMute(*ids, session)
    yield "member.muted", still, signals.MemberMuted(*ids, session)
    yield "unmute (no-op)", still, signals.ConferenceUnmute(*ids, session)
    yield "play", still, signals.ConferencePlay(*ids, (engine.URL,), "operation-2")
    yield "pause", playing, signals.ConferencePause(*ids, "operation-3")
    yield "stop", playing, signals.ConferenceStop(*ids, "operation-3")
    yield "volume", still, signals.ConferenceVolume(*ids, 3, "operation-4")
    yield "play.progress", playing, signals.PlayProgress(*ids, engine.URL)
    yield "play.finished", playing, signals.PlayFinished(*ids, engine.URL)
    yield "play.failed", playing, signals.PlayFailed(*ids, urls=(engine.URL,))
    yield "destroy (100 members)", still, signals.ConferenceDestroy(*ids)


def steps() -> Iterator[Step]:
    """Yield (group, step, call)."""
    decode = engine.Core(1).signals.decode
    members = {one.session_uuid: one for one in (member(room(1).room_id, n) for n in range(100))}
    names: Any = OutputEncoder("conference", engine.IDS)
    for name, before, signal in of_signals():
        text = signal_json(signal)[:-1]
        avro = ENCODERS[type(signal)](signal, framing.head(engine.IDS[signal.RECORD]))
        yield "decode JSON", name, partial(decode, text)
        yield "decode Avro", name, partial(decode, avro)
        yield "decide", name, partial(decide, before, None, members, signal, NOW, RULES)
        decision = decide(before, None, members, signal, NOW, RULES)
        if decision.events:
            yield "encode event", name, partial(names.encode, decision.events[0])
            yield "add to a unit", name, _writing(names, signal, before, decision)
    yield from _of_rows(names)
    yield from _of_batches(names)


def _writing(names: Any, signal: Any, before: Room, decision: Any) -> Callable[[], None]:
    """Return a call of `Unit.decided`: encode the events and headers, count, record the changed rows."""
    unit, source = Unit(names, "owner"), Input("conference.api.signals", 3, 0)
    record = Record(NOW, 123_456, signal.room_id.encode(), b"x" * 200, b"")
    return lambda: unit.decided(source, record, signal, before, None, decision)


def _of_rows(names: Any) -> Iterator[Step]:
    places = tuple(TopicPosition(f"conference.{name}.signals", 3, 10**7, NOW) for name in ("api", "media"))
    rows: dict[str, Any] = {
        "room, 16 signal_ids": room(0, recents(1)[0]),
        "member": member("room", 5),
        "position": Position("conference-pipeline-0123456789ab", places),
    }
    for name, row in rows.items():
        data = names.encode(row)
        yield "encode row", name, partial(names.encode, row)
        yield "decode row", name, partial(DECODERS[row.RECORD], data)
    data = names.encode(rows["room, 16 signal_ids"])
    assert decode_room(data) == rows["room, 16 signal_ids"]
    yield "decode row", "deadline of a playing room", lambda: deadline_of(data)


def _batch(records: list[bytes]) -> bytes:
    [batch] = batches(records)
    return bytes(batch.build())


def _of_batches(names: Any) -> Iterator[Step]:
    events = [encode(b"acW68-room-abc123", bytes(200), [header(f"ce_{n}", bytes(30)) for n in range(8)])] * 1000
    rows = [encode_row(b'["room","acW68-room-abc123"]', bytes(200))] * 1000
    for name, records in (("1,000 events, 8 headers", events), ("1,000 rows", rows)):
        yield "build a batch", name, partial(_batch, records)
    for name, codec, count in (("1,000 records", 0, 1000), ("1,000 records, lz4", 3, 1000), ("1 record", 0, 1)):
        data = BatchBuilder(900_000, codec)
        for _ in range(count):
            data.append(timestamp=None, key=b"room-key", value=bytes(200), headers=[])
        data.close()
        yield "read a fetched batch", name, partial(_read, bytes(data._build()))


def _read(raw: bytes) -> None:
    head = head_of(raw)
    assert head is not None
    StoredBatch(head, raw, 0, strict=True).read(0)


def whole(rounds: int) -> Iterator[Row]:
    """Yield the cost of whole signals, through the engine."""
    for kind, members in (("3 members", 3), ("1,000 members", 1000)):
        least = sys.float_info.max
        for seed in range(rounds):
            made = engine.Core(100, members)
            least = min(least, made.run(engine.stream(made, 10_000, 100, members, seed=seed), 1000))
        yield {"step": "a signal, whole", "of": f"100 rooms, {kind}", "µs": least}


def main() -> None:
    """Measure everything and print one table."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=7, help="rounds per step (%(default)s)")
    given = options.parse_args()
    rows: list[Row] = []
    for group, name, call in sorted(steps(), key=lambda step: step[0]):
        rows.append({"step": group, "of": name, "µs": best(call, given.rounds)})
    rows += whole(min(3, given.rounds))
    show("CPU time, µs", rows)
    if given.save:
        save("micro", rows=rows)


if __name__ == "__main__":
    main()
