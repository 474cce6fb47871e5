"""What tests of the view share: histories whose outcome does not depend on times, and comparisons with the model."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from pipeline.model.codec import decode_json, event_json
from pipeline.settings import Settings
from pipeline.topics import signal_topics
from pipeline.view import Outcome, Outcomes, Place, RoomsView, place_of
from testkit.model import Model, rfc3339
from testkit.model import Outcome as Expected
from tests.core.test_room_rules import START, random_history

TIMES = {"created_at", "last_event_at", "started_at", "deadline", "remaining", "ended_at", "joined_at", "muted_at"}
SECONDS = 30


def timeless(seed: int, length: int, rooms: int = 6) -> list[dict[str, Any]]:
    """Return signals whose outcomes depend on their order only: none of the engine's on playbacks."""
    found = []
    for n, (signal, _) in enumerate(random_history(seed, 3 * length)):
        if not signal["type"].startswith("play."):
            found.append({**signal, "room_id": f"{signal['room_id']}{n % rooms}", "occurred_at": rfc3339(START + n)})
    return found[:length]


@contextlib.asynccontextmanager
async def watching(settings: Settings, **options: Any) -> AsyncIterator[tuple[RoomsView, Outcomes]]:
    """Open the view and the outcomes of all signals."""
    async with RoomsView(settings) as view, Outcomes(settings, media=True, **options) as outcomes:
        async with asyncio.timeout(SECONDS):
            await view.loaded()
        yield view, outcomes


async def append(settings: Settings, signals: Iterable[dict[str, Any]]) -> list[Place]:
    """Append signals, each acknowledged before the next, those of a room in their order; return their places."""
    names, places, last = signal_topics(settings.topic_prefix), list[Place](), ""
    async with AIOKafkaProducer(**settings.kafka(), acks="all", enable_idempotence=True) as producer:
        for signal in signals:
            value = json.dumps(signal).encode()
            topic = names[decode_json(value).TOPIC]
            if last not in ("", topic):
                await asyncio.sleep(0.005)  # within one millisecond, the API's signal comes first
            last = topic
            places.append(place_of(await producer.send_and_wait(topic, value, signal["room_id"].encode())))
    return places


def decided(signals: Iterable[dict[str, Any]]) -> tuple[Model, list[list[Expected]]]:
    """Return the model after signals, and the outcomes of each."""
    model = Model()
    return model, [model.signal(signal, START + n) for n, signal in enumerate(signals)]


def check_view(view: RoomsView, model: Model) -> None:
    """Compare the view with the model, but for times."""
    assert set(view.room_ids()) == set(model.rooms)
    for room_id, expected in model.rooms.items():
        members = [{"room_id": room_id, **one} for one in expected["members"]]
        assert [without_times(one) for one in view.members(room_id)] == [without_times(one) for one in members]
        assert without_times(view.room(room_id)) == without_times({**expected, "members": None})


def without_times(row: Any) -> dict[str, Any]:
    """Return the fields of a row that are neither times nor remembered signal_ids."""
    fields = row if isinstance(row, dict) else {name: getattr(row, name) for name in row.__struct_fields__}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if name not in TIMES | {"recent", "members"}
    }


def shown(outcome: Outcome | None) -> Any:
    """Return an outcome in the form of `expected`."""
    if outcome is None:
        return None
    if outcome.kind != "events":
        return (outcome.kind, outcome.reason)
    return [json.loads(event_json(event)) for event in outcome.events], outcome.left


def expected(outcomes: list[Expected]) -> Any:
    """Return the outcomes of the model; of a destroy, the `left` are counted. None: a no-op of a media signal."""
    events = [one["event"] for one in outcomes if "event" in one]
    left = [event for event in events if event["event"] == "conference.member.left" and event["meta"]["synthetic"]]
    if events:
        return [event for event in events if event not in left], len(left)
    [(kind, fields)] = outcomes[0].items()
    media = not fields["type"].startswith("conference.")
    return None if kind == "no_op" and media else (kind, fields["reason"])
