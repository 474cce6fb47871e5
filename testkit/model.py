"""A slow and simple implementation of contract §5: the oracle of the tests, written from the contract's text alone.

It shares no code with the pipeline. Signals are valid ones, as dicts in their JSON form (contract §4). Times are
microseconds. Rooms are dicts, and lists are searched from the front.

    model = Model()
    outcomes = model.due(now) + model.signal(signal, now)

An outcome is one of
    {"event": {...}}       an event in its JSON form: the fields of the product page, then `meta`
    {"rejected": {...}}    signal_id, room_id, type, reason
    {"no_op": reason}      counted, without an event
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

Signal = dict[str, Any]
Room = dict[str, Any]
Outcome = dict[str, Any]

API = {
    "conference.create",
    "conference.destroy",
    "conference.play",
    "conference.pause",
    "conference.stop",
    "conference.volume",
    "conference.join",
    "conference.leave",
    "conference.mute",
    "conference.unmute",
}
MEMBERS_ONLY = {
    "conference.leave",
    "conference.mute",
    "conference.unmute",
    "member.muted",
    "member.unmuted",
    "member.left",
}


def micros(text: str) -> int:
    """Return the microseconds since the epoch of an RFC 3339 time."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def rfc3339(time: int) -> str:
    """Format microseconds since the epoch as RFC 3339 in UTC, with six decimals and Z."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def line(event: dict[str, Any]) -> bytes:
    """Return the JSON line of an event (contract §3)."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def replay(signals: list[Signal], model: Model, until: int | None = None) -> list[Outcome]:
    """Return the outcomes of a file of signals (contract §7): its time is `occurred_at`, but never runs back."""
    outcomes: list[Outcome] = []
    now: int | None = None
    for signal in signals:
        at = micros(signal["occurred_at"])
        now = at if now is None else max(now, at)
        outcomes += model.due(now)
        outcomes += model.signal(signal, now)
    return outcomes + (model.due(until) if until is not None else [])


