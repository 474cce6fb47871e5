"""pipeline/devstack/{cache,jvm,process}.py, without starting a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pipeline.devstack import cache, jvm, process
from pipeline.errors import ConfigError


def test_cache_without_a_home_is_in_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in (cache.ENV, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache.cache_dir() == Path(tempfile.gettempdir()) / f"conference-pipeline-{os.getuid()}"


def test_unwritable_cache_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(ConfigError) as caught:
        cache.make_dir(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not writable; name a writable folder in {cache.ENV}"


def java_that_fails(folder: Path) -> Path:
    """Return a Java whose `-Xshare:dump` exits with 1."""
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "modules").touch()
    (folder / "bin").mkdir()
    (folder / "bin" / "java").symlink_to("/bin/false")
    return folder / "bin" / "java"


def test_java_without_archives_still_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = java_that_fails(tmp_path / "java")
    monkeypatch.setattr(jvm, "java", lambda: java)
    monkeypatch.setenv(cache.ENV, str(tmp_path / "cache"))
    (classes := tmp_path / "cache" / "classes").mkdir(parents=True)
    old, recent = classes / "kafka-old.jsa", classes / "kafka-recent.jsa"
    for archive, days in ((old, 31), (recent, 29)):
        archive.touch()
        os.utime(archive, (0, time.time() - days * 86400))
    machine = jvm.Jvm(jvm.server_archive("kafka", []), 64, ["-Dx=y"])
    command = jvm.options(machine, tmp_path)
    assert command[:3] == [str(java), "-Xmx64m", "-Dx=y"]
    assert not [one for one in command if "Archive" in one]
    assert sorted(path.name for path in classes.iterdir()) == ["java.lock", "kafka-recent.jsa"]


def test_archive_written_by_a_server_is_kept_and_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = java_that_fails(tmp_path / "java")
    monkeypatch.setattr(jvm, "java", lambda: java)
    monkeypatch.setenv(cache.ENV, str(tmp_path / "cache"))
    archive = jvm.server_archive("kafka", [])
    jvm.keep(tmp_path, str(archive))
    assert not archive.exists(), "there was none to move"
    (tmp_path / "classes.jsa").write_bytes(b"x")
    jvm.keep(tmp_path, str(archive))
    assert archive.read_bytes() == b"x"
    assert jvm.options(jvm.Jvm(archive, 64, []), tmp_path)[1] == f"-XX:SharedArchiveFile={archive}"


def test_port_is_the_given_or_a_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        used = taken.getsockname()[1]
        assert not process.is_free(used)
    assert process.choose_port(used, (), "--x") == used
    for port, taken_ports in ((used, (used,)), (0, ()), (65536, ())):
        with pytest.raises(ConfigError, match=rf"port {port} is in use or not allowed: .* --x"):
            process.choose_port(port, taken_ports, "--x")
    taken_but_one = set(range(*process.PORTS)) - {process.PORTS[0]}
    monkeypatch.setattr(process, "PORTS", (process.PORTS[0], process.PORTS[0] + 200))
    monkeypatch.setattr(process, "is_free", lambda _: True)
    assert process.choose_port(None, taken_but_one, "--x") == process.PORTS[0]
    with pytest.raises(ConfigError, match=r"no free port found between \d+ and \d+: choose one with --x"):
        process.choose_port(None, range(*process.PORTS), "--x")


def test_ended_process_has_no_birth_and_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as done:
        done.wait()
    assert process.birth(done.pid) is None
    assert process.rss(done.pid) is None
    assert process.birth(os.getpid())
    assert (process.rss(os.getpid()) or 0) > 1_000_000


def test_log_tail_omits_stack_trace_locations(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert process.tail(log) == "(no log)"
    log.write_text("\n \n")
    assert process.tail(log) == "(empty log)"
    log.write_text("one\ntwo\n\tat com.x.Y(Z.java:1)\n\t... 3 more\nthree\n")
    assert process.tail(log, 2) == "two | three"
