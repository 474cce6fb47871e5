"""The structure of the repository: import contracts, the packages' layers, names of tests, sizes of files."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.fixtures import FIRST

ROOT = Path(__file__).parent.parent
ROOTS = ("pipeline", "testkit", "tests", "benchmarks", "tools", "clients", "examples")
MAY_NOT_IMPORT = {
    "pipeline": {"testkit", "tests", "benchmarks"},
    "clients": {"testkit", "benchmarks", "pipeline"},
    "examples": {"testkit", "tests", "benchmarks", "pipeline"},
    "testkit": {"tests", "benchmarks"},
    "tests": {"benchmarks"},
    "benchmarks": {"tests"},
}
MAX_LINES = 400
MAX_WORDS = 10
GENERATED = {f"pipeline/model/{name}.py" for name in ("events", "records", "signals", "wire")} | {
    f"clients/python/conference_events/{name}.py" for name in ("events", "records", "signals")
}


def sources(*roots: str) -> Iterator[Path]:
    for root in roots:
        yield from sorted((ROOT / root).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- import contracts ---


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the package that lies in `folder`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    return subprocess.run(
        [*command, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_importing_time_breaks_the_purity_contract(copy: Path) -> None:
    """Also in a new module, and in the adapter of a new engine. A new package must join the layers."""
    pure = ["core.room", "model.codec", "engines.freeswitch.adapter.rooms", "core.new", "engines.new.adapter"]
    for module in pure:
        file = copy / "pipeline" / f"{module.replace('.', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        with file.open("a") as out:
            out.write("\nimport time\n")
    (copy / "pipeline" / "unlisted").mkdir()
    (copy / "pipeline" / "unlisted" / "__init__.py").touch()
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [module for module in pure if f"pipeline.{module} -> time" not in done.stdout] == []
    assert "pipeline.unlisted" in done.stdout


def test_every_module_and_package_is_in_one_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [each for each in contracts if each["type"] == "layers"]
    assert layers["exhaustive"] is True
    assert layers["exhaustive_ignores"] == ["__main__"]
    listed = [part.strip(" ()") for layer in layers["layers"] for part in layer.split(":")]
    assert len(listed) == len(set(listed))
    files = (ROOT / "pipeline").glob("[!_]*")
    found = {path.stem for path in files if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found <= set(listed)


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_tests_and_benchmarks_share_only_testkit() -> None:
    wrong = [
        f"{name(path)} imports {package}"
        for root, forbidden in MAY_NOT_IMPORT.items()
        for path in sources(root)
        for package in sorted(imported(path) & forbidden)
    ]
    assert wrong == []


# --- names and sizes ---


def test_names_of_tests_have_at_most_ten_words() -> None:
    long = [
        f"{name(path)}:{node.lineno}: {node.name}"
        for path in sources("tests", "benchmarks/tests", "clients")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and re.match("test_", node.name)
        and len(node.name.removeprefix("test_").split("_")) > MAX_WORDS
    ]
    assert long == [], "\n".join(long)


def test_no_file_is_too_long() -> None:
    lines = {name(path): path.read_text().count("\n") for path in sources(*ROOTS)}
    long = {file for file, count in lines.items() if count > MAX_LINES}
    assert long <= GENERATED


def test_files_to_run_first_exist() -> None:
    names = {path.stem.removeprefix("test_") for path in sources("tests", "benchmarks/tests", "clients")}
    assert set(FIRST) <= names
