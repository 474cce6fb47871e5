"""The API signals: where the last record of each partition is, and which session a join or leave names."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.engines.topic_log import TopicLog
from pipeline.model.signals import SIGNALS, ConferenceJoin, ConferenceLeave
from pipeline.settings import Settings
from pipeline.view import Place, RoomsView
from pipeline.view.follower import Notice

BACK: Final = 2_000
"""Records of each partition that are read again at the start."""
MAX_SESSIONS: Final = 50_000


class ApiLog:
    """Follows the topic of the API signals. Enter `log`, then call `begin`, then run `log.run`."""

    def __init__(self, settings: Settings, partitions: int, notice: Notice) -> None:
        self.topic = topics.API.full_name(settings.topic_prefix)
        self._partitions = [TopicPartition(self.topic, number) for number in range(partitions)]
        self._last: dict[int, int] = {}
        self._sessions: dict[tuple[int, int], str] = {}
        self.log = TopicLog(settings, SIGNALS, self._take, notice)

    async def begin(self) -> None:
        """Start to read a little before the end."""
        starts, ends = await asyncio.gather(
            self.log.offsets.beginnings(self._partitions), self.log.offsets.stable(self._partitions)
        )
        self.log.begin({tp: max(starts[tp], ends[tp] - BACK) for tp in self._partitions})

    def _take(self, tp: TopicPartition, record: Record, value: Any) -> None:
        self._last[tp.partition] = record.offset
        if isinstance(value, ConferenceJoin | ConferenceLeave):
            self._sessions[tp.partition, record.offset] = value.session_uuid
            if len(self._sessions) > MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]

    async def session(self, partition: int, offset: int) -> str | None:
        """Return the session that a join or leave names; None if its record is too old."""
        tp = TopicPartition(self.topic, partition)
        await self.log.follower.until(lambda: self.log.follower.positions.get(tp, -1) > offset)
        return self._sessions.get((partition, offset))

    async def seen_by(self, view: RoomsView) -> None:
        """Wait until the view shows what was decided on all API signals that were appended before this call."""
        await asyncio.gather(*(self._seen_by(view, tp) for tp in self._partitions))

    async def _seen_by(self, view: RoomsView, tp: TopicPartition) -> None:
        await self.log.read_end(tp)
        if (last := self._last.get(tp.partition)) is not None:
            await view.caught_up(Place(self.topic, tp.partition, last))
