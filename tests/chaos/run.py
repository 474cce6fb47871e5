"""One run: set up a testbed, inject faults, wait until all signals are processed, and check the topics."""

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
from testkit.chaos.testbed import RunConfig, Testbed, quantiles
from testkit.pipe import ROOT
from tests.chaos.evidence import evidence
from tests.chaos.faults import BY_NAME
from tests.chaos.topic_anew import topic_made_anew
from tests.chaos.verified import verified

ATTEMPTS: Final = 3
"""Attempts at one injection."""
FOREVER_US: Final = 1 << 61
SLOW_RECOVERY: Final = 25.0
"""Seconds, in addition to the session timeout, that a recovery may take on a busy machine."""
OUT_OF_STEP: Final = 2.0
"""Seconds by which one signal topic may be ahead of the other under gentle faults: one or two polls."""
STRAGGLERS: Final = 2
"""Media no-ops of a run whose reason may be another than the checker's, while all signals have append times."""
ENOUGH: Final = 10
"""Violations after which the remaining partitions are not checked."""
LONGEST_SILENCE: Final = 30.0
"""Seconds after an injection in which silences are measured."""


def run(
    config: RunConfig,
    faults: Iterable[str],
    *,
    gap: float = 2.0,
    settle: bool = True,
    backlog: int = 0,
    patience: float = SLOW_RECOVERY,
    stack: Stack | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Inject the faults in order, check everything, and return the result as JSON values.

    Args:
        gap: mean seconds between faults; the actual ones are random, up to twice as long.
        settle: wait for recovery between faults; otherwise faults overlap with recoveries.
        backlog: signals written before the workers start.
        patience: seconds, in addition to the session timeout, after which a slow recovery is a violation.
    """
    with Testbed(config, stack) as testbed:
        testbed.begin(backlog)
        verdict = Verdict()
        if not testbed.settle(90):
            verdict.violations.append(f"the workers did not come up: {_last_words(testbed)}")
        for number, name in enumerate(faults):
            time.sleep(testbed.rng.uniform(0, 2) * gap)
            say(f"{number + 1}: {name}")
            if not _injected(testbed, name, say):
                continue
            if settle and not _settled(testbed, name, patience, verdict):
                break
        time.sleep(1)
        testbed.finish()
        loaded = time.monotonic()
        drained = testbed.drain(240)
        if not drained:
            verdict.violations.append(f"not drained after 240 s: {_last_words(testbed)}")
        metrics = None if testbed.killed or testbed.exits else _counters(testbed)
        testbed.stop()
        say("checking")
        result = _result(testbed, _checked(testbed, verdict), metrics, loaded, settle)
        result["verify"] = verified(testbed)
        result["violations"] += result["verify"].pop("faults")
        if not result["violations"]:
            result["violations"] += topic_made_anew(testbed)
        return result


def _injected(testbed: Testbed, name: str, say: Callable[[str], None]) -> bool:
    """Inject the fault; retry if servers do not answer, since the previous fault may still have effects."""
    for _ in range(ATTEMPTS):
        try:
            BY_NAME[name].inject(testbed)
        except (KafkaException, KafkaError, ConfigError, TimeoutError) as error:
            say(f"{name} not injected: {error}")
            testbed.not_injected.append(f"{name}: {error}")
            time.sleep(1)
        else:
            return True
    return False


def _settled(testbed: Testbed, name: str, patience: float, verdict: Verdict) -> bool:
    """Wait for the recovery; a slow one is a violation."""
    if not testbed.settle(90):
        verdict.violations.append(f"no recovery within 90 s of {name}: {_last_words(testbed)}")
        return False
    if testbed.injections:
        last = testbed.injections[-1]
        last.settled = time.monotonic() - last.ended
        allowed = testbed.config.session + patience
        if last.settled > allowed:
            verdict.violations.append(
                f"{name} {last.what}: recovered only after {last.settled:.1f} s, not {allowed:.0f}; "
                f"load {os.getloadavg()[0]:.1f}; {_last_words(testbed)}"
            )
    return True


def _last_words(testbed: Testbed) -> str:
    """Return the workers' last log lines, and the ends of the rooms topic: an open transaction shows as a gap."""
    lines = [f"worker {s.number}: {s.process.lines[-4:]}" for s in testbed.slots if s.process is not None]
    try:
        ends = _ends(testbed)
    except (KafkaException, TimeoutError) as error:
        ends = [f"unknown ({type(error).__name__})"] * 2
    return "\n".join([*lines, f"last stable offsets of the rooms topic {ends[0]}, ends {ends[1]}"])


def _ends(testbed: Testbed) -> list[Any]:
    """Return the last stable offsets and the ends of the rooms topic, by partition."""
    tables = [TopicPartition(testbed.pipe.topic("rooms"), number) for number in range(testbed.config.partitions)]
    latest = dict.fromkeys(tables, OffsetSpec.latest())
    ends: list[Any] = []
    for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
        found = testbed.admin().list_offsets(latest, isolation_level=level)
        ends.append({tp.partition: done.result(30).offset for tp, done in found.items()})
    return ends


def _checked(testbed: Testbed, verdict: Verdict) -> Verdict:
    verdict.violations += testbed.unexpected
    gentle = all(BY_NAME[injection.fault].gentle for injection in testbed.injections)
    if gentle and testbed.exits["3"]:
        verdict.violations.append(f"{testbed.exits['3']} workers were fenced, but no fault justifies it")
    watchdog = round(testbed.config.watchdog * 1e6)
    if all(BY_NAME[injection.fault].survived for injection in testbed.injections) and testbed.exits:
        verdict.violations.append(f"workers ended ({dict(testbed.exits)}), but no fault justifies it")
    for number in range(testbed.config.partitions):
        if len(verdict.violations) <= ENOUGH:
            verdict.add(check(testbed.reader.read(number), FOREVER_US, watchdog, testbed.late_signals))
    furthest = max(verdict.overtaken, default=0) / 1e6
    if gentle and testbed.config.nodes == 1 and furthest > OUT_OF_STEP:
        verdict.violations.append(f"a signal overtook one of the other topic that was {furthest:.1f} s older")
    return verdict


def _counters(testbed: Testbed) -> Counter[tuple[str, str]]:
    """Return the workers' counters under the checker's names."""
    names = {
        "events_total": "events",
        "rejected_total": "rejected",
        "no_ops_total": "no_ops",
        "dead_letters_total": "dead",
    }
    counted: Counter[tuple[str, str]] = Counter()
    for slot in testbed.running:
        assert slot.process is not None
        for line in slot.process.get("/metrics")[1].splitlines():
            name, _, rest = line.removeprefix("pipeline_").partition("{")
            if name in names and not line.startswith("#"):
                counted[names[name], rest.split('"')[1]] += round(float(line.rpartition(" ")[2]))
    return +counted


def counters_fault(metrics: Counter[tuple[str, str]], counts: Counter[tuple[str, str]], stragglers: int) -> str:
    """Return how the workers' counters differ from the checker's; "" if they do not.

    A no-op of a media signal leaves no record. So the checker can't see that one came late, behind a signal of the
    other topic, and had another reason for it: so many `stragglers` may differ.
    """
    too_many, missing = metrics - counts, counts - metrics
    if not too_many and not missing:
        return ""
    only_reasons = {name for name, _ in (*too_many, *missing)} == {"no_ops"}
    if only_reasons and too_many.total() == missing.total() <= stragglers:
        return ""
    return f"the counters differ: {too_many} too many, {missing} missing"


def _result(
    testbed: Testbed, verdict: Verdict, metrics: Counter[tuple[str, str]] | None, loaded: float, settle: bool
) -> dict[str, Any]:
    config = testbed.config
    # A signal without an append time has that of the signal before it, so it often comes late.
    unstamped = any(injection.fault == "timestamps" for injection in testbed.injections)
    stragglers = sum(number for (name, _), number in verdict.counts.items() if name == "no_ops")
    if not unstamped:
        stragglers = STRAGGLERS
    if metrics is not None and (fault := counters_fault(metrics, verdict.counts, stragglers)):
        verdict.violations.append(fault)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "seed": config.seed,
        "nodes": config.nodes,
        "workers": config.workers,
        "rate": config.rate,
        "watchdog": config.watchdog,
        "session": config.session,
        "injections": dict(Counter(injection.fault for injection in testbed.injections)),
        "not_injected": testbed.not_injected,
        "signals": verdict.signals,
        "dead": verdict.poisoned,
        "broken_batches": verdict.broken,
        "raw": {str(error): count for error, count in sorted(testbed.raw.answers.items())},
        "events": verdict.events,
        "timeouts": quantiles([(published - deadline) / 1e6 for deadline, published in verdict.timeouts]),
        "timeouts_caught_up": {
            **quantiles([micros / 1e6 for micros in verdict.caught_up]),
            "dropped": len(verdict.timeouts) - len(verdict.caught_up),
        },
        "excused": verdict.excused,
        "overtaken": quantiles([micros / 1e6 for micros in verdict.overtaken]),
        "unseen": round(testbed.unseen, 2),
        "overlap": not settle,
        "silence": _silences(testbed, loaded),
        "settled": _settles(testbed),
        "exits": dict(testbed.exits),
        "late": dict(testbed.late),
        "counters": "equal" if metrics is not None else "not compared",
        "violations": verdict.violations,
        "evidence": evidence(testbed) if verdict.violations else "",
    }


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or os.environ.get("COMMIT", "")


def _settles(testbed: Testbed) -> dict[str, list[float]]:
    """Return, per fault, the seconds from each injection's end until the workers had caught up."""
    found: dict[str, list[float]] = {}
    for injection in testbed.injections:
        if injection.settled is not None:
            found.setdefault(injection.fault, []).append(round(injection.settled, 2))
    return found


def _silences(testbed: Testbed, loaded: float) -> dict[str, list[float]]:
    """Return, per fault and injection, the longest silence of the partitions it hit and of the others, in seconds."""
    found: dict[str, list[float]] = {}
    ends = [i.began for i in testbed.injections[1:]] + [loaded] * bool(testbed.injections)
    everything = frozenset(range(testbed.config.partitions))
    for injection, end in zip(testbed.injections, ends, strict=True):
        until = max(injection.ended + 1, min(end, injection.ended + LONGEST_SILENCE))
        for name, numbers in (
            (injection.fault, injection.hit),
            (f"{injection.fault}, kept", everything - injection.hit),
        ):
            silences = [testbed.monitor.silence(number, injection.began, until) for number in numbers]
            if silences:
                found.setdefault(name, []).append(round(max(silences), 2))
    return found
