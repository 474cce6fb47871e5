"""A short run of `make fuzz`, and tests that the fuzzer reports each kind of failure."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import SignalError
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS
from pipeline.settings import Settings
from testkit.pipe import Pipe
from testkit.servers import Servers
from tests.fuzz import live, seeds
from tests.fuzz.batches import MOST_STORED, BatchMutator
from tests.fuzz.mutate import MIB, Mutator
from tests.fuzz.run import FoundError, Runner
from tests.fuzz.targets import Target, targets

ROOT = Path(__file__).parent.parent.parent
NAMES = [target.name for target in targets()]


def test_mutants_give_values_or_signal_errors(tmp_path: Path) -> None:
    runner = Runner(targets(), 1, tmp_path)
    runner.mutate(3000 * len(NAMES), seconds=300)
    assert runner.mutated == 3000 * len(NAMES)
    assert {tally.inputs for tally in runner.tallies.values()} == {3000}
    for name, tally in runner.tallies.items():
        assert tally.inputs == tally.ok + tally.dead.total()
        if name != "engine events, any form":  # its reader returns the errors beside the signals
            assert len(tally.dead) >= 4, f"{name}: the mutants fail in too few ways"
        assert tally.ok > 0


def test_hypothesis_inputs_give_values_or_signal_errors(tmp_path: Path) -> None:
    runner = Runner(targets(), 1, tmp_path)
    runner.draw(1000)
    assert runner.examples >= 1000
    assert all(tally.inputs >= 50 for tally in runner.tallies.values())


@pytest.mark.broker
async def test_good_signals_do_not_wait_for_broken_batches(servers: Servers, tmp_path: Path) -> None:
    pipe = Pipe(servers, live.PARTITIONS)
    await pipe.set_up()
    # Another test makes this broker accept transactional batches from anybody.
    run = live.Live(pipe, await live.signals_of(pipe), 1, tmp_path, transactional=False)
    await asyncio.to_thread(run.run, 640)
    assert (run.batches, run.rounds) == (640, 10)
    assert 100 < run.stored < 500
    assert run.dead > 50
    assert set(run.answers) >= {"whole", "header", "record", "records", "compressed", "frames", "kept"}
    assert run.answers["whole"].keys() == {0}
    assert len(run.waits) == 4 * 11
    assert run.result()["stored"] == run.stored
    await pipe.remove_topics()


def test_a_worker_that_ends_is_reported_with_the_batches(tmp_path: Path, settings: Settings) -> None:
    pipe: Any = SimpleNamespace(settings=settings, partition=lambda room: hash(room) % settings.partitions)
    run = live.Live(pipe, [(b"k", b"{}")], 5, tmp_path / "found")
    sent = [("api.signals", 3, b"\0batch"), ("media.signals", 0, b"")]
    found = run._broken(sent, "the worker ended with 1")
    assert re.match(
        r"record batch, worker, seed 5, batch 0: the worker ended with 1; .*/record-batches\.5\.0$", str(found)
    )
    assert live.saved(tmp_path / "found" / "record-batches.5.0") == sent


def test_the_share_of_a_busy_processor_shortens_a_wait() -> None:
    before = live.scheduled(os.getpid())
    sum(range(10**6))
    assert 0 < live.share_of(os.getpid(), before) <= 1
    assert live.share_of(0, (0, 0)) == 1.0


@pytest.mark.parametrize("seed", ["a", "b"])
def test_broken_batches_are_the_same_for_the_same_seed(seed: str) -> None:
    made = [
        [mutator.mutant() for _ in range(300)]
        for mutator in (BatchMutator([(b"k", b"{}"), (b"r", b"v" * 99)], Random(seed), bombs=10**9) for _ in range(2))
    ]
    assert made[0] == made[1]
    assert max(map(len, made[0])) <= MOST_STORED


@pytest.mark.parametrize("target", targets(), ids=NAMES)
def test_seeds_are_valid(target: Target) -> None:
    valid = 0
    for value in target.seeds:
        try:
            target.check(target.read(value))
            valid += 1
        except SignalError:
            if target.name != "writer's schema":  # its one value fits one schema only
                raise
    assert valid > 0


def test_seeds_cover_all_records() -> None:
    lines = [json.loads(line)["type"] for line in seeds.json_lines()]
    assert set(lines) == {signal.TYPE for signal in SIGNALS}
    assert (len(seeds.SIGNAL_RECORDS), len(seeds.EVENT_RECORDS), len(seeds.ROWS)) == (
        len(SIGNALS),
        len(EVENTS),
        4,
    )
    assert {value[4] for value in seeds.wire(seeds.SIGNAL_RECORDS)} == set(range(1, len(SIGNALS) + 1))
    assert {value[4] for value in seeds.foreign(seeds.SIGNAL_RECORDS)} == set(range(1, len(SIGNALS) + 1))
    assert len(seeds.engine_lines()) > 50


@pytest.mark.parametrize("text", [True, False])
def test_same_random_seed_gives_same_mutants(text: bool) -> None:
    found = [
        [mutator.mutant() for _ in range(800)]
        for mutator in (Mutator(seeds.json_lines(), Random(seed), text) for seed in ("a", "a", "b"))
    ]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) > 700
    assert MIB / 4 < max(map(len, found[0])) <= MIB + 1


# --- failures are reported ---


def target(read: Any, **more: Any) -> Target:
    return Target("a target", [b"seed"], read, more.pop("check", lambda _: None), **more)


def escapes(value: bytes) -> None:
    raise KeyError(value)


def slow(value: bytes) -> None:
    end = time.thread_time() + 0.015
    while time.thread_time() < end:
        pass


def endless(value: bytes) -> None:
    raise SignalError("x" * 500)


def unprintable(value: bytes) -> None:
    raise SignalError("a\nb")


def differs(value: Any) -> None:
    assert value is None, "it differs"


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (target(escapes), "KeyError escaped: b'in'"),
        (target(slow), "took 15.* ms of CPU"),
        (target(endless), "AssertionError: xxx"),
        (target(unprintable), "AssertionError: 'a.nb'"),
        (target(bytes.upper, check=differs), "AssertionError: it differs"),
    ],
)
def test_failing_input_is_reported_and_saved(bad: Target, text: str, tmp_path: Path) -> None:
    runner = Runner([bad], 5, tmp_path / "found")
    with pytest.raises(
        FoundError, match=rf"^a target, seed 5, input 1: (?s:{text}.*); .*found.a-target\.[0-9a-f]{{12}}$"
    ):
        runner.one(bad, b"in")
    (kept,) = (tmp_path / "found").iterdir()
    assert kept.read_bytes() == b"in"


def test_input_that_is_slow_once_is_not_reported(tmp_path: Path) -> None:
    calls: list[bytes] = []

    def read(value: bytes) -> None:
        calls.append(value)
        if len(calls) == 1:
            slow(value)

    once = target(read)
    runner = Runner([once], 5, tmp_path)
    assert runner.one(once, b"in")
    assert len(calls) == 4
    assert runner.tallies[once.name].slowest < 0.01


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_writes_results_and_rejects_unknown_targets(tmp_path: Path) -> None:
    results, found = tmp_path / "fuzz.jsonl", str(tmp_path / "found")
    small = (
        "--count",
        "1000",
        "--examples",
        "40",
        "--seed",
        "7",
        "--target",
        "signal, Avro",
        "--found",
        found,
    )
    done = run(*small, "--results", str(results))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "1,000 mutants, " in done.stdout
    (first,) = (json.loads(line) for line in results.read_text().splitlines())
    assert (first["mutated"], first["seed"]) == (1000, 7)
    counted = first["targets"]["signal, Avro"]
    assert counted["ok"] + sum(counted["dead"].values()) == counted["inputs"] >= 1040
    assert first["peak_mib_above_start"] < 50
    done = run("--target", "signal, Arvo")
    assert done.returncode == 2
    assert "there are signal, JSON, signal, Avro, " in done.stderr


def test_saved_input_can_be_reproduced(tmp_path: Path) -> None:
    kept = tmp_path / "signal--JSON.0123456789ab"
    kept.write_bytes(seeds.json_lines()[0])
    done = run("--reproduce", str(kept))
    assert done.stdout.startswith("signal, JSON ConferenceCreate(")
