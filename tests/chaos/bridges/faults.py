"""The faults of a node, and of the servers. Each makes one injection and returns when it is over."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.bridges.node import Node, until

if TYPE_CHECKING:
    from tests.chaos.bridges.bed import Bed

TAKEN_SECONDS: Final = 120.0
"""Seconds within which one of two bridges must have ended, also on a busy machine."""
OfNode = Callable[[Node], None]


def kill(node: Node) -> None:
    """Kill the bridge."""
    node.kill(node.slot)


def term(node: Node) -> None:
    """Stop the bridge with SIGTERM; it is started again."""
    node.terminate(node.slot)


def kill_at_command(node: Node) -> None:
    """Kill the bridge when the engine gets its next command, or play, before or shortly after it has answered."""
    done, slot, late = threading.Event(), node.slot, node.rng.random() < 0.5
    wanted = node.rng.choice(("", " play {"))

    def hook(line: str) -> bool:
        if wanted not in line:
            return False
        if late:
            threading.Timer(0.002, node.kill, (slot,)).start()
        else:
            node.kill(slot)
        done.set()
        return True

    node.switch.on_command = hook
    if not done.wait(8):
        node.switch.on_command = None
        node.kill(slot)


def freeze(low: float, high: float) -> OfNode:
    """Return a fault that stops the bridge with SIGSTOP for so many seconds."""

    def inject(node: Node) -> None:
        with node.frozen(node.slot):
            time.sleep(node.rng.uniform(low, high))

    return inject


def second_bridge(node: Node) -> None:
    """Start a second bridge: the first must end."""
    _take_over(node, 0.0)


def frozen_takeover(node: Node) -> None:
    """Start a second bridge while the first is frozen, until the second works or shortly before."""
    _take_over(node, node.rng.uniform(5.0, 10.0))


def _take_over(node: Node, seconds: float) -> None:
    old = node.slot
    new = node.slots[1 - old.number]
    with old.held, new.held:
        if (life := old.life) is None:
            return
        old.wanted, new.wanted = False, True
        if seconds:
            with node.frozen(old):
                node.start(new)
                time.sleep(seconds)
        else:
            node.start(new)
        assert new.life is not None
        both = life.process, new.life.process
        if not until(lambda: any(one.returncode is not None for one in both), TAKEN_SECONDS):
            node.faults.append(f"two bridges of {node.name} for {TAKEN_SECONDS} s: {life.process.lines[-3:]}")
            node.kill(old)
        elif life.process.returncode is None:  # it began as slowly as the new one, and took the node later
            old.wanted, new.wanted = True, False


def broken(break_it: Callable[[Any, random.Random], Any], longest: float, *, halts: bool = False) -> OfNode:
    """Return a fault that breaks the bridge's wire, and with `halts` stops the engine, for up to `longest` seconds."""

    def inject(node: Node) -> None:
        wire = node.wire
        node.switch.halted = halts
        node.host.call(break_it(wire, node.rng))
        time.sleep(node.rng.uniform(0.3, longest))
        if node.rng.random() < 0.5:
            node.host.call(wire.reset())  # otherwise what was held back still arrives
        node.host.call(wire.heal())
        node.switch.halted = False

    return inject


async def _chop(wire: Any, rng: random.Random) -> None:
    wire.chops = True
    await wire.slow(rng.uniform(0, 0.01))


def reset(node: Node) -> None:
    """Abort all connections of the bridge to its engine."""
    node.host.call(node.wire.reset())


def reset_commands(node: Node) -> None:
    """End the connection of the commands; that of the events goes on."""
    node.host.do(node.switch.drop_commands)


def restart(node: Node) -> None:
    """Kill the engine: another process with empty rooms answers."""
    node.host.do(node.switch.restart)


def shut_down(node: Node) -> None:
    """Restart the engine, which says so before."""
    node.host.do(node.switch.shut_down)


def lose(node: Node) -> None:
    """Lose the engine's events for a while."""
    node.switch.loses = True
    time.sleep(node.rng.uniform(0.3, 4))
    node.switch.loses = False


def pair(node: Node) -> None:
    """Inject two other faults at once."""
    chosen = node.rng.sample([one for name, one in OF_NODE.items() if name not in ALONE], 2)
    threads = [threading.Thread(target=one, args=(node,)) for one in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ALONE: Final = ("pair", "second_bridge", "frozen_takeover")
"""Faults that no pair has."""
OF_NODE: Final[dict[str, OfNode]] = {
    "bridge_kill": kill,
    "bridge_term": term,
    "bridge_kill_at_command": kill_at_command,
    "bridge_freeze_short": freeze(0.3, 2.8),
    "bridge_freeze_long": freeze(3.2, 9.0),
    "second_bridge": second_bridge,
    "frozen_takeover": frozen_takeover,
    "link_reset": reset,
    "link_reset_commands": reset_commands,
    "link_cut": broken(lambda wire, _: wire.cut("up", "down"), 7.0),
    "link_cut_up": broken(lambda wire, _: wire.cut("up"), 7.0),
    "link_cut_down": broken(lambda wire, _: wire.cut("down"), 7.0),
    "link_slow": broken(lambda wire, rng: wire.slow(rng.uniform(0.05, 0.5)), 4.0),
    "link_split": broken(_chop, 4.0),
    "engine_restart": restart,
    "engine_shutdown": shut_down,
    "engine_freeze": broken(lambda wire, _: wire.cut("up", "down"), 7.0, halts=True),
    "engine_loses": lose,
    "pair": pair,
}


def worker_kill(bed: Bed) -> None:
    """Kill a worker; it is started again."""
    bed.rng.choice(bed.workers).kill()


def broker_freeze(bed: Bed) -> None:
    """Stop the broker with SIGSTOP."""
    bed.stack.kill("kafka-1", signal.SIGSTOP)
    time.sleep(bed.rng.uniform(0.5, 8))
    bed.stack.kill("kafka-1", signal.SIGCONT)


def broker_kill(bed: Bed) -> None:
    """Kill the broker, and start it again."""
    bed.stack.kill("kafka-1", signal.SIGKILL)
    until(lambda: not any(p.name == "kafka-1" and p.state == "running" for p in bed.stack.status().processes), 30)
    time.sleep(bed.rng.uniform(0, 3))
    bed.stack.up()


OF_SERVERS: Final[dict[str, Callable[[Bed], None]]] = {
    "worker_kill": worker_kill, "broker_freeze": broker_freeze, "broker_kill": broker_kill,
}  # fmt: skip
