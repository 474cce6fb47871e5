"""The process of one bridge: probes, signals of the operating system, exit codes.

0  stopped by SIGTERM or SIGINT
1  an error that a restart can fix
2  invalid configuration or environment: an operator must act
3  another bridge has taken the node
"""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from typing import NoReturn

import structlog
from aiokafka.errors import KafkaError

from pipeline.engines.bridge import Bridge
from pipeline.engines.engine import Engine
from pipeline.engines.rules.ids import Node
from pipeline.errors import ConfigError, FencedError, PipelineError, UnavailableError
from pipeline.management import HttpServer
from pipeline.settings import Settings

log = structlog.get_logger("bridge")


def main(settings: Settings, node: Node, engine: Engine, away_seconds: float) -> NoReturn:
    """Run a bridge until SIGTERM, and end the process."""
    try:
        asyncio.run(_serve(settings, node, engine, away_seconds))
        code = 0
    except FencedError as error:
        log.error(str(error))
        code = 3
    except UnavailableError as error:
        log.error(str(error))
        code = 1
    except ConfigError as error:
        log.error(str(error))
        code = 2
    except (PipelineError, KafkaError, OSError) as error:
        log.error(str(error) or type(error).__name__)
        code = 1
    except Exception:
        log.error(traceback.format_exc())
        code = 1
    sys.exit(code)


async def _serve(settings: Settings, node: Node, engine: Engine, away_seconds: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bridge = Bridge(settings, node, engine, log.info, away_seconds=away_seconds)
    server = HttpServer(bridge, bridge.metrics.registry, settings.http_host, settings.http_port)
    port = await server.start()
    log.info("started", node=node.name, engine=engine.kind, http_port=port)
    try:
        async with bridge:
            await bridge.run(stop)
        log.info("stopped", node=node.name)
    finally:
        await server.stop()
