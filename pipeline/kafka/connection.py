"""A connection that fails with KafkaError when the broker has closed it.

uvloop raises RuntimeError for a write to a closed transport, where asyncio only warns. aiokafka expects neither: a
broker that ended in that moment would end the worker.
"""

from __future__ import annotations

from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError


class Connection(conn.AIOKafkaConnection):
    """aiokafka's connection. A request to one that was closed raises KafkaConnectionError, which is retried."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; return the awaitable of its response. Raises KafkaConnectionError."""
        writer = self._writer
        if writer is not None and writer.is_closing():
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"the connection to {self.host}:{self.port} was closed")
        return super().send(request, expect_response)


def use_own_connections() -> None:
    """Let all clients that are made from now on use `Connection`."""
    conn.AIOKafkaConnection = Connection  # where `create_conn` looks it up
