"""The topics: names, configuration, records (contract §2). All other code uses these lists."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.model.events import EVENTS as ALL_EVENTS
from pipeline.model.signals import SIGNALS

MAX_OUTPUT: Final = 4 << 20
"""The lowest `max.message.bytes` of the output topics."""


class Topic(NamedTuple):
    """A topic without its prefix: its `cleanup.policy`, whether workers write it, and the full names of its records.

    `fixed_partitions` is the number of partitions of a topic that is exempt from the setting; 0 for all others.
    """

    name: str
    cleanup: str
    output: bool
    records: tuple[str, ...] = ()
    fixed_partitions: int = 0

    def full_name(self, prefix: str) -> str:
        """Return its name in Kafka."""
        return f"{prefix}.{self.name}"

    @property
    def config(self) -> dict[str, str]:
        """The configuration that `setup` creates it with, and requires."""
        config = {"cleanup.policy": self.cleanup, "message.timestamp.type": "LogAppendTime"}
        if self.output:
            config["max.message.bytes"] = str(MAX_OUTPUT)
        return config

    def partitions(self, setting: int) -> int:
        """Return its number of partitions, where `setting` is PIPELINE_PARTITIONS."""
        return self.fixed_partitions or setting

    def subjects(self, prefix: str) -> dict[str, str]:
        """Map each subject (TopicRecordNameStrategy) to its full record name."""
        return {f"{self.full_name(prefix)}-{record}": record for record in self.records}


def _signals(topic: str) -> tuple[str, ...]:
    return tuple(signal.RECORD for signal in SIGNALS if topic == signal.TOPIC)


API: Final = Topic("api.signals", "delete", False, _signals("api"))
MEDIA: Final = Topic("media.signals", "delete", False, _signals("media"))
EVENTS: Final = Topic("events", "delete", True, tuple(event.RECORD for event in ALL_EVENTS))
_ROWS: Final = ("conference.Room", "conference.Member", "conference.Gone", "conference.Position")
ROOMS: Final = Topic("rooms", "compact", True, _ROWS)
REJECTED: Final = Topic("signals.rejected", "delete", True, ("conference.Rejected",))
NOOPS: Final = Topic("signals.noops", "delete", True, ("conference.NoOp",))
DEAD: Final = Topic("signals.dead", "delete", True)

SIGNAL_TOPICS: Final = (API, MEDIA)
OUTCOMES: Final = (EVENTS, REJECTED, NOOPS, DEAD)
"""The topics whose records name the signal that caused them, in the header `ce_signal`."""
TOPICS: Final = (API, MEDIA, EVENTS, ROOMS, REJECTED, NOOPS, DEAD)
"""The topics of the workers."""
ENGINES: Final = Topic("engines", "compact", False, ("conference.Engine",), fixed_partitions=1)
"""The claims of the engine bridges. Workers neither read nor write it."""
ALL_TOPICS: Final = (*TOPICS, ENGINES)
"""What `setup` creates."""


def signal_topics(prefix: str) -> dict[str, str]:
    """Map the TOPIC of a signal class, "api" or "media", to the full name of its topic."""
    return {"api": API.full_name(prefix), "media": MEDIA.full_name(prefix)}
