"""The transactional producer, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.client import ConnectionGroup

from pipeline.kafka.fenced_producer import _SenderClient


async def test_an_unanswered_transactional_request_is_remembered() -> None:
    class Client:
        name = "client"

        async def send(self, node_id: int, request: str, *, group: Any) -> str:
            if request == "lost":
                raise Errors.RequestTimedOutError
            return f"{request} answered"

    client = _SenderClient(Client())
    assert client.name == "client"
    assert await client.send(1, "end", group=ConnectionGroup.COORDINATION) == "end answered"
    with pytest.raises(Errors.RequestTimedOutError):
        await client.send(1, "lost")
    assert client.lost is False, "a produce request is idempotent"
    with pytest.raises(Errors.RequestTimedOutError):
        await client.send(1, "lost", group=ConnectionGroup.COORDINATION)
    assert client.lost is True
