"""What needs Kafka. This module imports aiokafka; `conference_events` alone does not."""

from conference_events.consumer import EventConsumer
from conference_events.outcomes import Outcome, Outcomes
from conference_events.producer import Sent, SignalProducer
from conference_events.rooms import Rooms, RoomsTable, RoomState

__all__ = ["EventConsumer", "Outcome", "Outcomes", "RoomState", "Rooms", "RoomsTable", "Sent", "SignalProducer"]
