"""Requests for the ends of logs: shared, never older than the call, and apart when a leader is away."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.view import log_ends
from pipeline.view.log_ends import LogEnds

TP, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)
Ends = dict[TopicPartition, int]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_ends, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(log_ends, "RETRY_SECONDS", 0.0)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Asked:
    """Requests that a test answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[list[TopicPartition], asyncio.Future[Ends]]] = []

    async def __call__(self, tps: list[TopicPartition]) -> Ends:
        future: asyncio.Future[Ends] = asyncio.get_running_loop().create_future()
        self.requests.append((tps, future))
        return await future

    def answer(self, number: int, ends: Ends | Exception) -> None:
        future = self.requests[number][1]
        if isinstance(ends, Exception):
            future.set_exception(ends)
        else:
            future.set_result(ends)


async def test_calls_during_a_request_share_the_next() -> None:
    """An end is always that of a request that was sent after the call."""
    ask = Asked()
    ends = LogEnds(ask)
    first = asyncio.create_task(ends.after_now(TP))
    await turns()
    others = [asyncio.create_task(ends.after_now(tp)) for tp in (TP, OTHER, TP, OTHER)]
    await turns()
    assert [tps for tps, _ in ask.requests] == [[TP]]
    ask.answer(0, {TP: 7})
    assert await first == 7
    await turns()
    assert [tps for tps, _ in ask.requests] == [[TP], [TP, OTHER]]
    assert not any(other.done() for other in others)
    ask.answer(1, {TP: 9, OTHER: 10})
    assert await asyncio.gather(*others) == [9, 10, 9, 10]


async def test_a_caller_that_ends_leaves_the_request_to_the_others() -> None:
    ask = Asked()
    ends = LogEnds(ask)
    last, again = (asyncio.create_task(ends.after_now(TP)) for _ in range(2))
    await turns()
    last.cancel()
    await turns()
    ask.answer(0, {TP: 11})
    assert await again == 11
    waiting = asyncio.create_task(ends.after_now(TP))
    later = asyncio.create_task(ends.after_now(OTHER))
    await turns()
    await ends.stop()
    for one in (waiting, later):
        with pytest.raises(asyncio.CancelledError):
            await one


async def test_a_silent_partition_does_not_hold_up_the_others() -> None:
    ask = Asked()
    ends = LogEnds(ask)
    calls = [asyncio.create_task(ends.after_now(tp)) for tp in (TP, OTHER)]
    await turns()
    ask.answer(0, Errors.KafkaConnectionError())
    await turns()
    assert sorted(tps for tps, _ in ask.requests[1:]) == [[TP], [OTHER]]
    number = {tps[0]: at for at, (tps, _) in enumerate(ask.requests) if len(tps) == 1}
    ask.answer(number[OTHER], {OTHER: 3})
    assert await calls[1] == 3
    more = asyncio.create_task(ends.after_now(OTHER))  # TP is still without an answer
    await turns()
    ask.answer(3, {OTHER: 4})
    assert await more == 4
    ask.answer(number[TP], Errors.LeaderNotAvailableError())
    await turns()
    ask.answer(4, {TP: 5})
    assert await calls[0] == 5


async def test_an_error_that_does_not_pass_is_raised() -> None:
    ask = Asked()
    ends = LogEnds(ask)
    call = asyncio.create_task(ends.after_now(TP))
    await turns()
    ask.answer(0, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await call
    call = asyncio.create_task(ends.after_now(TP))
    await turns()
    ask.answer(1, Errors.TopicAuthorizationFailedError())
    await turns()
    ask.answer(2, Errors.TopicAuthorizationFailedError())
    with pytest.raises(Errors.TopicAuthorizationFailedError):
        await call
