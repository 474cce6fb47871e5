"""What must hold before this worker continues partitions: no other group works on them, and the table is whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import structlog
from aiokafka import errors as Errors
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.admin import table_loss
from pipeline.admin.signal_loss import Log, Place, judge
from pipeline.errors import ConfigError, DeniedError, LossError
from pipeline.kafka.admin import ConsumerGroup, admin_client, describe_group
from pipeline.model.records import Position, TopicPosition
from pipeline.settings import Settings
from pipeline.worker.startup import retried

Committed = Mapping[TopicPartition, OffsetAndMetadata]
log = structlog.get_logger("recovery")


async def require_no_other_workers(groups: Iterable[str], settings: Settings) -> None:
    """Raise ConfigError while one of these groups is another than this worker's and has members.

    Only workers of one group fence each other: with two, each event is published twice. Raises KafkaError.
    """
    for group in sorted(set(groups) - {"", settings.group_id}):
        found = await retried(partial(_described, group, settings), f"the broker of group {group!r}", settings)
        if found.members:
            hosts = ", ".join(sorted({host for host, _ in found.members}))
            raise ConfigError(
                f"group {group!r} works on topics {settings.topic_prefix}.* and has members (on {hosts}): stop them "
                f"before workers of group {settings.group_id!r} start, or set PIPELINE_GROUP_ID={group}; "
                'see docs/howto/runbook.md, "Another group"'
            )
        log.info("continue after another group, which has no members", group=group)


async def _described(group: str, settings: Settings) -> ConsumerGroup:
    async with admin_client(settings) as admin:
        try:
            return await describe_group(admin, group)
        except Errors.GroupAuthorizationFailedError:
            raise DeniedError(
                f"group {group!r} has worked on topics {settings.topic_prefix}.*, and this client may not see whether "
                f"it still does: allow it Describe on group {group}"
            ) from None


def check_table(
    committed: Committed,
    positions: Mapping[int, Position],
    table: str,
    table_id: str,
    *,
    accept_loss: bool,
) -> None:
    """Raise ConfigError when the table has lost rows; only report it with `accept_loss`."""
    lost = table_loss.lost_rows(committed, positions, table_id)
    if not lost:
        return
    text = table_loss.lost_text(table, lost)
    if not accept_loss:
        raise ConfigError(f"{text}; {table_loss.GO_ON}")
    log.warning(f"{text}: accepted", partitions=sorted(lost))


def places(
    recorded: Mapping[TopicPartition, TopicPosition], logs: Mapping[TopicPartition, Log], *, accept_loss: bool
) -> dict[TopicPartition, Place]:
    """Return where to continue, from the recorded positions (promise 6).

    Raises LossError when signals after a position are gone, unless `accept_loss`.
    """
    found: dict[TopicPartition, Place] = {}
    lost: dict[str, list[str]] = {}
    for tp, now in logs.items():
        known = recorded.get(tp)
        if known is None:
            found[tp] = Place(now.start, 0, now.topic_id)
            continue
        loss, found[tp] = judge(tp, known, now)
        if loss is not None:
            lost.setdefault(loss, []).append(f"{known.offset} on partition {tp.partition}")
    texts = [f"{loss}; the position was {', '.join(positions)}" for loss, positions in lost.items()]
    if texts and not accept_loss:
        raise LossError(f"{'. '.join(texts)}: to continue without them: worker --accept-loss")
    for text in texts:
        log.warning(f"signals lost, as accepted: {text}")
    return found


def is_current(
    position: Position | None,
    group: str,
    ids: Mapping[str, str],
    committed: Iterable[OffsetAndMetadata | None],
    text: str,
) -> bool:
    """Return whether position and offsets of a partition name this group, these topics and this table.

    Otherwise a worker of another group, or a lost topic, would not be noticed until the next signal.
    """
    return (
        position is not None
        and position.group_id == group
        and all(one.topic_id == ids.get(one.topic, one.topic_id) for one in position.positions)
        and all(one is not None and one.metadata == text for one in committed)
    )
