"""Contestant: Quix Streams, exactly-once.

    .venv-bench/bin/python -m benchmarks.peers.quix

The two topics are concatenated, which aligns them by time; rooms and members are keyed state in RocksDB with a
changelog. Rows are JSON, the only form in which Quix serialises state. Avro is parsed and written by the code of the
other Python peers, not by Quix's serialisers, which query the registry and build a context per record. The producer's
partitioner is murmur2, so events keep the partition number. The default commit interval of 5 s would add seconds to
every latency; the results name the one that is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from quixstreams import Application, State, message_context

from benchmarks.peers.rooms import Codec, Headers, headers, step

Decide = Callable[[bytes, State], tuple[bytes, Headers] | None]


def decider(codec: Codec, source: bytes) -> Decide:
    """Return the function that processes a signal into the value and headers of its event."""

    def decide(value: bytes, state: State) -> tuple[bytes, Headers] | None:
        kind, signal = codec.decode(value)
        session = signal.get("session_uuid")
        before = state.get(f"member/{session}") if session else None
        at = message_context()
        now = at.timestamp.milliseconds * 1000
        room, member, event = step(codec.names, state.get("room"), before, kind, signal, now)
        state.set("room", room)
        if session and member is not before:
            if member is None:
                state.delete(f"member/{session}")
            else:
                state.set(f"member/{session}", member)
        if event is None:
            return None
        return codec.event(event), headers(event[1], source, f"{at.topic}/{at.partition}/{at.offset}")

    return decide


def event_headers(pair: tuple[bytes, Headers], *_: Any) -> Headers:
    """Return the headers of an event."""
    return pair[1]


def main() -> None:
    env = os.environ
    codec, prefix = Codec(json.loads(env["PEER_SCHEMA_IDS"])), env["PEER_PREFIX"]
    app = Application(
        broker_address=env["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=env["PEER_GROUP"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=float(env["PEER_COMMIT_SECONDS"]),
        state_dir=env["PEER_STATE_DIR"],
        loglevel="WARNING",
    )

    signals = [
        app.dataframe(app.topic(f"{prefix}.{name}.signals", value_deserializer="bytes")) for name in ("api", "media")
    ]
    frame = signals[0].concat(signals[1]).apply(decider(codec, f"/{prefix}".encode()), stateful=True)
    frame = frame.filter(lambda pair: pair is not None).set_headers(event_headers).apply(lambda pair: pair[0])
    frame.to_topic(app.topic(f"{prefix}.events", value_serializer="bytes"))
    app.run()


if __name__ == "__main__":
    main()
