"""Tables of the benchmarks' results in docs/results/ and of the capacity that follows from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from results import RESULTS

BUSY: Final = 0.6
"""The share of a core that a worker should use at peak load; the rest is for backlogs."""
OF_TRANSACTIONS: Final = 0.45
"""Cores that a worker uses for small transactions: 0.43 in total at 500 signals/s, 0.48 at 2,000."""
MINUTE: Final = 60
SIGNALS_OF_A_MEMBER: Final = 4
"""`SIGNALS_OF_A_MEMBER`: signals per minute of a member; `MEMBERS`: members per room, both for the table of sizes."""
MEMBERS: Final = 10
Rows = list[tuple[str, ...]]


@lru_cache
def result(name: str) -> dict[str, Any]:
    """Return the saved result of `python -m benchmarks.NAME --save`, empty if there is none."""
    file = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def measured(name: str, part: str = "rows") -> Rows:
    """Return the rows of a result as the benchmark printed them."""
    rows = result(name).get(part, [])
    if not rows:
        return [("not measured yet",), (f"`python -m benchmarks.{name} --save`",)]
    return [tuple(rows[0]), *(tuple(_text(value) for value in row.values()) for row in rows)]


def where(name: str) -> str:
    """Return the machine of a result."""
    machine = result(name).get("machine")
    if machine is None:
        return "Not measured yet."
    return f"{machine['cores']} cores, Python {machine['python']}, load average {machine['load']} at the end."


def _text(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


class Costs:
    """The constants of the formulas, in bytes and seconds."""

    def __init__(self) -> None:
        found = result("recovery")
        alone = max((row for row in found["rows"] if not row["members"]), key=lambda row: row["rooms"])
        crowd = max(found["rows"], key=lambda row: row["members"])
        self.base = found["empty_bytes"]
        self.session = found["session_seconds"]
        self.room, self.room_disk = alone["memory, B/row"], alone["disk, B/row"]
        self.touched = found["touched_bytes"]
        self.room_read = alone["read, s"] / alone["rooms"]
        self.member = self._of_member(crowd, "memory, B/row", self.room)
        self.member_disk = self._of_member(crowd, "disk, B/row", self.room_disk)
        self.member_read = max(0.0, crowd["read, s"] - crowd["rooms"] * self.room_read) / max(1, crowd["members"])
        self.gone = max((row["B/room"] for row in result("gone").get("rows", [])), default=math.nan)
        grown = [row for row in result("growth").get("rows", []) if row["as … grow"] == "partitions"]
        self.signal = next((row["µs/signal"] for row in grown if row["to"] == "12"), math.nan) / 1e6

    @staticmethod
    def _of_member(row: dict[str, Any], column: str, of_room: float) -> float:
        total = row[column] * (row["rooms"] + row["members"]) - row["rooms"] * of_room
        return total / row["members"] if row["members"] else math.nan

    def memory(self, rooms: float, members: float) -> float:
        """Return the memory of one worker that owns these rooms and members, all in use."""
        return float(self.base + rooms * self.touched + members * self.member)

    def read(self, rooms: float, members: float) -> float:
        """Return the seconds that a worker takes to read such a table."""
        return rooms * self.room_read + members * self.member_read

    def disk(self, rooms: float, members: float) -> float:
        """Return the size of one replica of the table's topic after compaction."""
        return float(rooms * self.room_disk + members * self.member_disk)


def _of_costs(make: Callable[[Costs], Rows]) -> Rows:
    if not (result("recovery") and result("growth")):
        return [("not measured yet",), ("`make bench`",)]
    return make(Costs())


