"""Urls → the files that an engine plays (`--media-map`)."""

from __future__ import annotations

import os.path
from collections.abc import Sequence

from pipeline.errors import PipelineError


class UnfitError(PipelineError):
    """An id or url that can't be part of a command. The text says which."""


class FileMap:
    """Maps urls to paths.

    Args:
        pairs: (prefix of the urls, folder). The longest prefix wins.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def path(self, url: str) -> str | None:
        """Return the path of the file; None if no prefix fits. Raises UnfitError for a path that leaves its folder."""
        for prefix, folder in self._pairs:
            if url.startswith(prefix):
                return _file(folder, url[len(prefix) :])
        return None


def _file(folder: str, rest: str) -> str:
    if "\0" in rest:
        raise UnfitError(f"the path {rest[:80]!a} has a zero byte")
    root = os.path.normpath(folder)
    path = os.path.normpath(f"{root}/{rest}")
    real, real_root = os.path.realpath(path), os.path.realpath(root)
    if ".." in rest.split("/") or not path.startswith(f"{root}/") or not real.startswith(f"{real_root}/"):
        raise UnfitError(f"the path {rest[:80]!a} leaves its folder")
    return path
