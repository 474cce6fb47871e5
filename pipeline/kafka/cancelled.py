"""Tells a cancelled request of aiokafka from a cancelled task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as Errors


@contextmanager
def cancelled_requests() -> Iterator[None]:
    """Raise KafkaConnectionError where aiokafka cancels a request, as it does when a connection closes.

    Otherwise the task that waits would end as if it had been cancelled itself, without a word.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Errors.KafkaConnectionError("the connection was closed") from error
