"""The form of the examples of contract §5: earlier signals, one signal, its events, and the room afterwards.

Times are seconds after `START`. The earlier signals have the ids g0, g1, … and the times 0, 1, …; the signal has the id
`s` and follows one second later. The fields `id` and `at` of a signal replace these defaults.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from testkit.model import rfc3339

START = 1_767_225_600_000_000
SECOND = 1_000_000
ROOM, APP, PLAY = "acW68-room-abc123", "my-app", "play-1"
ONE, TWO, THREE = (f"https://cdn.example.com/{n}.wav" for n in (1, 2, 3))
Json = dict[str, Any]
DEFAULTS = {"playback_id": None, "ends_playback": False, "synthetic": False}


@dataclass(frozen=True)
class Example:
    """One example of a row.

    `room` has expected fields of the room afterwards, `members` those of its members. `room` is None if the room is
    unknown or gone; then `gone` has expected fields of the record of a gone room (None: there is no record).
    """

    row: str
    given: list[Json]
    signal: Json
    events: list[Json] = field(default_factory=list)
    rejected: str | None = None
    no_op: str | None = None
    room: Json | None = field(default_factory=dict)
    gone: Json | None = None
    members: dict[str, Json] = field(default_factory=dict)
    mode: str = "dispatch"


def timed(example: Example) -> list[Json]:
    """Return all signals of the example in their JSON form; the last one is the signal."""
    signals: list[Json] = []
    for n, short in enumerate([*example.given, example.signal]):
        fields = dict(short)
        seconds = fields.pop("at", n)
        name = fields.pop("id", "s" if n == len(example.given) else f"g{n}")
        fields["signal_id"], fields["room_id"] = name, fields.get("room_id", ROOM)
        signals.append({**fields, "occurred_at": rfc3339(at(seconds))})
    return signals


def expected(example: Example, before: int) -> list[Json]:
    """Return the complete events of the example; `before` is the room's sequence before the signal."""
    signal = timed(example)[-1]
    events = []
    for short in example.events:
        meta = {"app_id": APP, "cause": signal["signal_id"], "occurred_at": signal["occurred_at"], **DEFAULTS}
        meta.update(short["meta"])
        before = meta.pop("sequence", before + 1)
        name = f"{short['room_id']}/{before}/{meta['cause']}"
        ordered = {"event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "sequence": before}
        order = ("occurred_at", "app_id", "cause", "playback_id", "ends_playback", "synthetic")
        events.append({**short, "meta": {**ordered, **{key: meta[key] for key in order}}})
    return events


def at(seconds: float) -> int:
    """Return the time `seconds` after START in microseconds."""
    return START + round(seconds * SECOND)


# --- signals without id, time and room ---


def create(**more: Any) -> Json:
    return {"type": "conference.create", "app_id": APP, "name": "Team", **more}


def play(*urls: str, operation_id: str = PLAY, **more: Any) -> Json:
    return {"type": "conference.play", "urls": list(urls or (ONE,)), "operation_id": operation_id, **more}


def api(kind: str, **fields: Any) -> Json:
    if kind in {"pause", "stop", "volume"}:
        fields.setdefault("operation_id", f"{kind}-1")
    if kind in {"join", "leave", "mute", "unmute"}:
        fields.setdefault("session_uuid", "a")
    return {"type": f"conference.{kind}", **fields}


def member(kind: str, session: str = "a", **more: Any) -> Json:
    caller = {"caller_id": f"+{session}"} if kind == "joined" else {}
    return {"type": f"member.{kind}", "session_uuid": session, **caller, **more}


def finished(url: str = ONE, **more: Any) -> Json:
    return {"type": "play.finished", "url": url, **more}


def failed(*urls: str, **more: Any) -> Json:
    return {"type": "play.failed", "urls": list(urls), **more}


# --- events: the fields of the product page in its order, and what differs in `meta` ---

LIVE = {"playback_id": PLAY}
ENDS = {"playback_id": PLAY, "ends_playback": True}


def created(**meta: Any) -> Json:
    return {"event": "conference.created", "app_id": APP, "room_id": ROOM, "name": "Team", "meta": meta}


def destroyed(**meta: Any) -> Json:
    return {"event": "conference.destroyed", "app_id": meta.get("app_id", APP), "room_id": ROOM, "meta": meta}


def of_member(kind: str, session: str = "a", **meta: Any) -> Json:
    fields = {"session_uuid": session, "room_id": ROOM, "caller_id": f"+{session}"}
    return {"event": f"conference.member.{kind}", **fields, "meta": meta}


def left(reason: str, session: str = "a", **meta: Any) -> Json:
    fields = {"session_uuid": session, "room_id": ROOM, "reason": reason, "caller_id": f"+{session}"}
    return {"event": "conference.member.left", **fields, "meta": meta}


def of_play(kind: str, operation_id: str, meta: Json, **fields: Any) -> Json:
    """Return an event. A leading underscore marks those `fields` that the page puts before operation_id."""
    first = {name[1:]: value for name, value in fields.items() if name[0] == "_"}
    last = {name: value for name, value in fields.items() if name[0] != "_"}
    event = {"event": f"conference.play.{kind}", "room_id": ROOM, **first, "operation_id": operation_id}
    return {**event, **last, "meta": meta}


def resumed(app_id: str = APP) -> Json:
    fields = {"app_id": app_id, "room_id": ROOM, "operation_id": "pause-1"}
    return {"event": "conference.play.resumed", **fields, "meta": {**LIVE, "app_id": app_id}}


STOPPED: Json = {
    "playback_status": "stopped",
    "operation_id": "",
    "urls": (),
    "files_finished": 0,
    "deadline": None,
    "remaining": None,
    "started_at": None,
}


def playing(seconds: float, **more: Any) -> Json:
    """Return the fields of a playing room whose deadline is at `seconds`."""
    return {"playback_status": "playing", "deadline": at(seconds), "remaining": None, "operation_id": PLAY, **more}


def paused(left_over: float, **more: Any) -> Json:
    """Return the fields of a paused room whose watchdog has `left_over` seconds left."""
    remaining = round(left_over * SECOND)
    return {
        "playback_status": "paused",
        "deadline": None,
        "remaining": remaining,
        "operation_id": PLAY,
        **more,
    }


def ended(by: str, seconds: float, *left: str, operation_id: str = PLAY) -> Json:
    """Return the fields of the playback that ended last; `left` are its files left."""
    return {"ended_operation_id": operation_id, "ended_by": by, "ended_at": at(seconds), "ended_urls": left}


# --- earlier signals of many examples ---

PLAYING = [create(), play()]
PAUSED = [*PLAYING, api("pause")]
