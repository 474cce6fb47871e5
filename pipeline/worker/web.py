"""`/livez`, `/readyz`, `/metrics`. Up before Kafka is, so that probes can tell a start from a stall."""

from __future__ import annotations

import time
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline.errors import ConfigError
from pipeline.metrics import Metrics

STALLED_SECONDS = 60.0
"""A unit that takes so long, or a consumer that does not poll for so long, is stuck; a broker that is away is not."""


class Health(Protocol):
    """What the probes ask of the worker."""

    def stalled(self) -> float:
        """Seconds without progress of the worker's own loops."""

    def not_ready(self) -> str | None:
        """Why the worker takes no signals yet; None when it does."""

    def refresh(self) -> None:
        """Bring the gauges up to date."""


class Web:
    """The HTTP server of one worker."""

    def __init__(self, health: Health, metrics: Metrics, host: str, port: int) -> None:
        self._health, self._metrics = health, metrics
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self._began = time.monotonic()

    async def start(self) -> int:
        """Listen; the port that is listened on. Raises ConfigError when it is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._scrape),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"port {self._port} can't be listened on ({error.strerror}): set PIPELINE_HTTP_PORT to a free one, or 0"
            ) from None
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        stalled = self._health.stalled()
        if stalled > STALLED_SECONDS:
            return web.json_response({"alive": False, "stalled_seconds": round(stalled, 1)}, status=503)
        return web.json_response({"alive": True, "up_seconds": round(time.monotonic() - self._began, 1)})

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._health.not_ready()
        return web.json_response({"ready": reason is None, "reason": reason}, status=503 if reason else 200)

    async def _scrape(self, _: web.Request) -> web.Response:
        self._health.refresh()
        return web.Response(
            body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
