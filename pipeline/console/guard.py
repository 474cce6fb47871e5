"""What every request passes before the pages: its host, its method, where it comes from, and the login.

Every answer gets the headers that keep a browser from running, framing, keeping or sharing anything.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from pipeline.console.sessions import Sessions
from pipeline.web.server import HEAD_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
COOKIE: Final = "console"
PROBES: Final = ("/livez", "/readyz")
"""What may be asked for under any name: it tells nothing but whether the console works."""
OPEN_PATHS: Final = (*PROBES, "/login")
STATIC: Final = "/static/"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types console"
)
HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with none, browsers send no origin with a form
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Guard:
    """An ASGI application around another."""

    def __init__(self, inner: Any, hosts: frozenset[str], sessions: Sessions) -> None:
        self._inner, self._hosts, self._sessions = inner, hosts, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = [*headers, *HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        await (self._inner if refusal is None else refusal)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further; None for one that does."""
        path, method = scope["path"], scope["method"]
        if len(scope["raw_path"]) + len(scope["query_string"]) + _size(scope) > HEAD_BYTES:
            return PlainTextResponse(f"the head of a request may have {HEAD_BYTES} bytes\n", 400)
        if path in PROBES:
            return None
        host = host_name(_header(scope, b"host"))
        if host not in self._hosts:
            return PlainTextResponse("this console is not served under that name: set CONSOLE_ALLOWED_HOSTS\n", 421)
        if method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("only GET and POST\n", 405)
        # A link from elsewhere may open a page; nothing else of another site may ask for anything.
        foreign = _header(scope, b"sec-fetch-site") in ("cross-site", "same-site")
        if foreign and (method == "POST" or _header(scope, b"sec-fetch-mode") != "navigate"):
            return PlainTextResponse("requests from other sites are refused\n", 403)
        if method == "POST" and not _same_origin(scope):
            return PlainTextResponse("forms of other sites are refused\n", 403)
        if path in OPEN_PATHS or path.startswith(STATIC) or self.is_known(scope):
            return None
        if path.startswith("/stream/"):
            return PlainTextResponse("log in first\n", 401)
        return RedirectResponse("/login", 303)

    def is_known(self, scope: Scope) -> bool:
        """Return whether the request has a valid cookie, or none is needed."""
        if not self._sessions.is_required:
            return True
        found: SimpleCookie = SimpleCookie()
        try:
            found.load(_header(scope, b"cookie"))
        except CookieError:
            return False
        return COOKIE in found and self._sessions.is_valid(found[COOKIE].value, time.time())


def host_name(text: str) -> str:
    """Return the name in a `Host` header in lower case, without its port; "" if it is none."""
    try:
        return (urlsplit(f"//{text}").hostname or "") if text.isascii() and not set(text) & set("/\\@?# ") else ""
    except ValueError:
        return ""


def _same_origin(scope: Scope) -> bool:
    """Return whether a form was sent from a page of this console, as far as the browser tells."""
    origin = _header(scope, b"origin")
    return not origin or urlsplit(origin).netloc == _header(scope, b"host")


def _header(scope: Scope, name: bytes) -> str:
    """Return a header; "" if it is missing or repeated."""
    found = [value for one, value in scope["headers"] if one == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _size(scope: Scope) -> int:
    return sum(len(name) + len(value) for name, value in scope["headers"])
