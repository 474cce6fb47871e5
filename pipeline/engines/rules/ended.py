"""Playbacks that the pipeline has ended: the engine's own reports of their end would be a second one."""

from __future__ import annotations

from typing import Final

from pipeline.model.signals import MediaSignal, PlayFailed, PlayFinished

MAX_ENDED: Final = 20_000


class Ended:
    """The last MAX_ENDED playbacks that were stopped, by room and operation_id."""

    def __init__(self) -> None:
        self._ended: dict[tuple[str, str], None] = {}

    def add(self, room_id: str, operation_id: str | None) -> None:
        """From now on, report no end of this playback."""
        if operation_id:
            self._ended[room_id, operation_id] = None
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]

    def hides(self, signal: MediaSignal) -> bool:
        """Return whether a signal is the end of a playback that was ended before."""
        if not isinstance(signal, PlayFinished | PlayFailed) or signal.operation_id is None:
            return False
        return (signal.room_id, signal.operation_id) in self._ended
