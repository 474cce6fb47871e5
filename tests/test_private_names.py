"""The private names of Faust, mode and aiokafka that pipeline/worker and pipeline/kafka use.

The list is checked against the installed versions, and the code against the list: a test fails when a library changes a
name, and when the code uses a name that is not listed.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.private_names import ATTRIBUTES, INTERNAL, METHODS, PUBLIC

ROOT = Path(__file__).parent.parent
HOOKS = sorted([*(ROOT / "pipeline/worker").glob("*.py"), *(ROOT / "pipeline/kafka").glob("*.py")])
"""The only modules that may use private names."""
OTHERS = sorted(set((ROOT / "pipeline").rglob("*.py")) - set(HOOKS))
NOT_OVERRIDES = {"__module__", "__doc__", "__annotations__", "__abstractmethods__", "_abc_impl"}
FOREIGN = ("faust", "mode", "aiokafka")
LISTED = {place.rpartition(".")[2] for place in METHODS} | {n for names in ATTRIBUTES.values() for n in names.split()}


def find(place: str) -> Any:
    module, _, path = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def foreign(module: str | None) -> bool:
    return bool(module) and str(module).partition(".")[0] in FOREIGN


def test_installed_versions_are_the_pinned_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==([\d.]+)$", "\n".join(project["dependencies"]), re.M))
    assert set(pinned) == {"faust-streaming", "mode-streaming", "aiokafka"}
    assert {name: version(name) for name in pinned} == pinned


@pytest.mark.parametrize("place", METHODS)
def test_functions_have_the_listed_parameters(place: str) -> None:
    assert " ".join(inspect.signature(find(place)).parameters) == METHODS[place]


@pytest.mark.parametrize("place", ATTRIBUTES)
def test_instances_have_the_listed_attributes(place: str) -> None:
    names = set(ATTRIBUTES[place].split())
    assert names <= attributes(find(place)), names - attributes(find(place))


@functools.cache
def attributes(cls: type) -> set[str]:
    """The attributes of a class's instances, from its code and that of its bases."""
    found: set[str] = set()
    for base in cls.__mro__:
        found |= set(vars(base)) | set(vars(base).get("__annotations__", {}))
        if foreign(base.__module__):
            found |= set(re.findall(r"\bself\.(\w+)(?:\s*:[^=\n]+)?\s*=[^=]", inspect.getsource(base)))
    return found


@pytest.mark.parametrize("module", INTERNAL)
def test_listed_internal_imports_exist(module: str) -> None:
    found = importlib.import_module(module)
    for name in INTERNAL[module].split():
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


def test_aiokafka_sends_offset_commits_without_generation() -> None:
    """If this fails, aiokafka may make most of pipeline/kafka/fenced_producer.py unnecessary."""
    from aiokafka.protocol.transaction import TxnOffsetCommitRequest

    assert len(inspect.signature(TxnOffsetCommitRequest).parameters) == 5
    assert "generation" not in inspect.getsource(TxnOffsetCommitRequest)


def test_consumer_message_has_the_expected_parameters() -> None:
    from faust.types.tuples import ConsumerMessage

    names = list(inspect.signature(ConsumerMessage).parameters)
    assert names[:9] == [
        "topic",
        "partition",
        "offset",
        "timestamp",
        "timestamp_type",
        "headers",
        "key",
        "value",
        "checksum",
    ]
    assert names[9:12] == ["serialized_key_size", "serialized_value_size", "tp"]
    assert "generation_id" in names


# --- the list against the code ----------------------------------------------------------------------------------


def modules() -> Iterator[tuple[Path, ast.Module, ModuleType]]:
    for path in HOOKS:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield path, ast.parse(path.read_text()), importlib.import_module(name)


def subclasses() -> Iterator[tuple[type, list[type], ast.ClassDef]]:
    """The classes that inherit from the libraries, with those bases and their code."""
    for _, tree, module in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                cls = vars(module)[node.name]
                if bases := [base for base in cls.__mro__ if foreign(base.__module__)]:
                    yield cls, bases, node


