"""`demo --engine janus` without Janus, and options that have no effect on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.demo import janus_process
from pipeline.errors import ConfigError
from testkit.pipe import ROOT
from tests.support.demo import DEMO

JANUS = [*DEMO, "--engine", "janus"]


def test_a_missing_janus_is_one_line_that_names_the_package(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": str(tmp_path), "HOME": str(tmp_path), "CONFERENCE_PIPELINE_CACHE": str(tmp_path)}
    done = subprocess.run(JANUS, cwd=ROOT, env=env, capture_output=True, check=False, timeout=60, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Janus is not installed (no program janus")
    assert done.stderr.endswith("): on Debian, apt-get install janus\n")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_each_missing_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "janus").touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(janus_process, "LIBRARIES", str(tmp_path))
    for name in ("plugins/libjanus_audiobridge.so", "transports/libjanus_websockets.so", "events/libjanus_wsevh.so"):
        with pytest.raises(ConfigError, match=f"no {tmp_path}/{name}.*: on Debian, apt-get install janus"):
            janus_process.installed()
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert [path.name for path in janus_process.installed()] == [
        "libjanus_audiobridge.so",
        "libjanus_websockets.so",
        "libjanus_wsevh.so",
    ]
    with pytest.raises(ConfigError, match=f"no {tmp_path}/events/libjanus_sampleevh.so"):
        janus_process.installed("http")


@pytest.mark.parametrize("options", [["--speed", "2"], ["--save", "x"]])
def test_options_without_effect_are_refused(options: list[str]) -> None:
    done = subprocess.run([*JANUS, *options], cwd=ROOT, capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == 2
    assert f"{options[0]} has no effect with --engine: leave one out" in done.stderr
