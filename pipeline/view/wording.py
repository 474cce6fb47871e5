"""How people read timelines: signals and events as short texts, and what reasons mean. Texts may have any
characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from pipeline.model.events import Event
    from pipeline.model.signals import AnySignal
    from pipeline.view.timeline import Entry

SHOWN_TEXT: Final = 200
"""Characters that are shown of the value of a field."""
_HIDDEN: Final = ("room_id", "app_id", "meta")
MEANINGS: Final = {
    "room_unknown": "No create and no `member.joined` has made the room known since its last end.",
    "room_exists": "A create of a room that already has an app.",
    "playback_active": "A play while another playback is playing or paused: stop that one first.",
    "playback_inactive": "A pause or a stop while nothing plays.",
    "volume_out_of_range": "A volume outside -50 to 7.",
    "not_a_member": "The session is not in the room.",
    "repeated": "An API signal whose signal_id is among the last 16 of its room: its producer sent it twice. Also "
    "in the minute after the room's end, and in its next life.",
    "join": "A request to join; the engine's `member.joined` is the fact.",
    "leave": "A request to leave; until the member has left, its `left` without a reason is `removed`.",
    "already_member": "`member.joined` of a session that is already in the room.",
    "already_muted": "A mute of a muted member, such as the engine's echo of the API's mute.",
    "already_unmuted": "An unmute of a member that is not muted.",
    "progress": "A playback continues; in the watchdog's mode `progress` its timeout starts again.",
    "after_stop": "The engine reports the end of a file that a stop ended.",
    "already_ended": "Another report of the end of a playback that such a report has already ended.",
    "room_gone": "The engine's echo of what ended the room, up to 60 s later.",
}
"""A sentence per reason of `Rejection` and `NoOp`."""


def details(event: Event) -> str:
    """Return the fields of an event that its name, room and app do not tell, as `name=value`."""
    return fields_text(msgspec.structs.asdict(event))


def fields_text(fields: dict[str, Any]) -> str:
    """Return fields as `name=value`, without the room, the app and `meta`."""
    return "  ".join(f"{name}={_text(value)}" for name, value in fields.items() if name not in _HIDDEN)


def _text(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"


def cause(entry: Entry) -> str:
    """Return the type of an entry's signal, or in brackets why it has none."""
    if entry.kind == "timeout":
        return "(deadline)"
    if entry.signal is None:
        return {"batch": "(batch)", "lost": "(not kept)"}.get(entry.kind, "(unreadable)")
    return entry.signal.TYPE.removeprefix("conference.")


def asked(signal: AnySignal | None) -> str:
    """Return the fields of a signal that caused no event."""
    if signal is None:
        return ""
    fields = msgspec.structs.asdict(signal)
    return fields_text({name: fields[name] for name in fields if name not in ("signal_id", "occurred_at")})