class Model:
    """The rooms of one partition; `rooms` is their current state."""

    def __init__(self, watchdog_us: int = 10_000_000, mode: str = "dispatch") -> None:
        self.watchdog, self.mode = watchdog_us, mode
        self.rooms: dict[str, Room] = {}

    def due(self, now: int) -> list[Outcome]:
        """Fire the deadlines <= `now`, ordered by (deadline, room_id as UTF-8)."""
        outcomes: list[Outcome] = []
        while True:
            armed = [r for r in self.rooms.values() if r["status"] == "playing" and r["deadline"] <= now]
            if not armed:
                return outcomes
            first = min(armed, key=lambda room: (room["deadline"], room["room_id"].encode()))
            outcomes += self._timeout(first)

    def signal(self, signal: Signal, now: int) -> list[Outcome]:
        """Apply a signal, after the deadline of its room if that is <= `now`."""
        outcomes: list[Outcome] = []
        room = self.rooms.get(signal["room_id"])
        if room is not None and room["status"] == "playing" and room["deadline"] <= now:
            outcomes += self._timeout(room)
        room = self.rooms.get(signal["room_id"])
        if room is not None and signal["type"] in API:
            if signal["signal_id"] in room["recent"]:
                return [*outcomes, {"no_op": "repeated"}]
            room["recent"] = [*room["recent"], signal["signal_id"]][-16:]
        outcomes += self._apply(room, signal, now)
        self._forget(signal["room_id"])
        return outcomes

    # --- the rows of the table ---

    def _apply(self, room: Room | None, signal: Signal, now: int) -> list[Outcome]:
        kind = signal["type"]
        if room is None:
            if kind not in {"conference.create", "member.joined"}:
                return [_rejected(signal, "room_unknown")]
            room = _new_room(signal["room_id"])
            if kind in API:
                room["recent"] = [signal["signal_id"]]
            self.rooms[signal["room_id"]] = room
        if kind == "conference.create":
            return _create(room, signal)
        if kind == "conference.destroy":
            return self._destroy(room, signal)
        if kind in {"conference.play", "conference.pause", "conference.stop", "conference.volume"}:
            return self._playback(room, signal, now)
        if kind.startswith("play."):
            return self._media_play(room, signal, now)
        return _member(room, signal)

    def _destroy(self, room: Room, signal: Signal) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if room["status"] != "stopped":
            stopped = {"room_id": room["room_id"], "operation_id": room["operation_id"]}
            live = {"playback_id": room["operation_id"], "ends_playback": True, "synthetic": True}
            outcomes.append(_event(room, signal, "conference.play.stopped", stopped, live))
        outcomes += [_left(room, signal, member, "removed", synthetic=True) for member in room["members"]]
        fields = {"app_id": room["app_id"], "room_id": room["room_id"]}
        outcomes.append(_event(room, signal, "conference.destroyed", fields))
        del self.rooms[room["room_id"]]
        return outcomes

    def _playback(self, room: Room, signal: Signal, now: int) -> list[Outcome]:
        kind, status, operation = signal["type"], room["status"], signal["operation_id"]
        ids = {"room_id": room["room_id"], "operation_id": operation}
        live = {"playback_id": room["operation_id"] if status != "stopped" else None}
        if kind == "conference.volume":
            if not -50 <= signal["volume"] <= 7:
                return [_rejected(signal, "volume_out_of_range")]
            fields = {"room_id": room["room_id"], "volume": signal["volume"], "operation_id": operation}
            return [_event(room, signal, "conference.play.volume_changed", fields, live)]
        if kind == "conference.play":
            if status != "stopped":
                return [_rejected(signal, "playback_active")]
            room.update(status="playing", operation_id=operation, urls=list(signal["urls"]), finished=0)
            room.update(deadline=now + self.watchdog, ended=None)
            fields = {"room_id": room["room_id"], "urls": list(signal["urls"]), "operation_id": operation}
            return [_event(room, signal, "conference.play.started", fields, {"playback_id": operation})]
        if status == "stopped":
            return [_rejected(signal, "playback_inactive")]
        if kind == "conference.stop":
            left = len(room["urls"]) - room["finished"]
            room["ended"] = {"operation_id": room["operation_id"], "urls": room["urls"], "left": left}
            return [_end(room, signal, "conference.play.stopped", ids)]
        if status == "playing":
            room.update(status="paused", remaining=room["deadline"] - now, deadline=None)
            return [_event(room, signal, "conference.play.paused", ids, live)]
        room.update(status="playing", deadline=now + room["remaining"], remaining=None)
        fields = {"app_id": room["app_id"], **ids}
        return [_event(room, signal, "conference.play.resumed", fields, live)]

    def _media_play(self, room: Room, signal: Signal, now: int) -> list[Outcome]:
        kind = signal["type"]
        names_live = room["status"] != "stopped" and _names(signal, room["operation_id"], room["urls"])
        if kind == "play.progress":
            if self.mode == "progress" and room["status"] == "playing" and names_live:
                room["deadline"] = now + self.watchdog
            return [{"no_op": "progress"}]
        fields = {"room_id": room["room_id"], "operation_id": room["operation_id"] if names_live else ""}
        if kind == "play.failed":
            urls = list(signal.get("urls", [])) or (room["urls"] if names_live else [])
            fields.update(urls=list(urls), error="playback_error")
            publish = _end if names_live else _event
            return [publish(room, signal, "conference.play.failed", fields)]
        fields["urls"] = [signal["url"]]
        if names_live:
            room["finished"] += 1
            if room["finished"] == len(room["urls"]):
                return [_end(room, signal, "conference.play.finished", fields)]
            if room["status"] == "playing":
                room["deadline"] = now + self.watchdog
            else:
                room["remaining"] = self.watchdog
            live = {"playback_id": room["operation_id"]}
            return [_event(room, signal, "conference.play.finished", fields, live)]
        ended = room["ended"]
        if ended and ended["left"] and _names(signal, ended["operation_id"], ended["urls"]):
            ended["left"] -= 1
            return [{"no_op": "after_stop"}]
        return [_event(room, signal, "conference.play.finished", fields)]

    def _timeout(self, room: Room) -> list[Outcome]:
        cause = {"signal_id": room["operation_id"], "occurred_at": rfc3339(room["deadline"])}
        fields = {"room_id": room["room_id"], "operation_id": room["operation_id"]}
        fields.update(urls=list(room["urls"]), error="playback_timeout")
        outcomes = [_end(room, cause, "conference.play.failed", fields, synthetic=True)]
        self._forget(room["room_id"])
        return outcomes

    def _forget(self, room_id: str) -> None:
        room = self.rooms.get(room_id)
        if room and not room["app_id"] and not room["members"] and room["status"] == "stopped":
            del self.rooms[room_id]


