"""The texts of FreeSWITCH's commands. Ids and paths can't end or extend a command: they are encoded, or refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from pipeline.engines.media_files import FileMap, UnfitError

_NAME: Final = re.compile(r"[A-Za-z0-9_.~+=-]{1,255}")
"""Names of rooms and sessions: no space, comma, quote, brace, at sign, backslash or control character."""
_PATH: Final = re.compile(r"[^\s{}'\"\\,!|]{1,2048}")
"""Printable paths and urls. A `!` would divide a list of files, a `|` a list of alternatives."""


def name(text: str) -> str:
    """Return the name of a room or session. Raises UnfitError."""
    if not _NAME.fullmatch(text):
        raise UnfitError(f"the id {text[:80]!a} has characters that a command can't hold")
    return text


class MediaFiles:
    """Turns urls into what FreeSWITCH plays.

    Args:
        pairs: (prefix of the urls, folder); see FileMap. Other urls are played as they are.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._map = FileMap(pairs)

    def path(self, url: str) -> str:
        """Return the path of a file, or the url. Raises UnfitError, also for a path that leaves its folder."""
        if (path := self._map.path(url)) is not None:
            return _fit(path)
        if not re.match(r"https?://", url, re.IGNORECASE):
            raise UnfitError(f"the url {url[:80]!a} is neither http nor https")
        return _fit(url)


def _fit(path: str) -> str:
    if not _PATH.fullmatch(path) or not path.isprintable():
        raise UnfitError(f"the url {path[:80]!a} has characters that a command can't hold")
    return path


def play(room: str, operation_id: str, path: str, volume: int | None = None) -> str:
    """Return the command that plays one file after those that play. `path` is that of MediaFiles."""
    more = "" if volume is None else f",vol={volume}"
    return f"conference {name(room)} play {{operation_id={quote(operation_id, safe='')}{more}}}{path}"


def in_room(room: str, command: str, session: str | None = None) -> str:
    """Return a command of a room, such as `stop all`; of one member with `session`.

    Without `uuid=`, FreeSWITCH reads the digits at the beginning of a uuid as a member's number.
    """
    return f"conference {name(room)} {command}" + (f" uuid={name(session)}" if session is not None else "")


def transfer(session: str, room: str) -> str:
    """Return the command that moves a call into a room."""
    return f"uuid_transfer {name(session)} conference:{name(room)}@default inline"
