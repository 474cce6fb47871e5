"""The rooms as they are now, and what became of signals (docs/internals/view.md). All edges use it; it decides nothing.

async with RoomsView(settings) as view, Outcomes(settings) as outcomes:
    await view.loaded()
    place = place_of(await (await producer.send(signal, text)))
    async with asyncio.timeout(2):
        outcome = await outcomes.outcome(place)
        await view.caught_up(place)
    room, members = view.room(signal.room_id), view.members(signal.room_id)
"""

from pipeline.view.engines_view import EnginesView
from pipeline.view.outcomes import Outcomes, place_of
from pipeline.view.rooms_view import RoomsView, StaleViewError
from pipeline.view.tables.outcomes_table import REPEATED, Outcome, Place
from pipeline.view.tables.rooms_table import Counts, node_of

__all__ = [
    "REPEATED",
    "Counts",
    "EnginesView",
    "Outcome",
    "Outcomes",
    "Place",
    "RoomsView",
    "StaleViewError",
    "node_of",
    "place_of",
]
