"""A worker whose transactions lose markers, as with a broker that is being stopped.

    ForkServer("tests.support.losing:lose_markers").spawn({**pipe.env, "LOSING": FOLDER})

Files in the folder control it:

lose        topic suffixes, such as `.events .rooms`: their partitions are not added to the transaction at the
            coordinator, which then completes transactions without a marker there
die         the worker kills itself before it commits
die_before  the worker kills itself after it has written its records, before it sends its offsets

The broker must not verify partitions (transaction.partition.verification.enable=false).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition

from pipeline.kafka.fenced_producer import FencedProducer

will_write, commit = FencedProducer.will_write, FencedProducer.commit_transaction
send_offsets = FencedProducer.send_offsets_to_transaction


def told(name: str) -> Path | None:
    """Return the file of this name in the worker's folder, if there is one."""
    file = Path(os.environ["LOSING"]) / name
    return file if file.exists() else None


def losing(self: FencedProducer, partitions: set[TopicPartition]) -> None:
    suffixes = file.read_text().split() if (file := told("lose")) else []
    lost = {tp for tp in partitions if tp.topic.endswith(tuple(suffixes))} if suffixes else set()
    self._txn_manager.txn_partitions.update(lost)
    will_write(self, partitions - lost)


async def dying(self: FencedProducer) -> Any:
    if told("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return await commit(self)


async def dying_before(self: FencedProducer, *given: Any) -> Any:
    if told("die_before"):
        os.kill(os.getpid(), signal.SIGKILL)
    return await send_offsets(self, *given)


def lose_markers() -> None:
    """Make this process's producers lose markers."""
    FencedProducer.will_write = losing  # type: ignore[method-assign]
    FencedProducer.commit_transaction = dying  # type: ignore[method-assign]
    FencedProducer.send_offsets_to_transaction = dying_before
