"""The topology: two topics of signals, one agent, one table of rooms.

conference.api.signals   ─┐                             ┌─> conference.events
                          ├─> agent ─> tasks ─> unit ───┼─> conference.rooms      (the table's log, and a public view)
conference.media.signals ─┘           one transaction   ├─> conference.signals.rejected
                                                        ├─> conference.signals.noops
                                                        └─> conference.signals.dead

Faust runs the services, the group membership, the co-partitioned assignment and the rebalances. Decisions and writes
are the engine's: docs/internals/adr/0007 says what is bypassed and why.
"""

from __future__ import annotations

from typing import Any

import faust
from faust.app.base import BootStrategy

from pipeline import topics
from pipeline.settings import Settings
from pipeline.worker.engine import Engine
from pipeline.worker.faust_assignor import Assignor
from pipeline.worker.faust_consumer import Transport
from pipeline.worker.faust_store import RoomsTable
from pipeline.worker.recovery import Recovery


class _NoProducer(BootStrategy):
    """Start neither Faust's producer nor its web server: Transactions and http.py replace them."""

    enable_kafka_producer = False
    enable_web = False


class PipelineApp(faust.App):
    """The Faust app of one worker. Its consumer and its table's store use `engine`, `recovery` and `settings`."""

    BootStrategy = _NoProducer

    def __init__(self, engine: Engine, recovery: Recovery, settings: Settings) -> None:
        self.engine, self.recovery, self.settings = engine, recovery, settings
        super().__init__(
            settings.group_id,
            broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
            broker_session_timeout=settings.session_timeout,
            broker_request_timeout=max(30.0, 2 * settings.session_timeout),
            topic_partitions=settings.partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            stream_wait_empty=True,
            stream_recovery_delay=0,
            stream_buffer_maxsize=256,
            recovery_consistency_check=False,
            key_serializer="raw",
            value_serializer="raw",
            Table=RoomsTable,
            PartitionAssignor=Assignor,
        )

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Do nothing: nothing is kept on disk, and a read-only file system is enough."""


def topology(engine: Engine, recovery: Recovery, settings: Settings) -> PipelineApp:
    """Return the app of one worker, with its topics, its table and its agent."""
    app = PipelineApp(engine, recovery, settings)

    def topic(*names: topics.Topic) -> Any:
        full = (name.full_name(settings.topic_prefix) for name in names)
        return app.topic(*full, key_serializer="raw", value_serializer="raw")

    signals = topic(*topics.SIGNAL_TOPICS)
    app.Table("rooms", changelog_topic=topic(topics.ROOMS), partitions=settings.partitions)

    @app.agent(signals, name="signals")
    async def receive(polls: Any) -> None:
        """Queue the signals of each poll. The engine merges them by append time, decides, and commits units."""
        async for event in polls.noack().events():
            engine.intake.receive(event.value)
            event.ack()

    return app
