"""Which bridge holds a node, from the records of the topic `conference.engines` in their order.

The epoch of a bridge is the offset of its own first record. The highest epoch holds the node. Times are monotonic
seconds, given by the caller.
"""

from __future__ import annotations

from typing import Final

from pipeline.model.records import Engine

WRITE_SECONDS: Final = 10.0
"""Seconds between two records of a bridge."""
WAIT_SECONDS: Final = 6.0
"""Seconds that a new bridge waits: twice as long as an old one may go on without having read the end."""
FRESH_SECONDS: Final = 3.0
"""Seconds since the end of the topic was read, within which a bridge may send commands."""


class Claim:
    """The claim of one bridge. `epoch` is -1 until its first record was acknowledged."""

    def __init__(self, node: str) -> None:
        self._node = node.encode()
        self.epoch = -1
        self._highest = -1
        self._last = -1
        self._last_is_other = False
        self._ready_at = float("inf")
        self._read_at = -float("inf")

    def begin(self, epoch: int, now: float) -> None:
        """Note the acknowledgement of the bridge's first record."""
        self.epoch, self._ready_at = epoch, now + WAIT_SECONDS

    def apply(self, key: bytes | None, offset: int, value: Engine | None) -> None:
        """Note a record of the topic; None is a tombstone."""
        if key != self._node or offset <= self._last:
            return
        self._last = offset
        epoch = -1 if value is None else offset if value.epoch < 0 else value.epoch
        self._last_is_other = value is not None and epoch != self.epoch
        self._highest = max(self._highest, epoch)

    def read_end(self, asked: float) -> None:
        """Note that the topic was read to the end that it had at the time `asked`."""
        self._read_at = asked

    @property
    def lost(self) -> bool:
        """Whether another bridge has taken the node."""
        return 0 <= self.epoch < self._highest

    def may_command(self, now: float) -> bool:
        """Return whether the bridge may send a command at the time `now`."""
        return self.epoch >= 0 and not self.lost and now >= self._ready_at and now - self._read_at < FRESH_SECONDS

    @property
    def may_end(self) -> bool:
        """Whether a tombstone may be written: no other bridge's record follows."""
        return self.epoch >= 0 and not self.lost and not self._last_is_other
