"""The sections of docs/reference/http.md, from the gateway's OpenAPI document, its settings and its metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from markdown import table

from pipeline.gateway.app import make_app
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.problems import REJECTED
from pipeline.gateway.settings import GatewaySettings

OPENAPI: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "openapi.json"
_ROOMS: Final = "/api/v1/conferences"
_SESSION: Final = "/api/v1/sessions/$SESSION/commands/conference"
_PLAY: Final = """'{"urls":["https://cdn.example.com/audio/announcement.wav"]}'"""
TRIGGERED_BY: Final = (
    ("conference.created", "POST", _ROOMS, """'{"name":"Team Standup"}'"""),
    ("conference.member.joined", "POST", f"{_SESSION}/join", """'{"room_id":"'$ROOM'"}'"""),
    ("conference.member.muted", "POST", f"{_SESSION}/mute", """'{"room_id":"'$ROOM'"}'"""),
    ("conference.member.unmuted", "POST", f"{_SESSION}/unmute", """'{"room_id":"'$ROOM'"}'"""),
    ("conference.play.started", "POST", f"{_ROOMS}/$ROOM/play", _PLAY),
    ("conference.play.paused", "POST", f"{_ROOMS}/$ROOM/pause", ""),
    ("conference.play.resumed", "POST", f"{_ROOMS}/$ROOM/pause", ""),
    ("conference.play.volume_changed", "POST", f"{_ROOMS}/$ROOM/volume", """'{"volume":2}'"""),
    ("conference.play.stopped", "POST", f"{_ROOMS}/$ROOM/stop", ""),
    ("conference.member.left", "POST", f"{_SESSION}/leave", """'{"room_id":"'$ROOM'"}'"""),
    ("conference.destroyed", "DELETE", f"{_ROOMS}/$ROOM", ""),
)
"""Event, and the request that triggers it: method, path and body. In an order in which each takes effect."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return make_app(_endpoints()).openapi()


def _endpoints() -> Any:
    """Return endpoints that are only described."""
    from pipeline.gateway.api import Api

    return Api(*cast(Any, [None] * 5))


def document_text() -> str:
    """Return the text of docs/reference/openapi.json."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def endpoints() -> str:
    """Return the table of the endpoints."""
    rows = []
    for path, methods in document()["paths"].items():
        for method, one in methods.items():
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            named = re.search(r"schemas/(\w+Body)", json.dumps(body))
            given = named[1] if named else ""
            parts = [found["name"] for found in one["parameters"] if found.get("in") == "query"]
            fields = "" if given in ("", "NoBody") else f"`{given}`"
            statuses = ", ".join(one["responses"])
            takes = fields or ", ".join(f"`{name}`" for name in parts)
            rows.append((f"`{method.upper()} {path}`", takes, one["description"], statuses))
    return table(("request", "takes", "does", "answers"), *rows)


def requests() -> str:
    """Return the fields of the bodies."""
    schemas = document()["components"]["schemas"]
    rows = []
    for name, one in schemas.items():
        if name.endswith("Body") and name not in ("ProblemBody", "NoBody"):
            for field, found in one["properties"].items():
                if field != "command_uid":
                    rows.append((f"`{name}`", f"`{field}`", _kind(found), ""))
    return table(("body", "field", "type"), *(row[:3] for row in rows))


def _kind(found: dict[str, Any]) -> str:
    if found["type"] == "array":
        return f"{found['minItems']}–{found['maxItems']} of: {_kind(found['items'])}"
    limits = [f"{found['minLength']}–" if "minLength" in found else "", str(found.get("maxLength", ""))]
    size = f", {''.join(limits)} characters" if "maxLength" in found else ""
    pattern = f", `{found['pattern']}`" if "pattern" in found else ""
    return f"{found['type']}{size}{pattern}"


def errors() -> str:
    """Return the table of the statuses of errors."""
    from pipeline.gateway.app import MEANINGS

    return table(("status", "meaning"), *((str(status), text) for status, text in MEANINGS.items()))


def refusals() -> str:
    """Return the reasons of rooms."""
    return table(
        ("error", "status", "message"), *((f"`{name}`", str(status), text) for name, (status, text) in REJECTED.items())
    )


def curl() -> str:
    """Return a curl command per event that a request triggers."""
    lines = []
    for event, method, path, body in TRIGGERED_BY:
        data = f" --json {body}" if body else ""
        call = f'curl -sS -X {method} -H "X-App-ID: $APP" -H "X-API-Key: $KEY"'
        lines += [f"# {event}", call + " \\", f'    "$URL{path}"{data}']
    return "```bash\n" + "\n".join(lines) + "\n```"


def sections(
    settings_table: Callable[[type], str], metrics_table: Callable[[Any], str]
) -> dict[str, Callable[[], str]]:
    """Return the sections by name."""
    return {
        "http-endpoints": endpoints,
        "http-bodies": requests,
        "http-errors": errors,
        "http-refusals": refusals,
        "http-curl": curl,
        "gateway-settings": lambda: settings_table(GatewaySettings),
        "gateway-metrics": lambda: metrics_table(GatewayMetrics()),
    }
