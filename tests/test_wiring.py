"""Objects are complete after construction: no attribute of another object is set from outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pipeline

PACKAGE = Path(pipeline.__file__).parent
FOREIGN = {
    "cli/__init__.py": "error.message",
    "admin/setup.py": "new.replication_factor",
    "devstack/fetch.py": "tar.extraction_filter",
    "kafka/batch_reader.py": "consumer._fetcher._fetcher_timeout fetcher._client fetcher._records "
    "result._partition_records",
    "kafka/connection.py": "conn.AIOKafkaConnection",
    "kafka/fenced_producer.py": "response.errors",
    "kafka/fetch_pacing.py": "fetcher._proc_fetch_request",
    "kafka/oauth.py": "conn.OAuthAuthenticator",
    "logs.py": "root.handlers",
    "settings.py": "context.check_hostname",
    "worker/faust_consumer.py": "message.acked",
    "worker/process.py": "timer.daemon",
}
"""Attributes of objects of libraries, which have no other way to be set, by file."""
RECORDS = {
    "engines/freeswitch/adapter/hold.py": "entry.session entry.signal",
    "engines/freeswitch/adapter/rooms.py": "room.last room.life room.others switch.core switch.last switch.newest "
    "switch.past switch.since",
    "lines.py": "line.last line.size",
    "console/feed.py": "opened.history opened.task opened.timer opened.viewers",
    "view/tables/rooms_table.py": "entry.app entry.members entry.row",
}
"""Fields of records that the functions of their own module change, by file."""


def set_from_outside(source: str) -> Iterator[str]:
    """Yield the attributes that a module assigns on anything but `self`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls"):
                yield f"{owner}.{node.attr}"


def test_attributes_are_set_by_their_own_class() -> None:
    found = {
        str(path.relative_to(PACKAGE)): set(set_from_outside(path.read_text(encoding="utf-8")))
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: names for name, names in found.items() if names} == {
        name: set(names.split()) for name, names in (FOREIGN | RECORDS).items()
    }


def test_an_attribute_set_from_outside_is_found() -> None:
    source = "engine.tasks = store.tasks\nfor app.x, y in z: self.a.b += 1\nself.c = 1"
    assert list(set_from_outside(source)) == ["engine.tasks", "app.x", "self.a.b"]
