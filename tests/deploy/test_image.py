"""The image, built without a Docker engine: the steps of the Dockerfile run in a clean folder.

COMPILE=1 in the environment also compiles the hot path. Not tested: the base image and a read-only root file system.
Instead the tests check that commands and workers write nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.devstack.process import choose_port
from testkit.pipe import Pipe
from tests.support.gateway import apps_file

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
SMOKE = ROOT / "helm" / "conference-pipeline" / "files" / "smoke.sh"


class Step(NamedTuple):
    """One instruction of a Dockerfile; `stage` counts from 1."""

    stage: int
    word: str
    rest: str


def steps() -> list[Step]:
    """Return the instructions, with continued lines joined and without comments."""
    lines = re.sub(r"^\s*#.*\n", "", TEXT, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found: list[Step] = []
    for line in filter(None, map(str.strip, lines)):
        word, rest = line.split(maxsplit=1)
        stage = (found[-1].stage if found else 0) + (word == "FROM")
        found.append(Step(stage, word, rest.strip()))
    return found


def last(word: str) -> list[str]:
    """Return the arguments of the final stage's `word` instructions."""
    return [step.rest for step in steps() if step.stage == 2 and step.word == word]


class Image(NamedTuple):
    """A folder in place of the image's root, and one in place of /tmp."""

    root: Path
    tmp: Path

    @property
    def python(self) -> Path:
        return self.root / "opt" / "venv" / "bin" / "python"

    def env(self, more: dict[str, str]) -> dict[str, str]:
        """Return the image's environment with `more`, without variables of the test process."""
        own = {"PATH": f"{self.python.parent}:{os.environ['PATH']}", "HOME": str(self.tmp)}
        return {
            **own,
            "TMPDIR": str(self.tmp),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def files(self) -> dict[str, int]:
        """Return every file outside /tmp with its modification time."""
        return {str(path): path.lstat().st_mtime_ns for path in self.root.rglob("*")}


def context(into: Path) -> None:
    """Copy the build context. .dockerignore excludes everything and lists exceptions, so new files stay out."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    for rule in rules[1:]:
        if rule.startswith("!"):
            (target := into / rule[1:]).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / rule[1:]).is_dir() else shutil.copy
            copy(ROOT / rule[1:], target)
        else:
            for path in list(into.glob(rule)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def replay(folder: Path) -> Image:
    """Run the Dockerfile's steps in `folder`, with a new virtual environment as the base image's Python."""
    image, sent, base = Image(folder / "root", folder / "tmp"), folder / "context", folder / "base"
    context(sent)
    image.tmp.mkdir()
    if subprocess.run([sys.executable, "-m", "venv", base], capture_output=True, check=False).returncode:
        subprocess.run(["uv", "venv", "--quiet", "--seed", "--python", sys.executable, base], check=True)
    env = {
        "PATH": f"{base / 'bin'}:{os.environ['PATH']}",
        "HOME": str(image.tmp),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "REQUIREMENTS": "web",
        "COMPILE": os.environ.get("COMPILE", "0"),  # takes a minute and a C compiler
    }
    kept = {
        key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_")) or "proxy" in key.lower()
    }
    here = image.root
    for step in steps():
        match step.word:
            case "WORKDIR" if step.stage == 1:
                here = Path(f"{image.root}{step.rest}")
                here.mkdir(parents=True)
            case "COPY" if not step.rest.startswith("--from"):
                *sources, target = shlex.split(step.rest)
                for source in sources:
                    to = here / target
                    if (sent / source).is_dir():
                        shutil.copytree(sent / source, to)
                    else:
                        to.mkdir(parents=True, exist_ok=True)
                        shutil.copy(sent / source, to)
            case "RUN":
                command = re.sub(r"(?<=\s)/(opt|dist|src)\b", rf"{image.root}/\1", step.rest)
                tools = {} if "--python" in command else {"PIP_NO_COMPILE": "1"}  # of the build: used once
                done = subprocess.run(
                    ["sh", "-ec", command],
                    cwd=here,
                    env={**kept, **env, **tools},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"RUN {step.rest}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    for built in ("src", "dist"):  # the last stage copies only /opt/venv from the first
        shutil.rmtree(image.root / built)
    assert not (base / "bin" / "pip").exists()
    return image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return replay(tmp_path_factory.mktemp("image"))


def test_final_stage_has_the_expected_instructions() -> None:
    assert last("FROM") == ["python:${PYTHON}-slim-bookworm"]
    assert last("COPY") == ["--from=build /opt/venv /opt/venv"]
    assert last("USER") == ["10001:10001"]
    assert last("STOPSIGNAL") == ["SIGTERM"]
    assert last("ENTRYPOINT") == ['["conference-pipeline"]']
    assert last("CMD") == ['["worker"]']
    assert last("EXPOSE") == ["8000 8080"]
    (labels,) = last("LABEL")
    found = {label.partition("=")[0] for label in shlex.split(labels)}
    names = ("title", "description", "version", "revision", "licenses", "base.name")
    assert found == {f"org.opencontainers.image.{name}" for name in names}


def test_image_has_only_pinned_packages_and_no_build_tools(image: Image) -> None:
    code = "import importlib.metadata as m; print(*sorted(d.metadata['Name'] + '==' + d.version for d in m.distributions()))"
    done = subprocess.run([image.python, "-c", code], env=image.env({}), capture_output=True, text=True, check=True)
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in done.stdout.split()}
    lock = (ROOT / "requirements" / "web.txt").read_text()
    pinned = {re.sub(r"\[.*\]", "", pin) for pin in re.findall(r"^(\S+==\S+)", lock, re.MULTILINE)}
    ours = {name for name in installed if name.startswith("conference-pipeline==")}
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
    assert len(ours) == 1
    assert installed - ours <= names
    assert not {name.partition("==")[0] for name in installed} & {
        "pip",
        "setuptools",
        "wheel",
        "hatchling",
        "pytest",
    }


def test_commands_run_and_write_no_files(image: Image) -> None:
    before = image.files()
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    done = run(image, "--version")
    assert version is not None
    assert (done.returncode, done.stdout.strip()) == (0, version[1])
    assert last("ARG")[0] == f"VERSION={version[1]}"
    wrong = run(image, "worker", KAFKA_BOOTSTRAP_SERVERS="no-port", SCHEMA_REGISTRY_URL="http://x")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    nothing = run(image, "worker")
    assert nothing.returncode == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in nothing.stderr
    assert "Traceback" not in nothing.stderr
    assert image.files() == before


def run(image: Image, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point with these arguments."""
    command = [image.python.parent / "conference-pipeline", *arguments]
    return subprocess.run(command, cwd=image.tmp, env=image.env(env), capture_output=True, text=True, check=False)


@contextlib.contextmanager
def running(image: Image, name: str, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a long-running command of the image and yield it when it is ready."""
    command = [image.python.parent / "conference-pipeline", name]
    with subprocess.Popen(command, cwd=image.tmp, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + 60
            while not ready(int(env["PIPELINE_HTTP_PORT"])):
                assert process.poll() is None
                assert time.monotonic() < limit, "not ready after 60 s"
                time.sleep(0.2)
            yield process
        finally:
            process.kill()


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.broker
async def test_worker_passes_the_smoke_test_and_writes_no_files(image: Image, pipe: Pipe) -> None:
    settings = {key: value for key, value in pipe.env.items() if key.startswith(("KAFKA_", "SCHEMA_", "PIPELINE_"))}
    env = image.env({**settings, "PIPELINE_HTTP_PORT": str(choose_port(None, (), "port")), "TIMEOUT_SECONDS": "60"})
    await asyncio.to_thread(serve, image, env)


def serve(image: Image, env: dict[str, str]) -> None:
    before, temporary = image.files(), list(image.tmp.iterdir())
    with running(image, "worker", env) as process:
        done = smoke(env)
        assert done.returncode == 0, done.stderr
        assert '"event":"conference.member.joined"' in done.stdout
        assert done.stdout.endswith("the event arrived: Kafka, the registry and a worker work\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert image.files() == before
    assert list(image.tmp.iterdir()) == temporary


@pytest.mark.broker
async def test_gateway_starts_and_writes_no_files(image: Image, pipe: Pipe, tmp_path: Path) -> None:
    ports = [str(choose_port(None, (), "port")) for _ in range(2)]
    settings = {key: value for key, value in pipe.env.items() if key.startswith(("KAFKA_", "SCHEMA_", "PIPELINE_"))}
    own = {"GATEWAY_APPS_FILE": str(apps_file(tmp_path)), "GATEWAY_HTTP_PORT": ports[0], "PIPELINE_HTTP_PORT": ports[1]}
    before = image.files()

    def serve() -> bytes:
        with running(image, "gateway", image.env({**settings, **own})) as process:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/openapi.json", timeout=5) as answer:
                found: bytes = answer.read()
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        return found

    assert b'"/api/v1/conferences"' in await asyncio.to_thread(serve)
    assert image.files() == before


def smoke(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script of `helm test`."""
    command = ["sh", "-euc", SMOKE.read_text()]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


async def test_smoke_test_fails_without_a_worker(image: Image, pipe: Pipe) -> None:
    settings = {key: value for key, value in pipe.env.items() if key.startswith(("KAFKA_", "SCHEMA_", "PIPELINE_"))}
    done = await asyncio.to_thread(smoke, image.env({**settings, "TIMEOUT_SECONDS": "5"}))
    assert done.returncode == 1
    assert done.stderr.endswith("no event arrived: check that workers are ready (/readyz), and their logs\n")


def test_smoke_test_fails_without_servers(image: Image) -> None:
    env = image.env({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"})
    done = smoke(env)
    assert done.returncode != 0
    assert "error: " in done.stderr
