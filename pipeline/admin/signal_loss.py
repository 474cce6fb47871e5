"""Whether signals after a recorded position are gone, and where to continue without them (promise 6). Pure."""

from __future__ import annotations

from typing import NamedTuple

from aiokafka.structs import TopicPartition

from pipeline.model.records import TopicPosition


class Place(NamedTuple):
    """Where to continue on a topic-partition: offset, time of the signals before it (microseconds), topic id."""

    offset: int
    time: int
    topic_id: str


class Log(NamedTuple):
    """A topic-partition of signals as it is now: topic id, first offset, end."""

    topic_id: str
    start: int
    end: int


def recreated(topic: str, before: str, now: str) -> str:
    """Return what has happened to a signal topic with another id."""
    return (
        f"topic {topic} was deleted and created again (id {before}, now {now}), and an unknown number of signals was "
        "deleted unread with it"
    )


def judge(tp: TopicPartition, known: TopicPosition, now: Log) -> tuple[str | None, Place]:
    """Return what is lost after a recorded position, if anything, and where to continue."""
    place = f"{tp.topic} partition {tp.partition}"
    same = known.topic_id == now.topic_id
    if known.topic_id and now.topic_id and not same:
        return recreated(tp.topic, known.topic_id, now.topic_id), Place(now.start, 0, now.topic_id)
    if known.offset > now.end:
        text = f"{place} ends at offset {now.end}, before the worker's position: "
        if now.topic_id and same:
            return f"{text}Kafka has lost its last signals", Place(now.end, known.time, now.topic_id)
        return f"{text}it was created again", Place(now.start, 0, now.topic_id)
    if known.offset < now.start:
        unread = f"{now.start - known.offset} signals of {place} were deleted unread"
        text = f"{unread} (offsets {known.offset} to {now.start - 1}): give the topic a longer retention"
        return text, Place(now.start, known.time, now.topic_id)
    return None, Place(known.offset, known.time, now.topic_id)
