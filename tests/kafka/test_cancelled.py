"""A request that a client cancels is an error; a task that is cancelled ends."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import errors as Errors

from pipeline.kafka.cancelled import cancelled_requests


async def waits(request: asyncio.Future[None]) -> None:
    with cancelled_requests():
        await request


async def test_a_cancelled_request_is_an_error() -> None:
    request: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(waits(request))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(Errors.KafkaConnectionError, match="the connection was closed"):
        await waiting


async def test_a_cancelled_task_ends() -> None:
    waiting = asyncio.create_task(waits(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_time_limit_holds() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await waits(asyncio.get_running_loop().create_future())