def formulas() -> Rows:
    """Return the formulas and their measured constants."""
    return _of_costs(
        lambda costs: [
            ("quantity", "formula", "measured"),
            (
                "workers",
                f"signals/s at peak × CPU per signal / {BUSY}; at most one per partition",
                f"{costs.signal * 1e6:.0f} µs of CPU per signal: {BUSY / costs.signal:,.0f} signals/s per worker",
            ),
            (
                "partitions",
                "twice the largest number of workers that you will ever need; can't be changed",
                "",
            ),
            (
                "memory of a worker",
                "base + rooms × a room + members × a member + rooms that ended in the last minute × a gone room "
                "+ up to 16 MiB per owned partition while it lags + up to 128 MiB, kept after the first lag",
                f"base {_size(costs.base)}; a room {costs.room:,.0f} B after recovery, {costs.touched:,.0f} B after "
                f"its first signal; a member {costs.member:,.0f} B; a gone room {costs.gone:,.0f} B",
            ),
            (
                "time to take over partitions",
                "session timeout (of a worker that died) + rooms × a room + members × a member; count the rows of "
                "the log, which are more before compaction",
                f"session timeout {costs.session:g} s by default; a room {costs.room_read * 1e6:.1f} µs, "
                f"a member {costs.member_read * 1e6:.1f} µs",
            ),
            (
                "disk of the table",
                "(rooms × a room + members × a member) × replicas; before compaction up to twice that, plus the "
                "changes of `min.compaction.lag.ms` and one segment",
                f"a room {costs.room_disk:,.0f} B, a member {costs.member_disk:,.0f} B",
            ),
            (
                "disk of another topic",
                "records per day × bytes per record × days of retention × replicas",
                "",
            ),
            (
                "network",
                "bytes of signals in + bytes of events and rows out × (replicas + consumers)",
                "",
            ),
        ]
    )


def million() -> Rows:
    """Return the cost of 1,000,000 members in 100,000 rooms."""

    def rows(costs: Costs) -> Rows:
        rooms, members = 100_000, 1_000_000
        found: Rows = [("1,000,000 members in 100,000 rooms", "on one worker", "on each of six")]
        for name, value in (
            ("memory, all rooms in use", lambda n: _size(costs.memory(rooms / n, members / n))),
            ("time to read the table after a start", lambda n: f"{costs.read(rooms / n, members / n):.1f} s"),
            ("disk of the table, one replica", lambda n: _size(costs.disk(rooms, members) / n)),
        ):
            found.append((name, value(1), value(6)))
        return found

    return _of_costs(rows)


def sizes() -> Rows:
    """Return partitions, workers and memory by load."""

    def rows(costs: Costs) -> Rows:
        found: Rows = [
            (
                "signals/s at peak",
                "members",
                "rooms",
                "workers",
                "partitions",
                "memory per worker",
                "cores of all workers, at most",
            )
        ]
        for rate in (1_000, 10_000, 100_000):
            members = rate * MINUTE / SIGNALS_OF_A_MEMBER
            rooms = members / MEMBERS
            workers = max(2, math.ceil(rate * costs.signal / BUSY))
            partitions = 12 * math.ceil(2 * workers / 12)
            left = workers - 1  # one may be down
            memory = costs.memory(rooms / left, members / left) + (16 << 20) * math.ceil(partitions / left)
            found.append(
                (
                    f"{rate:,}",
                    f"{members:,.0f}",
                    f"{rooms:,.0f}",
                    str(workers),
                    str(partitions),
                    _size(memory),
                    f"{rate * costs.signal + workers * OF_TRANSACTIONS:.1f}",
                )
            )
        return found

    return _of_costs(rows)


def _size(value: float) -> str:
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:,.0f} MiB"


TABLES: Final[dict[str, Callable[[], Rows]]] = {
    "capacity": formulas,
    "million": million,
    "sizes": sizes,
    "recovery": lambda: measured("recovery"),
    "scale-changes": lambda: measured("scale", "changes"),
    "scale-throughput": lambda: measured("scale", "throughput"),
    "growth": lambda: measured("growth"),
    "gone": lambda: measured("gone"),
    "micro": lambda: measured("micro"),
    "commit-interval": lambda: measured("commit_interval"),
    "view": lambda: measured("view"),
    "outcomes": lambda: measured("outcomes"),
    "gateway": lambda: measured("gateway"),
    "gateway-streams": lambda: measured("gateway", "streams"),
    "gateway-kills": lambda: measured("gateway", "kills"),
    "console-page": lambda: measured("console", "page"),
    "console-load": lambda: measured("console", "load"),
}
TEXTS: Final[dict[str, Callable[[], str]]] = {
    f"{name}-where": lambda name=name: where(name)
    for name in ("recovery", "scale", "growth", "micro", "view", "outcomes", "gateway", "console")
}
