"""Examples of the rows of contract §5, in its order. tests/support/examples.py describes their form."""

from __future__ import annotations

from tests.support.examples import (
    ENDS,
    ONE,
    PAUSED,
    PLAY,
    PLAYING,
    ROOM,
    STOPPED,
    TWO,
    Example,
    api,
    at,
    create,
    created,
    destroyed,
    ended,
    failed,
    finished,
    left,
    member,
    of_member,
    of_play,
    paused,
    play,
    playing,
    resumed,
    rfc3339,
)
from tests.support.member_rows import DESTROYED, MEMBER, MEMBERS, MINUTE, A
from tests.support.playback_rows import PLAYBACK

B = {"caller_id": "+b"}
SIXTEEN = [api("volume", volume=0, id=f"v{n}", at=1) for n in range(16)]
ECHOES = (
    member("left"), member("muted"), member("unmuted"), {"type": "play.progress"}, finished(), failed(),
)  # fmt: skip

REPEATED = [
    Example("repeated", [create()], create(id="g0"), no_op="repeated", room={"recent": ("g0",)}),
    Example("repeated", PLAYING, api("stop", id="g1"), no_op="repeated", room=playing(11)),
    Example("repeated: after a rejection", [*PLAYING, play()], play(id="g2"), no_op="repeated"),
    Example("repeated: a pause", PAUSED, api("pause", id="g2"), no_op="repeated", room=paused(9)),
    Example(
        "repeated: the 16th last id",
        [create(), *SIXTEEN],
        api("volume", volume=8, id="v0", at=1),
        no_op="repeated",
        room={"recent": tuple(f"v{n}" for n in range(16))},
    ),
    Example(
        "repeated: not the 17th last id; a repeat does not renew its id",
        [create(), *SIXTEEN, api("volume", volume=0, id="v0", at=1), create(id="v16", at=1)],
        api("volume", volume=8, id="v0", at=2),
        rejected="volume_out_of_range",
        room={"recent": (*(f"v{n}" for n in range(2, 17)), "v0")},
    ),
    Example(
        "repeated: not for media signals",
        [create(), member("joined", id="m")],
        member("muted", id="m"),
        [of_member("muted")],
        members={"a": {"muted": True}},
    ),
    Example(
        "repeated: ids of media signals are not remembered",
        [create(), member("joined", id="m")],
        api("mute", id="m"),
        [of_member("muted")],
        room={"recent": ("g0", "m")},
        members={"a": {"muted": True}},
    ),
    Example(
        "repeated: of a gone room",
        DESTROYED,
        create(id="g0"),
        no_op="repeated",
        room=None,
        gone={"forgotten_at": at(1), "recent": ("g0", "g1")},
    ),
    Example(
        "repeated: the destroy of a gone room",
        DESTROYED,
        api("destroy", id="g1"),
        no_op="repeated",
        room=None,
        gone={"forgotten_at": at(1), "recent": ("g0", "g1")},
    ),
    Example(
        "repeated: a microsecond before the minute ends",
        DESTROYED,
        create(id="g0", at=MINUTE - 0.000001),
        no_op="repeated",
        room=None,
        gone={"forgotten_at": at(1)},
    ),
    Example(
        "repeated: not a minute after the end",
        DESTROYED,
        create(id="g0", at=MINUTE),
        [created(sequence=1)],
        room={"sequence": 1, "recent": ("g0",)},
    ),
    Example(
        "repeated: in the next life",
        [*DESTROYED, create(), member("joined")],
        api("destroy", id="g1"),
        no_op="repeated",
        room={"recent": ("g0", "g1", "g2"), "sequence": 2},
        members={"a": A},
    ),
    Example(
        "repeated: in the next life of a discovered room",
        [member("joined"), api("volume", volume=0), member("left"), member("joined")],
        api("volume", volume=0, id="g1"),
        no_op="repeated",
        room={"app_id": "", "recent": ("g1",), "sequence": 1},
    ),
    Example(
        "repeated: the 16 last ids of two lives",
        [create(), *SIXTEEN, api("destroy", id="d", at=2), create(at=3)],
        api("volume", volume=0, id="v2", at=4),
        no_op="repeated",
        room={"recent": (*(f"v{n}" for n in range(2, 16)), "d", "g18")},
    ),
]  # fmt: skip

