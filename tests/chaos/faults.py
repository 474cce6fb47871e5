"""The faults, in one list. Each function does one injection and returns when what it broke is whole again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from tests.chaos.load import RoomLife
from tests.chaos.logs import API, MEDIA
from tests.chaos.proxy import ADD_PARTITIONS, END_TXN, OFFSETS, PRODUCE, Hold
from tests.chaos.world import Slot, World

Kind = Literal["worker", "broker", "cluster", "network", "data"]


@dataclass(frozen=True)
class Fault:
    """One class of faults. `kind` says what it needs: `cluster` three brokers, `network` the proxies."""

    name: str
    kind: Kind
    inject: Callable[[World], None]
    gentle: bool = False
    """It gives no healthy worker a reason to be fenced, and holds no topic back behind the other."""


# --- workers -------------------------------------------------------------------------------------------------


def kill(world: World) -> None:
    slot = world.victim()
    with world.injecting("kill", slot):
        _kill(world, slot)


def _kill(world: World, slot: Slot) -> None:
    world.killed = True
    if slot.process is not None:
        slot.process.kill()


def term(world: World) -> None:
    slot = world.victim()
    with world.injecting("term", slot):
        _term(slot)


def _term(slot: Slot) -> None:
    if slot.process is not None:
        slot.process.signal(signal.SIGTERM)


def freeze_short(world: World) -> None:
    _freeze(world, "freeze_short", world.rng.uniform(0.15, 0.8) * world.setting.session)


def freeze_long(world: World) -> None:
    _freeze(world, "freeze_long", world.rng.uniform(0.9, 2.2) * world.setting.session)


def _freeze(world: World, name: str, seconds: float) -> None:
    slot = world.victim()
    process = slot.process
    if process is None:
        return
    with world.injecting(name, slot):
        process.signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.signal(signal.SIGCONT)


def storm(world: World) -> None:
    """Two more workers come and go, one of them every second."""
    with world.injecting("storm"):
        extra = world.slots[world.setting.workers :][:2]
        for _ in range(world.rng.randint(4, 7)):
            slot = world.rng.choice(extra)
            with slot.held:
                if slot.process is None:
                    world.start(slot)
                else:
                    slot.wanted = False
                    (_term if world.rng.random() < 0.6 else lambda s: _kill(world, s))(slot)
                    world.buried(slot)
            time.sleep(1)
        for slot in extra:
            with slot.held:
                slot.wanted = False
                _term(slot)
                world.buried(slot)


def rolling(world: World) -> None:
    """Every worker is restarted in its turn, the next one when it is ready."""
    with world.injecting("rolling"):
        for slot in world.slots[: world.setting.workers]:
            old = slot.process
            _term(slot)
            limit = time.monotonic() + 20
            while time.monotonic() < limit and (slot.process in {None, old} or not _ready(slot)):
                time.sleep(0.1)


def _ready(slot: Slot) -> bool:
    process = slot.process
    return process is not None and bool(process.log) and process.get("/readyz")[0] == 200


def newcomer(world: World) -> None:
    """One more worker comes, and dies in the moment in which it has partitions, or a little later."""
    slot = world.slots[world.setting.workers % len(world.slots)]
    with slot.held, world.injecting("newcomer"):
        if slot.process is not None:  # all slots are taken: kill one, and then again what comes in its place
            _kill(world, slot)
            world.buried(slot)
        world.start(slot)
        limit = time.monotonic() + 20
        while not world.partitions_of(slot) and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(world.rng.uniform(0, 0.2) ** 2)
        _kill(world, slot)
        world.buried(slot)
        slot.wanted = slot.number < world.setting.workers


def clock(world: World) -> None:
    """A worker's next life has a clock that is wrong by seconds, or by minutes."""
    slot = world.victim()
    slot.clock = world.rng.choice((-300, -5, 5, 300)) * world.rng.uniform(0.5, 1)
    with world.injecting("clock", slot):
        _term(slot)


