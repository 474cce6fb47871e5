"""Headers of one event → a Fact: what it says, checked. All errors of an event are found here, before state changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeline.engines.freeswitch.adapter.files import MediaMap, Played
from pipeline.engines.freeswitch.adapter.headers import JSON_TYPES
from pipeline.engines.rules.ids import MAX_ID, bounded_id
from pipeline.errors import SignalError
from pipeline.model.signals import Micros
from pipeline.model.times import LAST_TIME

MAINTENANCE: Final = "conference::maintenance"
HANGUP: Final = "CHANNEL_HANGUP_COMPLETE"
MAX_TEXT: Final = 1024  # code points of a caller_id, contract §4
DIGITS: Final = re.compile(r"[0-9]{1,18}")
OF_MEMBER: Final = frozenset(
    ("add-member", "del-member", "mute-member", "unmute-member", "kick-member", "hup-member", "transfer")
)
OF_FILE: Final = frozenset(("play-file", "play-file-done"))
OF_ROOM: Final = frozenset(("conference-create", "conference-destroy"))


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What one event says. A field that the event has not, or that its kind does not need, is empty."""

    kind: str
    """Its name in `counts`: the `Action` of a conference event, else the subclass or the event's name."""
    action: str = ""
    """`kind`, if the adapter does something for it."""
    switch: str = ""
    core: str = ""
    sequence: int = -1
    time: int = 0
    """Microseconds since 1970."""
    conference: str = ""
    """Conference-Name."""
    room: str = ""
    """The room_id. Two conferences of a switch may have the same."""
    life: str = ""
    """Conference-Unique-ID: another each time the conference is created."""
    size: int | None = None
    ghosts: int = 0
    member: str = ""
    """The session_uuid."""
    caller_id: str = ""
    muted: bool = False
    hung_up: bool = False
    played: Played | None = None
    failed: bool = False
    """Of play-file: the file can't be played. Of play-file-done: nothing was heard, or the end of the room cut it."""

    @property
    def signal_id(self) -> str:
        """`Event-Sequence` starts again when the core process restarts, with another `Core-UUID`."""
        return f"{self.core}/{self.sequence}"

    @property
    def origin(self) -> tuple[str, str, Micros]:
        """Return the first three fields of its signal: signal_id, room_id, occurred_at."""
        return self.signal_id, self.room, Micros(self.time)

    def derived_id(self, what: str, kind: str) -> str:
        """Return the id of a signal that the event implies beside its own.

        It is made of the event's identity and what it is about, so that the same input gives the same ids. It never is
        one of another event: an event's own id ends in digits, and `what` has no `/`.
        """
        return bounded_id(f"{self.signal_id}/{what.replace('%', '%25').replace('/', '%2F')}/{kind}")

    @property
    def weight(self) -> int:
        """Return roughly the characters that it holds."""
        return 512 + (sum(map(len, self.played.urls)) if self.played else 0)


class FactReader:
    """Reads events of one feed.

    Args:
        media_map: turns paths into URLs.
        node: begins every room_id (`<node>-room-…`) and session_uuid (`<node>-…`). Without it the room_id is the
            conference's name, and a session_uuid begins with the name of the switch.
    """

    def __init__(self, media_map: MediaMap, node: str | None = None) -> None:
        self._media_map, self._node = media_map, node

    def read(self, event: Mapping[str, object]) -> Fact:
        """Return what an event says. Raises SignalError, which names the header that is missing or invalid."""
        name, kind = _kind(event)
        if name == MAINTENANCE and kind in OF_MEMBER | OF_FILE | OF_ROOM:
            fields = _origin(event) | self._room(event) | {"action": kind} | _size(event)
            if kind in OF_MEMBER:
                fields |= {"member": self._member(event)} | _member_state(event)
            elif kind in OF_FILE:
                fields |= self._file(event, kind, fields["size"])
        elif name == HANGUP:
            fields = _origin(event) | {"member": self._member(event), "action": kind}
        else:
            try:  # of the others only the restart of the switch and the size of a room can be read
                fields = _origin(event) if name != "api" else {}
                if name == MAINTENANCE and "Conference-Name" in event:
                    fields |= self._room(event) | _size(event)
            except SignalError:
                fields = {}
        return Fact(kind=kind, **fields)

    def _room(self, event: Mapping[str, object]) -> dict[str, Any]:
        name = room = _id(event, "Conference-Name")
        if self._node is not None and not name.startswith(f"{self._node}-room-"):
            room = _checked(f"{self._node}-room-{name}", "header Conference-Name")
        return {"conference": name, "room": room}

    def _member(self, event: Mapping[str, object]) -> str:
        if self._node is not None:
            return _checked(f"{self._node}-{_id(event, 'Unique-ID')}", "header Unique-ID")
        both = f"{_id(event, 'FreeSWITCH-Switchname')}-{_id(event, 'Unique-ID')}"
        return _checked(both, "headers FreeSWITCH-Switchname and Unique-ID")

    def _file(self, event: Mapping[str, object], action: str, size: object) -> dict[str, Any]:
        failed = "Error" in event
        if failed and action == "play-file" and "File" not in event:
            return {"failed": True}
        played = self._media_map.played(_text(event, "File"))
        if action == "play-file-done":
            failed = size == 0 or event.get("samples") == "0"
        return {"played": played, "failed": failed}


