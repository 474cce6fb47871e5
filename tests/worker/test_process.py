"""The life of a worker's process without servers: exit codes, crashes of Faust, waiting."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError, PipelineError
from pipeline.settings import Settings
from pipeline.worker import process, startup
from testkit.pipe import ROOT


def test_each_error_has_its_exit_code() -> None:
    errors: list[PipelineError] = [FatalError(), ConfigError(), DeniedError(), FencedError(), LossError()]
    assert [process.exit_code(error) for error in errors] == [1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (FencedError("taken"), FencedError, "taken"),
        (Errors.OffsetOutOfRangeError({TopicPartition("t", 3): 7}), LossError, "deleted unread"),
        (RuntimeError("boom"), FatalError, "Faust crashed: RuntimeError('boom')"),
        (Errors.GroupAuthorizationFailedError("g"), DeniedError, "not authorized: "),
    ],
)
async def test_a_crash_of_faust_raises_its_cause(
    settings: Settings, reason: Exception, kind: type[FatalError], text: str
) -> None:
    class App:
        _crashed = asyncio.Event()
        crash_reason = reason

    App._crashed.set()
    with pytest.raises(kind, match=re.escape(text)) as raised:
        await process._raise_crash(App, settings)
    assert type(raised.value) is kind


async def test_only_errors_that_pass_are_retried(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [
        Errors.KafkaConnectionError("not yet"),
        Errors.CoordinatorNotAvailableError(),
        OSError("nor now"),
        "here",
    ]
    monkeypatch.setattr(startup, "RETRY_SECONDS", 0)

    async def call() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await startup.retried(call, "Kafka", settings) == "here"
    answers = [Errors.ClusterAuthorizationFailedError()]
    with pytest.raises(ConfigError, match="not authorized"):
        await startup.retried(call, "Kafka", settings)


WORKER = """
import asyncio, sys
from pipeline import logs, settings
from pipeline.worker import process

class Worker(process.Worker):
    async def _work(self, stop):
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        print("at work", file=sys.stderr, flush=True)
        {fault}

process.Worker = Worker
found = settings.load(bootstrap_servers="127.0.0.1:1", registry_url="http://127.0.0.1:1", http_port=0, log_format="json")
logs.configure(found)
process.main(found)
"""
FAULTS = {
    "returns": "return",
    "is cancelled": "raise asyncio.CancelledError",
    "cancels itself": "me.cancel(); await asyncio.sleep(9)",
    "cancels the main task": "[task.cancel() for task in asyncio.all_tasks()]; await asyncio.sleep(9)",
    "exits": "sys.exit(0)",
    "exits in a task": "asyncio.create_task(asyncio.to_thread(print)).add_done_callback(sys.exit); await asyncio.sleep(9)",
    "exits in a callback": "loop.call_soon(sys.exit); await asyncio.sleep(9)",
    "stops the loop": "loop.stop(); await asyncio.sleep(9)",
    "runs out of memory": "raise MemoryError",
    "closes a generator": "raise GeneratorExit",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_but_a_signal_ends_with_0(fault: str) -> None:
    command = [sys.executable, "-c", WORKER.format(fault=FAULTS[fault])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1, done.stderr.decode()
    last = json.loads(done.stderr.splitlines()[-1])
    assert last["msg"].startswith("unexpected: ")
    assert "restart the worker" in last["msg"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("work", ["await stop.wait()", "await asyncio.sleep(99)"])
def test_a_signal_ends_with_0_and_is_logged(number: signal.Signals, work: str) -> None:
    fast = "process.STOP_SECONDS = 0.2"
    command = [sys.executable, "-c", WORKER.format(fault=work).replace("process.Worker =", f"{fast}; process.Worker =")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as started:
        assert started.stderr
        while b"at work" not in started.stderr.readline():
            pass
        started.send_signal(number)
        lines = [json.loads(line) for line in started.stderr]
    assert started.returncode == 0
    assert [(line["msg"], line.get("signal")) for line in lines] == [("stopping", number.name), ("stopped", None)]


def test_a_stop_that_hangs_ends_with_0_and_a_warning() -> None:
    work = "await stop.wait(); import time; time.sleep(99)"
    fast = "process.STOP_SECONDS = process.LINGER_SECONDS = 0.1"
    command = [sys.executable, "-c", WORKER.format(fault=work).replace("process.Worker =", f"{fast}; process.Worker =")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as started:
        assert started.stderr
        while b"at work" not in started.stderr.readline():
            pass
        started.terminate()
        lines = [json.loads(line)["msg"] for line in started.stderr]
    assert started.returncode == 0
    assert lines == ["stopping", "stopped before everything was closed"]
