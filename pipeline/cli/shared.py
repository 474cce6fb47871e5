"""What several commands share: options, the settings with both servers, one-line errors of the Kafka client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import terminal
from pipeline.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from pipeline.devstack import StackStatus, Urls
    from pipeline.kafka.ranges import Span
    from pipeline.settings import Settings

Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object instead of text.")]
Force = Annotated[
    bool, typer.Option("--force", metavar="", help="Only warn about topic settings that break a guarantee.")
]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Start at this append time: 10m, 2h or RFC 3339.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Stop before this append time: 10m, 2h or RFC 3339.")]
StackName = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Name of the local stack; several can run side by side.")
]


def server_settings(warn: Callable[[str], object] | None = None) -> Settings:
    """Return the settings with both URLs, from the environment or of the local stack. Raises ConfigError.

    `warn` receives a line for each variable that looks like a misspelt setting; by default it is printed.
    """
    from pipeline.settings import load, warnings

    for warning in warnings():
        (warn or _print_warning)(warning)
    settings = load()
    if settings.bootstrap_servers and settings.registry_url:
        return settings
    from pipeline.devstack import resolve

    return with_urls(settings, resolve())


def _print_warning(text: str) -> None:
    terminal.warn(f"warning: {text}")


def with_urls(settings: Settings, found: Urls | StackStatus) -> Settings:
    """Return the settings with the URLs of `found` in place of missing ones."""
    broker, registry = found.bootstrap_servers, found.schema_registry_url
    urls = {
        "bootstrap_servers": settings.bootstrap_servers or broker,
        "registry_url": settings.registry_url or registry,
    }
    return settings.model_copy(update=urls)


def span_of(since: str | None, until: str | None, *, follow: bool = False) -> Span:
    """Return the range of append times that `--since`, `--until` and `--follow` name. Raises BadParameter."""
    from pipeline.kafka.ranges import Span

    if follow and until is not None:
        raise typer.BadParameter("--until has no effect with --follow: leave one out")
    return Span(_moment("--since", since), _moment("--until", until), follow)


def _moment(option: str, text: str | None) -> int | None:
    from pipeline.model.times import parse_moment

    try:
        return None if text is None else parse_moment(text, time.time_ns() // 1000)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def silence_kafka_client() -> None:
    """Turn the logs of aiokafka off: the command reports the same errors with their remedy."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def kafka_errors(settings: Settings) -> Iterator[None]:
    """Turn errors of the Kafka client into one that names the broker and the remedy.

    It is an UnavailableError when the broker does not answer or its answer may be another one later.
    """
    from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

    silence_kafka_client()
    try:
        yield
    except KafkaError as error:
        remedy = "check KAFKA_BOOTSTRAP_SERVERS and that it runs"
        if isinstance(error, KafkaConnectionError | NodeNotReadyError):
            from pipeline.kafka.admin import UnreachableBrokersError, diagnose_connection

            why = asyncio.run(diagnose_connection(error, settings))
            if isinstance(why, ConfigError):
                raise why from None
            error = why
            if isinstance(why, UnreachableBrokersError):
                remedy = why.REMEDY
        text = str(next(iter(error.args), "")) or type(error).__name__
        raise UnavailableError(f"Kafka at {settings.bootstrap_servers}: {text}: {remedy}") from None
