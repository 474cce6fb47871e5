"""A producer of signals with aiokafka and `conference_events`: python examples/python/publish.py ROOM."""

from __future__ import annotations

import asyncio
import os
import sys

from conference_events.kafka import SignalProducer
from conference_events.signals import ConferenceCreate, ConferencePause


async def publish(room: str) -> None:
    """Send a create and a pause, and print where they are."""
    prefix = os.environ.get("PIPELINE_TOPIC_PREFIX") or "conference"
    async with SignalProducer(os.environ["KAFKA_BOOTSTRAP_SERVERS"], prefix=prefix) as producer:
        for signal in (
            ConferenceCreate(room_id=room, app_id="my-app", name="From Python"),
            ConferencePause(room_id=room),
        ):
            sent = await producer.send(signal)
            print(type(signal).__name__, sent.partition, sent.offset)


asyncio.run(publish(sys.argv[1]))
