"""Hands usual requests straight to their endpoints. FastAPI takes longer to find and call one than it to answer.

A request that is not usual, or not valid, goes to FastAPI, which decides about it and words the error.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import PipelineError
from pipeline.gateway import bodies
from pipeline.gateway.api import Api
from pipeline.gateway.guard import Receive, Scope, Send, answer
from pipeline.gateway.problems import Problem, unavailable

ROOMS: Final = "/api/v1/conferences"
SESSIONS: Final = "/api/v1/sessions/"
COMMANDS: Final = "commands/conference"


class _Route(NamedTuple):
    """An endpoint, the name of the id in its path, and its body: the model, and whether it may be left out."""

    endpoint: Callable[..., Coroutine[Any, Any, Response]]
    parameter: str
    model: type[bodies.CommandBody] | None
    optional: bool = False


class Direct:
    """An ASGI application around that of FastAPI, with the same endpoints."""

    def __init__(self, inner: Any, api: Api) -> None:
        self._inner = inner
        none, session = bodies.NoBody, bodies.SessionBody
        self._create = _Route(api.create_conference, "", bodies.CreateBody)
        self._rooms = {
            "GET": _Route(api.get_conference, "room_id", None),
            "DELETE": _Route(api.delete_conference, "room_id", none, optional=True),
            "POST play": _Route(api.play, "room_id", bodies.PlayBody),
            "POST pause": _Route(api.pause, "room_id", none, optional=True),
            "POST stop": _Route(api.stop, "room_id", none, optional=True),
            "POST volume": _Route(api.volume, "room_id", bodies.VolumeBody),
        }
        self._sessions = {
            f"POST {one.__name__}": _Route(one, "session_uuid", session)
            for one in (api.join, api.leave, api.mute, api.unmute)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem."""
        found = self._find(scope) if scope["type"] == "http" and not scope["query_string"] else None
        if found is None:
            await self._inner(scope, receive, send)
            return
        route, values = found
        if route.model is not None:
            first = await receive()

            async def again() -> Any:
                nonlocal first
                message, first = first, {}
                return message or await receive()

            try:
                data = first.get("body", b"")
                values["body"] = None if route.optional and not data else route.model.model_validate_json(data)
            except ValidationError:
                await self._inner(scope, again, send)
                return
        scope["endpoint"] = route.endpoint
        try:
            response = await route.endpoint(Request(scope), **values)
        except Problem:
            raise
        except PipelineError as error:
            response = answer(unavailable("unavailable", str(error)))
        except Exception:
            await answer(Problem(500, "internal", "a fault of the gateway: its log has more"))(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[_Route, dict[str, Any]] | None:
        """Return the route of a request and the id in its path, None if FastAPI must look for it."""
        path, method = scope["path"], scope["method"]
        if path.startswith(ROOMS):
            if path == ROOMS:
                return (self._create, {}) if method == "POST" else None
            start, *rest = path[len(ROOMS) :].split("/")
            if start or not 0 < len(rest) < 3 or not rest[0]:
                return None
            route = self._rooms.get(" ".join((method, *rest[1:])))
        elif path.startswith(SESSIONS):
            *rest, command = path[len(SESSIONS) :].split("/")
            if len(rest) != 3 or not rest[0] or "/".join(rest[1:]) != COMMANDS:
                return None
            route = self._sessions.get(f"{method} {command}")
        else:
            return None
        return None if route is None else (route, {route.parameter: rest[0]})
