"""The header `File` → operation_id and urls: `{operation_id=op-1,vol=2}/path`, `file_string://a!b`, `tone_stream://…`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.engines.freeswitch.adapter.values import percent_decoded
from pipeline.engines.rules.ids import MAX_ID

MAX_URL: Final = 2048  # code points, contract §4
MAX_FILES: Final = 128  # of one play, contract §4
MAX_PARAMETERS: Final = 8192  # characters of the parameters in braces; an id of 255 characters may take 3,060
LIST: Final = "file_string://"
GENERATED: Final = ("tone_stream://", "silence_stream://", "local_stream://")
"""Not files: the conference plays them itself, too, at entry and exit or as music on hold."""

_BRACE: Final = re.compile(r"[{}]")


class Played(NamedTuple):
    """What a header `File` names."""

    operation_id: str | None
    urls: tuple[str, ...]
    """Its files in order, mapped and cut to MAX_URL; at least one."""
    generated: bool
    """Whether it is a tone, silence or a stream instead of files."""


class MediaMap:
    """Turns file paths of the engine into the URLs of the API.

    Args:
        pairs: (prefix of the engine's paths, URL that replaces it). The longest prefix that ends at a `/` or at the
            end of the path wins. Other paths stay unchanged. Nothing is percent-encoded, because urls are compared
            as text.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def played(self, file: str) -> Played:
        """Return what a header `File` names."""
        operation_id, path = _split(file)
        parts = [path]
        if path.startswith(LIST):
            parts = [part for part in path[len(LIST) :].split("!", MAX_FILES)[:MAX_FILES] if part] or [path]
        urls = []
        for part in parts:
            own_id, own_path = _split(part)
            operation_id = operation_id or own_id
            urls.append(self._url(own_path)[:MAX_URL])
        return Played(operation_id, tuple(urls), path.startswith(GENERATED))

    def _url(self, path: str) -> str:
        for prefix, url in self._pairs:
            rest = path[len(prefix) :]
            if path.startswith(prefix) and (not rest or prefix.endswith("/") or rest.startswith("/")):
                if url.endswith("/"):
                    return url + rest.removeprefix("/")
                return f"{url}/{rest}" if url and rest and not rest.startswith("/") else url + rest
        return path


def _split(file: str) -> tuple[str | None, str]:
    """Return the operation_id in the parameters before the path, if there is one, and the path."""
    operation_id = None
    while file.startswith("{") and (end := _closing_brace(file)):
        text, file = file[1 : end - 1], file[end:]
        separator = ","
        if text.startswith("^^") and len(text) > 2:  # FreeSWITCH's way to name another separator
            separator, text = text[2], text[3:]
        for parameter in text.split(separator):
            name, _, value = parameter.partition("=")
            if name.strip() == "operation_id" and 1 <= len(found := percent_decoded(value)) <= MAX_ID:
                operation_id = operation_id or found
    return operation_id, file


def _closing_brace(file: str) -> int:
    """Return the place behind the brace that closes the first one; 0 if there is none."""
    depth = 0
    for brace in _BRACE.finditer(file, 0, MAX_PARAMETERS):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return 0