def private(tree: ast.AST) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            yield node


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of each import from the libraries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and foreign(node.module):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if foreign(alias.name))


def test_used_private_attributes_are_listed() -> None:
    unlisted = []
    for path, tree, module in modules():
        own = {node for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for node in own_of(cls, module)}
        unlisted += [
            f"{path.name}:{node.lineno}: {ast.unparse(node)}"
            for node in private(tree)
            if node not in own and node.attr not in LISTED and ast.unparse(node) != "os._exit"
        ]
    assert unlisted == []


def own_of(node: ast.ClassDef, module: ModuleType) -> Iterator[ast.Attribute]:
    """The private attributes of `self` that the class itself defines, not a base from the libraries."""
    cls = vars(module)[node.name]
    inherited = {name for base in cls.__mro__ if foreign(base.__module__) for name in attributes(base)}
    for used in private(node):
        is_own = isinstance(used.value, ast.Name) and used.value.id in ("self", "cls")
        if is_own and used.attr not in inherited:
            yield used


def test_overrides_are_listed_and_accept_the_parameters() -> None:
    seen = set()
    for cls, bases, _ in subclasses():
        for name, override in vars(cls).items():
            original = next((vars(base)[name] for base in bases if name in vars(base)), None)
            if original is None or name in NOT_OVERRIDES:
                continue
            seen.add(name)
            if not inspect.isfunction(override) or name == "__init__":
                continue
            assert name in LISTED, f"{cls.__name__}.{name}"
            if inspect.isfunction(original):
                given, taken = (
                    list(inspect.signature(function).parameters.values()) for function in (original, override)
                )
                variable = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken)
                assert variable or len(taken) == len(given), f"{cls.__name__}.{name}"
    assert {"_drain_messages", "_fetch_records", "on_rebalance", "create_request"} <= seen, "the scan finds nothing"


def test_own_attributes_do_not_hide_inherited_ones() -> None:
    for cls, bases, node in subclasses():
        inherited = set().union(*(attributes(base) for base in bases if base.__module__ != cls.__module__))
        for used in ast.walk(node):
            if (
                isinstance(used, ast.Attribute)
                and isinstance(used.ctx, ast.Store)
                and ast.unparse(used.value) == "self"
            ):
                assert used.attr not in inherited or used.attr in LISTED, f"{cls.__name__}.{used.attr}"


def test_internal_imports_are_exactly_the_listed_ones() -> None:
    found = {pair for _, tree, _ in modules() for pair in imported(tree) if pair[0] not in PUBLIC}
    assert found == {(module, name) for module, names in INTERNAL.items() for name in names.split()}


def test_only_the_worker_imports_faust() -> None:
    faust = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "pipeline").rglob("*.py"))
        if path.parent != ROOT / "pipeline/worker"
        for module, _ in imported(ast.parse(path.read_text()))
        if module.startswith(("faust", "mode"))
    ]
    assert faust == []


def test_other_packages_use_no_private_names() -> None:
    wrong = []
    for path in OTHERS:
        tree, name = ast.parse(path.read_text()), path.relative_to(ROOT)
        wrong += [f"{name}: {m}.{what}" for m, what in imported(tree) if m not in PUBLIC]
        if any(True for _ in imported(tree)):
            defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            wrong += [
                f"{name}:{node.lineno}: {ast.unparse(node)}"
                for node in private(tree)
                if ast.unparse(node.value) not in ("self", "cls") and node.attr not in defined
            ]
    assert wrong == []


def test_listed_private_names_are_still_used() -> None:
    text = "\n".join(path.read_text() for path in HOOKS)
    unused = [name for name in sorted(LISTED) if not name.startswith("__") and not re.search(rf"\b{name}\b", text)]
    assert unused == []
