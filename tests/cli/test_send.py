"""`send` from within: what can't be had from a broker that works, a file that is none, the bar."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from pipeline.cli import send
from pipeline.errors import ConfigError, SignalError
from pipeline.model.codec import MAX_VALUE, decode_line
from pipeline.settings import load


def sending() -> send.Sending:
    return send.Sending(load(), strict=False, avro=False, bulk=False, due=send._pace(None, None))


async def test_what_the_broker_refuses_is_named_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    job = sending()
    futures: list[asyncio.Future[Any]] = [asyncio.Future() for _ in range(4)]
    for number, (future, topic) in enumerate(zip(futures, ("api", "media", "api", "api"), strict=True), 1):
        future.add_done_callback(job._counter(topic, number))
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
    ("line", "told"),
    [
        (b" \t\r", "the line is blank"),
        (b"[1]", "expected a JSON object"),
        (b"{" * (MAX_VALUE + 1), f"the line has {MAX_VALUE + 1} bytes, more than {MAX_VALUE}"),
    ],
)
def test_lines_that_are_no_signals(line: bytes, told: str) -> None:
    with pytest.raises(SignalError) as caught:
        decode_line(line)
    assert str(caught.value) == told


def test_files_that_are_none(tmp_path: Path) -> None:
    for path, told in ((tmp_path, "it is a directory"), (tmp_path / "none", "No such file or directory")):
        with contextlib.ExitStack() as files, pytest.raises(ConfigError) as caught:
            send._open(str(path), files)
        assert str(caught.value) == f"{path}: {told}"
    (tmp_path / "file").write_bytes(b"four")
    with contextlib.ExitStack() as files:
        handle, size = send._open(str(tmp_path / "file"), files)
        assert (os.read(handle, 9), size) == (b"four", 4)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


async def test_a_file_that_can_not_be_read_further_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert [line async for line in send._split(handle)] == []
    finally:
        os.close(handle)
    assert capsys.readouterr().err == "error: reading: Is a directory\n"


async def test_what_comes_after_nobody_waits_any_more_is_dropped() -> None:
    wrong: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    reader, writer = os.pipe()
    try:
        reading = asyncio.create_task(send._read(reader))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        os.write(writer, b"late\n")
        await asyncio.sleep(0.1)
        os.write(writer, b"next")
        assert await send._read(reader) == b"next"
    finally:
        os.close(reader)
        os.close(writer)
    assert wrong == []


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_a_bar_is_shown_on_a_terminal_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    now = [100.0]
    monkeypatch.setattr(send, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    leader, follower = os.openpty()
    try:
        with open(follower, "w", buffering=1) as terminal:
            monkeypatch.setattr("sys.stderr", terminal)
            with send._progress(100) as show:
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
    assert ("sent 2" in shown) is ("sending" in shown) is (seconds > send.PROGRESS_AFTER)