GONE = [
    *(
        Example("room gone", [*MEMBER, play(), api("destroy")], signal, no_op="room_gone", room=None,
                gone={"forgotten_at": at(3), "recent": ("g0", "g2", "g3")})
        for signal in ECHOES
    ),
    Example("room gone: a microsecond before the minute ends", DESTROYED, member("left", at=MINUTE - 0.000001),
            no_op="room_gone", room=None, gone={}),
    Example("room gone: its last member left", [member("joined"), member("left")], member("left"), no_op="room_gone",
            room=None, gone={"forgotten_at": at(1), "recent": ()}),
    Example("room gone: not in the next life", [*MEMBER, api("destroy"), create()], member("left"),
            rejected="not_a_member", room={"sequence": 1}),
]  # fmt: skip

API = (
    api("destroy"), play(), api("pause"), api("stop"), api("volume", volume=99), api("join"), api("leave"), api("mute"),
    api("unmute"),
)  # fmt: skip
UNKNOWN_ROOM = [
    *(Example("room unknown", [], signal, rejected="room_unknown", room=None) for signal in (*API, *ECHOES)),
    *(
        Example("room unknown: gone, which does not remember", DESTROYED, signal, rejected="room_unknown", room=None,
                gone={"recent": ("g0", "g1")})
        for signal in API
    ),
    *(
        Example("room unknown: a minute after its end", DESTROYED, {**signal, "at": MINUTE}, rejected="room_unknown",
                room=None, gone={"forgotten_at": at(1)})
        for signal in (api("destroy", id="g1"), *ECHOES)
    ),
]  # fmt: skip

ROOMS = [
    Example(
        "create: unknown",
        [],
        create(),
        [created()],
        room={**STOPPED, "app_id": "my-app", "name": "Team", "created_at": at(0), "last_event_at": at(0)},
    ),
    Example(
        "create: gone, of which only the ids of signals are taken over",
        [*PLAYING, api("stop"), member("joined"), api("destroy")],
        create(),
        [created(sequence=1)],
        room={**STOPPED, "recent": ("g0", "g1", "g2", "g4", "s"), "created_at": at(5), "last_event_at": at(5),
              "ended_operation_id": "", "ended_by": "", "ended_at": None, "ended_urls": ()},
    ),
    Example(
        "create: a minute after its end",
        DESTROYED,
        create(at=MINUTE),
        [created(sequence=1)],
        room={"recent": ("s",)},
    ),
    Example(
        "create: discovered, with a member",
        [member("joined")],
        create(),
        [created(sequence=2)],
        room={"app_id": "my-app", "name": "Team", "recent": ("s",), "created_at": at(0), "last_event_at": at(1)},
        members={"a": A},
    ),
    Example(
        "create: discovered, with a playback that continues",
        [member("joined"), play()],
        create(),
        [created(sequence=3)],
        room=playing(11, app_id="my-app"),
        members={"a": A},
    ),
    Example(
        "create: known with an app",
        [create()],
        create(),
        rejected="room_exists",
        room={"recent": ("g0", "s")},
    ),
    Example(
        "destroy: empty",
        [create()],
        api("destroy"),
        [destroyed()],
        room=None,
        gone={"room_id": ROOM, "forgotten_at": at(1), "recent": ("g0", "s")},
    ),
    Example(
        "destroy: playing, two members in join order, one rejoined",
        [
            create(),
            member("joined", "a"),
            member("joined", "b"),
            member("left", "a"),
            member("joined", "a"),
            play(),
        ],
        api("destroy"),
        [
            of_play("stopped", PLAY, {**ENDS, "synthetic": True}),
            left("removed", "b", synthetic=True),
            left("removed", "a", synthetic=True),
            destroyed(),
        ],
        room=None,
        gone={"forgotten_at": at(6), "recent": ("g0", "g5", "s")},
    ),
    Example(
        "destroy: discovered, paused",
        [member("joined"), play(), api("pause")],
        api("destroy"),
        [
            of_play("stopped", PLAY, {**ENDS, "synthetic": True, "app_id": ""}),
            left("removed", synthetic=True, app_id=""),
            destroyed(app_id=""),
        ],
        room=None,
        gone={"recent": ("g1", "g2", "s")},
    ),
    Example(
        "destroy: the next life",
        [*DESTROYED, create()],
        api("destroy"),
        [destroyed(sequence=2)],
        room=None,
        gone={"forgotten_at": at(3), "recent": ("g0", "g1", "g2", "s")},
    ),
]  # fmt: skip

