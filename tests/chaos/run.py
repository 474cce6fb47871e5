"""One run: a world, faults one after another or over each other, quiet, and the checker's verdict."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka.errors import KafkaError
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from pipeline.devstack import Stack
from pipeline.errors import ConfigError
from testkit.chaos.checker import Verdict, check
from testkit.chaos.world import Setting, World, quantiles
from testkit.pipe import ROOT
from tests.chaos.evidence import evidence
from tests.chaos.faults import BY_NAME

ATTEMPTS: Final = 3
"""Tries to do one injection."""
FOREVER_US: Final = 1 << 61
SLOW_RECOVERY: Final = 25.0
"""Seconds, over the session timeout, that a recovery may take on a machine that does much else besides."""
OUT_OF_STEP: Final = 2.0
"""Seconds by which one topic may be ahead of the other where nothing holds it back: a poll or two."""
ENOUGH: Final = 10
"""Violations after which the rest of a run is not looked at."""
LONGEST_SILENCE: Final = 30.0
"""Seconds behind an injection in which the next events are looked for."""


def run(
    setting: Setting,
    faults: Iterable[str],
    *,
    gap: float = 2.0,
    settle: bool = True,
    backlog: int = 0,
    patience: float = SLOW_RECOVERY,
    stack: Stack | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Do the faults in their order, and check all.

    Args:
        gap: seconds from one fault to the next, at random up to twice as long.
        settle: whether the workers must have recovered first; else faults fall into the recovery of others.
        backlog: signals that are written before the workers start.
        patience: seconds over the session timeout after which a recovery counts as a violation.
    """
    with World(setting, stack) as world:
        if backlog:
            world.load.burst(backlog)
        world.load.start()
        verdict = Verdict()
        if not world.settle(90):
            verdict.violations.append(f"the workers did not come up: {_last_words(world)}")
        for number, name in enumerate(faults):
            time.sleep(world.rng.uniform(0, 2) * gap)
            say(f"{number + 1}: {name}")
            if not _injected(world, name, say):
                continue
            if settle and not _settled(world, name, patience, verdict):
                break
        time.sleep(1)
        world.load.finish()
        loaded = time.monotonic()
        drained = world.drain(240)
        if not drained:
            verdict.violations.append(f"not drained after 240 s: {_last_words(world)}")
        metrics = None if world.killed or world.exits else _counters(world)
        world.stop()
        say("checking")
        return _result(world, _checked(world, verdict), metrics, loaded, settle)


def _injected(world: World, name: str, say: Callable[[str], None]) -> bool:
    """Do it; again where what it needs was away: the fault before may still be felt."""
    for _ in range(ATTEMPTS):
        try:
            BY_NAME[name].inject(world)
        except (KafkaException, KafkaError, ConfigError, TimeoutError) as error:
            say(f"{name} not injected: {error}")
            world.not_injected.append(f"{name}: {error}")
            time.sleep(1)
        else:
            return True
    return False


def _settled(world: World, name: str, patience: float, verdict: Verdict) -> bool:
    """Wait for the recovery; a long one is a violation of its own."""
    if not world.settle(90):
        verdict.violations.append(f"no recovery within 90 s of {name}: {_last_words(world)}")
        return False
    if world.injections:
        last = world.injections[-1]
        last.settled = time.monotonic() - last.ended
        allowed = world.setting.session + patience
        if last.settled > allowed:
            verdict.violations.append(
                f"{name} {last.what}: recovered only after {last.settled:.1f} s, not {allowed:.0f}; "
                f"load {os.getloadavg()[0]:.1f}; {_last_words(world)}"
            )
    return True


def _last_words(world: World) -> str:
    """What the workers said last, and where the table's logs hold readers back: a last stable offset before the end."""
    lines = [f"worker {s.number}: {s.process.lines[-4:]}" for s in world.slots if s.process is not None]
    tables = [TopicPartition(world.pipe.topic("rooms"), number) for number in range(world.setting.partitions)]
    latest = dict.fromkeys(tables, OffsetSpec.latest())
    ends = []
    for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
        found = world.admin().list_offsets(latest, isolation_level=level)
        ends.append({tp.partition: done.result(30).offset for tp, done in found.items()})
    return "\n".join([*lines, f"stable ends of the table's log {ends[0]}, ends {ends[1]}"])


