"""Examples of the rows of contract §5, in its order. tests/support/examples.py describes their form."""

from __future__ import annotations

from tests.support.examples import (
    ENDS,
    LIVE,
    ONE,
    PLAY,
    ROOM,
    START,
    STOPPED,
    THREE,
    TWO,
    Example,
    api,
    create,
    created,
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

A, B = {"caller_id": "+a"}, {"caller_id": "+b"}
MEMBER = [create(), member("joined")]
PLAYING = [create(), play()]
PAUSED = [*PLAYING, api("pause")]
SIXTEEN = [api("volume", volume=0, id=f"v{n}", at=1) for n in range(16)]
UNKNOWN = {"rejected": "room_unknown", "room": None}

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
        "repeated: not after the room was destroyed",
        [create(id="c"), api("destroy", id="d")],
        create(id="c"),
        [created(sequence=1)],
        room={"sequence": 1, "recent": ("c",)},
    ),
]

UNKNOWN_ROOM = [
    Example("room unknown", [], signal, [], **UNKNOWN)  # type: ignore[arg-type]
    for signal in (
        api("destroy"), play(), api("pause"), api("stop"), api("volume", volume=99), api("join"), api("leave"),
        api("mute"), api("unmute"), member("left"), member("muted"), member("unmuted"),
        {"type": "play.progress"}, finished(), failed(),
    )
]  # fmt: skip

ROOMS = [
    Example("create: unknown", [], create(), [created()], room={**STOPPED, "app_id": "my-app", "name": "Team"}),
    Example(
        "create: discovered, with a member",
        [member("joined")],
        create(),
        [created(sequence=2)],
        room={"app_id": "my-app", "name": "Team", "recent": ("s",)},
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
        [{"event": "conference.destroyed", "app_id": "my-app", "room_id": ROOM, "meta": {}}],
        room=None,
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
            {"event": "conference.destroyed", "app_id": "my-app", "room_id": ROOM, "meta": {}},
        ],
        room=None,
    ),
    Example(
        "destroy: discovered, paused",
        [member("joined"), play(), api("pause")],
        api("destroy"),
        [
            of_play("stopped", PLAY, {**ENDS, "synthetic": True, "app_id": ""}),
            left("removed", synthetic=True, app_id=""),
            {"event": "conference.destroyed", "app_id": "", "room_id": ROOM, "meta": {"app_id": ""}},
        ],
        room=None,
    ),
]

