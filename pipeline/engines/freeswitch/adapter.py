"""FreeSWITCH `mod_conference` events → media signals (contract §4). Pure: no clock, no I/O.

An event is a flat JSON object, header to string, as `mod_event_kafka` and the event socket (`event json`) send it.

    event                         signal
    add-member                    member.joined, `muted` if `Speak` is false (no mute event follows)
    del-member                    member.left, with a reason (below)
    mute-member, unmute-member    member.muted, member.unmuted; FreeSWITCH sends them also when nothing changes
    play-file without `Error`     play.progress: the file is queued, not yet audible
    play-file with `Error`        play.failed
    play-file-done                play.finished: the same event for natural end, stop and teardown
    kick-member, hup-member,      none; the reason of the member's del-member is then `removed`
    transfer
    CHANNEL_HANGUP_COMPLETE       member.left (`hangup`) if the channel had no del-member, else none
    all others                    none, counted by kind

Reason of a del-member: `removed` after kick-member, hup-member or transfer; else `hangup` if the channel is hung up
(`Hangup-Cause`, or `Answer-State: hangup`); else `removed`.

Left to the room, which rejects or counts these signals:

- A member that entered with `conference_silent_entry`, or in a recovered call, has no add-member. Its other signals
  name an unknown member.
- The conference's own sounds (enter, alone, exit) have a play-file-done without a play-file.

Ghosts are treated as members.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from pipeline.errors import SignalError
from pipeline.model import signals
from pipeline.model.signals import MediaSignal, Micros
from pipeline.model.times import LAST_TIME

MAINTENANCE: Final = "conference::maintenance"
MAX_ID: Final = 255  # code points, contract §4
TIMESTAMP: Final = re.compile(r"[0-9]{1,18}")
JSON_TYPES: Final[dict[type, str]] = {
    bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object",
    type(None): "null",
}  # fmt: skip
MAX_LINE: Final = 1 << 20  # bytes of one event
MAX_MEMBERS: Final = 20_000  # that are remembered; beyond it the oldest is forgotten
MAX_KINDS: Final = 1_000  # that are counted by name (FreeSWITCH has about a hundred); others count as `other`
OTHER_KINDS: Final = "other"
HEADERS: Final = (
    "Action", "Answer-State", "Caller-Caller-ID-Number", "Conference-Name", "Core-UUID", "Error",
    "Event-Date-Timestamp", "Event-Name", "Event-Sequence", "Event-Subclass", "File", "FreeSWITCH-Switchname",
    "Hangup-Cause", "Speak", "Unique-ID", "api",
)  # fmt: skip
"""The headers that the adapter uses; `read_event` skips the others."""

_pick: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "Headers",
        [(f"h{n}", msgspec.Raw, msgspec.Raw()) for n in range(len(HEADERS))],
        rename={f"h{n}": header for n, header in enumerate(HEADERS)},
    )
).decode
_text_of: Final = msgspec.json.Decoder(str).decode
_EMPTY: Final[dict[int, Any]] = {0x22: "", 0x5B: [], 0x7B: {}, 0x74: True, 0x66: False, 0x6E: None}
"""First byte of a JSON value → an empty value of its type; errors name only the type. Others are numbers."""


def read_event(line: bytes) -> dict[str, object]:
    """Return the headers that the adapter uses from an event's JSON text. Raises SignalError.

    A header that is not a string becomes an empty value of its type, so that large values cost nothing.
    """
    if len(line) > MAX_LINE:
        raise SignalError(f"the event has {len(line)} bytes, more than {MAX_LINE}")
    try:
        if not line.isascii():
            line.decode()  # raises for invalid UTF-8, which msgspec accepts in values that it skips
        found = msgspec.structs.astuple(_pick(line))
        return {name: _value(raw) for name, raw in zip(HEADERS, found, strict=True) if raw}
    except msgspec.ValidationError:
        what = JSON_TYPES[type(_EMPTY.get(line.lstrip()[0], 0))]
        raise SignalError(f"expected a JSON object, got {what}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SignalError(f"not a JSON object: {error}") from None


def _value(raw: msgspec.Raw) -> object:
    first = memoryview(raw)[0]
    return _text_of(raw) if first == 0x22 else _EMPTY.get(first, 0)


class Adapter:
    """Turns the events of one or more FreeSWITCH servers, in their order, into media signals.

    It remembers the conference of each member, and the members that are being removed, until the member leaves or
    the conference ends.

    Args:
        media_map: pairs (prefix of the engine's paths, URL that replaces it). The longest prefix that ends at a `/`
            or at the end of the path wins. Other paths stay unchanged. Nothing is percent-encoded, because urls are
            compared as text.

    `counts` has the number of events without a signal by kind: the `Action` of a conference event, the
    `Event-Subclass` of another custom event, else the `Event-Name`; `api` for a recorded command.
    """

    def __init__(self, media_map: Sequence[tuple[str, str]] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._media_map = sorted(media_map, key=lambda pair: len(pair[0]), reverse=True)
        self._room_of: dict[str, str] = {}  # Unique-ID → Conference-Name
        self._removing: dict[str, str] = {}  # the same for members kicked, hung up or transferred

    def signal(self, event: Mapping[str, object]) -> MediaSignal | None:
        """Return the signal of an event; None if it has none, and count it.

        Raises SignalError, which names the header, when a needed header is missing or invalid; nothing changes then.
        """
        name, kind = _kind(event)
        if name == MAINTENANCE:
            signal = self._conference(kind, event)
        elif kind == "CHANNEL_HANGUP_COMPLETE":
            signal = self._hung_up(event)
        else:
            signal = None
        if signal is None:
            known = kind in self.counts or len(self.counts) < MAX_KINDS
            self.counts[kind if known else OTHER_KINDS] += 1
        return signal

    def _conference(self, action: str, event: Mapping[str, object]) -> MediaSignal | None:
        match action:
            case "add-member":
                return self._joined(event)
            case "del-member":
                return self._left(event)
            case "mute-member":
                return signals.MemberMuted(*_origin(event), session_uuid=_session_uuid(event))
            case "unmute-member":
                return signals.MemberUnmuted(*_origin(event), session_uuid=_session_uuid(event))
            case "play-file" if "Error" in event:
                urls = (self._url(event),) if "File" in event else ()
                return signals.PlayFailed(*_origin(event), operation_id=None, urls=urls)
            case "play-file":
                return signals.PlayProgress(*_origin(event), operation_id=None, url=self._url(event))
            case "play-file-done":
                return signals.PlayFinished(*_origin(event), operation_id=None, url=self._url(event))
            case "kick-member" | "hup-member" | "transfer":
                _remember(self._removing, _id(event, "Unique-ID"), _room_id(event))
            case "conference-create" | "conference-destroy":
                self._forget_room(_room_id(event))
        return None

    def _joined(self, event: Mapping[str, object]) -> MediaSignal:
        signal = signals.MemberJoined(
            *_origin(event),
            session_uuid=_session_uuid(event),
            caller_id=_text(event, "Caller-Caller-ID-Number", default=""),
            muted=_text(event, "Speak", default="true") == "false",
        )
        member = _id(event, "Unique-ID")
        _remember(self._room_of, member, signal.room_id)
        # A transfer may be reported after the member left; on a new entry it no longer counts.
        _drop(self._removing, member, signal.room_id)
        return signal

    def _left(self, event: Mapping[str, object]) -> MediaSignal:
        room_id, member = _room_id(event), _id(event, "Unique-ID")
        hung_up = "Hangup-Cause" in event or event.get("Answer-State") == "hangup"
        reason = "hangup" if hung_up and self._removing.get(member) != room_id else "removed"
        signal = signals.MemberLeft(*_origin(event), session_uuid=_session_uuid(event), reason=reason)
        self._forget(room_id, member)
        return signal

    def _hung_up(self, event: Mapping[str, object]) -> MediaSignal | None:
        member = _id(event, "Unique-ID")
        room_id = self._room_of.get(member)
        if room_id is None:  # it had a del-member, or was in no conference
            self._removing.pop(member, None)
            return None
        reason = "removed" if self._removing.get(member) == room_id else "hangup"
        signal = signals.MemberLeft(_signal_id(event), room_id, _occurred_at(event), _session_uuid(event), reason)
        self._forget(room_id, member)
        return signal

    def _forget(self, room_id: str, member: str) -> None:
        _drop(self._room_of, member, room_id)
        _drop(self._removing, member, room_id)

    def _forget_room(self, room_id: str) -> None:
        for rooms in (self._room_of, self._removing):
            for member in [member for member, room in rooms.items() if room == room_id]:
                del rooms[member]

    def _url(self, event: Mapping[str, object]) -> str:
        path = _text(event, "File")
        for prefix, url in self._media_map:
            rest = path[len(prefix) :]
            if path.startswith(prefix) and (not rest or prefix.endswith("/") or rest.startswith("/")):
                if url.endswith("/"):
                    return url + rest.removeprefix("/")
                return f"{url}/{rest}" if url and rest and not rest.startswith("/") else url + rest
        return path


def _remember(rooms: dict[str, str], member: str, room_id: str) -> None:
    rooms.pop(member, None)  # so that it is inserted at the end
    rooms[member] = room_id
    if len(rooms) > MAX_MEMBERS:  # the events of their leaving were lost
        del rooms[next(iter(rooms))]


def _drop(rooms: dict[str, str], member: str, room_id: str) -> None:
    if rooms.get(member) == room_id:  # after a transfer it may already be in the next room
        del rooms[member]


def _kind(event: Mapping[str, object]) -> tuple[str, str]:
    """Return the event's name (of a custom event the subclass) and its kind in `counts`."""
    if "Event-Name" not in event and "api" in event:
        return "api", "api"  # a command and its reply, in recordings
    name = _id(event, "Event-Name")
    if name != "CUSTOM":
        return name, name
    subclass = _id(event, "Event-Subclass")
    return subclass, _id(event, "Action") if subclass == MAINTENANCE else subclass


def _origin(event: Mapping[str, object]) -> tuple[str, str, Micros]:
    """Return the first three fields of every signal: signal_id, room_id, occurred_at."""
    return _signal_id(event), _room_id(event), _occurred_at(event)


def _signal_id(event: Mapping[str, object]) -> str:
    # `Event-Sequence` starts again when the core process restarts, with another `Core-UUID`.
    return _joined_id(event, "Core-UUID", "/", "Event-Sequence")


def _session_uuid(event: Mapping[str, object]) -> str:
    return _joined_id(event, "FreeSWITCH-Switchname", "-", "Unique-ID")


def _room_id(event: Mapping[str, object]) -> str:
    return _id(event, "Conference-Name")


def _occurred_at(event: Mapping[str, object]) -> Micros:
    text = _text(event, "Event-Date-Timestamp")
    if not TIMESTAMP.fullmatch(text) or int(text) > LAST_TIME:
        found = f"{text[:40]!a:.60}"
        raise SignalError(f"header Event-Date-Timestamp: expected microseconds since 1970 (to 9999), got {found}")
    return Micros(text)


def _joined_id(event: Mapping[str, object], first: str, joint: str, second: str) -> str:
    value = _id(event, first) + joint + _id(event, second)
    if len(value) > MAX_ID:
        text = f"expected at most {MAX_ID - 1} characters, got {len(value) - 1}"
        raise SignalError(f"headers {first} and {second}: {text}")
    return value


def _id(event: Mapping[str, object], header: str) -> str:
    value = _text(event, header)
    if not 1 <= len(value) <= MAX_ID:
        raise SignalError(f"header {header}: expected 1 to {MAX_ID} characters, got {len(value)}")
    return value


def _text(event: Mapping[str, object], header: str, default: str | None = None) -> str:
    value = event.get(header, default)
    if value is None:
        raise SignalError(f"header {header} is missing: expected a FreeSWITCH event as JSON")
    if not isinstance(value, str):
        # FreeSWITCH sends a header that was set more than once as an array.
        raise SignalError(f"header {header}: expected one string, got {JSON_TYPES.get(type(value), 'something else')}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SignalError(f"header {header}: contains half of a surrogate pair, which is not valid text") from None
    return value
