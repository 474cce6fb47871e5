"""The engine nodes: where new rooms go, and what an engine can do."""

from __future__ import annotations

from typing import Final

from pipeline.gateway.identity import Operation, node_of_key
from pipeline.gateway.placement import emptier, rendezvous
from pipeline.gateway.problems import Problem
from pipeline.gateway.settings import GatewaySettings
from pipeline.view import EnginesView, RoomsView, node_of

CAPABILITIES: Final = {
    "conference.create": "create", "conference.destroy": "destroy", "conference.play": "play",
    "conference.pause": "pause", "conference.stop": "stop", "conference.volume": "volume",
    "conference.join": "join", "conference.leave": "leave", "conference.mute": "mute", "conference.unmute": "mute",
}  # fmt: skip
"""Type of a signal → the capability that its engine needs."""


class Nodes:
    """The nodes that bridges announce; while there are none, those of the settings."""

    def __init__(self, engines: EnginesView, view: RoomsView, settings: GatewaySettings) -> None:
        self._engines, self._view, self._settings = engines, view, settings

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes for new rooms."""
        return self._engines.announced or self._settings.node_names

    def new_room(self, operation: Operation) -> str:
        """Return the id of the room that an operation creates. Raises StaleViewError."""
        nodes, wanted = self.names, operation.room_uuid
        for node in dict.fromkeys((*nodes, *self._settings.node_names, *self._view.nodes)):
            if self._view.room(f"{node}-room-{wanted}") is not None:
                return f"{node}-room-{wanted}"
        named = node_of_key(operation.key)
        return f"{named if named in nodes else rendezvous(nodes, wanted)}-room-{wanted}"

    def emptier(self) -> str:
        """Return the node for a new room whose request has no key."""
        return emptier(self.names, {} if self._view.stale else self._view.nodes)

    def check(self, kind: str, room_id: str) -> None:
        """Raise Problem (501) if the engine of a room's node can't do this. One that nobody announces can do all."""
        node = node_of(room_id)
        engine = self._engines.engine(node)
        if engine is None or CAPABILITIES[kind] in engine.capabilities:
            return
        detail = {"node": node, "engine": engine.kind, "capabilities": list(engine.capabilities)}
        command = kind.removeprefix("conference.")
        raise Problem(501, "engine_cannot", f"the engine of node {node}, {engine.kind}, has no {command}", detail)
