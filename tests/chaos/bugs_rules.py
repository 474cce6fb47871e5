"""Seeded bugs in gone rooms, the playback that ended last, records of no-ops, broken batches, topic ids."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core import partition as partitions
from pipeline.core import room as rules
from pipeline.core.deadlines import NEVER
from pipeline.core.decision import GONE_FOR
from pipeline.core.merge import Input
from pipeline.core.partition import Partition
from pipeline.worker.unit import Unit
from tests.chaos.patches import put


def gone_not_remembered() -> None:
    """A room that has ended is unknown at once."""
    decide = partitions.decide

    def decided(*args: Any) -> Any:
        decision = decide(*args)
        decision.gone = None
        return decision

    put(partitions, "decide", decided)


def gone_not_restored() -> None:
    """Recovery skips the rows of gone rooms."""
    put(Partition, "restore_gone", lambda self, room_id, gone: None)


def gone_deleted_early() -> None:
    """The row of a gone room is deleted behind the barrier of its end, not 60 s later."""
    until = Partition.gone_until

    def early(self: Any) -> Any:
        found = until.fget(self)  # type: ignore[attr-defined]
        return found if found == NEVER else found - GONE_FOR

    put(Partition, "gone_until", property(early))


def signal_ids_of_one_life() -> None:
    """The next life of a room does not take over the known signal_ids."""
    begun = rules._begun
    put(rules, "_begun", lambda signal, known, now: begun(signal, None, now))


def ended_forgotten_at_play() -> None:
    """The playback that ended last is forgotten when the next one is accepted."""
    decide = partitions.decide
    nothing: dict[str, Any] = {"ended_operation_id": "", "ended_by": "", "ended_at": None, "ended_urls": ()}

    def decided(*args: Any) -> Any:
        decision = decide(*args)
        if any(event.EVENT == "conference.play.started" for event in decision.events):
            decision.room = msgspec.structs.replace(decision.room, **nothing)
        return decision

    put(partitions, "decide", decided)


def ended_only_by_a_stop() -> None:
    """A second report of the end of a playback that has finished or failed is an event."""
    decide = partitions.decide

    def decided(room: Any, *args: Any) -> Any:
        if room is not None and room.ended_by != "stop":
            room = msgspec.structs.replace(room, ended_operation_id="")
        return decide(room, *args)

    put(partitions, "decide", decided)


def rejected_not_remembered() -> None:
    """The signal_id of a rejected signal is not remembered, so that its repetition may take effect."""
    decide = partitions.decide

    def decided(room: Any, *args: Any) -> Any:
        decision = decide(room, *args)
        if decision.rejected and room is not None:
            decision.room = room
        return decision

    put(partitions, "decide", decided)


def no_op_record_missing() -> None:
    """No-ops of API signals are counted, but leave no record."""
    streams = Unit._streams

    def without(self: Any, output: Any) -> Any:
        return tuple(pair for pair in streams(self, output) if pair[0] != self._encoder.noops)

    put(Unit, "_streams", without)


def broken_batch_of_one_offset() -> None:
    """The position goes one offset behind the first one of a batch that can't be read, not behind its last."""

    def applied(self: Any, record: Any, time: int) -> None:
        self.queue.popleft()
        self.offset = record.offset + 1
        self.time = time

    put(Input, "applied", applied)


def topic_id_not_compared() -> None:
    """A signal topic that was deleted and created again is continued at the position on the old one."""
    from pipeline.worker import takeover

    judge = takeover.judge
    put(takeover, "judge", lambda tp, known, now: judge(tp, msgspec.structs.replace(known, topic_id=""), now))


BUGS_OF_RULES = (
    gone_not_remembered,
    gone_not_restored,
    gone_deleted_early,
    signal_ids_of_one_life,
    ended_forgotten_at_play,
    ended_only_by_a_stop,
    rejected_not_remembered,
    no_op_record_missing,
    broken_batch_of_one_offset,
    topic_id_not_compared,
)
