"""Fetch sessions (KIP-227): a fetch names only the partitions that changed, and its response only those with news.

aiokafka 0.14 names all partitions in each fetch, and gets all back. With 24 of them that is about 1 ms of Python for a
fetch at a low rate, and a pass over all of them in the broker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

SESSIONS_FROM: Final = 7
"""The first version of the request that has sessions."""
_LAST_EPOCH: Final = 2**31 - 1
Place = tuple[int, int]
"""The offset from which a partition is fetched, and the most bytes to return of it."""
Send = Callable[[FetchRequest], Awaitable[Any]]


class _SessionFetch(FetchRequest):
    """aiokafka's Fetch request as the next one of a session. A broker without sessions gets the whole request."""

    def __init__(self, whole: FetchRequest, session: tuple[int, int], changed: Any, forgotten: Any) -> None:
        super().__init__(
            whole._max_wait_ms, whole._min_bytes, whole._max_bytes, whole._isolation_level, changed, whole._rack_id
        )
        self._whole, self._session, self._forgotten = whole, session, forgotten

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class.API_VERSION < SESSIONS_FROM:
            return self._whole.build(request_struct_class)
        made: Any = super().build(request_struct_class)
        made.session_id, made.session_epoch = self._session
        made.forgotten_topics_data = self._forgotten
        return made


class FetchSession:
    """The session of one consumer with one broker. Only one fetch may be under way at a time."""

    def __init__(self) -> None:
        self._id = self._epoch = 0
        """Epoch 0 asks for a new session, and ends the one with this id."""
        self._places: dict[TopicPartition, Place] = {}
        """What the broker fetches in this session."""
        self._told: dict[TopicPartition, tuple[Any, ...]] = {}
        """What the broker has told last of each partition, without records: it does not repeat it."""
        self._news: set[TopicPartition] = set()
        """The partitions in the last response."""

    async def fetch(self, send: Send, request: FetchRequest, unknown: Callable[[TopicPartition], bool]) -> Any:
        """Send a fetch as the next of the session, and return the response.

        Of the partitions without news it has those that are `unknown` to the caller, as they were: aiokafka drops what
        is told of a partition while it is sought, or assigned again. After an error, and when the broker has no session
        for us, the next fetch names everything. Raises KafkaError.
        """
        wanted = {
            TopicPartition(topic, number): (offset, most)
            for topic, partitions in request.topics
            for number, offset, most in partitions
        }
        known = self._places if self._epoch else {}
        changed = _by_topic((tp, place) for tp, place in wanted.items() if known.get(tp) != place)
        forgotten = _by_topic((tp, None) for tp in known if tp not in wanted)
        session = self._id, self._epoch
        self._epoch = 0  # until the response is there, nobody knows whether the broker took the request
        response = await send(_SessionFetch(request, session, changed, forgotten))
        if response.API_VERSION < SESSIONS_FROM:
            return response
        self._id, self._places = response.session_id, wanted
        if response.session_id and not response.error_code:
            self._epoch = session[1] % _LAST_EPOCH + 1
            self._remember(response, new=not session[1])
            told = self._told
            response.topics += [
                (tp.topic, [told[tp]]) for tp in wanted if tp in told and tp not in self._news and unknown(tp)
            ]
        return response

    def _remember(self, response: Any, *, new: bool) -> None:
        if new:
            self._told.clear()
        self._news = set()
        for topic, partitions in response.topics:
            for number, error, high_watermark, stable, start, _, *replica, _ in partitions:
                tp = TopicPartition(topic, number)
                self._news.add(tp)
                if error:
                    self._told.pop(tp, None)  # the broker repeats it until it is over, and then all
                else:
                    self._told[tp] = (number, 0, high_watermark, stable, start, [], *replica, b"")


def _by_topic(partitions: Iterable[tuple[TopicPartition, Place | None]]) -> list[tuple[str, list[Any]]]:
    """Return partitions by topic as the request has them: with their place, or their number alone."""
    topics: dict[str, list[Any]] = defaultdict(list)
    for tp, place in partitions:
        topics[tp.topic].append(tp.partition if place is None else (tp.partition, *place))
    return list(topics.items())
