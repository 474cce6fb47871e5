"""`rooms`: the rooms as they are now."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli import completion
from pipeline.cli.output import Form, Output, form_of, print_json_rows, print_table, time_text
from pipeline.cli.progress import with_progress
from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.cli.timeline import last_lines
from pipeline.model.times import ago
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.model.records import Member, Room
    from pipeline.settings import Settings
    from pipeline.view import RoomsView
    from pipeline.view.one_room import OneRoom

HELP: Final = """Show the rooms as they are now, from the topic of the rooms.

[dim]$ conference-pipeline rooms list --playing
$ conference-pipeline rooms show ROOM[/dim]
"""
STATUS_COLOURS: Final = {"playing": "green", "paused": "yellow"}
LINES: Final = 20
"""Lines of the timeline that `rooms show` prints."""
TITLES: Final = ("ROOM", "NAME", "APP", "MEMBERS", "PLAYBACK", "SINCE", "LAST EVENT")

rooms = typer.Typer(help=HELP, no_args_is_help=True)

App = Annotated[str | None, typer.Option(metavar="ID", help="Only rooms of this app.")]
Node = Annotated[str | None, typer.Option(metavar="NODE", help="Only rooms whose id begins with NODE-room-.")]
Playing = Annotated[bool, typer.Option("--playing", metavar="", help="Only rooms that play now; paused ones do not.")]
Name = Annotated[str | None, typer.Option(metavar="TEXT", help="Only rooms whose name contains TEXT, in any case.")]
RoomId = Annotated[str, typer.Argument(metavar="ROOM", help="The room_id.", autocompletion=completion.rooms)]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object; the default in a pipe.")]


@rooms.command("list")
def list_(
    app: App = None, node: Node = None, playing: Playing = False, name: Name = None, output: Output = None
) -> None:
    """List the rooms: members, playback, since when, last event.

    SINCE is the time since the playback began, or else since the room became
    known. It reads the topic of the rooms to its end, as far as transactions
    are committed: a million rooms take some 15 seconds. JSON has full times.

    Exit codes: 0 printed, also when there is none, 2 Kafka or the registry
    failed, 130 Ctrl-C.

    [dim]$ conference-pipeline rooms list
    $ conference-pipeline rooms list --output jsonl | jq -r .room_id[/dim]
    """
    settings = server_settings()
    with kafka_errors(settings):
        asyncio.run(_list(settings, app, node, name, form_of(output), playing=playing))


async def _list(
    settings: Settings, app: str | None, node: str | None, name: str | None, form: Form, *, playing: bool
) -> None:
    from pipeline.view import RoomsView

    async with RoomsView(settings, warn) as view:
        await with_progress(view.loaded(), "reading the rooms", lambda: view.fraction)
        found = _chosen(view, app, node, name, playing=playing)
        if form is not Form.TABLE:
            print_json_rows((_fields(room, count) for room, count in found), form)
            return
        now = time.time_ns() // 1000
        rows = [_cells(room, count, now) for room, count in found]
        if rows:
            print_table(TITLES, rows, _sentence, lambda row: STATUS_COLOURS.get(row[4]))
        else:
            warn("no such rooms" if view.counts.rooms else "no rooms")


def _chosen(
    view: RoomsView, app: str | None, node: str | None, name: str | None, *, playing: bool
) -> Iterator[tuple[Room, int]]:
    """Yield the rooms that fit, in the order of their ids, each with the number of its members."""
    wanted = name.casefold() if name else ""
    for room_id in sorted(view.room_ids(app=app, node=node, live=True if playing else None)):
        room = view.room(room_id)
        if room is None or (playing and room.playback_status != "playing"):
            continue
        if wanted in room.name.casefold():
            yield room, view.member_count(room_id)


def _fields(room: Room, members: int) -> dict[str, Any]:
    from pipeline.view import node_of

    return {
        "room_id": room.room_id,
        "app_id": room.app_id,
        "name": room.name,
        "node": node_of(room.room_id),
        "members": members,
        "playback_status": room.playback_status,
        "created_at": time_text(room.created_at),
        "started_at": time_text(room.started_at),
        "last_event_at": time_text(room.last_event_at),
    }


def _cells(room: Room, members: int, now: int) -> list[str]:
    since = ago(room.created_at if room.started_at is None else room.started_at, now)
    last = ago(room.last_event_at, now)
    return [room.room_id, room.name, room.app_id, str(members), room.playback_status, since, last]


def _sentence(cells: Sequence[str]) -> str:
    """Return what follows the room_id where the columns do not fit."""
    _, name, app, members, status, since, last = cells
    parts = [
        name,
        app and f"app {app}",
        f"{members} member{'' if members == '1' else 's'}",
        status + (f" for {since}" if since and status != "stopped" else ""),
        f"since {since}" if since and status == "stopped" else "",
        last and f"last event {last} ago",
    ]
    return ", ".join(part for part in parts if part)


@rooms.command("show")
def show_(room: RoomId, as_json: Json = False) -> None:
    """Show one room: members, playback, files done, deadline.

    It reads the room's partition only. Times are those of the broker. On a
    terminal the last 20 lines of its timeline follow.

    Exit codes: 0 shown, 1 there is no such room, 2 Kafka or the registry
    failed, 130 Ctrl-C.

    [dim]$ conference-pipeline rooms show acW68-room-1
    $ conference-pipeline rooms show acW68-room-1 | jq .members[/dim]
    """
    settings = server_settings()
    with kafka_errors(settings):
        found, near = asyncio.run(_read(settings, room))
        for_people = found.room is not None and not as_json and sys.stdout.isatty()
        lines = asyncio.run(last_lines(settings, room, LINES)) if for_people else []
    if found.room is None:
        ended = "" if found.gone_since is None else f", it ended at {time_text(found.gone_since)}"
        meant = f"; the nearest: {', '.join(near)}" if near else ""
        warn(f"error: no room {room!r}{ended}{meant}")
        raise typer.Exit(1)
    if for_people:
        _print(found.room, found.members, time.time_ns() // 1000)
        show(f"timeline  the last {len(lines)} lines, UTC")
        for line in lines:
            typer.echo(line)
    else:
        print_json_rows([_details(found)], Form.JSONL)


async def _read(settings: Settings, room_id: str) -> tuple[OneRoom, list[str]]:
    """Return the room and, if there is none, the ids that may be meant."""
    from pipeline.view.one_room import TableScan, nearest_ids

    scan = TableScan(settings)
    found = await with_progress(scan.room(room_id), "reading the room's partition", lambda: scan.fraction)
    if found.room is not None:
        return found, []
    search = TableScan(settings)
    ids = await with_progress(search.ids(), "looking for ids like it", lambda: search.fraction)
    return found, nearest_ids(room_id, ids)


def _details(found: OneRoom) -> dict[str, Any]:
    room = found.room
    assert room is not None
    playback = {
        "status": room.playback_status,
        "operation_id": room.operation_id,
        "urls": room.urls,
        "files_finished": room.files_finished,
        "started_at": time_text(room.started_at),
        "deadline": time_text(room.deadline),
    }
    members = [
        {
            "session_uuid": one.session_uuid,
            "caller_id": one.caller_id,
            "muted": one.muted,
            "leaving": one.leaving,
            "joined_at": time_text(one.joined_at),
            "muted_at": time_text(one.muted_at),
        }
        for one in found.members
    ]
    fields = {name: value for name, value in _fields(room, 0).items() if name not in ("playback_status", "started_at")}
    return {**fields, "members": members, "playback": playback}


def _print(room: Room, members: Sequence[Member], now: int) -> None:
    show(f"room      {room.room_id}")
    show(f"app       {room.app_id or '(none: no create has named it)'}")
    show(f"name      {room.name}")
    if room.created_at is not None:
        show(f"since     {time_text(room.created_at)} ({ago(room.created_at, now)} ago)")
    if room.last_event_at is not None:
        show(f"event     {time_text(room.last_event_at)} ({ago(room.last_event_at, now)} ago)")
    show(f"playback  {_playback(room, now)}", colour=STATUS_COLOURS.get(room.playback_status))
    if room.operation_id:
        show(f"          operation {room.operation_id}")
    for number, url in enumerate(room.urls):
        show(f"          {'done' if number < room.files_finished else 'file'} {url}")
    show(f"members   {len(members)}")
    rows = [
        [one.session_uuid, one.caller_id, ("muted" if one.muted else "") + (" leaving" if one.leaving else ""),
         ago(one.joined_at, now)]
        for one in members
    ]  # fmt: skip
    if rows:
        print_table(("SESSION", "CALLER", "STATE", "SINCE"), rows, _member_sentence)


def _playback(room: Room, now: int) -> str:
    """Return the state of the playback in a few words."""
    if not room.urls:
        return room.playback_status
    text = f"{room.playback_status}, {room.files_finished} of {len(room.urls)} files done"
    if room.started_at is not None:
        text += f", for {ago(room.started_at, now)}"
    if room.deadline is not None:
        left = (room.deadline - now) / 1e6
        text += f", deadline {time_text(room.deadline)}" + (f" (in {left:.0f} s)" if left >= 0 else " (has passed)")
    return text


def _member_sentence(cells: Sequence[str]) -> str:
    _, caller, state, since = cells
    return ", ".join(part for part in (caller, state.strip(), since and f"for {since}") if part)
