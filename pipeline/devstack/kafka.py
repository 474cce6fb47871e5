"""One Kafka 4.3 node: properties, data folder, command line, and a check of its brokers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from pipeline.devstack import jvm
from pipeline.devstack.cache import make_dir

HOST = "127.0.0.1"
METADATA, METADATA_VERSION = 3, 1


def properties(node: int, ports: Mapping[int, tuple[int, int]], data: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return `server.properties` of `node`; other properties have Kafka's defaults.

    `ports` has (client port, controller port) of every node. `extra` overrides; in its values `{node}`, `{client}`
    and `{controller}` are replaced by the node's number and ports.
    """
    copies = str(min(len(ports), 3))
    in_sync = str(max(1, min(len(ports), 3) - 1))
    client, controller = ports[node]
    internal_partitions = "1" if len(ports) == 1 else "3"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{n}@{HOST}:{c}" for n, (_, c) in sorted(ports.items())),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{client},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{client}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a new topic
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": internal_partitions,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": internal_partitions,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": "0",  # default 3000: wait for more members to join
        "num.network.threads": "2",
        "num.io.threads": "4",
        **{key: _filled(value, node, client, controller) for key, value in extra.items()},
    }


def _filled(value: str, node: int, client: int, controller: int) -> str:
    return value.replace("{node}", str(node)).replace("{client}", str(client)).replace("{controller}", str(controller))


def prepare(folder: Path, cluster_id: str, node: int, settings: Mapping[str, str]) -> None:
    """Write `server.properties` and format the data folder; keep those that exist.

    `kafka-storage.sh format` starts a JVM and writes two files: `meta.properties`, and `bootstrap.checkpoint` with the
    features of the release (metadata 30, transaction.version 2, group.version 1 …). The latter is the same for every
    cluster; the copy in this package is the one that Kafka 4.3.1 writes.
    """
    data = make_dir(folder / "data")
    config = folder / "server.properties"
    if not config.exists():
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    meta = data / "meta.properties"
    if not meta.exists():
        features = files("pipeline.devstack").joinpath("bootstrap.checkpoint").read_bytes()
        (data / "bootstrap.checkpoint").write_bytes(features)
        meta.write_text(f"version=1\ncluster.id={cluster_id}\nnode.id={node}\n")


def command(folder: Path, jars: Sequence[Path], machine: jvm.Jvm) -> list[str]:
    """Return the command line, to be run in the folder of the jars."""
    return [
        *jvm.options(machine, folder),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
        "-cp",
        ":".join(jar.name for jar in jars),
        "kafka.Kafka",
        str(folder / "server.properties"),
    ]


def known_brokers(port: int, timeout: float = 2.0) -> set[int]:
    """Return the ids of the unfenced brokers in the metadata of the node at `port`; empty if it does not answer.

    It sends a hand-made Metadata request (version 1, no topics): a client library takes 0.5 s to load.
    """
    client = b"conference-pipeline"
    body = struct.pack(f">hhih{len(client)}si", METADATA, METADATA_VERSION, 1, len(client), client, 0)
    try:
        with socket.create_connection((HOST, port), timeout) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            with connection.makefile("rb") as stream:
                size = struct.unpack(">i", stream.read(4))[0]
                return _brokers(stream.read(size))
    except (OSError, struct.error):
        return set()


def _brokers(answer: bytes) -> set[int]:
    """Return the node ids of a Metadata response: correlation id, then an array of (id, host, port, rack or null)."""
    count, at = struct.unpack_from(">i", answer, 4)[0], 8
    found = set()
    for _ in range(count):
        node, host = struct.unpack_from(">ih", answer, at)
        rack = struct.unpack_from(">h", answer, at + 6 + host + 4)[0]
        at += 6 + host + 4 + 2 + max(rack, 0)
        found.add(node)
    return found
