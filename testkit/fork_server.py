"""A fork server: one process that has imported everything and forks one process per command, such as a worker.

Imports cost a command one or two seconds of CPU, twice that under coverage. The tests run hundreds of commands and
workers, a soak thousands. A forked process inherits the imports only: settings, event loops and threads are created
after the fork. Variables of Python itself (PYTHON…) have no effect in it.

    done = run("doctor", "--json", env=pipe.env)    # like subprocess.run: done.returncode, done.stdout, done.stderr
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO

import pipeline

ROOT = Path(__file__).parent.parent


class ForkServer:
    """The parent process of the commands."""

    def __init__(self, patch: str = "", *, measured: bool = True) -> None:
        """Start it. `patch` ("module:function") is called once, before the first fork, to seed a bug.

        `measured`: whether the coverage of its processes is measured, which doubles the processor time of a worker.
        """
        env = {name: value for name, value in os.environ.items() if measured or not name.startswith("COVERAGE_")}
        self._socket, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            sys.executable,
            "-m",
            "testkit.fork_server",
            str(remote.fileno()),
            *([patch] if patch else []),
        ]
        with remote:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=env, pass_fds=[remote.fileno()], start_new_session=True
            )
        self._lock = threading.Lock()

    def spawn(self, env: dict[str, str], options: tuple[str, ...] = (), command: str = "worker") -> Forked:
        """Fork a worker, or another command that runs until it is stopped, with this environment and these options."""
        err, worker_err = os.pipe()
        with open(os.devnull, "r+b") as null:
            made = self._fork(env, (command, *options), null.fileno(), null.fileno(), worker_err)
        os.close(worker_err)
        made.stderr = os.fdopen(err, "r", encoding="utf-8", errors="replace")
        return made

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, in the folder of the repository. Raises subprocess.TimeoutExpired."""
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            made = self._fork(
                dict(os.environ if env is None else env), arguments, *(f.fileno() for f in (given, out, err))
            )
            try:
                code = made.wait(seconds)
            except subprocess.TimeoutExpired:
                made.kill()
                raise
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def _fork(self, env: dict[str, str], arguments: Sequence[str], *files: int) -> Forked:
        """Fork a command with these files as standard input, output and error."""
        status, forked_status = os.pipe()
        with self._lock:
            socket.send_fds(self._socket, [json.dumps([env, arguments]).encode()], [*files, forked_status])
        os.close(forked_status)
        return Forked(status)

    def stop(self) -> None:
        """Stop the fork server; running commands are not affected."""
        self._socket.close()
        self._process.wait(10)


@functools.cache
def shared() -> ForkServer:
    """Return this process's fork server for workers without a seeded bug."""
    server = ForkServer()
    atexit.register(server.stop)
    return server


def run(
    *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run a command of `conference-pipeline` to its end. Raises subprocess.TimeoutExpired."""
    return shared().run(*arguments, env=env, stdin=stdin, seconds=seconds)


class Forked:
    """A forked process with the interface of `subprocess.Popen`."""

    stderr: TextIO | None = None

    def __init__(self, status: int) -> None:
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
            raise subprocess.TimeoutExpired("conference-pipeline", timeout or 0)
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
        message, handles, _, _ = socket.recv_fds(channel, 1 << 20, 4)
        if not message:
            return
        if os.fork() == 0:
            env, arguments = json.loads(message)
            _supervise(env, arguments, handles[:3], handles[3])
        for handle in handles:
            os.close(handle)


def _supervise(env: dict[str, str], arguments: list[str], files: list[int], status: int) -> None:
    """Fork the command and write its pid, then its exit code, to `status`."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    forked = os.fork()
    if forked == 0:
        os.close(status)
        _work(env, arguments, files)
    for file in files:
        os.close(file)
    os.write(status, f"{forked}\n".encode())
    _, ended = os.waitpid(forked, 0)
    with contextlib.suppress(BrokenPipeError):  # the reader has ended first
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _work(env: dict[str, str], arguments: list[str], files: list[int]) -> None:
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[:] = ["conference-pipeline", *arguments]
    _shift_clock(float(env.get("WRONG_BY_SECONDS", "0")))
    from pipeline.cli import main

    code: Any = 1  # also after an error that is no SystemExit
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
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
    importlib.import_module("uvloop")
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    if sys.argv[2:]:
        _call(sys.argv[2])
    _serve(socket.socket(fileno=int(sys.argv[1])))
