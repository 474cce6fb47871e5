"""The routes of the console."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.console.guard import COOKIE
from pipeline.console.live_page import LivePage, Sources, markup, state
from pipeline.console.pipeline_page import PipelinePage
from pipeline.console.room_hub import TooManyViewedError
from pipeline.console.room_page import RoomPage
from pipeline.console.rooms_page import RoomsPage, asked_of
from pipeline.console.sessions import Sessions
from pipeline.console.streams import Streams, TooManyStreamsError
from pipeline.console.templating import STATIC, page, safe, static_file
from pipeline.metrics import package_version
from pipeline.view import StaleViewError
from pipeline.web.limits import Rates

SETTLE_SECONDS: Final = 0.7
"""Longest time that a page waits for a timeline, or for the state of the workers."""
LOGINS_PER_SECOND: Final = 1.0
"""Logins that are tried from one address."""
MOST_FORM: Final = 4096
"""Bytes of a form."""
MOST_ID: Final = 1024
"""Characters of a room_id."""
log = structlog.get_logger("console")


class Console:
    """The pages. `sources` come later than the server; until then all pages say that the console starts."""

    def __init__(self, sources: Sources, streams: Streams, sessions: Sessions, *, secure_cookie: bool) -> None:
        self._sources, self._streams, self._sessions = sources, streams, sessions
        self._secure = secure_cookie
        self._logins = Rates()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/", self.show),
            Route("/room", self.show),
            Route("/pipeline", self.show),
            Route("/stream/rooms", self.stream),
            Route("/stream/room", self.stream),
            Route("/stream/pipeline", self.stream),
            Route("/static/{name}", static),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/livez", self.alive),
            Route("/readyz", self.ready),
        ]

    def _page(self, request: Request) -> tuple[str, LivePage | None]:
        """Return the name of the page that was asked for, and the page; None for a room without an id."""
        name = request.url.path.removeprefix("/stream").strip("/") or "rooms"
        if name == "pipeline":
            return name, PipelinePage(self._sources)
        if name == "room":
            room_id = request.query_params.get("id", "")[:MOST_ID]
            return name, RoomPage(self._sources, room_id) if room_id else None
        return name, RoomsPage(self._sources, asked_of(request.query_params))

    async def show(self, request: Request) -> Response:
        """Answer with a page."""
        name, live = self._page(request)
        if live is None:
            return self._message(404, "No room", "The address has no room id.")
        async with live:
            await live.settled(SETTLE_SECONDS)
            try:
                fragments = live.fragments()
            except StaleViewError as error:
                return self._message(503, "Not current", f"{error}. This page tries again.", stream=f"/stream/{name}")
            text = page(
                live.template,
                **self._common(live.title, name, f"/stream/{name}"),
                **live.values(),
                parts=markup(fragments),
            )
        return Response(text, media_type="text/html; charset=utf-8")

    def _common(self, title: str, here: str | None, stream: str, *, retry: bool = False) -> dict[str, Any]:
        return {
            "title": title,
            "here": here,
            "stream": stream,
            "state": safe(state(self._sources.view)),
            "retry": retry,
            "now": time.time_ns() // 1_000_000,
            "can_leave": self._sessions.is_required and here is not None,
            "version": package_version(),
        }

    def _message(self, status: int, title: str, text: str, stream: str = "") -> Response:
        made = page("message.html", **self._common(title, "", stream, retry=bool(stream)), text=text)
        return Response(made, status, media_type="text/html; charset=utf-8")

    async def stream(self, request: Request) -> Response:
        """Answer with the stream of a page."""
        if request.method != "GET":
            return PlainTextResponse("only GET\n", 405)
        self._streams.check()
        _, live = self._page(request)
        if live is None:
            return PlainTextResponse("the address has no room id\n", 404)
        messages = self._streams.open(live)
        first = await anext(messages, b"")  # before the answer begins: it may be refused
        return StreamingResponse(_closing(first, messages), media_type="text/event-stream")

    # --- login -----------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """Show the form, or check what was entered."""
        if not self._sessions.is_required:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return self._form(200, "")
        address = request.client.host if request.client else "unknown"
        if self._logins.take(address, LOGINS_PER_SECOND, time.monotonic()):
            return self._form(429, "Too many tries: wait a second.")
        entered = await _entered(request)
        if not self._sessions.accepts(entered):
            log.warning("login refused", client=address)
            return self._form(403, "That is not the token.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._sessions.cookie(time.time()),
            max_age=self._sessions.seconds,
            httponly=True,
            secure=self._secure,
            samesite="strict",
        )
        return answer

    def _form(self, status: int, problem: str) -> Response:
        made = page("login.html", **self._common("Log in", None, ""), problem=problem)
        return Response(made, status, media_type="text/html; charset=utf-8")

    async def logout(self, _: Request) -> Response:
        """Delete the cookie."""
        answer = RedirectResponse("/login" if self._sessions.is_required else "/", 303)
        answer.delete_cookie(COOKIE, httponly=True, secure=self._secure, samesite="strict")
        return answer

    # --- probes and errors -----------------------------------------------------------------------------------

    async def alive(self, _: Request) -> Response:
        """Tell that the process works."""
        return PlainTextResponse("alive\n")

    async def ready(self, _: Request) -> Response:
        """Tell whether the view is current."""
        is_ready = self._sources.hub.is_complete and not self._sources.view.stale
        return PlainTextResponse("ready\n" if is_ready else "not ready\n", 200 if is_ready else 503)

    async def too_many(self, request: Request, _: Exception) -> Response:
        """Answer a request for more lists or streams than may be open."""
        text = "Too many pages are open: close some, or raise CONSOLE_MAX_STREAMS."
        if request.url.path.startswith("/stream"):
            return PlainTextResponse(text + "\n", 503, {"Retry-After": "5"})
        return self._message(503, "Too many pages", text)

    async def not_found(self, _: Request, __: Exception) -> Response:
        """Answer a request for a page that there is none of."""
        return self._message(404, "No such page", "There are the rooms, and the pipeline.")


async def static(request: Request) -> Response:
    """Answer with one of the files of the pages; their addresses change with them."""
    name = request.path_params["name"]
    if name not in STATIC:
        return PlainTextResponse("no such file\n", 404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": STATIC[name]}
    return Response(static_file(name), headers=headers)


async def _entered(request: Request) -> str:
    """Return the token in a form; "" if the form is none, or too large."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_FORM:
                return ""
    except ClientDisconnect:
        return ""
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=4).get("token", [""])[0].strip()
    except ValueError:
        return ""


async def _closing(first: bytes, messages: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Yield messages, and close their source at the end at once."""
    async with contextlib.aclosing(messages):
        yield first
        async for message in messages:
            yield message


def make_app(console: Console) -> Starlette:
    """Return the application."""
    return Starlette(
        routes=console.routes(),
        exception_handlers={
            404: console.not_found,
            TooManyStreamsError: console.too_many,
            TooManyViewedError: console.too_many,
        },
    )
