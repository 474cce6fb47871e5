"""The transactional producer, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.client import ConnectionGroup

from pipeline.kafka.fenced_producer import _Witness


async def test_an_unanswered_transactional_request_is_remembered() -> None:
    class Client:
        name = "client"

        async def send(self, node_id: int, request: str, *, group: Any) -> str:
            if request == "lost":
                raise Errors.RequestTimedOutError
            return f"{request} answered"

    witness = _Witness(Client())
    assert witness.name == "client"
    assert await witness.send(1, "end", group=ConnectionGroup.COORDINATION) == "end answered"
    with pytest.raises(Errors.RequestTimedOutError):
        await witness.send(1, "lost")
    assert witness.lost is False, "a produce request is idempotent"
    with pytest.raises(Errors.RequestTimedOutError):
        await witness.send(1, "lost", group=ConnectionGroup.COORDINATION)
    assert witness.lost is True
