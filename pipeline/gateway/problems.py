"""Answers that are errors: a status and the body `{"success": false, "error", "message", "detail"}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

REJECTED: Final = {
    "room_unknown": (404, "the app has no such room"),
    "not_a_member": (404, "the session is not in the room"),
    "room_exists": (409, "there is a room with this id"),
    "playback_active": (409, "another playback is playing or paused: stop it first"),
    "playback_inactive": (409, "nothing is playing or paused"),
    "volume_out_of_range": (422, "the volume must be -50 to 7"),
}
"""Reason of a rejected signal → status and message."""


class Problem(Exception):
    """An answer that is an error. `message` is one sentence for people, `retry` the seconds of `Retry-After`."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        detail: Mapping[str, Any] | None = None,
        retry: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message
        self.detail = dict(detail or {})
        self.headers = {} if retry is None else {"Retry-After": str(max(1, math.ceil(retry)))}

    @property
    def body(self) -> bytes:
        """The body as JSON."""
        fields = {"success": False, "error": self.error, "message": self.message, "detail": self.detail}
        return msgspec.json.encode(fields)


def rejected(reason: str, detail: Mapping[str, Any] | None = None) -> Problem:
    """Return the answer to a signal that was rejected for this reason."""
    status, message = REJECTED.get(reason, (409, "the state of the room does not allow it"))
    return Problem(status, reason, message, detail)


def unavailable(error: str, message: str, retry: float = 1.0) -> Problem:
    """Return a 503: nothing was written."""
    return Problem(503, error, message, retry=retry)
