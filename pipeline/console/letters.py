"""What the console shows of dead letters, rejections and engine bridges: the last ones, in bounded memory."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, NamedTuple

from pipeline.errors import SignalError
from pipeline.kafka.ranges import Found
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.value_reader import ValueReader
from pipeline.model import framing
from pipeline.model.decoders import Decoders
from pipeline.model.error_text import one_line
from pipeline.model.records import Engine, Rejected
from pipeline.view.letters import explain, explain_batch, letter_of

MOST_SHOWN: Final = 30
MOST_COUNTED: Final = 100_000
"""Records whose times are remembered to count those of a day."""
DAY: Final = 86_400_000_000
MOST_ENGINES: Final = 1000
MOST_TEXT: Final = 200
SILENT_SECONDS: Final = 30
"""Time after which a bridge that has not announced itself counts as gone."""


class ShownLetter(NamedTuple):
    """A dead letter with its explanation, as pairs of step and finding. `room` is None without a key."""

    place: str
    time: int
    room: str | None
    reason: str
    source: str
    redriven: bool
    steps: tuple[tuple[str, str], ...]


class ShownRejection(NamedTuple):
    """A rejected signal."""

    place: str
    time: int
    room: str
    type: str
    reason: str


class ShownEngine(NamedTuple):
    """The last announcement of an engine bridge: the time of its record, and the record."""

    node: str
    time: int
    engine: Engine


class Letters:
    """Receives the records of the three topics. `version` grows with each of them.

    Args:
        registry: for the schemas that records name.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._values = ValueReader(registry, Decoders([Rejected, Engine]))
        self.letters: deque[ShownLetter] = deque(maxlen=MOST_SHOWN)
        self.rejections: deque[ShownRejection] = deque(maxlen=MOST_SHOWN)
        self.engines: dict[str, ShownEngine] = {}
        self.reasons: Counter[str] = Counter()
        self._times: dict[str, deque[int]] = {name: deque(maxlen=MOST_COUNTED) for name in ("dead", "rejected")}
        self.version = 0

    def count(self, kind: str, now: int) -> int:
        """Return the number of `dead` or `rejected` records of the last day, as far as they were read."""
        times = self._times[kind]
        while times and times[0] < now - DAY:
            times.popleft()
        return len(times)

    async def add_letter(self, found: Found) -> None:
        """Receive a dead letter. Raises RegistryDownError, ConfigError."""
        letter, value = letter_of(found), found.record.value
        if letter.last is not None:
            steps = explain_batch(value or b"")
        else:
            steps = explain(value, found.record.headers, await self._schema(value))
        source = "unknown" if letter.source is None else "{}/{}/{}".format(*letter.source)
        source += "" if letter.last is None else f" to {letter.last}"
        shown = ShownLetter(
            letter.place,
            letter.written_at,
            None if letter.room is None else letter.room[:MOST_TEXT],
            letter.reason,
            one_line(source, MOST_TEXT),
            bool(letter.history),
            tuple((step, finding[:400]) for step, finding in steps),
        )
        self.letters.append(shown)
        self._note("dead", found)

    async def _schema(self, value: bytes | None) -> str | None:
        if value and value[:1] == b"\0" and len(value) >= framing.HEAD:
            return await self._registry.schema(framing.schema_id(value))
        return None

    async def add_rejection(self, found: Found) -> None:
        """Receive a rejected signal. Raises RegistryDownError, ConfigError."""
        try:
            one: Rejected = await self._values.decode(found.record.value)
        except SignalError:
            return
        self.reasons[one.reason[:MOST_TEXT]] += 1
        place = f"{found.partition}/{found.record.offset}"
        self.rejections.append(ShownRejection(place, found.record.time, one.room_id, one.type, one.reason))
        self._note("rejected", found)

    async def add_engine(self, found: Found) -> None:
        """Receive an announcement of a bridge. Raises RegistryDownError, ConfigError."""
        node = (found.record.key or b"").decode("utf-8", "replace")[:MOST_TEXT]
        self.version += 1
        if found.record.value is None:
            self.engines.pop(node, None)
            return
        try:
            engine = await self._values.decode(found.record.value)
        except SignalError:
            return
        if node in self.engines or len(self.engines) < MOST_ENGINES:
            self.engines[node] = ShownEngine(node, found.record.time, engine)

    def _note(self, kind: str, found: Found) -> None:
        self._times[kind].append(found.record.time)
        self.version += 1
