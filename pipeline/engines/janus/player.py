"""Plays files in rooms of the AudioBridge, those of a playback one after the other, and stops them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from pipeline.engines.engine import EngineAwayError, Playback, Sink
from pipeline.engines.janus.adapter import PlayedFile, played_file
from pipeline.engines.janus.adapter.file_ids import MAX_FILES
from pipeline.engines.janus.playlists import Playlist, Playlists
from pipeline.engines.janus.rooms import NO_SUCH_ROOM, Rooms, joint_refusal, refusal
from pipeline.engines.media_files import FileMap, UnfitError
from pipeline.engines.rules.commands import Play, Refused, Stop
from pipeline.engines.rules.ids import bounded_id
from pipeline.model.signals import Micros, PlayFailed

ID_EXISTS: Final = 490
"""The reply to a play_file whose file_id plays already."""


class Player:
    """The playbacks of a node. Call `report_to` before anything is played. Methods raise EngineAwayError."""

    def __init__(self, rooms: Rooms, files: FileMap) -> None:
        self._rooms, self._files = rooms, files
        self._playlists = Playlists()
        self._sink: Sink | None = None

    def report_to(self, sink: Sink) -> None:
        """Set where failed playbacks are reported, and live ones are looked up."""
        self._sink = sink

    # --- what is known ---------------------------------------------------------------------------------------

    def _playback(self, room_id: str) -> Playback | None:
        return None if self._sink is None else self._sink.playback(room_id)

    def url(self, room_id: str, file: PlayedFile) -> str:
        """Return the url of a file; "" if it is unknown."""
        for found in (self._playlists.get(room_id), self._playback(room_id)):
            if found is not None and found.operation_id == file.operation_id and file.number < len(found.urls):
                return found.urls[file.number]
        return ""

    def hides(self, room_id: str, file: PlayedFile) -> bool:
        """Return whether the end of a file is not to be reported, because it was stopped."""
        return self._playlists.was_stopped(room_id, file.operation_id)

    def forget(self) -> None:
        """Forget all playbacks: Janus was restarted."""
        self._playlists.clear()

    # --- commands --------------------------------------------------------------------------------------------

    async def play(self, command: Play) -> Refused | None:
        """Play the first file. Raises UnfitError."""
        for url in command.urls:
            self._path(url)
        playlist = self._playlists.begin(command.room_id, Playlist(command.operation_id, command.urls))
        async with playlist.lock:
            try:
                refused = await self._send(command.room_id, playlist)
            except EngineAwayError:
                self._playlists.drop(command.room_id)
                raise
        if refused is not None:
            self._playlists.drop(command.room_id)
        return refused

    def _path(self, url: str) -> str:
        if (path := self._files.path(url)) is None:
            raise UnfitError(f"no --media-map for the url {url[:80]!a}: Janus plays local files only")
        return path

    async def _send(self, room_id: str, playlist: Playlist) -> Refused | None:
        reply = await self._rooms.in_room(
            room_id, "play_file", filename=self._path(playlist.url), file_id=playlist.file.file_id
        )
        return refusal(reply, ID_EXISTS)

    def next(self, room_id: str, file: PlayedFile) -> Playlist | None:
        """Note that a file ended; return the playback if another file of it is to play now: call `go_on`."""
        if self._playlists.get(room_id) is not None:
            return self._playlists.next(room_id, file)
        live, number = self._playback(room_id), file.number + 1  # the bridge was restarted
        if live is None or live.operation_id != file.operation_id or number >= len(live.urls):
            return None
        return self._playlists.begin(room_id, Playlist(live.operation_id, live.urls, number))

    async def go_on(self, room_id: str, playlist: Playlist) -> None:
        """Play the next file, and report the playback as failed if Janus refuses it."""
        async with playlist.lock:
            if playlist.stopped:
                return
            try:
                refused = await self._send(room_id, playlist)
            except UnfitError as error:
                refused = Refused(str(error))
            except EngineAwayError:
                return  # the next audit reports what does not play
            if refused is None or playlist.stopped:
                return
            self._playlists.drop(room_id)
        if self._sink is not None:
            now, file_id = time.time_ns() // 1000, playlist.file.file_id
            signal_id = bounded_id(f"player/{now}/{file_id}/refused")
            self._sink.put([PlayFailed(signal_id, room_id, Micros(now), playlist.operation_id, (playlist.url,))])

    async def stop(self, command: Stop, started: Iterable[str]) -> Refused | None:
        """Stop the files of a playback, or all of a room. `started`: the file_ids that play by Janus' reports."""
        room_id, operation_id = command.room_id, command.operation_id
        files = _by_operation(started)
        if operation_id is not None:
            files = {file_id: one for file_id, one in files.items() if one == operation_id}
        playlist = self._playlists.get(room_id)
        self._playlists.stop(room_id, {operation_id or "", *files.values()})
        if playlist is not None and operation_id in (None, playlist.operation_id):
            self._playlists.drop(room_id)
            async with playlist.lock:
                file_ids = {**files, playlist.file.file_id: ""}
        elif operation_id is not None:  # its files are not known
            file_ids = {PlayedFile(operation_id, number).file_id: "" for number in range(MAX_FILES)}
        else:
            file_ids = files
        stops = await asyncio.gather(*(self._rooms.in_rooms(room_id, "stop_file", file_id=one) for one in file_ids))
        refusals = [joint_refusal(replies, NO_SUCH_ROOM) for replies in stops]
        return next((one for one in refusals if one is not None), None)

    # --- what plays ------------------------------------------------------------------------------------------

    async def _plays(self, room_id: str, file_id: str) -> bool:
        replies = await self._rooms.in_rooms(room_id, "is_playing", file_id=file_id)
        return any(reply.data.get("playing") is True for reply in replies)

    async def plays(self, room_id: str, started: Iterable[str] = ()) -> str | None:
        """Return the operation_id of what plays in a room, of its live playback first; None if nothing plays."""
        playlist, live = self._playlists.get(room_id), self._playback(room_id)
        if playlist is not None and playlist.lock.locked():
            return playlist.operation_id  # between two files
        if playlist is not None:
            files = [playlist.file]
        elif live is not None:
            files = [PlayedFile(live.operation_id, number) for number in range(live.finished, len(live.urls))]
        else:
            files = []
        found = {one.file_id: one.operation_id for one in files} | _by_operation(started)
        replies = await asyncio.gather(*(self._plays(room_id, one) for one in found))
        playing = next((one for one, plays in zip(found, replies, strict=True) if plays), None)
        if playing is None:
            return None
        number = next((one.number for one in files if one.file_id == playing), None)
        if live is not None and number is not None and self._playlists.get(room_id) is None:
            self._playlists.begin(room_id, Playlist(live.operation_id, live.urls, number))
        return found[playing]

    async def knows(self, play: Play) -> bool:
        """Return whether one of the files of a play is under way."""
        files = [PlayedFile(play.operation_id, number) for number in range(len(play.urls))]
        replies = await asyncio.gather(*(self._plays(play.room_id, one.file_id) for one in files))
        for file, plays in zip(files, replies, strict=True):
            if plays:
                self._playlists.begin(play.room_id, Playlist(play.operation_id, play.urls, file.number))
                return True
        return False


def _by_operation(file_ids: Iterable[str]) -> dict[str, str]:
    """Return file_id → operation_id."""
    return {one: file.operation_id for one in file_ids if (file := played_file(one)) is not None}
