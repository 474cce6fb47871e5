"""Settings for the commands that talk to servers: what the environment names, else what `up` started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.settings import Settings


def settings(**overrides: Any) -> Settings:
    """The settings with both URLs filled in. Raises ConfigError naming the remedy when there is nothing to talk to."""
    from pipeline.settings import load

    found = load(**overrides)
    if found.bootstrap_servers and found.registry_url:
        return found
    from pipeline.devstack import resolve

    urls = resolve()
    return found.model_copy(
        update={
            "bootstrap_servers": found.bootstrap_servers or urls.bootstrap_servers,
            "registry_url": found.registry_url or urls.schema_registry_url,
        }
    )


@contextlib.contextmanager
def kafka_errors(found: Settings) -> Iterator[None]:
    """Turn what the Kafka client raises into a ConfigError that names the broker and the remedy."""
    from aiokafka.errors import KafkaConnectionError, KafkaError

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it would say the same, first, in other words
    try:
        yield
    except KafkaError as error:
        if isinstance(error, KafkaConnectionError):
            from pipeline.kafka.connection import diagnose_connection

            why = asyncio.run(diagnose_connection(error, found))
            if isinstance(why, ConfigError):
                raise why from None
            error = why
        text = str(next(iter(error.args), "")) or type(error).__name__
        raise ConfigError(
            f"Kafka at {found.bootstrap_servers}: {text}: check KAFKA_BOOTSTRAP_SERVERS and that it runs"
        ) from None
