"""Carries out requests: writes one signal for each key and waits for its outcome.

A task per operation does the work; equal requests share it. A request that stops waiting does not end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from aiokafka import errors as Errors

from pipeline.errors import PipelineError
from pipeline.gateway.identity import Operation
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.problems import Problem, unavailable
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.codec import decode_json
from pipeline.model.signals import AnySignal
from pipeline.model.times import format_time
from pipeline.view import REPEATED, Outcome, Outcomes, Place, RoomsView

CHECK_SECONDS: Final = 5.0
"""Longest time before the write: after it, nothing is written any more."""
FOLLOW_SECONDS: Final = 600.0
"""Seconds for which outcomes are awaited and kept."""
MAX_REMEMBERED: Final = 200_000
"""Operations whose body is remembered."""


class Found(NamedTuple):
    """The outcome of an operation, and the place of its signal."""

    outcome: Outcome
    place: Place


class Asked(NamedTuple):
    """What a request wants.

    check    raises Problem if it is not allowed; returns the room_id and the fields of the signal
    body     what a repeat must have in common with it
    partition  the number of the room's partition, None while there is no room
    """

    type: str
    check: Callable[[Operation], Awaitable[tuple[str, dict[str, Any]]]]
    body: bytes
    partition: Callable[[], int | None]


class Body(NamedTuple):
    """The body of an operation, and when it may be forgotten."""

    body: bytes
    until: float


class Pending:
    """An operation under way. `written` is done when its signal was handed over, or its outcome is known."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self) -> None:
        """Note that the signal may be written from now on, or that nothing has to be written."""
        if not self.written.done():
            self.written.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Give the error to who waits for the write."""
        if not self.written.done():
            self.written.set_exception(error)
            self.written.exception()  # waiting is voluntary


class Sink(Protocol):
    """Is told of the outcome of each create once, before it is answered."""

    def __call__(self, outcome: Outcome) -> object: ...


class Operations:
    """The operations of this process. `settled` is called with the outcome of each create when the view shows it."""

    def __init__(
        self,
        view: RoomsView,
        outcomes: Outcomes,
        producer: SignalProducer,
        metrics: GatewayMetrics,
        most: int,
        settled: Sink,
    ) -> None:
        self._view, self._outcomes, self._producer = view, outcomes, producer
        self._metrics, self._most, self._settled = metrics, most, settled
        self._pending: dict[str, tuple[Pending, asyncio.Task[Found | None]]] = {}
        self._bodies: dict[str, Body] = {}
        """By operation_id, in the order of their times."""
        self._catching_up: dict[Place, asyncio.Task[None]] = {}
        self._letters: dict[str, Found] = {}
        """Dead letters have no signal_id, so they are kept here."""

    async def run(self, operation: Operation, asked: Asked, wait: float) -> Found | None:
        """Carry out an operation and wait for its outcome; None: it is not known yet. Raises Problem."""
        self._check_body(operation, asked.body)
        found = self._pending.get(operation.id)
        if found is None:
            found = self._begin(operation, asked)
        pending, task = found
        if pending.body != asked.body:
            raise _reused(operation)
        until = time.monotonic() + wait
        await asyncio.shield(pending.written)
        if not task.done() and wait:
            await asyncio.wait({task}, timeout=wait)
        if not task.done() or (outcome := task.result()) is None:
            return None
        return outcome if await self._is_shown(outcome, until - time.monotonic()) else None

    async def _is_shown(self, found: Found, wait: float) -> bool:
        """Return whether the view is past the signal, if it has an effect, within this time."""
        if found.outcome.kind not in ("events", "no_op"):
            return True
        with contextlib.suppress(TimeoutError, Errors.KafkaError, PipelineError, OSError):
            async with asyncio.timeout(max(0.0, wait)):
                await self._view.caught_up(found.place)
                return True
        if found.place not in self._catching_up:  # for the next request with this key
            task = self._catching_up[found.place] = asyncio.create_task(self._catch_up(found.place))
            task.add_done_callback(lambda _: self._catching_up.pop(found.place))
        return False

    async def _catch_up(self, place: Place) -> None:
        with contextlib.suppress(TimeoutError, Errors.KafkaError, PipelineError, OSError):
            async with asyncio.timeout(FOLLOW_SECONDS):
                await self._view.caught_up(place)

    def known(self, operation_id: str, signal_id: str) -> Found | None:
        """Return the outcome of an operation if it is known."""
        outcome, place = self._outcomes.find(signal_id), self._outcomes.place(signal_id)
        if outcome is not None and place is not None and outcome.reason != REPEATED:
            return Found(outcome, place)
        return self._letters.get(operation_id)

    def is_pending(self, operation_id: str) -> bool:
        """Return whether this process waits for the outcome of this operation."""
        return operation_id in self._pending

    @property
    def pending(self) -> int:
        """The number of operations under way."""
        return len(self._pending)

    async def stop(self) -> None:
        """End all tasks."""
        tasks = [*(task for _, task in self._pending.values()), *self._catching_up.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one operation ---------------------------------------------------------------------------------------

    def _check_body(self, operation: Operation, body: bytes) -> None:
        known = self._bodies.get(operation.id)
        if known is not None and known.body != body:
            raise _reused(operation)

    def _remember(self, operation: Operation, body: bytes) -> None:
        now = time.monotonic()
        self._bodies[operation.id] = Body(body, now + FOLLOW_SECONDS)
        while self._bodies and (next(iter(self._bodies.values())).until <= now or len(self._bodies) > MAX_REMEMBERED):
            oldest = next(iter(self._bodies))
            del self._bodies[oldest]
            self._letters.pop(oldest, None)

    def _begin(self, operation: Operation, asked: Asked) -> tuple[Pending, asyncio.Task[Found | None]]:
        if len(self._pending) >= self._most:
            raise unavailable("busy", "too many requests wait for their outcome: nothing was written")
        pending = Pending(asked.body)
        task = asyncio.create_task(self._carry_out(operation, asked, pending))
        self._pending[operation.id] = pending, task
        task.add_done_callback(lambda _: self._end(operation.id, pending, task))
        return pending, task

    def _end(self, operation_id: str, pending: Pending, task: asyncio.Task[Found | None]) -> None:
        self._pending.pop(operation_id, None)
        error = ConnectionError("the gateway stops") if task.cancelled() else task.exception()
        if error is not None:
            pending.fail(error)

    async def _carry_out(self, operation: Operation, asked: Asked, pending: Pending) -> Found | None:
        found = self.known(operation.id, operation.signal_id)
        acknowledged = None
        if found is None:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    acknowledged = await self._write(operation, asked)
            except TimeoutError:
                raise unavailable("unavailable", "Kafka does not answer: nothing was written") from None
            except PipelineError as error:  # StaleViewError
                raise unavailable("unavailable", f"nothing was written: {error}") from None
            if acknowledged is None:  # a negative answer met an outcome
                found = self.known(operation.id, operation.signal_id)
        self._remember(operation, asked.body)
        pending.write()
        # From here on the signal may take effect: whatever happens, the answer is the outcome or "in progress".
        with contextlib.suppress(TimeoutError, Errors.KafkaError, PipelineError, OSError):
            async with asyncio.timeout(FOLLOW_SECONDS):
                if found is None and acknowledged is not None:
                    found = await self._follow(operation, acknowledged)
                # Else only who waits for the answer needs the view: asking for the end of a log is expensive.
                if found is not None and found.outcome.kind == "events" and asked.type == "conference.create":
                    await self._view.caught_up(found.place)
                    self._settled(found.outcome)
                return found
        return None

    async def _write(self, operation: Operation, asked: Asked) -> asyncio.Future[Any] | None:
        """Check the request and hand its signal to the client. None: its outcome is known after all."""
        if why := self._view.why_stale:
            raise unavailable("unavailable", f"nothing was written: {why}")
        try:
            room_id, fields = await asked.check(operation.known(repeat=operation.id in self._bodies))
        except Problem:
            # An equal request may have been carried out elsewhere, and may be the reason of the refusal.
            if operation.given:
                await self._outcomes.read_end(asked.partition())
                if self.known(operation.id, operation.signal_id) is not None:
                    return None
            raise
        signal, text = _signal(asked.type, operation.signal_id, room_id, fields)
        try:
            written = await self._producer.send(signal, text)
        except Errors.KafkaError as error:
            raise unavailable("unavailable", f"Kafka takes no signals, nothing was written: {error}") from None
        self._metrics.signals.labels(asked.type).inc()
        return written

    async def _follow(self, operation: Operation, acknowledged: asyncio.Future[Any]) -> Found:
        """Wait for the outcome: by the signal_id, or by the place in the acknowledgement."""
        place, outcome = await self._outcomes.first(operation.signal_id, acknowledged)
        if outcome.reason == REPEATED and outcome.kind == "no_op":
            await self._outcomes.read_end(place.partition)
            if (first := self.known(operation.id, operation.signal_id)) is not None:
                return first
        found = Found(outcome, place)
        if outcome.kind == "dead":
            self._letters[operation.id] = found
        return found


def _reused(operation: Operation) -> Problem:
    return Problem(422, "key_reused", "this Idempotency-Key was used with another body", {"key": operation.key})


def _signal(kind: str, signal_id: str, room_id: str, fields: dict[str, Any]) -> tuple[AnySignal, bytes]:
    """Return a signal that happens now, and its JSON text. Raises SignalError."""
    common = {"type": kind, "signal_id": signal_id, "room_id": room_id}
    text = msgspec.json.encode({**common, "occurred_at": format_time(time.time_ns() // 1000), **fields})
    return decode_json(text), text
