"""`send` without a broker: counting, due times, input files, the progress bar."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from pipeline.cli import progress, send
from pipeline.errors import ConfigError, SignalError
from pipeline.model.codec import MAX_VALUE, decode_line
from pipeline.model.signals import ConferenceDestroy
from pipeline.settings import load


def send_job() -> send.SendJob:
    return send.SendJob(load(), strict=False, avro=False, bulk=False, due=send.at_rate(math.inf))


async def test_refused_signals_are_reported_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    job = send_job()
    futures: list[asyncio.Future[Any]] = [asyncio.Future() for _ in range(4)]
    for number, (future, topic) in enumerate(zip(futures, ("api", "media", "api", "api"), strict=True), 1):
        future.add_done_callback(partial(job._count, topic, number))
    futures[0].set_result(None)
    futures[1].set_exception(MessageSizeTooLargeError("it has 2 MB"))
    futures[2].cancel()
    futures[3].set_exception(OSError())
    await asyncio.sleep(0)
    assert capsys.readouterr().err.splitlines() == [
        "line 2: Kafka refused it: [Error 10] MessageSizeTooLargeError: it has 2 MB",
        "line 4: Kafka refused it: OSError",
    ]
    assert job.summary() == "sent 1 (api 1, media 0), skipped 0, refused 2"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b" \t\r", "the line is blank"),
        (b"[1]", "expected a JSON object"),
        (b"{" * (MAX_VALUE + 1), f"the line has {MAX_VALUE + 1} bytes, more than {MAX_VALUE}"),
    ],
)
def test_invalid_line_raises_signal_error(line: bytes, error: str) -> None:
    with pytest.raises(SignalError) as caught:
        decode_line(line)
    assert str(caught.value) == error


def test_unreadable_input_raises_config_error(tmp_path: Path) -> None:
    for path, error in ((tmp_path, "it is a directory"), (tmp_path / "none", "No such file or directory")):
        with contextlib.ExitStack() as files, pytest.raises(ConfigError) as caught:
            send.open_input(str(path), files)
        assert str(caught.value) == f"{path}: {error}"
    (tmp_path / "file").write_bytes(b"four")
    with contextlib.ExitStack() as files:
        handle, size = send.open_input(str(tmp_path / "file"), files)
        assert (os.read(handle, 9), size) == (b"four", 4)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_due_times_follow_the_rate_or_the_signals() -> None:
    signals = [ConferenceDestroy(f"s-{n}", "room", second * 1_000_000) for n, second in enumerate((5, 6, 9))]

    def times(due: send.Due) -> list[float]:
        return [due(signal, before) for before, signal in enumerate(signals)]

    assert times(send.at_rate(math.inf)) == [0, 0, 0]
    assert times(send.at_rate(4)) == [0, 0.25, 0.5]
    assert times(send.at_pace(2)) == [0, 0.5, 2]


async def test_read_error_ends_the_lines_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert [line async for line in send.read_lines(handle)] == []
    finally:
        os.close(handle)
    assert capsys.readouterr().err == "error: reading: Is a directory\n"


async def test_chunk_after_cancellation_is_dropped() -> None:
    wrong: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    reader, writer = os.pipe()
    try:
        reading = asyncio.create_task(send.read_chunk(reader))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        os.write(writer, b"late\n")
        await asyncio.sleep(0.1)
        os.write(writer, b"next")
        assert await send.read_chunk(reader) == b"next"
    finally:
        os.close(reader)
        os.close(writer)
    assert wrong == []


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_progress_bar_appears_after_one_second(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    leader, follower = os.openpty()
    try:
        with open(follower, "w", buffering=1) as terminal:
            monkeypatch.setattr("sys.stderr", terminal)
            with progress.progress("sending", 100) as show:
                show(25, "too soon")
                now[0] += seconds
                show(25, "sent 2")
                now[0] += 0.01
                show(25, "too soon again")
            monkeypatch.undo()
            print(".", file=terminal)
            shown = ""
            while not shown.endswith(".\r\n"):
                shown += os.read(leader, 65536).decode()
    finally:
        os.close(leader)
    assert "too soon" not in shown
    assert ("sent 2" in shown) is ("sending" in shown) is (seconds > progress.AFTER)
