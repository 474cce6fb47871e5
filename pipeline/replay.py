"""Offline replay (contract §7): the worker's rules without Kafka.

It reads signals and writes events, both as JSON lines. The time of a signal is its `occurred_at`, or that of an earlier
signal if that is later. A deadline fires before the next signal with that time or a later one. Only rooms, and for 60 s
gone rooms, are kept in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import msgspec

from pipeline.core.decision import Decision
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.errors import SignalError
from pipeline.lines import CutLine
from pipeline.model.codec import decode_line, event_json
from pipeline.model.signals import AnySignal


class Write(Protocol):
    """Writes one line."""

    def __call__(self, line: bytes, /) -> object: ...


def discard(_: bytes) -> None:
    """Ignore a line."""


class Replay:
    """One replay.

    `events`, `rejected`, `noops` and `dead` write the lines of contract §7, each ending in LF; `noops` those of API
    signals. `counts` has the numbers of `lines`, `events`, `rejected`, `dead` and `no_ops`, those of media signals
    included; a name that is missing is 0.
    """

    def __init__(
        self,
        rules: Rules,
        events: Write,
        *,
        rejected: Write = discard,
        noops: Write = discard,
        dead: Write = discard,
    ) -> None:
        self._partition = Partition(rules)
        self._events, self._rejected, self._noops, self._dead = events, rejected, noops, dead
        self._now: int | None = None
        self.counts: Counter[str] = Counter()

    def feed(self, lines: Iterable[bytes]) -> None:
        """Replay `lines`, with or without their LF. A line that is not a valid signal is written to `dead`."""
        partition, write, now = self._partition, self._events, self._now
        read = written = 0
        for line in lines:
            read += 1
            try:
                signal = decode_line(line)
            except SignalError as error:
                self._write_dead(line, error)
                continue
            at = signal.occurred_at
            if now is None or at > now:
                now = at
            if (deadline := partition.earliest) is not None and deadline <= now:
                self.until(now)
            if partition.gone:
                while partition.gone_until <= now:
                    partition.delete_gone()
            decision = partition.apply(signal, now)
            for event in decision.events:
                written += 1
                write(event_json(event))
            if not decision.events:
                self._count(signal, decision)
        self._now = now
        self.counts["lines"] += read
        self.counts["events"] += written

    def until(self, time: int) -> None:
        """Fire the deadlines <= `time` (microseconds since the epoch)."""
        for timeout in self._partition.due(time):
            for event in self._partition.expire(timeout).events:
                self.counts["events"] += 1
                self._events(event_json(event))

    def _count(self, signal: AnySignal, decision: Decision) -> None:
        """Count and write a signal that caused no event."""
        if decision.rejected is not None:
            self.counts["rejected"] += 1
            self._rejected(_reason_line(signal, decision.rejected))
            return
        self.counts["no_ops"] += 1
        if signal.TOPIC == "api":
            self._noops(_reason_line(signal, decision.no_op))

    def _write_dead(self, line: bytes, error: SignalError) -> None:
        self.counts["dead"] += 1
        text = line.removesuffix(b"\n").decode("utf-8", "replace")
        why = line.error if isinstance(line, CutLine) else str(error)
        letter = json.dumps({"line": text, "error": why}, ensure_ascii=False, separators=(",", ":"))
        self._dead(letter.encode("utf-8", "replace") + b"\n")


def _reason_line(signal: AnySignal, reason: str | None) -> bytes:
    fields = {"signal_id": signal.signal_id, "room_id": signal.room_id, "type": signal.TYPE, "reason": reason}
    return msgspec.json.encode(fields) + b"\n"
