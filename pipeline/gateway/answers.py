"""Builds the answers from outcomes, and reads the headers that concern them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from pipeline.gateway.identity import KEY, Operation, generated_key, operation
from pipeline.gateway.operations import Found
from pipeline.gateway.problems import REJECTED, Problem, rejected
from pipeline.model.codec import event_json
from pipeline.model.events import Created, Event
from pipeline.view import REPEATED, Outcome

MAX_WAIT: Final = 10


def wait_seconds(values: Iterable[str], default: float) -> float:
    """Return the seconds of `Prefer: wait`. Raises Problem."""
    for part in ",".join(values).split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            text = value.strip()
            if not (text.isascii() and text.isdigit()) or len(text) > 2 or int(text) > MAX_WAIT:
                raise Problem(400, "invalid_request", f"Prefer: wait must be 0 to {MAX_WAIT}")
            return float(text)
    return default


def read_operation(app: str, path: str, headers: list[str], uid: str | None, node: str) -> Operation:
    """Return the operation of a request. `headers` are its `Idempotency-Key`s, `uid` the body's. Raises Problem."""
    given = {*headers, *([] if uid is None else [uid])}
    if len(given) > 1 or len(headers) > 1:
        raise Problem(400, "invalid_request", "Idempotency-Key and command_uid must be one value")
    for key in given:
        if not KEY.fullmatch(key):
            raise Problem(400, "invalid_request", f"Idempotency-Key must match {KEY.pattern}")
        return operation(app, path, key)
    return operation(app, path, generated_key(node), given=False)


def last_event(outcome: Outcome) -> Event | None:
    """Return the event that a request asked for: of a destroy its `destroyed`."""
    return outcome.events[-1] if outcome.events else None


def completed(one: Operation, outcome: Outcome) -> bytes:
    """Return the body of a 200 or 201."""
    event = last_event(outcome)
    fields: dict[str, Any] = {
        "success": True,
        "operation_id": one.id,
        "status": "completed",
        "event": None if event is None else msgspec.Raw(event_json(event).strip()),
        "reason": outcome.reason or None,
    }
    if isinstance(event, Created):
        fields |= {"room_id": event.room_id, "name": event.name}
    return msgspec.json.encode(fields)


def in_progress(one: Operation) -> bytes:
    """Return the body of a 202."""
    return msgspec.json.encode({"success": True, "operation_id": one.id, "status": "in_progress", "key": one.key})


def check_outcome(one: Operation, found: Found, body: Mapping[str, Any]) -> Outcome:
    """Return the outcome if it is no failure. `body` are the fields of the signal. Raises Problem."""
    outcome, detail = found.outcome, {"operation_id": one.id}
    event = last_event(outcome)
    for name, value in body.items():
        was = getattr(event, name, value)
        if was != (tuple(value) if isinstance(was, tuple) else value):
            raise Problem(422, "key_reused", "this Idempotency-Key was used with another body", {"key": one.key})
    if outcome.kind == "rejected":
        raise rejected(outcome.reason, detail)
    if outcome.kind == "dead":
        place = outcome.place
        letter = {"topic": place.topic, "partition": place.partition, "offset": place.offset}
        raise Problem(500, "dead_letter", f"the signal is a dead letter: {outcome.reason}", {**detail, **letter})
    if outcome.kind == "no_op" and outcome.reason == REPEATED:
        message = "the room has processed this request, and what it did is not known any more"
        raise Problem(409, "repeated_unknown", message, detail)
    return outcome


def looked_up(operation_id: str, outcome: Outcome | None) -> bytes:
    """Return the body of an operation; None: it is in progress."""
    fields: dict[str, Any] = {"success": True, "operation_id": operation_id, "status": "in_progress"}
    fields |= dict.fromkeys(("event", "reason", "error", "message"))
    if outcome is not None:
        event = last_event(outcome)
        fields["status"] = "completed" if outcome.kind in ("events", "no_op") else outcome.kind
        fields["event"] = None if event is None else msgspec.Raw(event_json(event).strip())
        if outcome.kind == "rejected":
            fields["error"] = outcome.reason
            fields["message"] = REJECTED.get(outcome.reason, (409, outcome.reason))[1]
        elif outcome.kind == "dead":
            fields |= {"error": "dead_letter", "message": f"{outcome.place}: {outcome.reason}"}
        else:
            fields["reason"] = outcome.reason or None
    return msgspec.json.encode(fields)
