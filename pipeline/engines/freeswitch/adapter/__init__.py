"""FreeSWITCH `mod_conference` events → media signals (contract §4). Pure: no clock, no I/O.

`EventReader` splits an input into events, whose headers `Adapter` turns into signals, of a recording or of a live
feed. An event is a flat object, header to string, as `mod_event_kafka` and the event socket send it.

    event                         signal
    add-member                    member.joined, `muted` if `Speak` is false (no mute event follows)
    del-member                    member.left, with a reason (below)
    mute-member, unmute-member    member.muted, member.unmuted; FreeSWITCH sends them also when nothing changes
    play-file without `Error`     play.progress: the file is queued, not yet audible
    play-file with `Error`        play.failed
    play-file-done                play.finished for each file: the same event for natural end and stop; play.failed
                                  if nothing was heard (0 samples) or the end of the conference cut it
                                  (`Conference-Size` 0)
    kick-member, hup-member,      none; the reason of the member's del-member is then `removed`
    transfer
    CHANNEL_HANGUP_COMPLETE       member.left (`hangup`) if the channel had no del-member, else none
    conference-create, -destroy,  member.left (`orphan`) for everyone still remembered: their events were lost
    another Conference-Unique-ID
    another Core-UUID             the same for everyone in the conferences of that switch: it was restarted
    all others                    none, counted by kind

Reason of a del-member: `removed` after kick-member, hup-member or transfer; else `hangup` if the channel is hung up
(`Hangup-Cause`, or `Answer-State: hangup`), or if CHANNEL_HANGUP_COMPLETE follows within 200 ms; else `removed`.

`File` may begin with parameters, `{operation_id=op-1,vol=2}/path`: the operation_id is taken, percent-decoded, and the
rest is the path. The header `operation_id` is not used: FreeSWITCH fills it with that of another file.
`file_string://a!b` is the files a and b, which have one play-file and one play-file-done.

An event that was seen before, with the same `Core-UUID` and `Event-Sequence`, gives nothing. The signal_id is
`Core-UUID/Event-Sequence`; a further signal of the same event has `/<session_uuid>/orphan` or `/<number>/file` after
it.

With a node, the conferences `lobby` and `n1-room-lobby` are one room, which has the members of both. A member that
enters one of them while it is remembered in the other leaves that one first, as `orphan`; a del-member that comes
later gives nothing.

Left to the room, which rejects or counts these signals:

- A member that entered with `conference_silent_entry`, or in a recovered call, has no add-member. Its other signals
  name an unknown member.
- A file that the conference plays by itself (enter, alone, exit) has a play-file-done without a play-file. Tones,
  silence and streams of that kind give no signal.

Ghosts are treated as members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.engines.freeswitch.adapter.event_reader import EventReader, Found
from pipeline.engines.freeswitch.adapter.facts import Fact, FactReader
from pipeline.engines.freeswitch.adapter.files import MediaMap
from pipeline.engines.freeswitch.adapter.headers import read_event
from pipeline.engines.freeswitch.adapter.hold import Hold
from pipeline.engines.freeswitch.adapter.order import Order
from pipeline.engines.freeswitch.adapter.rooms import Report, Rooms
from pipeline.model.signals import MediaSignal

__all__ = ["Adapter", "EventReader", "Found", "Output", "Report", "read_event"]

MAX_KINDS: Final = 1_000  # that are counted by name (FreeSWITCH has about a hundred); others count as `other`
OTHER_KINDS: Final = "other"


class Output(NamedTuple):
    """What an event gave, or the passing of time."""

    signals: list[MediaSignal]
    reports: list[Report]


class Adapter:
    """Turns the events of one or more FreeSWITCH servers into media signals.

    Signals of one room come out in the order of its events. Some come out later than their event: at most `reorder`
    and 200 ms.

    Args:
        media_map: pairs (prefix of the engine's paths, URL that replaces it); see MediaMap.
        node: begins every room_id and session_uuid; see FactReader.
        reorder: microseconds for which each event waits for earlier ones of its switch; 0: the events are in order.

    The memory is bounded by the constants MAX_… of `order`, `hold`, `rooms` and `playbacks`. 20,000
    members take 9 MB; with ids of 255 characters beyond the BMP and a conference for each, 120 MB.

    `counts` has the number of events without a signal by kind: the `Action` of a conference event, the
    `Event-Subclass` of another custom event, else the `Event-Name`; `api` for a recorded command, `stale` for events
    of a process of FreeSWITCH that has been replaced.
    """

    def __init__(self, media_map: Sequence[tuple[str, str]] = (), *, node: str | None = None, reorder: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._reader = FactReader(MediaMap(media_map), node)
        self._order = Order(reorder)
        self._hold = Hold()
        self._rooms = Rooms(self._hold)

    @property
    def waits(self) -> bool:
        """Whether something waits for `advance` or `end`."""
        return self._order.waits or self._hold.waits

    def feed(self, event: Mapping[str, object], now: int | None = None) -> Output:
        """Take the next event's headers; return what comes out.

        `now`: of a live feed the time of arrival, in microseconds of a clock that does not run back; of a recording
        None. Raises SignalError, which names the header, when one that is needed is missing or invalid; nothing
        changes then.
        """
        fact = self._reader.read(event)
        return self._applied(self._order.push(fact, now), now)

    def advance(self, now: int) -> Output:
        """Return what waits no longer at the time `now` of a live feed."""
        output = self._applied(self._order.release(now), now)
        self._hold.expire(now)
        output.signals.extend(self._hold.take())
        return output

    def end(self) -> Output:
        """Return all that waits."""
        output = self._applied(self._order.release(None), None)
        self._hold.expire(None)
        output.signals.extend(self._hold.take())
        return output

    def _applied(self, facts: Iterable[Fact], now: int | None) -> Output:
        for fact in facts:
            kind = self._rooms.apply(fact, now)
            if kind:
                known = kind in self.counts or len(self.counts) < MAX_KINDS
                self.counts[kind if known else OTHER_KINDS] += 1
        return Output(self._hold.take(), self._rooms.take_reports())
