"""Faust's assignor, which must not forget a topic because a broker has.

The leader of the group shares out the partitions that its metadata have. A broker that has just started may name a
topic without its partitions, and Faust then leaves the topic out: nobody gets any of it, until something else makes the
group share out again. How many partitions our topics have is a setting, and was checked before the worker joined.
"""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor


class _Known:
    """A cluster in which these topics have their partitions, whatever its metadata have."""

    def __init__(self, cluster: Any, partitions: int) -> None:
        self._cluster, self._partitions = cluster, partitions

    def partitions_for_topic(self, topic: str) -> set[int]:
        """All of them: Faust subscribes to no topics but ours."""
        return self._cluster.partitions_for_topic(topic) or set(range(self._partitions))


class Assignor(PartitionAssignor):
    """See the module."""

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """The partitions of each member."""
        return super().assign(_Known(cluster, self.app.conf.topic_partitions), member_metadata)
