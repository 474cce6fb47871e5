"""Examples of the rows of contract §5 about members, in its order. tests/support/examples.py describes their form."""

from __future__ import annotations

from tests.support.examples import (
    STOPPED,
    Example,
    api,
    at,
    create,
    left,
    member,
    of_member,
)

A = {"caller_id": "+a"}
MEMBER = [create(), member("joined")]
DESTROYED = [create(), api("destroy")]
MINUTE = 61  # a minute after the destroy of DESTROYED, in seconds

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
    Example("mute", MEMBER, api("mute"), [of_member("muted")], room={"last_event_at": at(2)},
            members={"a": {"muted": True, "muted_at": at(2), "joined_at": at(1)}}),
    Example("member.muted", MEMBER, member("muted"), [of_member("muted")], members={"a": {"muted": True}}),
    Example("mute: already", [*MEMBER, api("mute")], member("muted"), no_op="already_muted"),
    Example("member.muted: already", [*MEMBER, member("muted")], api("mute"), no_op="already_muted"),
    Example("unmute", [*MEMBER, api("mute")], api("unmute"), [of_member("unmuted")],
            members={"a": {"muted": False, "muted_at": None, "joined_at": at(1)}}),
    Example("member.unmuted", [*MEMBER, api("mute")], member("unmuted"), [of_member("unmuted")]),
    Example("unmute: already", MEMBER, api("unmute"), no_op="already_unmuted", members={"a": {"muted": False}}),
    Example("member.unmuted: already", MEMBER, member("unmuted"), no_op="already_unmuted"),
    Example(
        "member.joined: unknown room",
        [],
        member("joined"),
        [of_member("joined", app_id="")],
        room={**STOPPED, "app_id": "", "name": "", "recent": (), "sequence": 1, "created_at": at(0),
              "last_event_at": at(0)},
        members={"a": {"caller_id": "+a", "muted": False, "leaving": False, "sequence": 1, "joined_at": at(0),
                       "muted_at": None}},
    ),
    Example(
        "member.joined: gone room",
        [*DESTROYED],
        member("joined"),
        [of_member("joined", app_id="", sequence=1)],
        room={**STOPPED, "app_id": "", "name": "", "recent": ("g0", "g1"), "sequence": 1, "created_at": at(2)},
        members={"a": {"sequence": 1}},
    ),
    Example(
        "member.joined: a minute after the end of the room",
        [*DESTROYED],
        member("joined", at=MINUTE),
        [of_member("joined", app_id="", sequence=1)],
        room={"recent": ()},
    ),
    Example(
        "member.joined: a caller_id of 1,025 code points is cut",
        [create()],
        member("joined", muted=True, caller_id="😀" * 1025),
        [{**of_member(kind), "caller_id": "😀" * 1024} for kind in ("joined", "muted")],
        members={"a": {"caller_id": "😀" * 1024}},
    ),
    Example(
        "member.joined: muted",
        [create()],
        member("joined", muted=True),
        [of_member("joined"), of_member("muted")],
        members={"a": {"muted": True, "sequence": 2, "joined_at": at(1), "muted_at": at(1)}},
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
    Example("member.left: a reason of 1,025 code points is cut", MEMBER, member("left", reason="é" * 1025),
            [left("é" * 1024)]),
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
