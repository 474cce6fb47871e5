"""The FastAPI application: routes, errors, and the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.errors import PipelineError
from pipeline.gateway import bodies, docs_page
from pipeline.gateway.api import Api
from pipeline.gateway.guard import answer
from pipeline.gateway.problems import REJECTED, Problem, unavailable
from pipeline.metrics import package_version

ROOMS: Final = "/api/v1/conferences"
ROOM: Final = f"{ROOMS}/{{room_id}}"
SESSION: Final = "/api/v1/sessions/{session_uuid}/commands/conference"
MEANINGS: Final = {
    400: "A bad body, header or parameter: `invalid_request`.",
    401: "No key, or a wrong one: `unauthorized`.",
    403: "The session belongs to another app: `session_denied`.",
    404: "Not there, or of another app.",
    408: "The body came too slowly: `body_too_slow`.",
    409: "The state of the room does not allow it.",
    413: "The body is over 64 KiB: `body_too_large`.",
    415: "The body is not JSON: `not_json`.",
    422: "The key was used with another body: `key_reused`.",
    429: "Too many requests: `too_many_requests`, `too_soon`. `Retry-After` says when.",
    500: "A dead letter, whose place is in `detail`: `dead_letter`. A fault of the gateway: `internal`.",
    501: "The engine of the room's node can't do this: `engine_cannot`. Nothing was written.",
    503: "The view is stale or Kafka is away: `unavailable`. Certainly nothing was written.",
}
"""Status of an error → its meaning."""
ALWAYS: Final = (400, 401, 429, 500, 503)
COMMAND: Final = (*ALWAYS, 404, 408, 409, 413, 415, 422, 501)


def make_app(api: Api) -> FastAPI:
    """Return the application."""
    app = _Documented(
        title="Conference gateway",
        version=package_version(),
        summary="Requests of apps to conference rooms, and the events that follow.",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    _add_routes(app, api)

    async def docs(_: Request) -> Response:
        return Response(docs_page.render(app.openapi()), headers=docs_page.HEADERS, media_type="text/html")

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(PipelineError, _on_stale)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_fault)
    return app


def _add_routes(app: FastAPI, api: Api) -> None:
    def add(method: str, path: str, endpoint: Any, answers: dict[int, Any], errors: tuple[int, ...]) -> None:
        responses: dict[int | str, dict[str, Any]] = {
            status: {"model": model, "description": _first_line(model)} for status, model in answers.items()
        }
        responses |= {one: {"model": bodies.ProblemBody, "description": MEANINGS[one]} for one in sorted(errors)}
        app.add_api_route(
            path, endpoint, methods=[method], responses=responses, status_code=min(answers), response_model=None
        )

    done: dict[int, Any] = {200: bodies.Completed, 202: bodies.InProgress}
    add("POST", ROOMS, api.create_conference, {201: bodies.Created, 202: bodies.InProgress}, COMMAND)
    add("GET", ROOMS, api.list_conferences, {200: bodies.Conferences}, ALWAYS)
    add("GET", ROOM, api.get_conference, {200: bodies.Conference}, (*ALWAYS, 404))
    add("DELETE", ROOM, api.delete_conference, done, COMMAND)
    for endpoint in (api.play, api.pause, api.stop, api.volume):
        add("POST", f"{ROOM}/{endpoint.__name__}", endpoint, done, COMMAND)
    for command in (api.join, api.leave, api.mute, api.unmute):
        add("POST", f"{SESSION}/{command.__name__}", command, done, (*COMMAND, 403))
    add("GET", "/api/v1/operations/{operation_id}", api.get_operation, {200: bodies.Operation}, (*ALWAYS, 404))
    streamed: dict[int | str, dict[str, Any]] = {
        one: {"model": bodies.ProblemBody, "description": MEANINGS[one]} for one in ALWAYS
    }
    stream = {"description": "The events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    app.add_api_route(
        "/api/v1/events", api.events, methods=["GET"], responses={200: stream, **streamed}, response_model=None,
        response_class=Response,
    )  # fmt: skip


def _first_line(model: Any) -> str:
    return str(model.__doc__).partition("\n")[0]


# --- errors --------------------------------------------------------------------------------------------------


async def _on_problem(_: Request, error: Any) -> Response:
    return answer(error)


async def _on_stale(_: Request, error: Any) -> Response:
    return answer(unavailable("unavailable", str(error)))


async def _on_invalid(_: Request, error: Any) -> Response:
    found = [{"where": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()[:10]]
    message = "; ".join(f"{one['where']}: {one['message']}" for one in found)
    return answer(Problem(400, "invalid_request", message, {"errors": found}))


async def _on_http(_: Request, error: Any) -> Response:
    name = {404: "not_found", 405: "method_not_allowed", 400: "invalid_request"}.get(error.status_code, "error")
    return answer(Problem(error.status_code, name, str(error.detail)))


async def _on_fault(_: Request, __: Any) -> Response:
    return answer(Problem(500, "internal", "a fault of the gateway: its log has more"))


# --- the document --------------------------------------------------------------------------------------------

_HEADERS: Final[dict[str, Any]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Equal requests with one key take effect once. Without one the gateway makes and returns one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: seconds to wait for the outcome, 0 to 10. Default 2.",
        "schema": {"type": "string"},
        "example": "wait=5",
    },
    "LastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that was received: the stream goes on behind it.",
        "schema": {"type": "string"},
    },
}
_KEYS: Final = {
    "app": {"type": "apiKey", "in": "header", "name": "X-App-ID"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class _Documented(FastAPI):
    """An application whose document has the headers, and errors as they are."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if (known := self.openapi_schema) is not None:
            return known
        made = super().openapi()
        _complete(made)
        return made


def _complete(document: dict[str, Any]) -> None:
    components = document["components"]
    components["parameters"] = _HEADERS
    components["securitySchemes"] = _KEYS
    document["security"] = [{name: [] for name in _KEYS}]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            names = ["IdempotencyKey", "Prefer"] if method != "get" else []
            names += ["LastEventId"] if path.endswith("/events") else []
            one["parameters"] = [
                *one.get("parameters", ()), *({"$ref": f"#/components/parameters/{name}"} for name in names)
            ]  # fmt: skip
            invalid = one["responses"].get("422", {})
            if "HTTPValidationError" in str(invalid):
                del one["responses"]["422"]
            one["description"] = re.sub(r"\s+", " ", one.get("description", ""))
    text = ", ".join(f"`{name}` ({status})" for name, (status, _) in REJECTED.items())
    document["info"]["description"] = f"What a room refuses: {text}."
