"""THE TOPOLOGY. Two topics of signals in, one table of rooms, one agent; units out of the engine.

conference.api.signals   ─┐                            ┌─> conference.events
                          ├─> agent ─> engine ─> unit ─┼─> conference.rooms      (the table's log, and a view)
conference.media.signals ─┘      one transaction each  ├─> conference.signals.rejected
                                                       └─> conference.signals.dead
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
from pipeline.worker.faust_store import RoomsStore, RoomsTable
from pipeline.worker.recovery import Recovery


class _NoProducer(BootStrategy):
    """Units are written by our own transactional producer; Faust's would only be idle."""

    enable_kafka_producer = False
    enable_web = False


class PipelineApp(faust.App):
    """A Faust app on our transport."""

    BootStrategy = _NoProducer

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Nothing is kept on disk: a read-only file system will do."""


def topology(settings: Settings, engine: Engine, recovery: Recovery) -> PipelineApp:
    """The app of one worker."""
    prefix = settings.topic_prefix
    app = PipelineApp(
        settings.group_id,
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        topic_partitions=settings.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=True,
        stream_recovery_delay=0,
        recovery_consistency_check=False,
        stream_buffer_maxsize=256,
        broker_session_timeout=settings.session_timeout,
        broker_request_timeout=max(30.0, 2 * settings.session_timeout),
        key_serializer="raw",
        value_serializer="raw",
        Table=RoomsTable,
        PartitionAssignor=Assignor,
    )
    signals = app.topic(
        *(topic.full_name(prefix) for topic in topics.SIGNAL_TOPICS),
        key_serializer="raw",
        value_serializer="raw",
    )
    log = app.topic(topics.ROOMS.full_name(prefix), key_serializer="raw", value_serializer="raw")
    rooms = app.Table("rooms", changelog_topic=log, partitions=settings.partitions)

    store: RoomsStore = rooms.data
    store.recovery = recovery
    engine.lanes = store.lanes
    app.consumer.sink = engine
    app.consumer.settings = settings

    @app.agent(signals, name="conduct")
    async def conduct(polls: Any) -> None:
        """Signals in, a poll's worth at a time; the engine merges them and commits units."""
        async for event in polls.noack().events():
            for fetch in event.value:
                engine.receive(fetch)
            event.ack()

    return app
