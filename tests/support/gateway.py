"""A client of the gateway, and an apps file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from pipeline.gateway.apps import key_digest

ROOMS = "/api/v1/conferences"
NO_COOLDOWNS = {
    "GATEWAY_PLAY_COOLDOWN_SECONDS": "0",
    "GATEWAY_CONTROL_COOLDOWN_SECONDS": "0",
    "GATEWAY_SESSION_COOLDOWN_SECONDS": "0",
    "GATEWAY_WAIT_SECONDS": "10",
}
PATIENT = {"PIPELINE_WATCHDOG_SECONDS": "600"}


class Answer(NamedTuple):
    """An answer: status, body and headers."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> str:
        return str(self.body["error"])


def apps_file(folder: Path, *apps: str) -> Path:
    """Write an apps file; the key of each app is `APP-key`."""
    path = folder / "apps.toml"
    texts = [f'[apps.{app}]\nkeys = ["{key_digest(f"{app}-key")}"]\n' for app in apps or ("a", "b")]
    path.write_text("".join(texts))
    return path


class Client:
    """Sends requests of one app to one gateway."""

    def __init__(self, url: str, app: str = "a", key: str | None = None) -> None:
        self.url = url
        self.own = {"X-App-ID": app, "X-API-Key": key or f"{app}-key"}

    async def __aenter__(self) -> Client:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def call(
        self, method: str, path: str, body: Any = None, *, data: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request. Headers are given as `idempotency_key="k"`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            named.setdefault("content-type", "application/json")
        from yarl import URL

        url = URL(f"{self.url}{path}", encoded=True)
        async with self.session.request(method, url, data=data, headers={**self.own, **named}) as answer:
            text = await answer.text()
            return Answer(answer.status, json.loads(text) if text else None, answer.headers)

    async def create(self, name: str = "Team", **headers: str) -> str:
        """Create a room and return its id."""
        answer = await self.call("POST", ROOMS, {"name": name}, **headers)
        assert answer.status == 201, answer
        return str(answer.body["room_id"])
