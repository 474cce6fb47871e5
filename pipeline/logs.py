"""Structured logs on standard error: one line per fact, quiet by default."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from pipeline.settings import Settings

_LIBRARIES = ("faust", "mode", "aiokafka", "kafka", "asyncio", "aiohttp")


def configure(settings: Settings) -> None:
    """Log as the settings say: JSON lines where a program reads them, text on a terminal."""
    level = getattr(logging, settings.log_level.upper())
    json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.EventRenamer("msg") if json else structlog.processors.StackInfoRenderer(),
    ]
    plain: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(timestamp_key="ts", event_key="event")
    )

    def renderer(logger: Any, name: str, event: Any) -> str:
        return settings.redacted(plain(logger, name, event))

    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # The libraries talk a lot: only their errors, in our format.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # At debug, a connection writes down the very bytes that it logs in with.
    logging.getLogger("aiokafka.conn").setLevel(logging.INFO if level == logging.DEBUG else logging.CRITICAL)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG if level == logging.DEBUG else logging.CRITICAL)
