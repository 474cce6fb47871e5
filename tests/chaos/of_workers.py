"""Faults of workers: killed, stopped, frozen, too many at once, with a wrong clock."""

from __future__ import annotations

import signal
import time

from testkit.chaos.world import Slot, World


def kill(world: World) -> None:
    slot = world.victim()
    with world.injecting("kill", slot):
        end_hard(world, slot)


def end_hard(world: World, slot: Slot) -> None:
    world.killed = True
    if slot.process is not None:
        slot.process.kill()


def term(world: World) -> None:
    slot = world.victim()
    with world.injecting("term", slot):
        end(slot)


def end(slot: Slot) -> None:
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
                    (end if world.rng.random() < 0.6 else lambda s: end_hard(world, s))(slot)
                    world.buried(slot)
            time.sleep(1)
        for slot in extra:
            with slot.held:
                slot.wanted = False
                end(slot)
                world.buried(slot)


def rolling(world: World) -> None:
    """Every worker is restarted in its turn, the next one when it is ready."""
    with world.injecting("rolling"):
        for slot in world.slots[: world.setting.workers]:
            old = slot.process
            end(slot)
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
            end_hard(world, slot)
            world.buried(slot)
        world.start(slot)
        limit = time.monotonic() + 20
        while not world.partitions_of(slot) and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(world.rng.uniform(0, 0.3))
        end_hard(world, slot)
        world.buried(slot)
        slot.wanted = slot.number < world.setting.workers


def clock(world: World) -> None:
    """A worker's next life has a clock that is wrong by seconds, or by minutes."""
    slot = world.victim()
    slot.clock = world.rng.choice((-300, -5, 5, 300)) * world.rng.uniform(0.5, 1)
    with world.injecting("clock", slot):
        end(slot)
