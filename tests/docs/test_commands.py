"""The commands of the pages work: `sh` blocks are run, and what one machine cannot run has options that exist.

A page's `sh` blocks are one shell script, run in a copy of the repository that is made of links, with a cache folder of
its own, so that `up` and `down` disturb no other stack. `make` only checks its target.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from pipeline.cli import GLOBAL_OPTIONS
from pipeline.devstack.cache import cache_dir
from testkit import fork_server

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))

import commands as reference

import docs

ROOT = Path(__file__).parent.parent.parent
PAGES = [page for page in docs.pages() if "results" not in page.parts] + [ROOT / "docker-compose.yml"]
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {
    "kubectl": "needs a Kubernetes cluster",
    "helm": "needs a Kubernetes cluster",
    "docker": "needs a Docker engine",
    "kafka-acls.sh": "needs a broker with an authorizer, and Kafka's command-line tools, which `up` does not download",
    "sed": "edits the repository: tests/docs/test_add_an_event.py",
    ".venv/bin/pytest": "runs other tests",
    "python": "takes minutes to hours",
}
"""Program → why its blocks are not run. `conference-pipeline`, `make` and examples are."""
PROGRAM = "conference-pipeline"
SCRIPTS = {"examples/consume.py"}
"""Python files that are run."""
OPTIONS = re.compile(r"(?<![\w-])(--?[a-z][\w-]*)")
SECONDS = 240


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the blocks of a page in these languages, without their indentation."""
    found = []
    for indent, language, body in BLOCK.findall(page.read_text()):
        if language in languages:
            found.append(re.sub(rf"^{indent}", "", body, flags=re.MULTILINE))
    return found


def commands(block: str) -> list[list[str]]:
    """Return the commands of a block as words: without prompts, comments, heredocs and the assignments before them."""
    block = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
    found = []
    for line in block.splitlines():
        text = re.sub(r"(^|\s)# .*|^#.*", "", line.removeprefix("$ "))
        text = re.sub(r'^eval "\$\((.*?)\)"', r"\1", text)
        for words in _split(text):
            while words and re.fullmatch(r"\w+=.*", words[0]):
                del words[0]
            if words:
                found.append(words)
            if "--" in words[1:]:  # a command for a container
                found.append(words[words.index("--") + 1 :])
    return found


def _split(text: str) -> Iterator[list[str]]:
    """Return the words of each command of a line with pipes and lists."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def runs(block: str) -> bool:
    """Whether one machine can run a block in a short time."""
    for program, *rest in commands(block):
        if program == "python" and rest[0] in SCRIPTS:
            continue
        if program in NOT_RUN:
            return False
    return True


SCRIPTED = [page for page in PAGES if any(runs(block) and PROGRAM in block for block in blocks(page, "sh"))]


# --- commands that are run ------------------------------------------------------------------------------------

PRELUDE = """
set -e -o pipefail
trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT  # a worker that is not reaped stays in the process group
make() { command make --dry-run "$@" > /dev/null; }  # is there such a target?
"""
SERVERS = """
eval "$(conference-pipeline up)"
conference-pipeline setup > /dev/null
conference-pipeline worker &
"""
"""What a page other than an introduction expects to run already."""
INTRODUCTIONS = {"README.md", "docs/start.md"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the repository. New files are not written to the real one."""
    made = tmp_path / "checkout"
    made.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".venv"):
            (made / entry.name).symlink_to(entry)
    (made / ".venv").symlink_to(sys.prefix)
    return made