PLAYBACK = [
    Example(
        "play: stopped",
        [create()],
        play(ONE, TWO),
        [of_play("started", PLAY, LIVE, _urls=[ONE, TWO])],
        room=playing(11, urls=(ONE, TWO), files_finished=0),
    ),
    Example("play: playing", PLAYING, play(operation_id="p2"), rejected="playback_active", room=playing(11)),
    Example("play: paused", PAUSED, play(operation_id="p2"), rejected="playback_active", room=paused(9)),
    Example("pause: playing", PLAYING, api("pause"), [of_play("paused", "pause-1", LIVE)], room=paused(9)),
    Example(
        "pause: paused",
        PAUSED,
        api("pause", at=60),
        [resumed()],
        room=playing(69),
    ),
    Example(
        "pause: the remaining time is kept over several pauses",
        [*PAUSED, api("pause", at=20), api("pause", at=28), api("pause", at=40)],
        api("pause", at=40.5),
        [of_play("paused", "pause-1", LIVE)],
        room=paused(0.5),
    ),
    Example("pause: stopped", [create()], api("pause"), rejected="playback_inactive", room=STOPPED),
    Example("stop: stopped", [create()], api("stop"), rejected="playback_inactive", room=STOPPED),
    Example(
        "stop: playing",
        PLAYING,
        api("stop"),
        [of_play("stopped", "stop-1", ENDS)],
        room={**STOPPED, "stopped_operation_id": PLAY, "stopped_urls": (ONE,), "stopped_files_left": 1},
    ),
    Example("stop: paused", PAUSED, api("stop"), [of_play("stopped", "stop-1", ENDS)], room=STOPPED),
    Example(
        "volume: stopped, lowest",
        [create()],
        api("volume", volume=-50),
        [of_play("volume_changed", "volume-1", {}, _volume=-50)],
        room=STOPPED,
    ),
    Example(
        "volume: paused, highest",
        PAUSED,
        api("volume", volume=7),
        [of_play("volume_changed", "volume-1", LIVE, _volume=7)],
        room=paused(9),
    ),
    Example("volume: too high", PLAYING, api("volume", volume=8), rejected="volume_out_of_range", room=playing(11)),
    Example("volume: too low", [create()], api("volume", volume=-51), rejected="volume_out_of_range"),
    Example(
        "the watchdog fires before a signal of the same time",
        PLAYING,
        finished(at=11),
        [
            of_play(
                "failed", PLAY,
                {**ENDS, "synthetic": True, "cause": PLAY, "occurred_at": rfc3339(START + 11_000_000)},
                urls=[ONE], error="playback_timeout",
            ),
            of_play("finished", "", {}, urls=[ONE]),
        ],
        room=STOPPED,
    ),
    Example(
        "the watchdog does not fire a microsecond before",
        PLAYING,
        finished(at=10.999999),
        [of_play("finished", PLAY, ENDS, urls=[ONE])],
        room=STOPPED,
    ),
]  # fmt: skip

MEMBERS = [
    Example("join", [create()], api("join"), no_op="join", room={"recent": ("g0", "s")}),
    Example("join: a member", MEMBER, api("join"), no_op="join", members={"a": A}),
    Example("leave", MEMBER, api("leave"), no_op="leave", members={"a": {"leaving": True}}),
    *(
        Example(f"{kind}: not a member", MEMBER, signal, rejected="not_a_member", members={"a": A})
        for kind, signal in {
            "leave": api("leave", session_uuid="b"), "mute": api("mute", session_uuid="b"),
            "unmute": api("unmute", session_uuid="b"), "member.muted": member("muted", "b"),
            "member.unmuted": member("unmuted", "b"), "member.left": member("left", "b"),
        }.items()
    ),
    Example("mute", MEMBER, api("mute"), [of_member("muted")], members={"a": {"muted": True}}),
    Example("member.muted", MEMBER, member("muted"), [of_member("muted")], members={"a": {"muted": True}}),
    Example("mute: already", [*MEMBER, api("mute")], member("muted"), no_op="already_muted"),
    Example("member.muted: already", [*MEMBER, member("muted")], api("mute"), no_op="already_muted"),
    Example("unmute", [*MEMBER, api("mute")], api("unmute"), [of_member("unmuted")], members={"a": {"muted": False}}),
    Example("member.unmuted", [*MEMBER, api("mute")], member("unmuted"), [of_member("unmuted")]),
    Example("unmute: already", MEMBER, api("unmute"), no_op="already_unmuted", members={"a": {"muted": False}}),
    Example("member.unmuted: already", MEMBER, member("unmuted"), no_op="already_unmuted"),
    Example(
        "member.joined: unknown room",
        [],
        member("joined"),
        [of_member("joined", app_id="")],
        room={**STOPPED, "app_id": "", "name": "", "recent": (), "sequence": 1},
        members={"a": {"caller_id": "+a", "muted": False, "leaving": False, "sequence": 1}},
    ),
    Example(
        "member.joined: muted",
        [create()],
        member("joined", muted=True),
        [of_member("joined"), of_member("muted")],
        members={"a": {"muted": True, "sequence": 2}},
    ),
    Example(
        "member.joined: a member, with other fields",
        MEMBER,
        member("joined", muted=True, caller_id="+9"),
        no_op="already_member",
        members={"a": {"caller_id": "+a", "muted": False, "sequence": 2}},
    ),
    Example("member.left", MEMBER, member("left"), [left("hangup")]),
    Example("member.left: null", MEMBER, member("left", reason=None), [left("hangup")]),
    Example("member.left: empty", MEMBER, member("left", reason=""), [left("")]),
    Example("member.left: after a leave", [*MEMBER, api("leave")], member("left"), [left("removed")]),
    Example("member.left: with a reason, after a leave", [*MEMBER, api("leave")], member("left", reason="orphan"), [left("orphan")]),
    Example("member.left: empty after a leave", [*MEMBER, api("leave")], member("left", reason=""), [left("")]),
    Example(
        "member.left: a leave of an earlier stay",
        [*MEMBER, api("leave"), member("left"), member("joined")],
        member("left"),
        [left("hangup")],
    ),
]  # fmt: skip

