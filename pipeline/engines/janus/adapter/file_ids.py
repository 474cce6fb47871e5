"""The `file_id` of an announcement: the operation_id of its playback and the number of its file, as `op-1#0`."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.engines.rules.ids import MAX_ID

MAX_FILES = 128
"""Files of a playback (contract §4)."""


class PlayedFile(NamedTuple):
    """One file of a playback; `number` counts from 0."""

    operation_id: str
    number: int

    @property
    def file_id(self) -> str:
        """The text that Janus returns with its reports."""
        return f"{self.operation_id}#{self.number}"


def played_file(file_id: str) -> PlayedFile | None:
    """Return what a file_id names; without a number the first file. None if it can't be an operation_id."""
    operation_id, found, number = file_id.rpartition("#")
    if found and operation_id and number.isascii() and number.isdigit() and len(number) < 4:
        file = PlayedFile(operation_id, int(number))
        if file.file_id == file_id and file.number < MAX_FILES:
            return file if len(operation_id) <= MAX_ID else None
    return PlayedFile(file_id, 0) if 0 < len(file_id) <= MAX_ID else None
