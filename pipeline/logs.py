"""Structured logs on standard error, one line each."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from pipeline.settings import Settings
from pipeline.terminal import printable


def _safe(event: Any) -> dict[str, Any]:
    """Return an event whose strings can't control a terminal; a traceback keeps its lines."""
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(None, "", event)
    return {
        printable(key): printable(value if isinstance(value, str) else repr(value), lines=key == "exception")
        for key, value in event.items()
    }


def configure(settings: Settings) -> None:
    """Configure logging for this process: level and format of the settings, secrets replaced by `***`."""
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
        # JSON escapes everything but ASCII. The console form prints strings as they are.
        return settings.redacted(plain(logger, name, event if json else _safe(event)))

    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # The libraries log too much for operators: at debug all of it, else nothing below critical; in the same format.
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter
    handler.setFormatter(formatter(foreign_pre_chain=shared, processors=[formatter.remove_processors_meta, renderer]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # Never at debug: aiokafka.conn then logs the bytes of the login.
    logging.getLogger("aiokafka.conn").setLevel(logging.INFO if level == logging.DEBUG else logging.CRITICAL)
    for name in ("faust", "mode", "aiokafka", "kafka", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.DEBUG if level == logging.DEBUG else logging.CRITICAL)