OTHER_FINISHED = of_play("finished", "", {}, urls=[ONE])
STOPPED_PLAY = [create(), play(ONE, TWO, ONE), finished(ONE), api("stop")]
TWO_FILES = [create(), play(ONE, TWO)]
MEDIA = [
    Example("progress: dispatch", PLAYING, {"type": "play.progress", "url": ONE}, no_op="progress", room=playing(11)),
    *(
        Example(f"progress: {more}", PLAYING, {"type": "play.progress", **more}, no_op="progress", mode="progress",
                room=playing(deadline))
        for more, deadline in (
            ({"operation_id": PLAY}, 12), ({"url": ONE}, 12), ({"operation_id": PLAY, "url": "/x"}, 12),
            ({}, 11), ({"url": TWO}, 11), ({"operation_id": "p2", "url": ONE}, 11),
        )
    ),
    Example("progress: paused", PAUSED, {"type": "play.progress", "url": ONE}, no_op="progress", mode="progress",
            room=paused(9)),
    Example("finished: the only file", PLAYING, finished(), [of_play("finished", PLAY, ENDS, urls=[ONE])], room=STOPPED),
    Example("finished: named by its id", PLAYING, finished("/file", operation_id=PLAY),
            [of_play("finished", PLAY, ENDS, urls=["/file"])], room=STOPPED),
    Example("finished: not the last", TWO_FILES, finished(TWO), [of_play("finished", PLAY, LIVE, urls=[TWO])],
            room=playing(12, files_finished=1)),
    Example("finished: not the last, paused", [*TWO_FILES, api("pause")], finished(),
            [of_play("finished", PLAY, LIVE, urls=[ONE])], room=paused(10, files_finished=1)),
    Example("finished: the last of two, the same url twice", [*TWO_FILES, finished()], finished(),
            [of_play("finished", PLAY, ENDS, urls=[ONE])], room=STOPPED),
    Example("finished: the last, paused", [*TWO_FILES, finished(), api("pause")], finished(TWO),
            [of_play("finished", PLAY, ENDS, urls=[TWO])], room=STOPPED),
    Example("finished: another url", PLAYING, finished("/file"), [of_play("finished", "", {}, urls=["/file"])],
            room=playing(11)),
    Example("finished: an old operation_id, though the url fits", PLAYING, finished(operation_id="old"), [OTHER_FINISHED],
            room=playing(11, files_finished=0)),
    Example("finished: stopped", [create()], finished(operation_id=PLAY), [OTHER_FINISHED], room=STOPPED),
    Example("finished: after the last one", [*PLAYING, finished()], finished(), [OTHER_FINISHED]),
    Example("finished: after a failure", [*PLAYING, failed()], finished(), [OTHER_FINISHED]),
    Example("after_stop: first", STOPPED_PLAY, finished(TWO), no_op="after_stop", room={"stopped_files_left": 1}),
    Example("after_stop: by id", STOPPED_PLAY, finished("/x", operation_id=PLAY), no_op="after_stop"),
    Example("after_stop: other id", STOPPED_PLAY, finished(operation_id="p2"), [OTHER_FINISHED], room={"stopped_files_left": 2}),
    Example("after_stop: other url", STOPPED_PLAY, finished(THREE), [of_play("finished", "", {}, urls=[THREE])]),
    Example("after_stop: no more than files were left", [*STOPPED_PLAY, finished(), finished()], finished(), [OTHER_FINISHED],
            room={"stopped_files_left": 0}),
    Example("after_stop: not after another play", [*STOPPED_PLAY, play(THREE, operation_id="p2")], finished(), [OTHER_FINISHED],
            room={"operation_id": "p2", "stopped_operation_id": "", "stopped_urls": (), "stopped_files_left": 0}),
    Example("after_stop: still after a rejected request", [*STOPPED_PLAY, api("pause")], finished(), no_op="after_stop"),
    Example("failed: with urls", TWO_FILES, failed(TWO, "/x"),
            [of_play("failed", PLAY, ENDS, urls=[TWO, "/x"], error="playback_error")], room=STOPPED),
    Example("failed: without", [*TWO_FILES, api("pause")], failed(),
            [of_play("failed", PLAY, ENDS, urls=[ONE, TWO], error="playback_error")], room=STOPPED),
    Example("failed: by id, other urls", PLAYING, failed("/x", operation_id=PLAY),
            [of_play("failed", PLAY, ENDS, urls=["/x"], error="playback_error")], room=STOPPED),
    Example("failed: other urls", PLAYING, failed("/x"),
            [of_play("failed", "", {}, urls=["/x"], error="playback_error")], room=playing(11)),
    Example("failed: another id", PLAYING, failed(operation_id="old"),
            [of_play("failed", "", {}, urls=[], error="playback_error")], room=playing(11)),
    Example("failed: stopped", [create()], failed(), [of_play("failed", "", {}, urls=[], error="playback_error")]),
]  # fmt: skip

