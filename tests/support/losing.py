"""A worker whose transactions lose markers, as a broker that is being stopped loses them: `python tests/support/losing.py worker`.

While the folder LOSING holds a file `lose`, the coordinator is not told of the partitions that its words end (such as
`.events .rooms`), so it completes transactions without a marker there. With a file `die`, the worker dies in the
moment in which it would commit; with a file `die_before`, when its records are written and it would send its offsets. The broker must not verify partitions (transaction.partition.verification.enable).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition

from pipeline.__main__ import main
from pipeline.kafka.fenced_producer import FencedProducer

PLACE = Path(os.environ["LOSING"])
will_write, commit = FencedProducer.will_write, FencedProducer.commit_transaction
send_offsets = FencedProducer.send_offsets_to_transaction


def losing(self: FencedProducer, partitions: set[TopicPartition]) -> None:
    words = (PLACE / "lose").read_text().split() if (PLACE / "lose").exists() else []
    lost = {tp for tp in partitions if tp.topic.endswith(tuple(words))} if words else set()
    self._txn_manager.txn_partitions.update(lost)
    will_write(self, partitions - lost)


async def dying(self: FencedProducer) -> Any:
    if (PLACE / "die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return await commit(self)


async def dying_before(self: FencedProducer, *given: Any) -> Any:
    if (PLACE / "die_before").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return await send_offsets(self, *given)


FencedProducer.will_write = losing  # type: ignore[method-assign]
FencedProducer.commit_transaction = dying  # type: ignore[method-assign]
FencedProducer.send_offsets_to_transaction = dying_before
main()