def _kind(event: Mapping[str, object]) -> tuple[str, str]:
    """Return the event's name (of a custom event the subclass) and its kind in `counts`."""
    if "Event-Name" not in event and "api" in event:
        return "api", "api"  # a command and its reply, in recordings
    name = _id(event, "Event-Name")
    if name != "CUSTOM":
        return name, name
    subclass = _id(event, "Event-Subclass")
    return subclass, _id(event, "Action") if subclass == MAINTENANCE else subclass


def _origin(event: Mapping[str, object]) -> dict[str, Any]:
    core, sequence = _id(event, "Core-UUID"), _text(event, "Event-Sequence")
    if not DIGITS.fullmatch(sequence):
        raise SignalError(f"header Event-Sequence: expected a number, got {sequence[:40]!a:.60}")
    _checked(f"{core}/{int(sequence)}", "headers Core-UUID and Event-Sequence")
    time = _text(event, "Event-Date-Timestamp")
    if not DIGITS.fullmatch(time) or int(time) > LAST_TIME:
        found = f"{time[:40]!a:.60}"
        raise SignalError(f"header Event-Date-Timestamp: expected microseconds since 1970 (to 9999), got {found}")
    return {
        "switch": _soft(event, "FreeSWITCH-Switchname")[:MAX_ID],
        "core": core,
        "sequence": int(sequence),
        "time": int(time),
    }


def _size(event: Mapping[str, object]) -> dict[str, Any]:
    """Return what is known of the conference's size and life; neither is needed."""
    size, ghosts = _number(event, "Conference-Size"), _number(event, "Conference-Ghosts")
    life = event.get("Conference-Unique-ID")
    known = isinstance(life, str) and len(life) <= MAX_ID
    return {"size": size, "ghosts": ghosts or 0, "life": life if known else ""}


def _number(event: Mapping[str, object], header: str) -> int | None:
    text = event.get(header)
    return int(text) if isinstance(text, str) and DIGITS.fullmatch(text) else None


def _member_state(event: Mapping[str, object]) -> dict[str, Any]:
    return {
        "caller_id": _soft(event, "Caller-Caller-ID-Number")[:MAX_TEXT],
        "muted": event.get("Speak") == "false",
        "hung_up": "Hangup-Cause" in event or event.get("Answer-State") == "hangup",
    }


def _id(event: Mapping[str, object], header: str) -> str:
    return _checked(_text(event, header), f"header {header}")


def _checked(value: str, where: str) -> str:
    if not 1 <= len(value) <= MAX_ID:
        raise SignalError(f"{where}: expected 1 to {MAX_ID} characters, got {len(value)}")
    return value


def _soft(event: Mapping[str, object], header: str) -> str:
    """Return a header that an event can do without: "" if it is missing or no string."""
    return _text(event, header) if isinstance(event.get(header), str) else ""


def _text(event: Mapping[str, object], header: str) -> str:
    value = event.get(header)
    if value is None and header not in event:
        raise SignalError(f"header {header} is missing: expected an event of FreeSWITCH")
    if not isinstance(value, str):
        # FreeSWITCH sends a header that was set more than once as an array.
        raise SignalError(f"header {header}: expected one string, got {JSON_TYPES.get(type(value), 'something else')}")
    return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
