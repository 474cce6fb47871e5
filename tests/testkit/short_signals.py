"""Signals and outcomes in short, for the tests of the model.

An outcome is shown as one line: the event's name without `conference.`, the values of its fields but for room_id, and
behind `|` what is set of `playback_id`, `ends_playback` and `synthetic`.
"""

from __future__ import annotations

from typing import Any

from testkit.model import Model, Outcome, Signal, replay, rfc3339

T0 = 1_767_225_600_000_000
A, B, C = "https://x/a.wav", "https://x/b.wav", "https://x/c.wav"


def sig(at: float, kind: str, **fields: Any) -> Signal:
    """Return a signal at a time in seconds; its signal_id is its type and time unless `id` gives another."""
    kind = kind if "." in kind else f"conference.{kind}"
    ids = {"type": kind, "signal_id": fields.pop("id", f"{kind}@{at}"), "room_id": fields.pop("room", "r")}
    return {**ids, "occurred_at": rfc3339(T0 + round(at * 1_000_000)), **fields}


def create(at: float = 0, **fields: Any) -> Signal:
    return sig(at, "create", **{"app_id": "app", "name": "Name", **fields})


def joined(at: float, session: str = "s", **fields: Any) -> Signal:
    return sig(at, "member.joined", session_uuid=session, **{"caller_id": "1", **fields})


def left(at: float, session: str = "s", **fields: Any) -> Signal:
    return sig(at, "member.left", session_uuid=session, **fields)


def play(at: float, *urls: str, op: str = "op", **fields: Any) -> Signal:
    return sig(at, "play", urls=list(urls or (A,)), operation_id=op, **fields)


def stop(at: float, **fields: Any) -> Signal:
    return sig(at, "stop", operation_id="st", **fields)


def pause(at: float, **fields: Any) -> Signal:
    return sig(at, "pause", operation_id="pa", **fields)


def finished(at: float, url: str = A, **fields: Any) -> Signal:
    return sig(at, "play.finished", url=url, **fields)


def failed(at: float, *urls: str, **fields: Any) -> Signal:
    return sig(at, "play.failed", urls=list(urls), **fields)


def destroy(at: float, **fields: Any) -> Signal:
    return sig(at, "destroy", **fields)


def shown(outcome: Outcome) -> str:
    """Format an outcome, see the module."""
    if "event" not in outcome:
        ((kind, found),) = outcome.items()
        return f"{kind} {found['reason']}"
    fields = dict(outcome["event"])
    meta, name = fields.pop("meta"), fields.pop("event").removeprefix("conference.")
    fields.pop("room_id")
    values = [",".join(v) if isinstance(v, list) else str(v) for v in fields.values()]
    marks = [str(meta["playback_id"])] if meta["playback_id"] is not None else []
    marks += [word for word in ("ends_playback", "synthetic") if meta[word]]
    return " ".join([name, *(value or "''" for value in values), *(["|", *marks] if marks else [])])


def last(*signals: Signal, mode: str = "dispatch", until: float | None = None) -> list[str]:
    """Return the outcomes of the last signal or, with `until`, of the deadlines up to that time."""
    model = Model(mode=mode)
    if until is not None:
        replay(list(signals), model)
        return [shown(one) for one in model.due(T0 + round(until * 1_000_000))]
    *before, signal = signals
    replay(before, model)
    return [shown(one) for one in replay([signal], model)]


ONE = (create(), play(1))
TWO = (create(), play(1, A, B))
IN = (create(), joined(1))
STOPPED = (*ONE, stop(2))
