"""Rooms for pages to show: ordinary ones, long and right-to-left names, and hostile texts."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pipeline.model import signals as s
from pipeline.model.signals import AnySignal

WIDE = "画" * 64
RIGHT_TO_LEFT = "اجتماع الفريق الأسبوعي"
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
TURNED = "safe\u202egnp.exe\u2066\x1b[2J\u200f"
NAMES = (
    "Team Standup", "Sales weekly", "Support rota", "Board call", "Kundendienst Früh", "週次レビュー", RIGHT_TO_LEFT,
    "Incident 4711", "Town hall", "Interview room 3", WIDE, MARKUP, TURNED, "Webinar: pricing",
)  # fmt: skip
FILES = ("https://cdn.example.com/audio/welcome.wav", "https://cdn.example.com/audio/hold-music.wav")


def room_id(number: int) -> str:
    return f"{('acW68', 'bT2', 'fs9')[number % 3]}-room-{0xF47AC10B + number * 7919:08x}-58cc-4372-a567-{number:012x}"


def now() -> int:
    return time.time_ns() // 1000


def create(number: int, name: str, app: str = "my-app") -> s.ConferenceCreate:
    return s.ConferenceCreate(f"c{number}", room_id(number), now(), app, name)


def joined(number: int, who: int, caller: str = "") -> s.MemberJoined:
    session = f"{0x51A0 + who:08x}-7a1c-4f0e-8d2b-{number:012x}"
    return s.MemberJoined(f"j{number}-{who}", room_id(number), now(), session, caller or f"+1555{number:03}{who:04}")


def scene() -> Iterator[AnySignal]:
    """Yield the signals of all rooms. Room 0 has a long history with refusals, and plays."""
    for number, name in enumerate(NAMES):
        yield create(number, name, ("my-app", "sales", "care")[number % 3])
    for number in range(len(NAMES)):
        for who in range((number * 5) % 7 + 1):
            yield joined(number, who)
    yield joined(11, 20, MARKUP)
    yield joined(12, 21, TURNED)
    yield from _busy_room()
    for number in (3, 7, 8, 13):
        yield s.ConferencePlay(f"p{number}", room_id(number), now(), FILES[:1], f"op-{number}")
    yield s.ConferencePause("q8", room_id(8), now(), "q8")


def calm_scene() -> Iterator[AnySignal]:
    """Yield the signals of rooms with ordinary names, for pictures."""
    names = [name for name in NAMES if name not in (WIDE, MARKUP, TURNED, NAMES[5])]
    for number, name in enumerate(names):
        yield create(number, name, ("my-app", "sales", "care")[number % 3])
    for number in range(len(names)):
        for who in range((number * 5) % 7 + 1):
            yield joined(number, who)
    for number in (3, 6):
        yield s.ConferencePlay(f"p{number}", room_id(number), now(), FILES[:1], f"op-{number}")
    yield s.ConferencePause("q6", room_id(6), now(), "q6")


def playing(number: int, operation: str) -> Iterator[AnySignal]:
    """Yield signals of which some are refused; at the end the room plays the second of two files."""
    room = room_id(number)
    yield s.ConferenceStop(f"s-{operation}", room, now(), f"stop-{operation}")
    yield play(number, operation)
    yield s.ConferenceMute(f"m-{operation}", room, now(), joined(number, 1).session_uuid)
    yield s.ConferenceVolume(f"v-{operation}", room, now(), 8, f"volume-{operation}")
    yield s.ConferencePlay(f"r-{operation}", room, now(), FILES, f"again-{operation}")
    yield s.PlayFinished(f"f-{operation}", room, now(), FILES[0], operation)
    yield s.ConferenceUnmute(f"u-{operation}", room, now(), joined(number, 1).session_uuid)


def _busy_room() -> Iterator[AnySignal]:
    room, session = room_id(0), joined(0, 0).session_uuid
    for who in range(1, 9):
        yield joined(0, who)
    yield s.ConferenceMute("m0", room, now(), session)
    yield s.ConferenceVolume("v0", room, now(), 8, "v0")
    yield s.ConferenceVolume("v1", room, now(), -3, "v1")
    yield s.ConferencePause("q0", room, now(), "q0")
    yield s.ConferencePlay("p0", room, now(), FILES, "welcome-1")
    yield s.PlayFinished("pf0", room, now(), FILES[0], "welcome-1")
    yield s.ConferencePlay("p1", room, now(), FILES, "welcome-2")
    yield s.ConferencePause("q1", room, now(), "q1")
    yield s.ConferencePause("q1", room, now(), "q1")
    yield s.ConferencePause("q2", room, now(), "q2")
    yield s.ConferenceJoin("cj", room, now(), "00000000-0000-4000-8000-000000000001")
    yield s.MemberLeft("ml", room, now(), joined(0, 2).session_uuid)


def play(number: int, operation: str) -> s.ConferencePlay:
    return s.ConferencePlay(f"p-{operation}", room_id(number), now(), FILES, operation)
