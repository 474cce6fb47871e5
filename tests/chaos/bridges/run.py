"""One run: rounds of faults at all nodes at once, each followed by a comparison; then all records are checked."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.chaos.bridges import check
from tests.chaos.bridges.bed import WATCHDOG_SECONDS, Bed
from tests.chaos.bridges.bugs import patch
from tests.chaos.bridges.faults import OF_NODE, OF_SERVERS
from tests.chaos.bridges.node import READY_SECONDS, Node, until
from tests.chaos.run import commit
from tests.chaos.verified import verify

EQUAL_SECONDS: Final = 4.0
"""Seconds for signals of the last audit to come through."""
Say = Callable[[str], None]


def run(
    seed: int,
    plan: Iterable[str],
    *,
    nodes: int = 4,
    workers: int = 2,
    size: int = 8,
    bug: str = "",
    report: Path | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Inject the faults of a plan, and return the result as JSON values.

    Args:
        size: faults at each node in a round.
        bug: an error built into the bridges, see `bugs`.
        report: where to write what the bridges logged, if there are violations.
    """
    rng, began = random.Random(seed), time.monotonic()
    faults = list(plan)
    with Bed(seed, nodes, workers, patch(bug)) as bed:
        injected: Counter[str] = Counter()
        compared: Counter[str] = Counter()
        violations: list[str] = []
        rounds = 0
        while faults and not violations:
            rounds += 1
            now, faults = faults[: size * nodes], faults[size * nodes :]
            say(f"{time.monotonic() - began:.0f} s, round {rounds}: {', '.join(now)}")
            injected += _round(bed, now, rng)
            violations += _quiet(bed, compared)
            say(f"compared: {dict(compared)}")
        violations += _last(bed)
        bed.end()
        violations += bed.faults + [text for node in bed.nodes for text in node.faults]
        found = {**_checked(bed, violations), "compared": dict(compared)}
        if violations and report is not None:
            report.write_text("\n".join([*violations, *(text for _, text in sorted(bed.lines() + found.pop("story")))]))
        found.pop("story", None)
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "seed": seed, "nodes": nodes,
            "workers": workers, "rounds": rounds, "injections": dict(sorted(injected.items())), **found,
            "seconds": round(time.monotonic() - began),
        }  # fmt: skip


def _round(bed: Bed, plan: list[str], rng: random.Random) -> Counter[str]:
    """Inject faults, those of nodes at all nodes in parallel; return what was injected."""
    for node in bed.nodes:
        node.busy.set()
    if not all(node.ready(READY_SECONDS) for node in bed.nodes):
        bed.faults.append("a bridge did not become ready: " + _states(bed))
    of_nodes = deque(name for name in plan if name in OF_NODE)
    jobs = [threading.Thread(target=_at_node, args=(node, of_nodes)) for node in bed.nodes]
    servers = threading.Thread(target=_at_servers, args=(bed, [one for one in plan if one in OF_SERVERS], rng.random()))
    for job in (*jobs, servers):
        job.start()
    for job in (*jobs, servers):
        job.join()
    return Counter(plan)


def _at_node(node: Node, names: deque[str]) -> None:
    """Inject one fault after the other, most of them before the bridge has recovered from the one before."""
    while names:
        with contextlib.suppress(IndexError):
            name = names.popleft()
            time.sleep(node.rng.uniform(0, 1.5))
            if node.rng.random() < 0.4:
                node.ready(12)
            OF_NODE[name](node)


def _at_servers(bed: Bed, names: list[str], seed: float) -> None:
    rng = random.Random(seed)
    for name in names:
        time.sleep(rng.uniform(2, 8))
        OF_SERVERS[name](bed)


def _quiet(bed: Bed, compared: Counter[str]) -> list[str]:
    """End the load, wait for an audit, and compare."""
    jobs = [threading.Thread(target=node.quiet) for node in bed.nodes]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    found = []
    for node in bed.nodes:
        if not node.ready(READY_SECONDS):
            found.append(f"the bridge of {node.name} does not become ready: {_states(bed)}")
            continue
        if not node.audited(READY_SECONDS):
            found.append(f"no audits of {node.name} within {READY_SECONDS} s: {_states(bed)}")
    until(lambda: _equal(bed), EQUAL_SECONDS)
    found += [check.differences(node, bed.table) for node in bed.nodes]
    compared["members"] += sum(len(node.switch.calls) for node in bed.nodes)
    compared["playbacks"] += sum(len(node.switch.playing()) for node in bed.nodes)
    compared["doubled"] += sum({"lobby", f"{node.name}-room-lobby"} <= node.switch.rooms.keys() for node in bed.nodes)
    return [text for text in found if text]


def _equal(bed: Bed) -> bool:
    bed.table.read()
    return not any(check.differences(node, bed.table) for node in bed.nodes)


def _last(bed: Bed) -> list[str]:
    """Let all files end; every playback must then have ended."""
    for node in bed.nodes:
        node.finish_all()
    if not until(lambda: _ended(bed), 30):
        return [f"playbacks that do not end: {[bed.table.playing(node.name) for node in bed.nodes]}"]
    return []


def _ended(bed: Bed) -> bool:
    bed.table.read()
    return not any(bed.table.playing(node.name) for node in bed.nodes)


def _states(bed: Bed) -> str:
    lives = [node.slot.life for node in bed.nodes]
    return "; ".join(str(life.process.lines[-3:]) if life is not None else "no process" for life in lives)


def _checked(bed: Bed, violations: list[str]) -> dict[str, Any]:
    logs = bed.logs()
    sent = {key: value for node in bed.nodes for key, value in node.sent.items()}
    decided = check.Decided(logs, sent)
    violations += check.ends(logs, decided)
    for node in bed.nodes:
        violations += check.commands(node, decided)
        violations += check.acting(node)
    for log in logs:
        violations += check.audits(log)
    verified = verify({**bed.worker_env, "PIPELINE_WATCHDOG_SECONDS": WATCHDOG_SECONDS})
    violations += verified.pop("faults")
    lives = [life for node in bed.nodes for life in node.lives]
    return {
        "signals": sum(len(rows) for log in logs for rows in log.signals.values()),
        "events": sum(len(log.events) for log in logs),
        "commands": sum(len(node.switch.commands) for node in bed.nodes),
        "playbacks": len(decided.plays),
        "bridges": len(lives),
        "exits": dict(Counter(str(life.code) for life in lives)),
        "verify": verified,
        "violations": violations,
        "story": check.story(bed.nodes, logs),
    }
