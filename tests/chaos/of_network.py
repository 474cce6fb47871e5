"""Faults of the network between one worker and the brokers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Literal

from tests.chaos.proxy import Hold
from tests.chaos.world import World


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


def late(fault: str, api_key: int, late: Literal["request", "answer"]) -> Callable[[World], None]:
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
