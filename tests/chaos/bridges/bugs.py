"""Errors built into a bridge, each of which the checks must find. `quick` shortens its intervals, also without a bug."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from pipeline.engines import auditor, decisions, performer
from pipeline.engines.claim_holder import ClaimHolder
from pipeline.engines.decisions import Decisions
from pipeline.engines.freeswitch.socket import EventSocket
from pipeline.engines.performer import Performer
from pipeline.engines.rules import commands
from pipeline.engines.rules.audit import Difference
from pipeline.engines.rules.claim import Claim
from pipeline.engines.signal_queue import SignalQueue
from tests.chaos.patches import put

AUDIT_SECONDS: Final = 5.0


def quick() -> None:
    """No bug: audits come every 5 s, not every 60."""
    put(auditor, "AUDIT_SECONDS", AUDIT_SECONDS)


def no_journal() -> None:
    """A play is not recorded before it is sent, and is never too old: after a restart, only its age protects it."""
    real = Decisions.commit

    async def commit(self: Any, tp: Any, offset: int, metadata: str = "") -> None:
        if not metadata:
            await real(self, tp, offset)

    put(Decisions, "commit", commit)
    put(performer, "MAX_AGE", 1 << 60)


def no_claim() -> None:
    """A bridge acts without asking whether it holds the node, and does not end."""

    async def keep_reading(self: Any) -> None:
        await self.log.read_end(self._tp)

    put(Claim, "may_command", lambda self, now: True)
    put(ClaimHolder, "_keep_reading", keep_reading)


def echoes() -> None:
    """What the engine itself did is performed once more."""
    real = commands.of_event

    def of_event(event: Any, *, by_api: bool) -> Any:
        return real(event, by_api=True)

    put(decisions, "of_event", of_event)


def leftovers() -> None:
    """Audits never let a member leave."""
    real = auditor.both

    def both(first: Iterable[Difference], second: Any) -> list[Difference]:
        return [one for one in real(first, second) if one.kind != "left"]

    put(auditor, "both", both)


def late_plays() -> None:
    """A play is performed however old it is."""
    put(performer, "MAX_AGE", 1 << 60)


def hasty_audits() -> None:
    """An audit repairs what it saw, whatever came since."""
    put(SignalQueue, "touched", lambda self, room_id, subject, mark: False)
    put(Performer, "touched", lambda self, room_id, since: False)


def lost_commands() -> None:
    """The end of the connection for commands is not noticed."""
    put(EventSocket, "closed", property(lambda self: False))


BUGS: Final[dict[str, Callable[[], None]]] = {
    one.__name__: one for one in (no_journal, no_claim, echoes, leftovers, late_plays, hasty_audits, lost_commands)
}
SHOWN_BY: Final = {
    "no_journal": ("bridge_kill_at_command", "a second time"),
    "no_claim": ("second_bridge,frozen_takeover", "two bridges"),
    "echoes": ("link_reset", "nothing decided it"),
    "leftovers": ("engine_loses,bridge_kill", "the view"),
    "late_plays": ("bridge_freeze_long,broker_freeze", "after its event"),
    "hasty_audits": ("engine_loses,link_reset", "follows a later event"),
    "lost_commands": ("link_reset_commands", "no audits"),
}
"""Bug → the faults that reveal it, and a part of the violation."""


def patch(name: str) -> str:
    """Return "module:function" for the fork server."""
    return f"{__name__}:seeded_{name}" if name else f"{__name__}:quick"


def _seeded(bug: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        quick()
        bug()

    return both


globals().update({f"seeded_{name}": _seeded(bug) for name, bug in BUGS.items()})
