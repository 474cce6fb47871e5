"""The state of a stack between commands: `state.json` in its folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.errors import ConfigError


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a stack, fixed until `down`."""

    nodes: int
    registry: bool
    heap_mb: int
    properties: dict[str, str] = {}
    flags: tuple[str, ...] = ()


class Proc(msgspec.Struct, kw_only=True):
    """One server. The ports are fixed; `pid` and `born` (see process.birth) change with every start."""

    name: str
    node: int  # Kafka's node id; 0: the registry
    port: int
    inner_port: int  # a broker's controller port; the port of the registry's management interface
    pid: int = 0
    born: str = ""
    archive: str = ""  # path for the class archive that it writes when it ends; empty: it writes none

    def started(self, pid: int, born: str, archive: str) -> None:
        self.pid, self.born, self.archive = pid, born, archive

    def stopped(self) -> None:
        self.pid, self.born = 0, ""


class State(msgspec.Struct, kw_only=True):
    """The content of `state.json`."""

    version: int = 1
    spec: Spec
    cluster_id: str
    processes: list[Proc]


def load(path: Path) -> State | None:
    """Return the state, None if there is no file. Raises ConfigError when it is damaged or from another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path}: {error}; stop its java processes and delete {path.parent}") from error


def save(path: Path, state: State) -> None:
    """Write the state atomically."""
    scratch = path.with_suffix(".new")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    os.replace(scratch, path)
