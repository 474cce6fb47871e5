"""The fuzzing loop: it counts outcomes, measures CPU time and memory, and saves failing inputs.

An input must give a value or a SignalError within 10 ms of CPU. A slow one is parsed three more times and the minimum
counts, since the machine may be busy. Memory is the process's peak above its start.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from pipeline.errors import SignalError
from tests.fuzz import strategies
from tests.fuzz.targets import Target, label
from tests.support.untraced import untraced

BATCH = 500
CHECKED = 1 << 12
"""Maximum size, in bytes, of the values that are also encoded and parsed again."""


class FoundError(Exception):
    """An input failed; the text describes the failure and names the saved input."""


@dataclass
class Tally:
    """The outcomes of one target's inputs."""

    inputs: int = 0
    ok: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    size: int = 0
    """Bytes of the slowest input."""
    above: float = 0.0
    """Memory peak above the start of the run, in MiB."""


class Runner:
    """Feeds inputs to targets and counts outcomes. Raises FoundError at the first failing input."""

    def __init__(self, targets: list[Target], seed: int, found: Path) -> None:
        self.targets, self.seed, self._found = targets, seed, found
        self.tallies = {target.name: Tally() for target in targets}
        self.mutated = self.examples = 0
        self.began = time.monotonic()
        strategies.warm_up()
        forget_peak()
        self._start = current_memory()

    @property
    def above_start(self) -> float:
        """Memory peak above the start, in MiB."""
        return max(tally.above for tally in self.tallies.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def one(self, target: Target, value: bytes) -> bool:
        """Feed one input; return whether it gave a value."""
        tally = self.tallies[target.name]
        tally.inputs += 1
        took, result, error = self._read(target, value)
        if took > tally.slowest:
            if took > target.cpu_limit / 4:  # the machine may be busy
                took = min(took, *(self._read(target, value)[0] for _ in range(3)))
            if took > target.cpu_limit:
                raise self._broken(target, value, f"took {took * 1000:.1f} ms of CPU")
            if took > tally.slowest:
                tally.slowest, tally.size = took, len(value)
        try:
            if error is not None:
                tally.dead[label(error)] += 1
                if len(value) <= CHECKED:
                    target.refused(value, error)
                return False
            tally.ok += 1
            if len(value) <= CHECKED:
                target.check(result)
        except Exception as wrong:
            raise self._broken(target, value, f"{type(wrong).__name__}: {wrong}") from wrong
        return True

    def _read(self, target: Target, value: bytes) -> tuple[float, Any, SignalError | None]:
        result = error = None
        with untraced():
            began = time.thread_time()
            try:
                result = target.read(value)
            except SignalError as caught:
                error = caught
            except Exception as escaped:
                raise self._broken(target, value, f"{type(escaped).__name__} escaped: {escaped}") from escaped
            took = time.thread_time() - began
        return took, result, error

    def _broken(self, target: Target, value: bytes, what: str) -> FoundError:
        self._found.mkdir(parents=True, exist_ok=True)
        name = "".join(char if char.isalnum() else "-" for char in target.name)
        path = self._found / f"{name}.{hashlib.sha256(value).hexdigest()[:12]}"
        path.write_bytes(value)
        return FoundError(
            f"{target.name}, seed {self.seed}, input {self.tallies[target.name].inputs}: {what[:300]}; {path}"
        )

    def mutate(self, count: int, seconds: float, progress: Callable[[int], None] = lambda _: None) -> None:
        """Feed `count` mutants, the same number to each target, or as many as fit into `seconds`."""
        turns = [(target, target.mutator(Random(f"{self.seed}/{target.name}"))) for target in self.targets]
        while self.mutated < count and self.elapsed < seconds:
            for target, mutator in turns:
                batch = min(BATCH, count - self.mutated)
                with self._peak_of(target):
                    for _ in range(batch):
                        value = mutator.mutant()
                        if self.one(target, value):
                            mutator.keep(value)
                self.mutated += batch
            progress(self.mutated)

    def draw(self, count: int, progress: Callable[[int], None] = lambda _: None) -> None:
        """Feed `count` inputs drawn by Hypothesis, the same number to each target."""

        def one(target: Target, value: bytes) -> None:
            self.one(target, value)
            self.examples += 1
            if self.examples % BATCH == 0:
                progress(self.examples)

        for number, target in enumerate(self.targets):
            share = (count * (number + 1)) // len(self.targets) - (count * number) // len(self.targets)
            with self._peak_of(target):
                strategies.draw(target, share, self.seed, one)

    @contextlib.contextmanager
    def _peak_of(self, target: Target) -> Iterator[None]:
        """Note the memory peak of the block as the target's."""
        forget_peak()
        yield
        tally = self.tallies[target.name]
        tally.above = max(tally.above, (peak_memory() - self._start) / (1 << 20))

    def too_large(self) -> list[str]:
        """Return a line per target whose memory peak is beyond its limit."""
        return [
            f"{target.name}: a memory peak of {self.tallies[target.name].above:.0f} MiB above the start, more than "
            f"{target.most_memory:.0f}"
            for target in self.targets
            if self.tallies[target.name].above > target.most_memory
        ]

    def result(self) -> dict[str, Any]:
        """Return the run's result as a JSON object."""
        slowest = max(self.tallies, key=lambda name: self.tallies[name].slowest)
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seed": self.seed,
            "python": platform.python_version(),
            "mutated": self.mutated,
            "hypothesis": self.examples,
            "seconds": round(self.elapsed),
            "slowest_ms": round(self.tallies[slowest].slowest * 1000, 2),
            "slowest_target": slowest,
            "slowest_bytes": self.tallies[slowest].size,
            "peak_mib_above_start": round(self.above_start, 1),
            "targets": {
                name: {
                    "inputs": tally.inputs,
                    "ok": tally.ok,
                    "slowest_ms": round(tally.slowest * 1000, 2),
                    "peak_mib_above_start": round(tally.above, 1),
                    "dead": dict(tally.dead.most_common()),
                }
                for name, tally in self.tallies.items()
            },
        }


def peak_memory() -> int:
    """Return the process's peak memory in bytes."""
    found = _status("VmHWM")  # ru_maxrss includes the parent's memory before the exec
    if found is None:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return found


def forget_peak() -> None:
    """Reset the peak to the current memory (Linux only)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def current_memory() -> int:
    """Return the process's current memory in bytes; without /proc, its peak."""
    found = _status("VmRSS")
    return peak_memory() if found is None else found


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)