DISCOVERED = [member("joined"), play(ONE, TWO), member("left")]
BARE = {"app_id": ""}
FORGOTTEN = [
    Example("forgotten: the last member left", [member("joined")], member("left"), [left("hangup", app_id="")], room=None),
    Example("forgotten: not while it has a playback", DISCOVERED[:2], member("left"), [left("hangup", app_id="")],
            room=playing(11)),
    Example("forgotten: stopped", DISCOVERED, api("stop"), [of_play("stopped", "stop-1", ENDS | BARE)], room=None),
    Example("forgotten: failed", DISCOVERED, failed(),
            [of_play("failed", PLAY, ENDS | BARE, urls=[ONE, TWO], error="playback_error")], room=None),
    Example("forgotten: finished", [*DISCOVERED, finished()], finished(),
            [of_play("finished", PLAY, ENDS | BARE, urls=[ONE])], room=None),
    Example("forgotten: not while it has a member", [member("joined"), play()], finished(),
            [of_play("finished", PLAY, ENDS | BARE, urls=[ONE])], room=STOPPED, members={"a": A}),
    Example("forgotten: timed out, then discovered again", DISCOVERED, member("joined", "b", at=30),
            [of_play("failed", PLAY, ENDS | BARE | {"synthetic": True, "cause": PLAY,
                                                    "occurred_at": rfc3339(START + 11_000_000)},
                     urls=[ONE, TWO], error="playback_timeout"),
             of_member("joined", "b", app_id="", sequence=1)],
            room={"sequence": 1, "recent": ()}, members={"b": B}),
    Example("forgotten: not with an app", [create(), member("joined")], member("left"), [left("hangup")]),
    Example("resumed of a discovered room", [*DISCOVERED, api("pause")], api("pause"),
            [resumed("")], room=playing(12)),
]  # fmt: skip

ROWS = [*REPEATED, *UNKNOWN_ROOM, *ROOMS, *PLAYBACK, *MEMBERS, *MEDIA, *FORGOTTEN]
