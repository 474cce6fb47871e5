"""The assignment of partitions to workers."""

from __future__ import annotations

from typing import Any

from aiokafka.cluster import ClusterMetadata

from pipeline import topics
from pipeline.settings import Settings
from pipeline.worker.app import topology
from tests.support.worker import an_engine


def test_topics_without_metadata_are_assigned(settings: Settings) -> None:
    recovery: Any = None
    assignor = topology(an_engine(settings, None), recovery, settings).assignor
    names = [topic.full_name(settings.topic_prefix) for topic in (*topics.SIGNAL_TOPICS, topics.ROOMS)]
    members = {name: assignor.metadata(set(names)) for name in ("one", "two")}
    assigned = assignor.assign(ClusterMetadata(), members)
    got = [(topic, number) for one in assigned.values() for topic, numbers in one.assignment for number in numbers]
    assert sorted(got) == sorted((topic, number) for topic in names for number in range(settings.partitions))
