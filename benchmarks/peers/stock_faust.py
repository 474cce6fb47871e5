"""Contestant: Faust 0.15.3 with its default settings: at-least-once, its own tables and agents.

    python -m benchmarks.peers.stock_faust

One agent reads both topics; rooms and members are tables (memory store, changelog in JSON, Faust's default); each event
is one `send` to the signal's partition number. Only names and paths are set; the web server is disabled, since its port
is fixed. Its output is correct without faults, but not after a crash
(`docs/internals/adr/0001-one-transaction-per-unit.md`).
"""

from __future__ import annotations

import json
import os
from typing import Any

import faust

from benchmarks.peers.rooms import Codec, headers, member_key, room_key, step


def agent(codec: Codec, source: bytes, rooms: Any, members: Any, events: Any) -> Any:
    """Return the agent of both topics."""

    async def decide(stream: Any) -> None:
        async for incoming in stream.events():
            at = incoming.message
            kind, signal = codec.decode(incoming.value)
            room_id, session = signal["room_id"], signal.get("session_uuid")
            row, who = room_key(room_id), member_key(room_id, session or "")
            before = members.get(who) if session else None
            room, member, event = step(codec.names, rooms.get(row), before, kind, signal, round(at.timestamp * 1e6))
            rooms[row] = room
            if session and member is not before:
                if member is None:
                    members.pop(who)
                else:
                    members[who] = member
            if event is not None:
                place = f"{at.topic}/{at.partition}/{at.offset}"
                await events.send(
                    key=at.key,
                    value=codec.event(event),
                    partition=at.partition,
                    headers=headers(event[1], source, place),
                )

    return decide


def build(env: dict[str, str]) -> faust.App:
    """Build the app from the environment."""
    codec, prefix = Codec(json.loads(env["PEER_SCHEMA_IDS"])), env["PEER_PREFIX"]
    source, partitions = f"/{prefix}".encode(), int(env["PIPELINE_PARTITIONS"])
    app = faust.App(
        env["PEER_GROUP"],
        broker=f"kafka://{env['KAFKA_BOOTSTRAP_SERVERS']}",
        store="memory://",
        datadir=env["PEER_STATE_DIR"],
        topic_partitions=partitions,
        web_enabled=False,
    )
    raw: dict[str, Any] = {
        "key_type": bytes,
        "value_type": bytes,
        "key_serializer": "raw",
        "value_serializer": "raw",
    }
    signals = app.topic(f"{prefix}.api.signals", f"{prefix}.media.signals", **raw)
    events = app.topic(f"{prefix}.events", **raw)
    keyed: dict[str, Any] = {"key_type": bytes, "partitions": partitions}
    rooms = app.Table("rooms", **keyed)
    members = app.Table("members", **keyed)
    app.agent(signals)(agent(codec, source, rooms, members, events))
    return app


if __name__ == "__main__":
    faust.Worker(build(dict(os.environ)), loglevel="warning").execute_from_commandline()
