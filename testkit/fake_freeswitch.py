"""A fake of FreeSWITCH's event socket: a model of conferences and files, with the replies and events of the recordings.

It misbehaves on request: frames split at any byte (`splits`), lost events (`loses`), silence (`silent`), the end of all
connections (`drop`, `drop_commands`), another process (`restart`).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import uuid
from collections import deque
from typing import Any, Self

PASSWORD = "ClueCon"
REPLY = "Content-Type: command/reply\nReply-Text: {}\n\n"


class Conference:
    def __init__(self) -> None:
        self.life = str(uuid.uuid4())
        self.members: dict[str, dict[str, Any]] = {}
        self.files: deque[str] = deque()
        self.paused = False
        self.numbers = itertools.count(1)


class FakeFreeSwitch:
    """Run it with `async with`; `address` is where it listens. `lines` are the commands as they came."""

    def __init__(self, *, seed: int = 1, splits: bool = False) -> None:
        self.rooms: dict[str, Conference] = {}
        self.calls: dict[str, str] = {}
        self.files = {"/media/a.wav", "/media/b.wav"}
        self.lines: list[str] = []
        self.loses = self.silent = False
        self.core = str(uuid.uuid4())
        self._random, self._splits = random.Random(seed), splits
        self._sequence = itertools.count(400)
        self._listeners: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await asyncio.sleep(0)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def drop(self) -> None:
        """End all connections without a word, as a kill does."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self._listeners.clear()

    def drop_commands(self) -> None:
        """End the connections that receive no events."""
        for writer in self._writers - self._listeners:
            writer.transport.abort()

    def restart(self) -> None:
        """Another process: all is gone."""
        self.drop()
        self.rooms.clear()
        self.calls.clear()
        self.core = str(uuid.uuid4())
        self._sequence = itertools.count(400)

    # --- the socket ------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            self._write(writer, b"Content-Type: auth/request\n\n")
            while line := (await reader.readuntil(b"\n\n")).decode().strip("\n"):
                self.lines.append(line)
                self._answer(writer, line)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            self._listeners.discard(writer)
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, line: str) -> None:
        if line.startswith("auth "):
            accepted = line == f"auth {PASSWORD}"
            self._write(writer, REPLY.format("+OK accepted" if accepted else "-ERR invalid").encode())
        elif line.startswith("event json "):
            self._listeners.add(writer)
            self._write(writer, REPLY.format("+OK event listener enabled json").encode())
        elif line.startswith("api "):
            body = self._api(line[4:]).encode()
            self._write(writer, b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body)
        else:
            self._write(writer, REPLY.format("-ERR command not found").encode())

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self._splits and len(data) > 1:
            cut = self._random.randrange(1, len(data))
            writer.write(data[:cut])
            writer.write(data[cut:])
        else:
            writer.write(data)

    def send(self, event: dict[str, Any]) -> None:
        """Send an event to all listeners."""
        body = json.dumps(event, ensure_ascii=False).encode()
        if self.loses or self.silent:
            return
        for writer in self._listeners:
            frame = b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body
            self._write(writer, frame)

    def fire(self, action: str, room: str, **headers: Any) -> None:
        conference = self.rooms[room]
        self.send(
            {
                "Event-Subclass": "conference::maintenance",
                "Event-Name": "CUSTOM",
                "Core-UUID": self.core,
                "FreeSWITCH-Switchname": "fs1",
                "Event-Date-Timestamp": str(1_795_971_429_199_308 + next(self._sequence)),
                "Event-Sequence": str(next(self._sequence)),
                "Conference-Name": room,
                "Conference-Size": str(len(conference.members)),
                "Conference-Ghosts": "0",
                "Conference-Unique-ID": conference.life,
                **{key.replace("_", "-"): value for key, value in headers.items()},
                "Action": action,
            }
        )

    # --- the model -------------------------------------------------------------------------------------------

    def join(self, room: str, call: str, number: str = "+15550100201", *, muted: bool = False) -> None:
        """Let a call enter a conference."""
        if call in self.calls:
            self.leave(call, answered=True)
        if room not in self.rooms:
            self.rooms[room] = Conference()
            self.fire("conference-create", room)
        member = {"id": next(self.rooms[room].numbers), "number": number, "speak": not muted}
        self.rooms[room].members[call] = member
        self.calls[call] = room
        self._member("add-member", room, call, member)

    def _member(self, action: str, room: str, call: str, member: dict[str, Any], **more: Any) -> None:
        headers = {"Unique_ID": call, "Answer_State": "answered", "Caller_Caller_ID_Number": member["number"]}
        speak = "true" if member["speak"] else "false"
        self.fire(action, room, **{**headers, "Speak": speak, "Member_ID": str(member["id"]), **more})

    def leave(self, call: str, *, answered: bool = False, marked: str = "") -> None:
        """Let a call leave: it hangs up, unless `answered`. `marked` is an event before it, such as kick-member."""
        room = self.calls.pop(call)
        conference = self.rooms[room]
        member = conference.members[call]
        if marked:
            self._member(marked, room, call, member)
        del conference.members[call]
        more = {} if answered else {"Hangup_Cause": "NORMAL_CLEARING", "Answer_State": "hangup"}
        self._member("del-member", room, call, member, **more)
        if not conference.members:
            while conference.files:
                self.fire("play-file-done", room, File=conference.files.popleft(), samples="966")
            self.fire("conference-destroy", room)
            del self.rooms[room]

    def finish(self, room: str) -> None:
        """Let the file that plays end."""
        self.fire("play-file-done", room, File=self.rooms[room].files.popleft(), samples="16000")

    def _api(self, line: str) -> str:
        words = line.split(" ")
        if words[0] == "version":
            return "FreeSWITCH Version 1.11.3-dev (fake)\n"
        if line == "global_getvar core_uuid":
            return self.core
        if line == "conference json_list":
            return json.dumps([self._listed(name) for name in self.rooms])
        if words[0] == "uuid_transfer":
            target = re.fullmatch(r"conference:([^@]+)@default", words[2])
            if target is None or words[3:] != ["inline"] or words[1] not in self.calls:
                return "-ERR No such channel!\n"
            self.join(target[1], words[1])
            return "+OK\n"
        if words[0] != "conference" or len(words) < 3:
            return "-ERR no such command\n"
        if words[1] not in self.rooms:
            return f"-ERR Conference {words[1]} not found\n"
        return self._in_room(words[1], words[2], words[3:])

    def _listed(self, name: str) -> dict[str, Any]:
        members = [
            {"type": "caller", "id": one["id"], "flags": {"can_speak": one["speak"]}, "uuid": call,
             "caller_id_number": one["number"]}
            for call, one in self.rooms[name].members.items()
        ]  # fmt: skip
        return {"conference_name": name, "member_count": len(members), "members": members}

    def _in_room(self, room: str, command: str, words: list[str]) -> str:
        conference = self.rooms[room]
        if command == "play":
            return self._play(room, words)
        if command == "play_status":
            path = re.sub(r"^\{[^}]*\}", "", conference.files[0]) if conference.files else ""
            return f"+OK 0/0 {path}\n" if path else "-ERR Nothing is playing\n"
        if command == "pause_play":
            if not conference.files:
                return "-ERR no reply\n"
            conference.paused = not conference.paused
            return f"+OK {'Pause' if conference.paused else 'Resume'}\n"
        if command == "stop":
            stopped = len(conference.files)
            conference.paused = False
            while conference.files:
                self.finish(room)
            return f"+OK Stopped {stopped} files.\n"
        if command == "file-vol":
            return "+OK volume changed\n" if conference.files else "-ERR File not playing\n"
        if command == "hup" and words == ["all"]:
            for call in list(conference.members):
                self.leave(call, marked="hup-member")
            return "+OK\n"
        return self._of_member(room, command, words)

    def _of_member(self, room: str, command: str, words: list[str]) -> str:
        call = words[0].removeprefix("uuid=") if words and words[0].startswith("uuid=") else ""
        member = self.rooms[room].members.get(call)
        if member is None:
            return f"-ERR Non-Existant ID {call}\n"
        if command == "kick":
            self.leave(call, answered=True, marked="kick-member")
            return f"+OK kicked {member['id']}\n"
        if command in ("mute", "unmute"):
            member["speak"] = command == "unmute"
            self._member(f"{command}-member", room, call, member)
            return f"+OK {command} {member['id']}\n"
        return "-ERR no such command\n"

    def _play(self, room: str, words: list[str]) -> str:
        file = words[0]
        path = re.sub(r"^\{[^}]*\}", "", file)
        if len(words) > 1:
            return "-ERR Member: 1141024560 not found.\nplay <file_path> [async|<member_id> [nomux]]"
        if path not in self.files:
            self.fire("play-file", room, File=file, Error="File not found")
            return f"-ERR (play) File: {file} not found.\n"
        self.rooms[room].files.append(file)
        self.fire("play-file", room, File=file)
        return f"+OK (play) Playing file {file}\n"
