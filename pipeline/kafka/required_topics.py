"""Check that the topics a client needs exist, and that it may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.kafka.acls import Acl
    from pipeline.settings import Settings


async def require_topics(settings: Settings, needed: list[Acl]) -> dict[str, int]:
    """Return the topics that the permissions are for, with their numbers of partitions.

    Raises ConfigError with the remedy when a topic or a permission is missing, and KafkaError.
    """
    from pipeline.kafka.admin import admin_client, describe_topics
    from pipeline.kafka.authorization import require_permissions

    async with admin_client(settings) as admin:
        await require_permissions(admin, needed, settings)
        topics = (await describe_topics(admin, [acl.name for acl in needed])).topics
    missing = [name for name, topic in topics.items() if topic.missing]
    if missing:
        raise ConfigError(
            f"no topic {' and no topic '.join(missing)} at {settings.bootstrap_servers}: "
            "run `conference-pipeline setup`, or set PIPELINE_TOPIC_PREFIX"
        )
    return {name: topic.partitions for name, topic in topics.items()}
