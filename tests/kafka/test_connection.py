"""A request to a connection that the broker has closed."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.kafka.connection import Connection
from pipeline.kafka.oauth import client_options
from testkit.pipe import Pipe


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
async def test_a_closed_connection_raises_kafka_error_and_is_renewed(pipe: Pipe, run: object) -> None:
    async def scenario() -> None:
        client = AIOKafkaClient(**client_options(pipe.settings))
        await client.bootstrap()
        try:
            [node] = (broker.nodeId for broker in client.cluster.brokers())
            assert await client.ready(node)
            [connection] = (one for one in client._conns.values() if isinstance(one, Connection))
            connection._writer.transport.abort()
            with pytest.raises(KafkaConnectionError, match="was closed"):
                connection.send(MetadataRequest([]))
            assert await client.send(node, MetadataRequest([]))
        finally:
            await client.close()

    await asyncio.to_thread(run, scenario())  # type: ignore[arg-type]
