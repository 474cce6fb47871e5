"""A consumer of conference events with aiokafka and `conference_events` (pip install ./clients/python).

    python examples/python/consume.py GROUP MAX

The package reads `read_committed`, passes unknown types, drops fields of newer schemas and repeats, reports gaps, and
commits an offset after the loop has asked for the next event.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict

from conference_events import Registry
from conference_events.events import MemberJoined, MemberLeft
from conference_events.kafka import EventConsumer


async def consume(group: str, most: int) -> None:
    """Print `most` new events, and then who is in which room."""
    members: dict[str, set[str]] = defaultdict(set)
    consumer = EventConsumer(
        os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        Registry(os.environ["SCHEMA_REGISTRY_URL"]),
        group,
        prefix=os.environ.get("PIPELINE_TOPIC_PREFIX") or "conference",
    )
    seen = 0
    async with consumer:
        async for event in consumer:
            if event.meta.sequence == 1:  # a life of the room begins
                members[event.room_id].clear()
            match event:
                case MemberJoined(room_id=room, session_uuid=session):
                    members[room].add(session)
                case MemberLeft(room_id=room, session_uuid=session):
                    members[room].discard(session)
            moment = event.meta.occurred_at.isoformat(timespec="microseconds")
            print(event.room_id, f"#{event.meta.sequence}", event.EVENT, moment, flush=True)
            seen += 1
            if seen == most:
                consumer.done()
                break
    for room, inside in members.items():
        if inside:
            print(f"in {room}: {', '.join(sorted(inside))}")


asyncio.run(consume(sys.argv[1], int(sys.argv[2])))
