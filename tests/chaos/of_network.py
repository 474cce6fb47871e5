"""Faults of the network between one worker and the brokers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError

from testkit.chaos.proxy import Hold, Late
from testkit.chaos.world import World


def broken(
    fault: str, break_it: Callable[[Any, random.Random], Any], sessions: float
) -> Callable[[World], None]:
    def inject(world: World) -> None:
        assert world.proxies is not None
        slot, seconds = world.victim(), world.rng.uniform(0.3, sessions) * world.setting.session
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


def expelled(world: World) -> None:
    """A worker that has nothing to do is cut off until the group has given its partitions away, and comes back to the
    group before it hears of another signal: no unit is under way, whose offsets the group would refuse."""
    assert world.proxies is not None
    slot = world.owner()
    links = world.proxies.of(slot.number)
    with world.injecting("expelled", slot):
        for link in links:
            world.proxies.call(link.starve())
        time.sleep(1)
        for link in links:
            world.proxies.call(link.cut("up", "down"))
        time.sleep(world.rng.uniform(1.8, 2.5) * world.setting.session)
        for link in links:
            world.proxies.call(link.heal())
        time.sleep(2)
        for link in links:
            world.proxies.call(link.feed())


def late(fault: str, api_key: int, *lates: Late) -> Callable[[World], None]:
    """One of `lates`, by chance."""

    def inject(world: World) -> None:
        assert world.proxies is not None
        slot = world.owner()
        links = world.proxies.of(slot.number)
        # With one broker, a unit's records go in one request: nothing is between.
        hold = Hold(api_key, world.rng.choice(lates if len(links) > 1 else lates[:1]))
        for link in links:
            world.proxies.call(link.hold(hold))
        if hold.delivered.wait(20):
            with world.injecting(fault, slot):
                world.late[f"{fault}, {hold.late}: {_said(hold)}"] += 1
        for link in links:
            world.proxies.call(link.release(hold))

    return inject


def _said(hold: Hold) -> str:
    return "not looked at" if hold.error is None else KafkaError(hold.error).name()


def stall(fault: str, api_key: int) -> Callable[[World], None]:
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
