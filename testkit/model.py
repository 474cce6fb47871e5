"""A slow and simple implementation of contract §5: the oracle of the tests, written from the contract's text alone.

It shares no code with the pipeline. Signals are valid ones, as dicts in their JSON form (contract §4). Times are
microseconds. Rooms are dicts, and lists are searched from the front.

    model = Model()
    outcomes = model.due(now) + model.signal(signal, now)

An outcome is one of
    {"event": {...}}       an event in its JSON form: the fields of the product page, then `meta`
    {"rejected": {...}}    signal_id, room_id, type, reason
    {"no_op": {...}}       the same fields; for API signals this is a line of `replay --noops`, media no-ops are counted

The state is in `Model.rooms` and `Model.gone`, under the names of the columns of the table (contract §2), except that
a room's members are the list `members`, in join order. `rows()` returns the state as rows of the table.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Signal = dict[str, Any]
Room = dict[str, Any]
Outcome = dict[str, Any]

API: Final = {
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
GONE_US: Final = 60_000_000
"""How long a room that ended is gone, not unknown."""
AFTER_STOP_US: Final = 2_000_000
"""How long after a stop the end of one of its files is not taken for an end of the next playback."""
RECENT: Final = 16
LONGEST_TEXT: Final = 1024  # code points of a caller_id or reason


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
    """The rooms of one partition: `rooms` are known, `gone` were forgotten."""

    def __init__(self, watchdog_us: int = 10_000_000, mode: str = "dispatch") -> None:
        self.watchdog, self.mode = watchdog_us, mode
        self.rooms: dict[str, Room] = {}
        self.gone: dict[str, dict[str, Any]] = {}
        """Rooms that ended, also longer ago than 60 s: each signal's own time decides, until `delete_gone`."""

    def due(self, now: int) -> list[Outcome]:
        """Fire the deadlines <= `now`, ordered by (deadline, room_id as UTF-8)."""
        outcomes: list[Outcome] = []
        while True:
            armed = [r for r in self.rooms.values() if r["playback_status"] == "playing" and r["deadline"] <= now]
            if not armed:
                return outcomes
            first = min(armed, key=lambda room: (room["deadline"], room["room_id"].encode()))
            outcomes += self._timeout(first)

    def signal(self, signal: Signal, now: int) -> list[Outcome]:
        """Apply a signal, after the deadline of its room if that is <= `now`."""
        outcomes: list[Outcome] = []
        room = self.rooms.get(signal["room_id"])
        if room is not None and room["playback_status"] == "playing" and room["deadline"] <= now:
            outcomes += self._timeout(room)
        outcomes += self._apply(signal, now)
        self._forget(signal["room_id"], now)
        return outcomes

    def gone_at(self, room_id: str, now: int) -> dict[str, Any] | None:
        """Return the gone room that a signal of time `now` finds, None if it is known or unknown."""
        gone = self.gone.get(room_id)
        if room_id in self.rooms or gone is None or now >= gone["forgotten_at"] + GONE_US:
            return None
        return gone

    def delete_gone(self, now: int) -> None:
        """Delete the gone rooms of 60 s before `now`: both topics are behind that time, so no earlier signal comes."""
        self.gone = {name: gone for name, gone in self.gone.items() if gone["forgotten_at"] + GONE_US > now}

    def rows(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """Return the rows that the table has to have; others of kind gone may not have been deleted yet."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for room_id, room in self.rooms.items():
            found["room", room_id] = {name: value for name, value in room.items() if name != "members"}
            for member in room["members"]:
                found["member", room_id, member["session_uuid"]] = {"room_id": room_id, **member}
        for room_id, gone in self.gone.items():
            if room_id not in self.rooms:
                found["gone", room_id] = gone
        return found

    # --- the rows of the table, from the top ---

    def _apply(self, signal: Signal, now: int) -> list[Outcome]:
        kind, room_id = signal["type"], signal["room_id"]
        room, gone = self.rooms.get(room_id), self.gone_at(room_id, now)
        if kind in API and signal["signal_id"] in (room or gone or {"recent": []})["recent"]:
            return [_no_op(signal, "repeated")]
        if kind not in API and kind != "member.joined" and gone is not None:
            return [_no_op(signal, "room_gone")]
        if room is None:
            if kind not in {"conference.create", "member.joined"}:
                return [_rejected(signal, "room_unknown")]
            room = self.rooms[room_id] = _new_room(room_id, now, gone["recent"] if gone else [])
            self.gone.pop(room_id, None)
        if kind in API:
            room["recent"] = [*room["recent"], signal["signal_id"]][-RECENT:]
        if kind == "conference.create":
            return _create(room, signal, now)
        if kind == "conference.destroy":
            return self._destroy(room, signal, now)
        if kind in {"conference.play", "conference.pause", "conference.stop", "conference.volume"}:
            return self._playback(room, signal, now)
        if kind == "play.progress":
            if self.mode == "progress" and room["playback_status"] == "playing" and _names_live(room, signal):
                room["deadline"] = now + self.watchdog
            return [_no_op(signal, "progress")]
        if kind in {"play.finished", "play.failed"}:
            return self._media_play(room, signal, now)
        return _member(room, signal, now)

    def _destroy(self, room: Room, signal: Signal, now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if room["playback_status"] != "stopped":
            fields = {"room_id": room["room_id"], "operation_id": room["operation_id"]}
            live = {"playback_id": room["operation_id"], "ends_playback": True, "synthetic": True}
            outcomes.append(_event(room, signal, now, "conference.play.stopped", fields, live))
        outcomes += [_left(room, signal, now, member, "removed", synthetic=True) for member in room["members"]]
        fields = {"app_id": room["app_id"], "room_id": room["room_id"]}
        outcomes.append(_event(room, signal, now, "conference.destroyed", fields))
        self._end_room(room, now)
        return outcomes

    def _playback(self, room: Room, signal: Signal, now: int) -> list[Outcome]:
        kind, status, operation = signal["type"], room["playback_status"], signal["operation_id"]
        ids = {"room_id": room["room_id"], "operation_id": operation}
        live = {"playback_id": room["operation_id"] if status != "stopped" else None}
        if kind == "conference.volume":
            if not -50 <= signal["volume"] <= 7:
                return [_rejected(signal, "volume_out_of_range")]
            fields = {"room_id": room["room_id"], "volume": signal["volume"], "operation_id": operation}
            return [_event(room, signal, now, "conference.play.volume_changed", fields, live)]
        if kind == "conference.play":
            if status != "stopped":
                return [_rejected(signal, "playback_active")]
            room.update(playback_status="playing", operation_id=operation, urls=list(signal["urls"]))
            room.update(files_finished=0, deadline=now + self.watchdog, started_at=now)
            fields = {"room_id": room["room_id"], "urls": list(signal["urls"]), "operation_id": operation}
            return [_event(room, signal, now, "conference.play.started", fields, {"playback_id": operation})]
        if status == "stopped":
            return [_rejected(signal, "playback_inactive")]
        if kind == "conference.stop":
            return [_end_playback(room, signal, now, "stop", "conference.play.stopped", ids)]
        if status == "playing":
            room.update(playback_status="paused", remaining=room["deadline"] - now, deadline=None)
            return [_event(room, signal, now, "conference.play.paused", ids, live)]
        room.update(playback_status="playing", deadline=now + room["remaining"], remaining=None)
        fields = {"app_id": room["app_id"], **ids}
        return [_event(room, signal, now, "conference.play.resumed", fields, live)]

    def _media_play(self, room: Room, signal: Signal, now: int) -> list[Outcome]:
        """Apply a play.finished or play.failed."""
        kind, live = signal["type"], room["playback_status"] != "stopped"
        urls = [signal["url"]] if kind == "play.finished" else list(signal.get("urls", []))
        operation = signal.get("operation_id")
        of_the_stopped = operation is None and len(urls) == 1 and urls[0] in room["ended_urls"]
        if of_the_stopped and (not live or now - room["ended_at"] < AFTER_STOP_US):
            _take_out(room, urls)
            return [_no_op(signal, "after_stop")]
        if live and _names_live(room, signal):
            return [self._names_it(room, signal, now, urls)]
        if operation is not None and operation == room["ended_operation_id"] and room["ended_by"] != "timeout":
            if room["ended_by"] == "stop":
                _take_out(room, urls)
                return [_no_op(signal, "after_stop")]
            return [_no_op(signal, "already_ended")]
        fields = {"room_id": room["room_id"], "operation_id": "", "urls": urls}
        if kind == "play.failed":
            fields["error"] = "playback_error"
        return [_event(room, signal, now, f"conference.{kind}", fields)]

    def _names_it(self, room: Room, signal: Signal, now: int, urls: list[str]) -> Outcome:
        """Apply a play.finished or play.failed that names the live playback."""
        fields = {"room_id": room["room_id"], "operation_id": room["operation_id"], "urls": urls}
        if signal["type"] == "play.failed":
            fields.update(urls=urls or list(room["urls"]), error="playback_error")
            return _end_playback(room, signal, now, "failed", "conference.play.failed", fields)
        room["files_finished"] += 1
        if room["files_finished"] == len(room["urls"]):
            return _end_playback(room, signal, now, "finished", "conference.play.finished", fields)
        if room["playback_status"] == "playing":
            room["deadline"] = now + self.watchdog
        else:
            room["remaining"] = self.watchdog
        return _event(room, signal, now, "conference.play.finished", fields, {"playback_id": room["operation_id"]})

    def _timeout(self, room: Room) -> list[Outcome]:
        deadline = room["deadline"]
        cause = {"signal_id": room["operation_id"], "occurred_at": rfc3339(deadline)}
        fields = {"room_id": room["room_id"], "operation_id": room["operation_id"]}
        fields.update(urls=list(room["urls"]), error="playback_timeout")
        more = {"synthetic": True}
        outcomes = [_end_playback(room, cause, deadline, "timeout", "conference.play.failed", fields, more)]
        self._forget(room["room_id"], deadline)
        return outcomes

    def _forget(self, room_id: str, now: int) -> None:
        """Apply the last row of the table."""
        room = self.rooms.get(room_id)
        if room and not room["app_id"] and not room["members"] and room["playback_status"] == "stopped":
            self._end_room(room, now)

    def _end_room(self, room: Room, now: int) -> None:
        room_id = room["room_id"]
        del self.rooms[room_id]
        self.gone[room_id] = {"room_id": room_id, "forgotten_at": now, "recent": room["recent"]}


def _new_room(room_id: str, now: int, recent: list[str]) -> Room:
    return {
        "room_id": room_id,
        "app_id": "",  # "" while discovered
        "name": "",
        "sequence": 0,
        "playback_status": "stopped",
        "operation_id": "",
        "urls": [],
        "files_finished": 0,
        "deadline": None,  # while playing
        "remaining": None,  # while paused
        "ended_operation_id": "",
        "ended_by": "",  # stop, finished, failed or timeout
        "ended_at": None,
        "ended_urls": [],  # the files left; only after a stop
        "created_at": now,
        "last_event_at": None,
        "started_at": None,  # of the live playback
        "recent": recent,
        "members": [],
    }


def _event(
    room: Room, cause: Signal, now: int, name: str, fields: dict[str, Any], more: dict[str, Any] | None = None
) -> Outcome:
    room["sequence"] += 1
    room["last_event_at"] = now
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


def _end_playback(
    room: Room, cause: Signal, now: int, by: str, name: str, fields: dict[str, Any], more: dict[str, Any] | None = None
) -> Outcome:
    """Return the terminal event of the live playback, which is now the one that ended last."""
    live = {"playback_id": room["operation_id"], "ends_playback": True, **(more or {})}
    outcome = _event(room, cause, now, name, fields, live)
    left = room["urls"][room["files_finished"] :] if by == "stop" else []
    room.update(ended_operation_id=room["operation_id"], ended_by=by, ended_at=now, ended_urls=left)
    room.update(playback_status="stopped", operation_id="", urls=[], files_finished=0)
    room.update(deadline=None, remaining=None, started_at=None)
    return outcome


def _take_out(room: Room, urls: list[str]) -> None:
    """Take the first url out of the files left of the playback that ended last, where it is the first equal one."""
    left = list(room["ended_urls"])
    if urls and urls[0] in left:
        left.remove(urls[0])
    room["ended_urls"] = left


def _rejected(signal: Signal, reason: str) -> Outcome:
    return {"rejected": {name: signal[name] for name in ("signal_id", "room_id", "type")} | {"reason": reason}}


def _no_op(signal: Signal, reason: str) -> Outcome:
    return {"no_op": {name: signal[name] for name in ("signal_id", "room_id", "type")} | {"reason": reason}}


def _names_live(room: Room, signal: Signal) -> bool:
    """Return whether a media signal names the live playback of a room that has one."""
    if signal.get("operation_id") is not None:
        return bool(signal["operation_id"] == room["operation_id"])
    if signal["type"] == "play.failed":
        named = signal.get("urls", [])
        return not named or any(url in room["urls"] for url in named)
    return signal.get("url") in room["urls"]


def _create(room: Room, signal: Signal, now: int) -> list[Outcome]:
    if room["app_id"]:
        return [_rejected(signal, "room_exists")]
    room.update(app_id=signal["app_id"], name=signal["name"])
    fields = {"app_id": room["app_id"], "room_id": room["room_id"], "name": room["name"]}
    return [_event(room, signal, now, "conference.created", fields)]


def _member(room: Room, signal: Signal, now: int) -> list[Outcome]:
    kind, session = signal["type"], signal["session_uuid"]
    member = next((one for one in room["members"] if one["session_uuid"] == session), None)
    if kind == "conference.join":
        return [_no_op(signal, "join")]
    if kind == "member.joined":
        return [_no_op(signal, "already_member")] if member else _joined(room, signal, now)
    if member is None:
        return [_rejected(signal, "not_a_member")]
    if kind == "conference.leave":
        member["leaving"] = True
        return [_no_op(signal, "leave")]
    if kind == "member.left":
        reason = signal.get("reason")
        if reason is None:
            reason = "removed" if member["leaving"] else "hangup"
        room["members"].remove(member)
        return [_left(room, signal, now, member, reason[:LONGEST_TEXT])]
    muted = kind in {"conference.mute", "member.muted"}
    word = "muted" if muted else "unmuted"
    if member["muted"] == muted:
        return [_no_op(signal, f"already_{word}")]
    member.update(muted=muted, muted_at=now if muted else None)
    return [_event(room, signal, now, f"conference.member.{word}", _member_fields(room, member))]


def _joined(room: Room, signal: Signal, now: int) -> list[Outcome]:
    muted = signal.get("muted", False)
    member = {
        "session_uuid": signal["session_uuid"],
        "caller_id": signal["caller_id"][:LONGEST_TEXT],
        "muted": muted,
        "leaving": False,
        "sequence": room["sequence"] + 1,
        "joined_at": now,
        "muted_at": now if muted else None,
    }
    room["members"].append(member)
    outcomes = [_event(room, signal, now, "conference.member.joined", _member_fields(room, member))]
    if muted:
        outcomes.append(_event(room, signal, now, "conference.member.muted", _member_fields(room, member)))
    return outcomes


def _left(room: Room, signal: Signal, now: int, member: dict[str, Any], reason: str, **more: bool) -> Outcome:
    fields = {"session_uuid": member["session_uuid"], "room_id": room["room_id"], "reason": reason}
    fields["caller_id"] = member["caller_id"]
    return _event(room, signal, now, "conference.member.left", fields, more)


def _member_fields(room: Room, member: dict[str, Any]) -> dict[str, Any]:
    fields = {"session_uuid": member["session_uuid"], "room_id": room["room_id"]}
    return {**fields, "caller_id": member["caller_id"]}
