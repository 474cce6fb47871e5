"""What the commands that use servers share: their settings, and errors of the Kafka client in one line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.settings import Settings


def server_settings(**overrides: Any) -> Settings:
    """Return the settings with both URLs: from the environment, else those of the local stack.

    Raises ConfigError when a setting is invalid or a URL is missing; the text names the remedy.
    """
    from pipeline.settings import load

    settings = load(**overrides)
    if settings.bootstrap_servers and settings.registry_url:
        return settings
    from pipeline.devstack import resolve

    urls = resolve()
    return settings.model_copy(
        update={
            "bootstrap_servers": settings.bootstrap_servers or urls.bootstrap_servers,
            "registry_url": settings.registry_url or urls.schema_registry_url,
        }
    )


def silence_kafka_client() -> None:
    """Turn the logs of aiokafka off: the command reports the same errors with their remedy."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def kafka_errors(settings: Settings) -> Iterator[None]:
    """Turn errors of the Kafka client into a ConfigError that names the broker and the remedy."""
    from aiokafka.errors import KafkaConnectionError, KafkaError

    silence_kafka_client()
    try:
        yield
    except KafkaError as error:
        if isinstance(error, KafkaConnectionError):
            from pipeline.kafka.admin import diagnose_connection

            why = asyncio.run(diagnose_connection(error, settings))
            if isinstance(why, ConfigError):
                raise why from None
            error = why
        text = str(next(iter(error.args), "")) or type(error).__name__
        raise ConfigError(
            f"Kafka at {settings.bootstrap_servers}: {text}: check KAFKA_BOOTSTRAP_SERVERS and that it runs"
        ) from None
