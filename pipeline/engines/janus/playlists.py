"""The files of playbacks, one after the other: Janus plays single files, and mixes those that play together.

It keeps only what the rooms view has as well: a restarted bridge learns it from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from pipeline.engines.janus.adapter import PlayedFile
from pipeline.engines.rules.bounds import remember

MAX_STOPPED: Final = 20_000
"""Rooms in which files were stopped, whose end is not reported."""


class Playlist:
    """A playback: its files, and the number of the one that plays. `lock` is held while its commands are on the way."""

    def __init__(self, operation_id: str, urls: tuple[str, ...], number: int = 0) -> None:
        self.operation_id, self.urls, self.number = operation_id, urls, number
        self.lock = asyncio.Lock()
        self.stopped = False

    @property
    def file(self) -> PlayedFile:
        """The file that plays."""
        return PlayedFile(self.operation_id, self.number)

    @property
    def url(self) -> str:
        """Its url."""
        return self.urls[self.number]

    def end(self) -> None:
        """Play no further file."""
        self.stopped = True

    def advance(self) -> bool:
        """Go to the next file; return False if there is none."""
        if self.number + 1 == len(self.urls):
            return False
        self.number += 1
        return True


class Playlists:
    """At most one playback of each room."""

    def __init__(self) -> None:
        self._playlists: dict[str, Playlist] = {}
        self._stopped: dict[str, frozenset[str]] = {}

    def get(self, room_id: str) -> Playlist | None:
        """Return the playback of a room."""
        return self._playlists.get(room_id)

    def begin(self, room_id: str, playlist: Playlist) -> Playlist:
        """Set the playback of a room."""
        self.drop(room_id)
        if (stopped := self._stopped.get(room_id)) is not None:
            self._stopped[room_id] = stopped - {playlist.operation_id}
        self._playlists[room_id] = playlist
        return playlist

    def drop(self, room_id: str) -> Playlist | None:
        """Forget the playback of a room and return it; no further file of it is played."""
        if (playlist := self._playlists.pop(room_id, None)) is not None:
            playlist.end()
        return playlist

    def clear(self) -> None:
        """Forget all."""
        for room_id in list(self._playlists):
            self.drop(room_id)

    def next(self, room_id: str, file: PlayedFile) -> Playlist | None:
        """Note that a file ended; return the playback if another file of it is to play now."""
        playlist = self._playlists.get(room_id)
        if playlist is None or playlist.file != file:
            return None
        if playlist.advance():
            return playlist
        self.drop(room_id)
        return None

    def stop(self, room_id: str, operation_ids: Iterable[str]) -> None:
        """Note that playbacks are stopped: the end of their files is not to be reported."""
        remember(self._stopped, room_id, frozenset(operation_ids), MAX_STOPPED)

    def was_stopped(self, room_id: str, operation_id: str) -> bool:
        """Return whether the end of a playback's files is not to be reported."""
        return operation_id in self._stopped.get(room_id, ())