def _checked(world: World, verdict: Verdict) -> Verdict:
    verdict.violations += world.unexpected
    gentle = all(BY_NAME[injection.fault].gentle for injection in world.injections)
    if gentle and world.exits["3"]:
        verdict.violations.append(f"{world.exits['3']} workers were fenced, though nothing gave a reason to")
    watchdog = round(world.setting.watchdog * 1e6)
    if all(BY_NAME[injection.fault].outlived for injection in world.injections) and world.exits:
        verdict.violations.append(f"workers ended ({dict(world.exits)}), though nothing gave a reason to")
    for number in range(world.setting.partitions):
        if len(verdict.violations) <= ENOUGH:
            verdict.add(check(world.reader.read(number), FOREVER_US, watchdog, world.load.late))
    furthest = max(verdict.overtaken, default=0) / 1e6
    if gentle and world.setting.nodes == 1 and furthest > OUT_OF_STEP:
        verdict.violations.append(f"a signal overtook one of the other topic that was {furthest:.1f} s older")
    return verdict


def _counters(world: World) -> Counter[tuple[str, str]]:
    """What the workers counted, in the checker's words."""
    names = {
        "events_total": "events",
        "rejected_total": "rejected",
        "no_ops_total": "no_ops",
        "dead_letters_total": "dead",
    }
    counted: Counter[tuple[str, str]] = Counter()
    for slot in world.running:
        assert slot.process is not None
        for line in slot.process.get("/metrics")[1].splitlines():
            name, _, rest = line.removeprefix("pipeline_").partition("{")
            if name in names and not line.startswith("#"):
                counted[names[name], rest.split('"')[1]] += round(float(line.rpartition(" ")[2]))
    return +counted


def _result(
    world: World, verdict: Verdict, metrics: Counter[tuple[str, str]] | None, loaded: float, settle: bool
) -> dict[str, Any]:
    setting = world.setting
    if metrics is not None and metrics != +verdict.counts:
        verdict.violations.append(
            f"the counters differ: {metrics - verdict.counts} more, {verdict.counts - metrics} less"
        )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "seed": setting.seed,
        "nodes": setting.nodes,
        "workers": setting.workers,
        "rate": setting.rate,
        "watchdog": setting.watchdog,
        "session": setting.session,
        "injections": dict(Counter(injection.fault for injection in world.injections)),
        "not_injected": world.not_injected,
        "signals": verdict.signals,
        "dead": verdict.poisoned,
        "events": verdict.events,
        "timeouts": quantiles([(said - deadline) / 1e6 for deadline, said in verdict.timeouts]),
        "timeouts_caught_up": quantiles([micros / 1e6 for micros in verdict.caught_up]),
        "excused": verdict.excused,
        "overtaken": quantiles([micros / 1e6 for micros in verdict.overtaken]),
        "unseen": round(world.unseen, 2),
        "overlap": not settle,
        "silence": _silences(world, loaded),
        "settled": _settles(world),
        "exits": dict(world.exits),
        "late": dict(world.late),
        "counters": "equal" if metrics is not None else "not compared",
        "violations": verdict.violations,
        "evidence": evidence(world) if verdict.violations else "",
    }


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or os.environ.get("COMMIT", "")


def _settles(world: World) -> dict[str, list[float]]:
    """Per fault: seconds from each injection's end until all was processed again."""
    found: dict[str, list[float]] = {}
    for injection in world.injections:
        if injection.settled is not None:
            found.setdefault(injection.fault, []).append(round(injection.settled, 2))
    return found


def _silences(world: World, loaded: float) -> dict[str, list[float]]:
    """Per fault, and injection by injection: the longest silence of the partitions that it hit, and of the others."""
    found: dict[str, list[float]] = {}
    ends = [i.began for i in world.injections[1:]] + [loaded] * bool(world.injections)
    everything = frozenset(range(world.setting.partitions))
    for injection, end in zip(world.injections, ends, strict=True):
        until = max(injection.ended + 1, min(end, injection.ended + LONGEST_SILENCE))
        for name, numbers in (
            (injection.fault, injection.hit),
            (f"{injection.fault}, kept", everything - injection.hit),
        ):
            silences = [world.follower.silence(number, injection.began, until) for number in numbers]
            if silences:
                found.setdefault(name, []).append(round(max(silences), 2))
    return found
