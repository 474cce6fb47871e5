"""What a stack remembers between commands: `state.json` in its folder."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.errors import ConfigError


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a stack was made as. Fixed until `down`."""

    nodes: int
    registry: bool
    heap_mb: int
    properties: dict[str, str] = {}
    flags: tuple[str, ...] = ()


class Proc(msgspec.Struct, kw_only=True):
    """One server: ports stay for its life, `pid` and `born` (see process.birth) change with every start."""

    name: str
    node: int  # Kafka's node id; 0 is the registry
    port: int
    inner_port: int  # of the controller, of the registry's management interface
    pid: int = 0
    born: str = ""
    archive: str = ""  # where the class archive goes that it writes at its end


class State(msgspec.Struct, kw_only=True):
    """The whole file."""

    version: int = 1
    spec: Spec
    cluster_id: str
    processes: list[Proc]


def load(path: Path) -> State | None:
    """The state, None when there is none.

    Raises:
        ConfigError: the file is damaged or from another version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path}: {error}; stop its java processes and delete {path.parent}") from error


def save(path: Path, state: State) -> None:
    """Writes the state, whole or not at all."""
    scratch = path.with_suffix(".new")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    os.replace(scratch, path)
