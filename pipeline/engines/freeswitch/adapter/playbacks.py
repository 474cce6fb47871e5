"""Files, tones and streams of conferences: facts → signals."""

from __future__ import annotations

import hashlib
from typing import Final

from pipeline.engines.freeswitch.adapter.facts import Fact
from pipeline.engines.freeswitch.adapter.hold import Hold
from pipeline.engines.rules.bounds import remember
from pipeline.model import signals

MAX_STREAMS: Final = 1_000  # tones and streams that play


class Playbacks:
    """Applies play-file and play-file-done. Signals go to `hold`."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._streams: dict[bytes, int] = {}
        """A tone or stream of a conference → how often it was played and has not ended."""

    def started(self, fact: Fact) -> None:
        """Apply a play-file."""
        operation_id, urls, generated = fact.played or (None, (), False)
        if fact.failed:
            self._hold.add(signals.PlayFailed(*fact.origin, operation_id=operation_id, urls=urls))
            return
        if generated:
            stream = _stream(fact)
            remember(self._streams, stream, self._streams.get(stream, 0) + 1, MAX_STREAMS)
        self._hold.add(signals.PlayProgress(*fact.origin, operation_id=operation_id, url=urls[0]))

    def done(self, fact: Fact) -> bool:
        """Apply a play-file-done; return whether it has a signal."""
        assert fact.played is not None
        operation_id, urls, generated = fact.played
        if generated:
            stream = _stream(fact)
            plays = self._streams.pop(stream, 0)
            if plays > 1:
                self._streams[stream] = plays - 1
            if not plays and operation_id is None:
                return False  # the conference's own: a tone at entry or exit, music on hold
        if fact.failed:
            self._hold.add(signals.PlayFailed(*fact.origin, operation_id=operation_id, urls=urls))
            return True
        for number, url in enumerate(urls, 1):
            origin = fact.origin
            if number > 1:
                origin = (fact.derived_id(str(number), "file"), *origin[1:])
            self._hold.add(signals.PlayFinished(*origin, operation_id=operation_id, url=url))
        return True


def _stream(fact: Fact) -> bytes:
    url = fact.played.urls[0] if fact.played else ""
    text = "\0".join((fact.switch, fact.core, fact.conference, url))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
