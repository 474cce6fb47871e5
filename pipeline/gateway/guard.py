"""What every request passes before the endpoints: identity, rates, and the size and the time of its body.

The path stays percent-encoded up to the endpoints, so that an id may contain `%2F`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.responses import Response

from pipeline.gateway.apps import APP_ID, App, Apps
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.problems import Problem
from pipeline.gateway.settings import GatewaySettings
from pipeline.web.limits import Rates
from pipeline.web.server import HEAD_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OPEN_PATHS: Final = frozenset(("/openapi.json", "/docs"))
BODY_SECONDS: Final = 10.0
"""Longest time for a body to come."""
STREAM: Final = "events"
"""The endpoint whose answers have no end."""


class Guard:
    """An ASGI application around another."""

    def __init__(self, inner: Any, apps: Apps, settings: GatewaySettings, metrics: GatewayMetrics) -> None:
        self._inner, self._apps, self._settings, self._metrics = inner, apps, settings, metrics
        self._rates, self._addresses = Rates(), Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        path = scope["raw_path"].decode("ascii", "replace")
        inner: Scope = {**scope, "path": path, "state": {**scope.get("state", {})}}
        began, status = time.monotonic(), 500

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            # h11 limits only a head that comes in parts.
            if len(path) + sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
                raise Problem(400, "invalid_request", f"the head of a request may have {HEAD_BYTES} bytes")
            if path in OPEN_PATHS:
                self._limit_address(scope)
            else:
                inner["state"]["app"], inner["state"]["limits"] = self._caller(scope)
            if scope["method"] not in ("GET", "HEAD"):
                receive = await self._with_body(scope, receive)
            await self._inner(inner, receive, counted)
        except Problem as problem:
            await answer(problem)(inner, receive, counted)
        finally:
            endpoint = getattr(inner.get("endpoint"), "__name__", "none")
            self._metrics.requests.labels(endpoint, status).inc()
            if endpoint != STREAM:
                self._metrics.seconds.observe(time.monotonic() - began)

    # --- who asks --------------------------------------------------------------------------------------------

    def _caller(self, scope: Scope) -> tuple[str, App]:
        """Return the app and its limits. Raises Problem."""
        now = time.monotonic()
        app_id, key = _single(scope, b"x-app-id"), _single(scope, b"x-api-key")
        app = None if app_id is None or key is None else self._apps.find(app_id, key)
        if app is None or app_id is None:
            self._limit_address(scope)
            if app_id is not None and not APP_ID.fullmatch(app_id):
                raise Problem(400, "invalid_request", "X-App-ID must be 1-64 letters, digits, _ or -")
            raise Problem(401, "unauthorized", "X-App-ID and X-API-Key must name an app and a key of it")
        if left := self._rates.take(app_id, app.requests_per_second or self._settings.app_rate, now):
            raise Problem(429, "too_many_requests", "the app has sent too many requests", retry=left)
        return app_id, app

    def _limit_address(self, scope: Scope) -> None:
        """Count a request without a valid key. Raises Problem."""
        if left := self._addresses.take(self._address(scope), self._settings.anonymous_rate, time.monotonic()):
            raise Problem(429, "too_many_requests", "too many requests without a valid key", retry=left)

    def _address(self, scope: Scope) -> str:
        """Return the client's address: the last in X-Forwarded-For that is not a trusted proxy."""
        peer = (scope.get("client") or ("unknown", 0))[0]
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        chain = [one.strip() for one in forwarded.decode("latin-1").split(",") if one.strip()]
        address: str = peer
        while chain and self._is_proxy(address):
            address = chain.pop()
        return _network(address)

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._settings.proxies)

    # --- its body --------------------------------------------------------------------------------------------

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """Read the body and return a `receive` that gives it. Raises Problem."""
        most = self._settings.max_body
        length = _single(scope, b"content-length") or "0"
        if not length.isdigit() or int(length[:20]) > most:
            raise Problem(413, "body_too_large", f"a body may have {most} bytes")
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise Problem(413, "body_too_large", f"a body may have {most} bytes")
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Problem(408, "body_too_slow", f"the body did not come within {BODY_SECONDS:g} s") from None
        body = b"".join(parts)
        kind = (_single(scope, b"content-type") or "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            raise Problem(415, "not_json", "Content-Type must be application/json")
        first: MutableMapping[str, Any] | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> MutableMapping[str, Any]:
            nonlocal first
            message, first = first, None
            return await receive() if message is None else message

        return replay


def answer(problem: Problem) -> Response:
    """Return the response of a problem."""
    return Response(problem.body, problem.status, problem.headers, "application/json")


def _single(scope: Scope, name: bytes) -> str | None:
    """Return a header, None without it. Raises Problem when it is repeated."""
    found = [value for one, value in scope["headers"] if one == name]
    if len(found) > 1:
        raise Problem(400, "invalid_request", f"the header {name.decode()} occurs more than once")
    return found[0].decode("latin-1") if found else None


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 the network of 64 bits, which is one customer's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if found.version == 6 else address