def _new_room(room_id: str) -> Room:
    return {
        "room_id": room_id,
        "app_id": "",
        "name": "",
        "sequence": 0,
        "recent": [],  # signal_id of the last 16 API signals
        "members": [],  # in join order
        "status": "stopped",
        "operation_id": "",
        "urls": [],
        "finished": 0,
        "deadline": None,
        "remaining": None,
        "ended": None,  # the playback that a stop ended, with the number of files left
    }


def _event(room: Room, cause: Signal, name: str, fields: dict[str, Any], more: dict[str, Any] | None = None) -> Outcome:
    room["sequence"] += 1
    sequence, signal_id = room["sequence"], cause["signal_id"]
    meta = {
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{room['room_id']}/{sequence}/{signal_id}")),
        "sequence": sequence,
        "occurred_at": rfc3339(micros(cause["occurred_at"])),
        "app_id": room["app_id"],
        "cause": signal_id,
        "playback_id": None,
        "ends_playback": False,
        "synthetic": False,
    }
    meta.update(more or {})
    return {"event": {"event": name, **fields, "meta": meta}}


def _end(room: Room, cause: Signal, name: str, fields: dict[str, Any], *, synthetic: bool = False) -> Outcome:
    more = {"playback_id": room["operation_id"], "ends_playback": True, "synthetic": synthetic}
    outcome = _event(room, cause, name, fields, more)
    room.update(status="stopped", operation_id="", urls=[], finished=0, deadline=None, remaining=None)
    return outcome


def _rejected(signal: Signal, reason: str) -> Outcome:
    fields = {"signal_id": signal["signal_id"], "room_id": signal["room_id"]}
    return {"rejected": {**fields, "type": signal["type"], "reason": reason}}


def _names(signal: Signal, operation_id: str, urls: list[str]) -> bool:
    if signal.get("operation_id") is not None:
        return bool(signal["operation_id"] == operation_id)
    if signal["type"] == "play.failed":
        named = signal.get("urls", [])
        return not named or any(url in urls for url in named)
    return signal.get("url") in urls


def _create(room: Room, signal: Signal) -> list[Outcome]:
    if room["app_id"]:
        return [_rejected(signal, "room_exists")]
    room.update(app_id=signal["app_id"], name=signal["name"])
    fields = {"app_id": room["app_id"], "room_id": room["room_id"], "name": room["name"]}
    return [_event(room, signal, "conference.created", fields)]


def _member(room: Room, signal: Signal) -> list[Outcome]:
    kind, session = signal["type"], signal["session_uuid"]
    found = [member for member in room["members"] if member["session_uuid"] == session]
    if kind == "conference.join":
        return [{"no_op": "join"}]
    if kind in MEMBERS_ONLY and not found:
        return [_rejected(signal, "not_a_member")]
    if kind == "member.joined":
        return [{"no_op": "already_member"}] if found else _joined(room, signal)
    member = found[0]
    if kind == "conference.leave":
        member["leaving"] = True
        return [{"no_op": "leave"}]
    if kind == "member.left":
        reason = signal.get("reason")
        if reason is None:
            reason = "removed" if member["leaving"] else "hangup"
        room["members"].remove(member)
        return [_left(room, signal, member, reason)]
    muted = kind in {"conference.mute", "member.muted"}
    if member["muted"] == muted:
        return [{"no_op": "already_muted" if muted else "already_unmuted"}]
    member["muted"] = muted
    return [_event(room, signal, f"conference.member.{'muted' if muted else 'unmuted'}", _member_fields(room, member))]


def _joined(room: Room, signal: Signal) -> list[Outcome]:
    muted = signal.get("muted", False)
    member = {"session_uuid": signal["session_uuid"], "caller_id": signal["caller_id"]}
    member.update(muted=muted, leaving=False)
    room["members"].append(member)
    outcomes = [_event(room, signal, "conference.member.joined", _member_fields(room, member))]
    if muted:
        outcomes.append(_event(room, signal, "conference.member.muted", _member_fields(room, member)))
    return outcomes


def _left(room: Room, signal: Signal, member: dict[str, Any], reason: str, **more: bool) -> Outcome:
    fields = {"session_uuid": member["session_uuid"], "room_id": room["room_id"], "reason": reason}
    fields["caller_id"] = member["caller_id"]
    return _event(room, signal, "conference.member.left", fields, more)


def _member_fields(room: Room, member: dict[str, Any]) -> dict[str, Any]:
    fields = {"session_uuid": member["session_uuid"], "room_id": room["room_id"]}
    return {**fields, "caller_id": member["caller_id"]}
