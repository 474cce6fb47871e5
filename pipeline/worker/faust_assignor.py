"""Faust's assignor, for brokers whose metadata lack a topic's partitions.

The leader of the group assigns the partitions that its metadata have. A broker that has just started may name a topic
without its partitions. Faust then leaves the topic out, and no member gets any of it until the next rebalance. The
number of partitions is a setting, and was checked before the worker joined.
"""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor


class _CompleteCluster:
    """Cluster metadata in which every topic has its partitions."""

    def __init__(self, cluster: Any, partitions: int) -> None:
        self._cluster, self._partitions = cluster, partitions

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Return all partitions of a topic that Faust subscribes to: the signal topics and the table's log."""
        return self._cluster.partitions_for_topic(topic) or set(range(self._partitions))


class Assignor(PartitionAssignor):
    """Faust's co-partitioning assignor on complete metadata."""

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Return the partitions of each member."""
        return super().assign(_CompleteCluster(cluster, self.app.conf.topic_partitions), member_metadata)
