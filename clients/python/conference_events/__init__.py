"""Conference events for Python services.

events, signals, records   classes, generated from the Avro schemas
lines                      events and signals as JSON
avro, registry             events from the bytes of a Kafka record
sequence                   repeats and gaps
kafka                      EventConsumer, SignalProducer, Outcomes, RoomsTable (these import aiokafka)
"""

from conference_events.avro import Decoder, schema
from conference_events.errors import ConferenceEventsError, InvalidDataError, RegistryError, UnknownTypeError
from conference_events.events import AnyEvent, Event, Meta
from conference_events.lines import event_from_json, event_json, events_from_lines, signal_json
from conference_events.registry import Registry
from conference_events.sequence import Gap, Sequences
from conference_events.signals import AnySignal, Signal

__all__ = [
    "AnyEvent",
    "AnySignal",
    "ConferenceEventsError",
    "Decoder",
    "Event",
    "Gap",
    "InvalidDataError",
    "Meta",
    "Registry",
    "RegistryError",
    "Sequences",
    "Signal",
    "UnknownTypeError",
    "event_from_json",
    "event_json",
    "events_from_lines",
    "schema",
    "signal_json",
]
