"""What must hold: the view equals the engine, and what the engine was told is what was decided."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import unquote

from testkit.chaos.logs import API, MEDIA, Event, PartitionLog
from testkit.chaos.scan import scan
from testkit.model import micros, rfc3339
from tests.chaos.bridges.bed import Table
from tests.chaos.bridges.node import SITE, Node
from tests.chaos.bridges.switch import Command

SLACK_US: Final = 20_000
"""Append times have milliseconds, and come before the acknowledgement."""
LATE_US: Final = 6_500_000
"""Microseconds after its event within which a play must come: 5 s, and the way on a busy machine."""
PLAY: Final = re.compile(r"conference (\S+) play \{operation_id=([^},]*)[^}]*\}(.+)")
TRANSFER: Final = re.compile(r"uuid_transfer (\S+) conference:(\S+)@default inline")
IN_ROOM: Final = re.compile(
    r"conference (\S+) (pause_play|stop all|file-vol|hup all|mute|unmute|kick)(?: uuid=(.+)| (.+))?"
)
OF_EVENT: Final = {
    "conference.play.paused": "pause_play",
    "conference.play.resumed": "pause_play",
    "conference.play.volume_changed": "file-vol",
    "conference.destroyed": "hup all",
    "conference.member.muted": "mute",
    "conference.member.unmuted": "unmute",
}
"""Event of an API signal → the command."""


def differences(node: Node, table: Table) -> str:
    """Return how the view of a node differs from its engine; "" if it does not."""
    engine = node.host.do(lambda: (node.switch.members(), node.switch.playing()))
    members = {(_room(node.name, room), f"{node.name}-{call}"): muted for (room, call), muted in engine[0].items()}
    playing = {(_room(node.name, room), found[0]): found[1] for room, found in engine[1].items()}
    live = {(room_id, found[0]): found[1] for room_id, found in table.playing(node.name).items()}
    texts = []
    for what, real, shown in (
        ("members", members, table.members(node.name)), ("playbacks", playing, live),
    ):  # fmt: skip
        only = {key: value for key, value in real.items() if shown.get(key) != value}
        other = {key: value for key, value in shown.items() if real.get(key) != value}
        if only or other:
            texts.append(f"{what} of {node.name}: the engine has {only}, the view {other}")
    return "; ".join(texts)


def _room(node: str, name: str) -> str:
    return name if name.startswith(f"{node}-room-") else f"{node}-room-{name}"


class Decided:
    """What was decided: the first time of each command, the begin and the end of each playback."""

    def __init__(self, logs: Iterable[PartitionLog], sent: dict[str, dict[str, Any]]) -> None:
        self.first: dict[tuple[str, str, str], int] = {}
        """Room, command and its subject → when it was decided first."""
        self.plays: dict[str, Event] = {}
        self.ends: dict[str, list[Event]] = defaultdict(list)
        for log in logs:
            for event in log.events:
                self._take(event)
            times = {one.at: one.time for one in log.signals[API]}
            for place, row in log.noops:
                if row["reason"] in ("join", "leave"):
                    subject = sent[row["signal_id"]]["session_uuid"]
                    self._decide(row["room_id"], row["reason"], subject, times[place])

    def _take(self, event: Event) -> None:
        row, meta = event.json, event.json["meta"]
        if row["event"] == "conference.play.started":
            self.plays[row["operation_id"]] = event
        elif meta["ends_playback"]:
            self.ends[meta["playback_id"]].append(event)
        elif event.cause is not None and event.cause[0].endswith(API) and row["event"] in OF_EVENT:
            subject = str(row.get("session_uuid") or row.get("volume", ""))
            self._decide(row["room_id"], OF_EVENT[row["event"]], subject, event.time)

    def _decide(self, room_id: str, what: str, subject: str, time: int) -> None:
        key = (room_id, what, subject)
        self.first[key] = min(time, self.first.get(key, time))

    def undecided(self, node: str, command: Command) -> str:
        """Return why a command, which is no play, should not have come; "" if it should."""
        if (transfer := TRANSFER.fullmatch(command.text)) is not None:
            key = (_room(node, transfer[2]), "join", f"{node}-{transfer[1]}")
        elif (found := IN_ROOM.fullmatch(command.text)) is None:
            return "unknown"
        elif found[2] == "stop all":
            return self._unstopped(command)
        else:
            what = "leave" if found[2] == "kick" else found[2]
            key = (_room(node, found[1]), what, f"{node}-{found[3]}" if found[3] else found[4] or "")
        return "" if self.first.get(key, 1 << 62) <= command.time + SLACK_US else "nothing decided it before"

    def _unstopped(self, command: Command) -> str:
        """A stop is right if what plays has ended, by a decision or otherwise, or if nothing plays."""
        operation_id = unquote(command.playing)
        if not operation_id or not command.done or command.held:
            return ""
        ended = [one.time for one in self.ends[operation_id]]
        return "" if ended and min(ended) <= command.time + SLACK_US else f"{operation_id} had not ended"


def commands(node: Node, decided: Decided) -> Iterator[str]:
    """Check what the engine was told."""
    sent: Counter[tuple[str, str]] = Counter()
    for one in node.switch.commands:
        match = PLAY.fullmatch(one.text)
        if match is None:
            if why := decided.undecided(node.name, one):
                yield f"{node.name}: {one}: {why}"
            continue
        operation_id, path = unquote(match[2]), match[3]
        sent[operation_id, path] += 1
        if sent[operation_id, path] > 1:
            yield f"{node.name}: {one}: played a second time"
        event = decided.plays.get(operation_id)
        if event is None or event.json["room_id"] != _room(node.name, match[1]) or event.time > one.time + SLACK_US:
            yield f"{node.name}: {one}: no play decided it before"
            continue
        urls = [url.replace(SITE, "/media/") for url in event.json["urls"]]
        if path not in urls:
            yield f"{node.name}: {one}: not one of {urls}"
        elif path == urls[0] and one.time - event.time > LATE_US and not one.held:
            yield f"{node.name}: {one}: {(one.time - event.time) / 1e6:.1f} s after its event"


def acting(node: Node) -> Iterator[str]:
    """Check that a bridge gives no command once the one that outlived it has given its first."""
    for life in node.lives:
        for other in node.lives:
            if other.slot == life.slot or other.ended <= life.ended or other.began >= life.ended:
                continue
            first = [one.time for one in node.switch.commands if one.wire == other.slot and one.time > other.began]
            for one in node.switch.commands:
                if one.wire == life.slot and first and max(first[0], life.began) < one.time < life.ended:
                    yield f"{node.name}: {one}: after the first command of its successor at {first[0]}"


def ends(logs: list[PartitionLog], decided: Decided) -> Iterator[str]:
    """Check that each playback has one end, and the rules that hold for events alone."""
    for operation_id, event in decided.plays.items():
        found = [f"{one.json['event']} at {one.at}" for one in decided.ends[operation_id]]
        if len(found) != 1:
            yield f"playback {operation_id} of {event.json['room_id']} has {len(found)} ends: {found}"
    for log in logs:
        yield from log.problems
        yield from scan(log)


def audits(log: PartitionLog) -> Iterator[str]:
    """Check that no audit reports a member after an event that came later than the audit looked."""
    last: dict[tuple[str, str], tuple[str, int]] = {}
    for one in log.signals[MEDIA]:
        if one.value is None or "session_uuid" not in one.value:
            continue
        key, at = (one.value["room_id"], one.value["session_uuid"]), _micros(one.value["occurred_at"])
        if not one.value["signal_id"].startswith(("audit/", "away/")):
            last[key] = one.value["signal_id"], at
        elif one.value["signal_id"].startswith("audit/") and key in last and last[key][1] > at:
            yield f"{one.at} {one.value}: it follows a later event, {last[key]}"


def story(nodes: Iterable[Node], logs: Iterable[PartitionLog]) -> list[tuple[str, str]]:
    """Return all commands, and all records about rooms, with their times, for a report."""
    rows = [(one.time, f"{node.name} command: {one}") for node in nodes for one in node.switch.commands]
    for log in logs:
        rows += [(one.time, f"event: {one.cause} {one.json}") for one in log.events]
        rows += [(one.time, f"signal: {one.at} {one.value}") for found in log.signals.values() for one in found]
        rows += [(0, f"no-op: {place} {row}") for place, row in log.noops]
    return [(rfc3339(at), text) for at, text in rows]


def _micros(text: str) -> int:
    return micros(text)
