"""A fork server: one process that has imported everything and forks one worker process per request.

Imports cost a worker two seconds of CPU, twice that under coverage. The tests start hundreds of workers, a soak
thousands. A forked worker inherits the imports only: settings, event loops and threads are created after the fork.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


class ForkServer:
    """The parent process of the workers."""

    def __init__(self, patch: str = "") -> None:
        """Start it. `patch` ("module:function") is called once, before the first fork, to seed a bug."""
        self._socket, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            sys.executable,
            "-m",
            "testkit.fork_server",
            str(remote.fileno()),
            *([patch] if patch else []),
        ]
        with remote:
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[remote.fileno()], start_new_session=True)
        self._lock = threading.Lock()

    def spawn(self, env: dict[str, str], options: tuple[str, ...] = ()) -> ForkedWorker:
        """Fork a worker with this environment and these options of the `worker` command."""
        err, worker_err = os.pipe()
        status, worker_status = os.pipe()
        with self._lock:
            socket.send_fds(self._socket, [json.dumps([env, options]).encode()], [worker_err, worker_status])
        os.close(worker_err)
        os.close(worker_status)
        return ForkedWorker(err, status)

    def stop(self) -> None:
        """Stop the fork server; running workers are not affected."""
        self._socket.close()
        self._process.wait(10)


@functools.cache
def shared() -> ForkServer:
    """Return this process's fork server for workers without a seeded bug."""
    server = ForkServer()
    atexit.register(server.stop)
    return server


class ForkedWorker:
    """A worker process with the interface of `subprocess.Popen`."""

    def __init__(self, err: int, status: int) -> None:
        self.stderr = os.fdopen(err, "r", encoding="utf-8", errors="replace")
        self._status = os.fdopen(status, "r")
        self.pid = int(self._status.readline() or -1)
        self._code: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        with self._status as status:
            line = status.readline()
        self._code = int(line) if line else -signal.SIGKILL
        self._ended.set()

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve(channel: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, handles, _, _ = socket.recv_fds(channel, 1 << 20, 2)
        if not message:
            return
        if os.fork() == 0:
            _supervise(*json.loads(message), *handles)
        for handle in handles:
            os.close(handle)


def _supervise(env: dict[str, str], options: list[str], err: int, status: int) -> None:
    """Fork the worker and write its pid, then its exit code, to `status`."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    worker = os.fork()
    if worker == 0:
        os.close(status)
        _work(env, options, err)
    os.close(err)
    os.write(status, f"{worker}\n".encode())
    _, ended = os.waitpid(worker, 0)
    with contextlib.suppress(BrokenPipeError):  # the reader has ended first
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _work(env: dict[str, str], options: list[str], err: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number, handle in enumerate((null, null, err)):
        os.dup2(handle, number)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = ["conference-pipeline", "worker", *options]
    _shift_clock(float(env.get("WRONG_BY_SECONDS", "0")))
    from pipeline.cli import main

    code: Any = 1  # also after an error that is no SystemExit
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _shift_clock(seconds: float) -> None:
    real, real_ns = time.time, time.time_ns
    if seconds:
        time.time = lambda: real() + seconds
        time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def _call(patch: str) -> None:
    module, _, function = patch.partition(":")
    getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    for imported in ("pipeline.cli.worker", "pipeline.worker.process", "uvloop"):
        importlib.import_module(imported)
    if sys.argv[2:]:
        _call(sys.argv[2])
    _serve(socket.socket(fileno=int(sys.argv[1])))
