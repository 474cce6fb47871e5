"""Ends a node whose engine and bridge are gone: everyone in its rooms leaves, and the node is no longer announced."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pipeline.engines.api_log import ApiLog
from pipeline.engines.auditor import orphans
from pipeline.engines.claim_holder import ClaimHolder
from pipeline.engines.rules.claim import WRITE_SECONDS
from pipeline.engines.rules.ids import Node
from pipeline.errors import ConfigError
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.records import Engine
from pipeline.settings import Settings
from pipeline.topics import MEDIA
from pipeline.view import RoomsView
from pipeline.view.follower import Notice

MARGIN_SECONDS: Final = 3.0
"""Seconds that a bridge's record may be late."""


async def retire(settings: Settings, node: Node, notice: Notice) -> int:
    """Let everyone leave and return how many that were. Raises ConfigError if the bridge still runs, KafkaError."""
    nothing = Engine(kind="", version="", capabilities=(), rooms=0, epoch=-1, since=0)
    async with ClaimHolder(settings, node.name, lambda: nothing, notice) as claim, RoomsView(settings, notice) as view:
        key = node.name.encode()
        before = claim.last.get(key)
        if before is not None:
            notice(f"waiting {WRITE_SECONDS + MARGIN_SECONDS:.0f} s to see whether the bridge of {node.name} runs")
            await asyncio.sleep(WRITE_SECONDS + MARGIN_SECONDS)
            if claim.last.get(key) != before:
                raise ConfigError(f"the bridge of node {node.name} runs: stop it first")
        await view.loaded()
        api = ApiLog(settings, view.partitions, notice)
        async with api.log:
            await api.begin()
            reading = asyncio.create_task(api.log.run())
            try:
                await api.seen_by(view)
            finally:
                reading.cancel()
        signals = orphans(view, node, time.time_ns() // 1000)
        async with SignalProducer(settings, avro=True, keep_order=False, written=(MEDIA,)) as producer:
            for future in [await producer.send(one, b"") for one in signals]:
                await future
        if before is not None:
            await claim.retire()
    return len(signals)