@contextmanager
def servers_of_their_own(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of a user whose cache folder has the downloads and nothing else. Ends what `up` started."""
    cache_folder = folder / "cache"
    cache_folder.mkdir()
    for name in ("downloads", "classes"):
        shared = cache_dir() / name
        shared.mkdir(parents=True, exist_ok=True)
        (cache_folder / name).symlink_to(shared)
    ours = ("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_", "COVERAGE_")  # without coverage, commands take half the time
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables["CONFERENCE_PIPELINE_CACHE"] = str(cache_folder)
    variables["PIPELINE_HTTP_PORT"] = "0"  # the default port may be taken on this machine
    try:
        yield variables
    finally:
        down = [sys.executable, "-m", "pipeline", "down"]
        subprocess.run(down, env=variables, capture_output=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables for pages that expect servers to run."""
    with servers_of_their_own(tmp_path_factory.mktemp("shared")) as variables:
        yield variables


def script(page: Path) -> str:
    """Return the blocks of a page that can be run."""
    return "\n".join(block for block in blocks(page, "sh") if runs(block))


def run(text: str, folder: Path, variables: dict[str, str]) -> str:
    """Run a shell script and return its output. Fails if a command fails. What it leaves running is ended."""
    process = subprocess.Popen(
        ["bash", "-c", PRELUDE + text],
        cwd=folder, env=variables, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        code = process.wait(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    _end(process.pid)
    output = process.stdout.read() if process.stdout else ""
    assert code == 0, f"{code}\n{text}\n{output}"
    return output


def _end(group: int) -> None:
    """End what a script left running: its workers, not the servers, which have a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        for _ in range(100):
            os.killpg(group, 0)
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)


@pytest.mark.broker
def test_the_readme_works_from_nothing(checkout: Path, shared: dict[str, str]) -> None:
    """Its servers stay for the other pages: docs/start.md stops its own."""
    (code,) = blocks(ROOT / "README.md", "python")
    (checkout / "consumer.py").write_text(code)
    text = script(ROOT / "README.md")
    assert text.count("conference-pipeline down") == 1
    consume = """
        python -u consumer.py > printed &
        until [ "$(grep -c '^r1 ' printed)" = 2 ]; do sleep 0.2; done
    """
    output = run(text.replace("conference-pipeline down", ":") + consume, checkout, shared)
    assert "Traceback" not in output
    assert '"event":"conference.created"' in output
    printed = [line for line in (checkout / "printed").read_text().splitlines() if line.startswith("r1 ")]
    assert printed == ["r1 1 conference.created", "r1 2 conference.member.joined"]


@pytest.mark.broker
@pytest.mark.parametrize("page", [page for page in SCRIPTED if named(page) not in INTRODUCTIONS], ids=named)
def test_the_commands_of_a_page_work(page: Path, checkout: Path, shared: dict[str, str]) -> None:
    output = run(SERVERS + script(page), checkout, shared)
    assert "Traceback" not in output


@pytest.mark.broker
def test_the_first_page_works_from_nothing(checkout: Path, tmp_path: Path) -> None:
    assert set(INTRODUCTIONS) == {"README.md", "docs/start.md"}
    with servers_of_their_own(tmp_path) as variables:
        output = run(script(ROOT / "docs" / "start.md"), checkout, variables)
    assert "Traceback" not in output
    assert all(f'"event":"conference.{event}"' in output for event in ("created", "destroyed"))
    assert '"reason":"playback_inactive"' in output


# --- commands that are not run: their options exist -----------------------------------------------------------


def mentioned(page: Path) -> list[list[str]]:
    """Return all commands of a page: in blocks, and in code spans that begin with a program."""
    found = [words for block in blocks(page, "sh", "console") for words in commands(block)]
    prose = BLOCK.sub("", page.read_text())
    for span in re.findall(r"`((?:conference-pipeline|make|python) [^`]*)`", prose):
        found += commands(" ".join(span.split()))
    return found


@cache
def help_of(*command: str) -> str:
    """Return the help of a program."""
    env = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    if command[:3] == (sys.executable, "-m", "pipeline"):
        done = fork_server.run(*command[3:], "--help", env=env)
    else:
        done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, check=False, env=env)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout.decode()


GROUPS = {name.split()[0] for name in (name for name, _ in reference.commands()) if " " in name}


def check(program: str, *arguments: str) -> None:
    """Fail if the command names a target, a sub-command or an option that does not exist."""
    if program == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        named = [word for word in arguments if "=" not in word]
        assert set(named) <= targets, f"make {named}"
        return
    if program == "conference-pipeline":
        while arguments[:1] and arguments[0] in GLOBAL_OPTIONS:
            arguments = arguments[2:]
        path = list(arguments[: 2 if arguments[:1] and arguments[0] in GROUPS else 1])
        base = [sys.executable, "-m", "pipeline"]
    elif program == "python" and arguments[:1] == ("-m",):
        path, base = [], [sys.executable, "-m", arguments[1]]
        if arguments[1] == "pipeline":
            return
    elif program == "python":
        path, base = [], [sys.executable, arguments[0]]
    else:
        return
    if path and path[0].isupper():  # a placeholder: COMMAND
        return
    options = [
        match[0] for word in arguments if word.startswith("-") and word != "-m" and (match := OPTIONS.match(word))
    ]
    if base[-1] == "tools/docs.py":
        assert set(options) <= {"--check"}
        return
    text = help_of(*base, *path) if options or path else ""
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"{path or base}: no option {option}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_name_existing_targets_and_options(page: Path) -> None:
    for words in mentioned(page):
        check(*words)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_helm_commands_set_existing_values(page: Path) -> None:
    values = yaml.safe_load((ROOT / "helm" / "conference-pipeline" / "values.yaml").read_text())
    for words in mentioned(page):
        for flag, setting in pairwise(words):
            if words[0] == "helm" and flag == "--set":
                found = values
                for name in setting.partition("=")[0].split("."):
                    assert name in found, setting
                    found = found[name]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_docker_commands_name_existing_services(page: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    profiles = {"*"} | {name for service in compose["services"].values() for name in service.get("profiles", ())}
    for words in mentioned(page):
        if words[:2] != ["docker", "compose"]:
            continue
        for flag, value in pairwise(words):
            if flag == "--profile":
                assert value in profiles
            if flag == "--rm":
                assert value in compose["services"]


def test_commands_are_read_without_prompts_and_comments() -> None:
    block = """$ A=1 conference-pipeline worker &   # a comment
# another
eval "$(conference-pipeline up)"
cat > x <<'END'
conference-pipeline wrong
END
a | b --c 'd | e' && make \\
  docs
"""
    assert commands(block) == [
        ["conference-pipeline", "worker"],
        ["conference-pipeline", "up"],
        ["cat", ">", "x"],
        ["a"],
        ["b", "--c", "d | e"],
        ["make", "docs"],
    ]


@pytest.mark.parametrize(
    "words",
    [
        "make nothing",
        "conference-pipeline worker --never",
        "conference-pipeline wrong",
        "python -m benchmarks.micro --x",
    ],
)
def test_a_wrong_command_fails(words: str) -> None:
    with pytest.raises(AssertionError):
        check(*words.split())


def test_every_program_that_is_not_run_is_used() -> None:
    used = {words[0] for page in PAGES for block in blocks(page, "sh", "console", "") for words in commands(block)}
    assert set(NOT_RUN) <= used | {"helm"}
    assert shutil.which("bash")
