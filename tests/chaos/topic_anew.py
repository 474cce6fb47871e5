"""A signal topic that is deleted and created again while no worker runs: the next worker must not continue (§6.6).

It comes last in a run, since the checker could not tell the offsets of the two topics apart.
"""

from __future__ import annotations

import subprocess
import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from testkit.chaos.logs import API, MEDIA, POISON_HEADER
from testkit.chaos.testbed import Testbed
from testkit.raw_batches import RawProducer, Record, batch

LOSS: Final = 4
"""Exit code of a worker that finds a loss (contract §6.6)."""
MORE: Final = 10
"""Records of the new topic behind each position, so that its offsets alone do not tell the topics apart."""
MOST: Final = 60_000
"""Records of a batch."""
SECONDS: Final = 60.0


def topic_made_anew(testbed: Testbed) -> list[str]:
    """Replace a signal topic and start a worker, when all others have ended. Returns the violations."""
    topic = testbed.pipe.topic(testbed.rng.choice((API, MEDIA)))
    positions = {number: testbed.reader.positions(number).get(topic, 0) for number in range(testbed.config.partitions)}
    _replace(testbed, topic)
    record = Record(b"key", b"{", [(POISON_HEADER, b"1")])
    with RawProducer(testbed.pipe.servers.bootstrap_servers) as producer:
        for number, position in positions.items():
            count = position + MORE
            while count > 0:
                data = batch([record] * min(count, MOST), codec="zstd")
                if not (answer := producer.send(topic, number, data)).stored:
                    return [f"{topic}/{number}, created again, takes no records: {answer}"]
                count -= MOST
    slot = testbed.slots[0]
    testbed.start(slot)
    assert slot.process is not None
    try:
        code = slot.process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return [f"{topic} was deleted and created again; a worker continued at {positions}, expected exit code {LOSS}"]
    last = slot.process.lines[-1:]
    return [] if code == LOSS else [f"{topic} was deleted and created again; a worker ended with {code}: {last}"]


def _replace(testbed: Testbed, topic: str) -> None:
    admin = testbed.admin()
    admin.delete_topics([topic])[topic].result(30)
    new = NewTopic(
        topic,
        testbed.config.partitions,
        testbed.config.nodes,
        config={"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"},
    )
    limit = time.monotonic() + SECONDS
    while True:
        try:
            admin.create_topics([new])[topic].result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > limit:
                raise
            time.sleep(0.2)  # the deletion takes a moment
        else:
            return
