"""The example of every event on the product page, and the fields that the page lists, in its order."""

from __future__ import annotations

SAMPLES: dict[str, str] = {
    "conference.created": '{ "event": "conference.created", "app_id": "my-app", "room_id": "acW68-room-abc123", "name": "Team Standup"}',
    "conference.destroyed": '{ "event": "conference.destroyed", "app_id": "my-app", "room_id": "acW68-room-abc123"}',
    "conference.member.joined": '{ "event": "conference.member.joined", "session_uuid": "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479", "room_id": "acW68-room-abc123", "caller_id": "+15551234567"}',
    "conference.member.left": '{ "event": "conference.member.left", "session_uuid": "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479", "room_id": "acW68-room-abc123", "reason": "hangup", "caller_id": "+15551234567"}',
    "conference.member.muted": '{ "event": "conference.member.muted", "session_uuid": "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479", "room_id": "acW68-room-abc123", "caller_id": "+15551234567"}',
    "conference.member.unmuted": '{ "event": "conference.member.unmuted", "session_uuid": "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479", "room_id": "acW68-room-abc123", "caller_id": "+15551234567"}',
    "conference.play.started": '{ "event": "conference.play.started", "room_id": "acW68-room-abc123", "urls": ["https://cdn.example.com/audio/announcement.wav"], "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123"}',
    "conference.play.paused": '{ "event": "conference.play.paused", "room_id": "acW68-room-abc123", "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123"}',
    "conference.play.resumed": '{ "event": "conference.play.resumed", "app_id": "app_abc123", "room_id": "acW68-room-abc123", "operation_id": "e5f6a7b8-c9d0-1234-5678-9abcdef01234"}',
    "conference.play.stopped": '{ "event": "conference.play.stopped", "room_id": "acW68-room-abc123", "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123"}',
    "conference.play.volume_changed": '{ "event": "conference.play.volume_changed", "room_id": "acW68-room-abc123", "volume": 2, "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123"}',
    "conference.play.finished": '{ "event": "conference.play.finished", "room_id": "acW68-room-abc123", "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123", "urls": ["https://cdn.example.com/audio/announcement.wav"]}',
    "conference.play.failed": '{ "event": "conference.play.failed", "room_id": "acW68-room-abc123", "operation_id": "d4e5f6a7-b8c9-0123-4567-89abcdef0123", "urls": ["https://cdn.example.com/audio/announcement.wav"], "error": "playback_timeout"}',
}
"""Event name → its example, byte for byte."""

ADDED: dict[str, dict[str, object]] = {}
"""Event name → its fields that the page does not have, with what they are in its example. They follow `meta`."""

FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "conference.created": (
        ("event", "string"),
        ("app_id", "string"),
        ("room_id", "string"),
        ("name", "string"),
    ),
    "conference.destroyed": (
        ("event", "string"),
        ("app_id", "string"),
        ("room_id", "string"),
    ),
    "conference.member.joined": (
        ("event", "string"),
        ("session_uuid", "string"),
        ("room_id", "string"),
        ("caller_id", "string"),
    ),
    "conference.member.left": (
        ("event", "string"),
        ("session_uuid", "string"),
        ("room_id", "string"),
        ("reason", "string"),
        ("caller_id", "string"),
    ),
    "conference.member.muted": (
        ("event", "string"),
        ("session_uuid", "string"),
        ("room_id", "string"),
        ("caller_id", "string"),
    ),
    "conference.member.unmuted": (
        ("event", "string"),
        ("session_uuid", "string"),
        ("room_id", "string"),
        ("caller_id", "string"),
    ),
    "conference.play.started": (
        ("event", "string"),
        ("room_id", "string"),
        ("urls", "string[]"),
        ("operation_id", "string"),
    ),
    "conference.play.paused": (
        ("event", "string"),
        ("room_id", "string"),
        ("operation_id", "string"),
    ),
    "conference.play.resumed": (
        ("event", "string"),
        ("app_id", "string"),
        ("room_id", "string"),
        ("operation_id", "string"),
    ),
    "conference.play.stopped": (
        ("event", "string"),
        ("room_id", "string"),
        ("operation_id", "string"),
    ),
    "conference.play.volume_changed": (
        ("event", "string"),
        ("room_id", "string"),
        ("volume", "integer"),
        ("operation_id", "string"),
    ),
    "conference.play.finished": (
        ("event", "string"),
        ("room_id", "string"),
        ("operation_id", "string"),
        ("urls", "string[]"),
    ),
    "conference.play.failed": (
        ("event", "string"),
        ("room_id", "string"),
        ("operation_id", "string"),
        ("urls", "string[]"),
        ("error", "string"),
    ),
}
"""Event name → its fields and their types on the page. All are required."""
