"""The page of the pipeline: workers, partitions, rates, engines, dead letters and rejections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Self

from pipeline.admin.status import RATE_SECONDS, Flow
from pipeline.console.flow import OLD_SECONDS
from pipeline.console.fragments import Fragments, Rows, element_id
from pipeline.console.letters import SILENT_SECONDS
from pipeline.console.live_page import Sources, now_micros, state
from pipeline.console.templating import part
from pipeline.view.wording import MEANINGS

MOST_ROWS: Final = 500
"""Partitions and workers that are shown."""
MOST_REASONS: Final = 12
LAG_SECONDS: Final = 10.0
"""Age of the oldest signal from which on the lag is marked."""
_PARTS: Final = "pipeline_parts.html"
Figure = tuple[str, str, str, str]
"""A name, a value, a note, and `bad` if it needs a look."""


class PipelinePage:
    """See LivePage."""

    template = "pipeline.html"
    title = "Pipeline"

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._letters: tuple[int, dict[str, Rows]] = (-1, {})

    async def __aenter__(self) -> Self:
        self._sources.flow.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sources.flow.release()

    def wants(self, changed: frozenset[str]) -> bool:
        return not changed

    async def settled(self, seconds: float) -> None:
        await self._sources.flow.first(seconds)

    def fragments(self) -> Fragments:
        """Return the parts of the page. It is shown while the rooms view is stale, too."""
        flow, letters = self._sources.flow.flow, self._sources.feed.letters
        partitions = flow.partitions[:MOST_ROWS] if flow else []
        most = max((one.lag_seconds for one in partitions), default=0.0) or 1.0
        workers = flow.workers[:MOST_ROWS] if flow else []
        dead, rejected = (letters.count(kind, now_micros()) for kind in ("dead", "rejected"))
        return {
            "state": state(self._sources.view),
            "flow-note": part(_PARTS, "note", "flow-note", self._flow_note()),
            "figures": part(_PARTS, "figures", list(self._figures(flow, dead, rejected))),
            "partitions": _rows("partition", ((f"p{one.partition}", one, max(most, 1.0)) for one in partitions)),
            "workers": _rows("worker", ((element_id("w", host), host, number) for host, number in workers)),
            "engines-note": part(_PARTS, "note", "engines-note", "" if letters.engines else "No bridge is announced."),
            "engines": _rows("engine", self._engines()),
            "dead-note": part(_PARTS, "note", "dead-note", _last(len(letters.letters), dead, "dead letter")),
            "rejected-note": part(
                _PARTS, "note", "rejected-note", _last(len(letters.rejections), rejected, "rejected signal")
            ),
            **self._letter_rows(),
        }

    def _letter_rows(self) -> dict[str, Rows]:
        """Return the rows of letters and rejections, rendered again only when there are new ones."""
        letters = self._sources.feed.letters
        if self._letters[0] != letters.version:
            reasons = letters.reasons.most_common(MOST_REASONS)
            self._letters = (
                letters.version,
                {
                    "letters": _rows(
                        "letter", ((element_id("l", one.place), one) for one in reversed(letters.letters))
                    ),
                    "reasons": _rows(
                        "reason", ((element_id("y", name), name, n, MEANINGS.get(name, "")) for name, n in reasons)
                    ),
                    "rejections": _rows(
                        "rejection", ((element_id("x", one.place), one) for one in reversed(letters.rejections))
                    ),
                },
            )
        return self._letters[1]

    def _engines(self) -> Iterator[tuple[Any, ...]]:
        before = now_micros() - SILENT_SECONDS * 1_000_000
        for node, one in sorted(self._sources.feed.letters.engines.items()):
            yield element_id("e", node), one, one.time < before

    def _flow_note(self) -> str:
        flow = self._sources.flow
        if flow.flow is None:
            return f"The workers can't be read: {flow.failure}" if flow.failure else "The workers are being read …"
        age = now_micros() / 1e6 - flow.read_at
        if flow.failure or age > OLD_SECONDS:
            why = f": {flow.failure}" if flow.failure else ""
            return f"Workers, lag and rates are {age:.0f} s old{why}"
        return f"Group {flow.flow.group}, {flow.flow.group_state}"

    def _figures(self, flow: Flow | None, dead: int, rejected: int) -> Iterator[Figure]:
        if flow is not None:
            idle = sum(not one.host for one in flow.partitions)
            note = f"{idle} partitions without a worker" if idle else f"{len(flow.partitions)} partitions"
            yield "workers", f"{len(flow.workers):,}", note, "bad" if idle else ""
            lag = sum(one.lag_signals for one in flow.partitions)
            oldest = max((one.lag_seconds for one in flow.partitions), default=0.0)
            yield "lag, signals", f"{lag:,}", f"the oldest {oldest:.1f} s", "bad" if oldest > LAG_SECONDS else ""
            yield "signals/s", f"{flow.signals_per_second:,}", f"over the last {RATE_SECONDS} s", ""
            yield "events/s", f"{flow.events_per_second:,}", "markers included", ""
        view = self._sources.view
        if not view.stale:
            counts = view.counts
            yield "rooms", f"{counts.rooms:,}", f"{counts.members:,} members", ""
        yield "dead letters", f"{dead:,}", "in 24 h", "bad" if dead else ""
        yield "rejected", f"{rejected:,}", "in 24 h", ""

    def values(self) -> dict[str, Any]:
        return {}


def _rows(macro: str, rows: Any) -> Rows:
    """Return rows; the first value of each is the id of its element."""
    return Rows(tuple((values[0], part(_PARTS, macro, *values)) for values in rows))


def _last(shown: int, count: int, what: str) -> str:
    if not shown:
        return f"No {what} in the last 24 hours."
    return f"The last {shown} of {count:,}." if shown < count else f"{count:,} in the last 24 hours."