def pair(world: World) -> None:
    """Two other faults at once."""
    kinds = {"worker", "network" if world.setting.proxied else "broker"}
    others = [f for f in FAULTS if f.kind in kinds and f.inject not in {pair, storm, rolling, newcomer}]
    chosen = world.rng.sample(others, 2)
    with world.injecting("pair"):
        threads = [threading.Thread(target=fault.inject, args=(world,)) for fault in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


# --- brokers and the registry --------------------------------------------------------------------------------

_BROKERS: Final = threading.Lock()


def _down(world: World, fault: str, name: str, number: signal.Signals, seconds: float) -> None:
    with _BROKERS, world.injecting(fault):
        world.stack.kill(name, number)
        time.sleep(seconds)
        if number == signal.SIGSTOP:
            world.stack.kill(name, signal.SIGCONT)
        else:
            _until_gone(world, name)
            world.stack.up()


def _until_gone(world: World, name: str) -> None:
    limit = time.monotonic() + 30
    while any(p.name == name and p.state == "running" for p in world.stack.status().processes):
        if time.monotonic() > limit:
            world.stack.kill(name, signal.SIGKILL)
        time.sleep(0.05)


def broker_kill(world: World) -> None:
    _down(world, "broker_kill", "kafka-1", signal.SIGKILL, world.rng.uniform(0, 3))


def broker_restart(world: World) -> None:
    _down(world, "broker_restart", "kafka-1", signal.SIGTERM, 0)


def broker_freeze(world: World) -> None:
    _down(
        world, "broker_freeze", "kafka-1", signal.SIGSTOP, world.rng.uniform(1, 2.2 * world.setting.session)
    )


def registry_gone(world: World) -> None:
    """No registry; a worker that starts meanwhile waits for it, the others go on."""
    slot = world.victim()
    with _BROKERS, world.injecting("registry_gone", slot):
        world.stack.kill("registry")
        _term(slot)
        time.sleep(world.rng.uniform(1, 4))
        world.stack.up()


# --- a cluster of three --------------------------------------------------------------------------------------


def _cluster(fault: str, choose: Callable[[World], int]) -> Callable[[World], None]:
    def inject(world: World) -> None:
        number = world.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        seconds = world.rng.uniform(1, 10) if number == signal.SIGSTOP else world.rng.uniform(0, 5)
        _down(world, fault, f"kafka-{choose(world)}", number, seconds)

    return inject


def _any_node(world: World) -> int:
    return world.rng.randint(1, world.setting.nodes)


def _leader(world: World, topic: str, partition: int) -> int:
    admin = AdminClient({"bootstrap.servers": world.pipe.servers.bootstrap_servers, "log_level": 0})
    number = admin.list_topics(topic, timeout=20).topics[topic].partitions[partition].leader
    return int(number) if number > 0 else _any_node(world)


def _leader_of_signals(world: World) -> int:
    return _leader(
        world, world.pipe.topic(world.rng.choice((API, MEDIA))), world.rng.randrange(world.setting.partitions)
    )


def _coordinator(world: World, topic: str, name: str) -> int:
    """Kafka puts a group, or a transactional id, on the partition |Java's hash of its name| mod partitions."""
    value = 0
    for character in name:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    value = abs(value - (1 << 32) if value >= 1 << 31 else value)
    admin = AdminClient({"bootstrap.servers": world.pipe.servers.bootstrap_servers, "log_level": 0})
    return _leader(world, topic, value % len(admin.list_topics(topic, timeout=20).topics[topic].partitions))


def _group_coordinator(world: World) -> int:
    return _coordinator(world, "__consumer_offsets", world.pipe.env["PIPELINE_GROUP_ID"])


def _transaction_coordinator(world: World) -> int:
    process = world.victim().process
    started = [line for line in process.log if line["msg"] == "starting"] if process else []
    return (
        _coordinator(world, "__transaction_state", started[-1]["transactional_id"])
        if started
        else _any_node(world)
    )


# --- the network ---------------------------------------------------------------------------------------------


def _network(
    fault: str, break_it: Callable[[Any, random.Random], Any], longest: float
) -> Callable[[World], None]:
    def inject(world: World) -> None:
        assert world.proxies is not None
        slot, seconds = world.victim(), world.rng.uniform(1, longest)
        links = world.proxies.of(slot.number)
        with world.injecting(fault, slot):
            for link in links:
                world.proxies.call(break_it(link, world.rng))
            time.sleep(seconds)
            for link in links:
                if world.rng.random() < 0.5:
                    world.proxies.call(link.reset())  # else what was held back still arrives
                world.proxies.call(link.heal())

    return inject


def reset(world: World) -> None:
    assert world.proxies is not None
    slot = world.victim()
    with world.injecting("reset", slot):
        for link in world.proxies.of(slot.number):
            world.proxies.call(link.reset())


def _hold(fault: str, api_key: int, late: Literal["request", "answer"]) -> Callable[[World], None]:
    def inject(world: World) -> None:
        assert world.proxies is not None
        slot = world.owner()
        holds = [Hold(api_key, late) for _ in world.proxies.of(slot.number)]
        for link, hold in zip(world.proxies.of(slot.number), holds, strict=True):
            world.proxies.call(link.hold(hold))
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            if any(hold.delivered.is_set() for hold in holds):
                with world.injecting(fault, slot):
                    return
            time.sleep(0.02)

    return inject


def _stall(fault: str, api_key: int) -> Callable[[World], None]:
    """Cut a worker off between two steps of a unit, until the group has given it up, or nearly."""

    def inject(world: World) -> None:
        assert world.proxies is not None
        slot = world.owner()
        links = world.proxies.of(slot.number)
        for link in links:
            world.proxies.call(link.trip(api_key))
        limit = time.monotonic() + 5
        while not any(link.tripped.is_set() for link in links) and time.monotonic() < limit:
            time.sleep(0.005)
        with world.injecting(fault, slot):
            for link in links:
                world.proxies.call(link.trip(-1))
                world.proxies.call(link.cut("up", "down"))
            time.sleep(world.rng.uniform(0.8, 2.0) * world.setting.session)
            for link in links:
                world.proxies.call(link.heal())

    return inject


# --- data ----------------------------------------------------------------------------------------------------


def large(world: World) -> None:
    """A unit larger than a request: values of 1 MB that are no signals, and a room whose destroy says thousands."""
    with world.injecting("large"):
        rng, load = world.rng, world.load
        life = RoomLife(f"large-{rng.getrandbits(32):x}", rng, 0, hold=1500)
        while (one := life.next()) is not None:
            load.write(one)
        for _ in range(8):
            load._produce(world.pipe.topic(API), os.urandom(1_000_000), b"large", [("poison", b"1")])
            load.poisoned += 1


def poison(world: World) -> None:
    """Half of what comes is no signal."""
    with world.injecting("poison"):
        before, world.load.poison = world.load.poison, 1.0
        time.sleep(1)
        world.load.poison = before


def abort(world: World) -> None:
    """A producer of signals that writes in transactions; some of them it aborts, some it leaves open for a while."""
    name = f"tx-{world.rng.getrandbits(40):x}"
    producer = Producer(
        {
            "bootstrap.servers": world.pipe.servers.bootstrap_servers,
            "transactional.id": name,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    producer.init_transactions(60)
    with world.injecting("abort"):
        lives = [RoomLife(f"{name}-{number}", world.rng, 12) for number in range(6)]
        for _ in range(3):
            producer.begin_transaction()
            commits = world.rng.random() < 0.5
            for life in lives:
                for _ in range(4):
                    one = life.next()
                    if one is not None:
                        topic = API if one["type"].startswith("conference.") else MEDIA
                        value = world.load.value(one)
                        producer.produce(world.pipe.topic(topic), value, one["room_id"].encode())
            time.sleep(world.rng.uniform(0, 1.5))
            (producer.commit_transaction if commits else producer.abort_transaction)(60)


def retention(world: World) -> None:
    """Signals that were processed are deleted, and a worker dies: its successor begins where the topics begin."""
    servers = {"bootstrap.servers": world.pipe.servers.bootstrap_servers, "log_level": 0}
    admin = AdminClient(servers)
    with world.injecting("retention"):
        wanted = [
            TopicPartition(world.pipe.topic(name), number)
            for name in (API, MEDIA)
            for number in range(world.setting.partitions)
        ]
        group = ConsumerGroupTopicPartitions(world.pipe.env["PIPELINE_GROUP_ID"], wanted)
        committed = admin.list_consumer_group_offsets([group])[group.group_id].result(30).topic_partitions
        cuts = []
        for tp in committed:
            if tp.offset > 0:
                world.reader.keep(tp.topic, tp.partition)
                cuts.append(TopicPartition(tp.topic, tp.partition, tp.offset))
        for done in admin.delete_records(cuts).values():
            done.result(30)
        _kill(world, world.victim())


def offsets_lost(world: World) -> None:
    """The group's offsets are gone, as after a week without workers: the table's log knows better."""
    held = world.slots[: world.setting.workers]
    with contextlib.ExitStack() as holding, world.injecting("offsets_lost"):
        for slot in held:
            holding.enter_context(slot.held)
            _term(slot)
            world.buried(slot)
        group = world.pipe.env["PIPELINE_GROUP_ID"]
        wanted = [
            TopicPartition(world.pipe.topic(name), number, 0)
            for name in (API, MEDIA)
            for number in range(world.setting.partitions)
        ]
        admin = AdminClient({"bootstrap.servers": world.pipe.servers.bootstrap_servers, "log_level": 0})
        back = ConsumerGroupTopicPartitions(group, wanted)
        admin.alter_consumer_group_offsets([back])[group].result(30)


def compaction(world: World) -> None:
    """The table's log is rewritten while it is in use; then a worker dies, and its successor reads what is left."""
    if not getattr(world, "compacting", False):
        admin = AdminClient({"bootstrap.servers": world.pipe.servers.bootstrap_servers, "log_level": 0})
        small = {"segment.ms": "2000", "min.cleanable.dirty.ratio": "0.001", "segment.bytes": "1048576"}
        resource = ConfigResource(ConfigResource.Type.TOPIC, world.pipe.topic("rooms"), set_config=None)
        from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

        for name, value in small.items():
            resource.add_incremental_config(
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            )
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(30)
        world.compacting = True  # type: ignore[attr-defined]
    slot = world.victim()
    with world.injecting("compaction", slot):
        time.sleep(world.rng.uniform(2, 4))
        _kill(world, slot)


FAULTS: Final = (
    Fault("kill", "worker", kill, gentle=True),
    Fault("term", "worker", term, gentle=True),
    Fault("freeze_short", "worker", freeze_short),
    Fault("freeze_long", "worker", freeze_long),
    Fault("storm", "worker", storm, gentle=True),
    Fault("rolling", "worker", rolling, gentle=True),
    Fault("newcomer", "worker", newcomer, gentle=True),
    Fault("clock", "worker", clock, gentle=True),
    Fault("pair", "worker", pair),
    Fault("broker_kill", "broker", broker_kill),
    Fault("broker_restart", "broker", broker_restart),
    Fault("broker_freeze", "broker", broker_freeze),
    Fault("registry_gone", "broker", registry_gone, gentle=True),
    Fault("node", "cluster", _cluster("node", _any_node)),
    Fault("leader", "cluster", _cluster("leader", _leader_of_signals)),
    Fault("group_coordinator", "cluster", _cluster("group_coordinator", _group_coordinator)),
    Fault(
        "transaction_coordinator", "cluster", _cluster("transaction_coordinator", _transaction_coordinator)
    ),
    Fault("cut", "network", _network("cut", lambda link, _: link.cut("up", "down"), 15)),
    Fault("cut_up", "network", _network("cut_up", lambda link, _: link.cut("up"), 15)),
    Fault("cut_down", "network", _network("cut_down", lambda link, _: link.cut("down"), 15)),
    Fault("delay", "network", _network("delay", lambda link, rng: link.slow(rng.uniform(0.05, 0.5)), 10)),
    Fault("slow", "network", _network("slow", lambda link, rng: link.slow(0, rng.uniform(2e4, 2e5)), 8)),
    Fault("reset", "network", reset),
    Fault("late_end", "network", _hold("late_end", END_TXN, "request")),
    Fault("late_add", "network", _hold("late_add", ADD_PARTITIONS, "request")),
    Fault("lost_answer", "network", _hold("lost_answer", END_TXN, "answer")),
    Fault("stall_records", "network", _stall("stall_records", PRODUCE)),
    Fault("stall_offsets", "network", _stall("stall_offsets", OFFSETS)),
    Fault("stall_end", "network", _stall("stall_end", END_TXN)),
    Fault("poison", "data", poison, gentle=True),
    Fault("large", "data", large),
    Fault("abort", "data", abort),
    Fault("retention", "data", retention, gentle=True),
    Fault("offsets_lost", "data", offsets_lost, gentle=True),
    Fault("compaction", "data", compaction, gentle=True),
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