DISCOVERED = [member("joined"), play(ONE, TWO), member("left")]
BARE = {"app_id": ""}
TIMED_OUT = of_play(
    "failed", PLAY,
    {**ENDS, **BARE, "synthetic": True, "cause": PLAY, "occurred_at": rfc3339(at(11))},
    urls=[ONE, TWO], error="playback_timeout",
)  # fmt: skip
FORGOTTEN = [
    Example("forgotten: the last member left", [member("joined")], member("left"), [left("hangup", app_id="")], room=None,
            gone={"room_id": ROOM, "forgotten_at": at(1), "recent": ()}),
    Example("forgotten: not while it has a playback", DISCOVERED[:2], member("left"), [left("hangup", app_id="")],
            room=playing(11)),
    Example("forgotten: stopped", DISCOVERED, api("stop"), [of_play("stopped", "stop-1", ENDS | BARE)], room=None,
            gone={"forgotten_at": at(3), "recent": ("g1", "s")}),
    Example("forgotten: failed", DISCOVERED, failed(),
            [of_play("failed", PLAY, ENDS | BARE, urls=[ONE, TWO], error="playback_error")], room=None,
            gone={"forgotten_at": at(3), "recent": ("g1",)}),
    Example("forgotten: finished", [*DISCOVERED, finished()], finished(),
            [of_play("finished", PLAY, ENDS | BARE, urls=[ONE])], room=None, gone={"forgotten_at": at(4)}),
    Example("forgotten: not while it has a member", [member("joined"), play()], finished(),
            [of_play("finished", PLAY, ENDS | BARE, urls=[ONE])], room=STOPPED, members={"a": A}),
    Example("forgotten: timed out", DISCOVERED, api("stop", at=30), [TIMED_OUT], rejected="room_unknown", room=None,
            gone={"forgotten_at": at(11), "recent": ("g1",)}),
    Example("forgotten: timed out, then discovered again", DISCOVERED, member("joined", "b", at=70.999999),
            [TIMED_OUT, of_member("joined", "b", app_id="", sequence=1)],
            room={"sequence": 1, "recent": ("g1",)}, members={"b": B}),
    Example("forgotten: timed out, then discovered a minute after the deadline", DISCOVERED, member("joined", "b", at=71),
            [TIMED_OUT, of_member("joined", "b", app_id="", sequence=1)],
            room={"sequence": 1, "recent": ()}, members={"b": B}),
    Example("forgotten: not with an app", [create(), member("joined")], member("left"), [left("hangup")]),
    Example("resumed of a discovered room", [*DISCOVERED, api("pause")], api("pause"),
            [resumed("")], room=playing(12)),
]  # fmt: skip

# Streams of signals that went wrong before there were gone rooms and a playback that ended last.
CREATED = create(at=0)
TWO_LIVES = [CREATED, api("destroy", id="req-2", at=10), create(at=11), member("joined", at=12)]
ECHOES_OF_A_DELETE = [
    CREATED, member("joined", "a", at=1), member("joined", "b", at=2), play(at=3), api("destroy", at=4),
    finished(at=4.1), member("left", "a", reason="removed", at=4.2),
]  # fmt: skip
RESTARTED = [
    CREATED, play(operation_id="op1", at=1), api("stop", at=5), play(at=5.01), finished(at=5.02),
    {"type": "play.progress", "url": ONE, "at": 5.03}, api("pause", at=7),
]  # fmt: skip
FAULTS = [
    Example("a delete: the echoes of the destroy are no faults", ECHOES_OF_A_DELETE,
            member("left", "b", reason="removed", at=4.3), no_op="room_gone", room=None, gone={}),
    Example("a retry: the repeated destroy of the first life does not end the second", TWO_LIVES,
            api("destroy", id="req-2", at=13), no_op="repeated", room={"sequence": 2}, members={"a": A}),
    Example("a restart: the late end of the stopped file does not finish the next playback of that file",
            RESTARTED[:4], RESTARTED[4], no_op="after_stop",
            room={**playing(15.01), **ended("stop", 5, operation_id="op1")}),
    Example("a restart: the next playback finishes once, when its own end is reported", RESTARTED, finished(at=12),
            [of_play("finished", PLAY, ENDS, urls=[ONE])], room={**STOPPED, **ended("finished", 12)}),
]  # fmt: skip

ROWS = [*REPEATED, *GONE, *UNKNOWN_ROOM, *ROOMS, *PLAYBACK, *MEMBERS, *FORGOTTEN, *FAULTS]
