"""Encoders and decoders of every record in Avro's binary encoding, and the schemas as registered.

`encode_x(record, prefix)` returns `prefix` + Avro; the prefix is the head of the registry's wire format
(pipeline/model/framing.py). `decode_x(data, start)` decodes `data[start:]`, checks the rules of contract §4 and raises
SignalError, which names the field, what was expected and what was found.

GENERATED from avro/ by tools/generate.py (`make events`): do not edit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import astuple

from pipeline.errors import SignalError
from pipeline.model import signal_ids as remembered
from pipeline.model.avro import (
    LENGTH, LONG, MAX_ITEMS, MAX_RECORDS, USUAL, read_block, read_bytes, read_number, read_string, read_time, strings,
    time,
)
from pipeline.model.avro_reader import explain
from pipeline.model.framing import HEAD
from pipeline.model.events import (
    Created,
    Destroyed,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberUnmuted,
    Meta,
    PlayFailed,
    PlayFinished,
    PlayPaused,
    PlayResumed,
    PlayStarted,
    PlayStopped,
    PlayVolumeChanged,
)
from pipeline.model.records import (
    Engine,
    Gone,
    Member,
    NoOp,
    TopicPosition,
    Position,
    Rejected,
    Room,
)
from pipeline.model.signals import (
    ConferenceCreate as SignalConferenceCreate,
    ConferenceDestroy as SignalConferenceDestroy,
    ConferenceJoin as SignalConferenceJoin,
    ConferenceLeave as SignalConferenceLeave,
    ConferenceMute as SignalConferenceMute,
    ConferencePause as SignalConferencePause,
    ConferencePlay as SignalConferencePlay,
    ConferenceStop as SignalConferenceStop,
    ConferenceUnmute as SignalConferenceUnmute,
    ConferenceVolume as SignalConferenceVolume,
    MemberJoined as SignalMemberJoined,
    MemberLeft as SignalMemberLeft,
    MemberMuted as SignalMemberMuted,
    MemberUnmuted as SignalMemberUnmuted,
    PlayFailed as SignalPlayFailed,
    PlayFinished as SignalPlayFinished,
    PlayProgress as SignalPlayProgress,
)

SCHEMAS: dict[str, str] = {
    'conference.Created': '{"type":"record","name":"Created","namespace":"conference","doc":"A conference room was created, by POST /api/v1/conferences.","fields":[{"name":"event","type":"string","const":"conference.created","doc":"Name of the event, always \\"conference.created\\"."},{"name":"app_id","type":"string","doc":"The application that owns the conference."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"name","type":"string","doc":"Name of the room for people to read."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.Destroyed': '{"type":"record","name":"Destroyed","namespace":"conference","doc":"A conference room was deleted, by DELETE /api/v1/conferences/{room_id}. It is the last event of the room\'s life: its playback was stopped and its members have left before.","fields":[{"name":"event","type":"string","const":"conference.destroyed","doc":"Name of the event, always \\"conference.destroyed\\"."},{"name":"app_id","type":"string","doc":"The application that owned the conference. Empty if no create had named it."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.Engine': '{"type":"record","name":"Engine","namespace":"conference","doc":"A bridge between a media engine and the pipeline, written every 10 s; the record key is the node.","fields":[{"name":"kind","type":"string","doc":"The kind of the engine, such as freeswitch or janus."},{"name":"version","type":"string","default":"","doc":"The engine\'s version; empty while it is unknown."},{"name":"capabilities","type":{"type":"array","items":"string"},"default":[],"doc":"What the engine can do: create, destroy, join, leave, mute, play, pause, stop, volume."},{"name":"rooms","type":"int","default":0,"doc":"Number of rooms in the engine."},{"name":"epoch","type":"long","default":-1,"doc":"The offset of the bridge\'s own first record; -1 in that one. The highest epoch of a node holds its claim."},{"name":"since","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the bridge was started."}]}',
    'conference.Gone': '{"type":"record","name":"Gone","namespace":"conference","doc":"A room that was forgotten less than 60 s ago: the row of the table under the key [\\"gone\\",room_id].","fields":[{"name":"room_id","type":"string","doc":"The conference room."},{"name":"forgotten_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"The time of the signal or deadline that ended the room."},{"name":"recent","type":{"type":"array","items":"string"},"default":[],"doc":"signal_id of the last 16 API signals of the room, oldest first: those that are repeated have no effect."}]}',
    'conference.Member': '{"type":"record","name":"Member","namespace":"conference","doc":"A session that is in a room now: the row of the table under the key [\\"member\\",room_id,session_uuid].","fields":[{"name":"room_id","type":"string","doc":"The conference room."},{"name":"session_uuid","type":"string","doc":"The member\'s session."},{"name":"caller_id","type":"string","default":"","doc":"Caller ID of the member."},{"name":"muted","type":"boolean","default":false,"doc":"True while the member is muted."},{"name":"leaving","type":"boolean","default":false,"doc":"True after a leave was accepted: when the member\'s end comes without a reason, the reason is removed."},{"name":"sequence","type":"long","default":0,"doc":"meta.sequence of the event that the member joined with; it orders the members of a room."},{"name":"joined_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"The time of the signal with which the member joined."},{"name":"muted_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"The time of the signal that muted the member. Null unless muted."}]}',
    'conference.MemberJoined': '{"type":"record","name":"MemberJoined","namespace":"conference","doc":"A call joined a conference room. The media engine confirmed it; the join command alone does not fire this event.","fields":[{"name":"event","type":"string","const":"conference.member.joined","doc":"Name of the event, always \\"conference.member.joined\\"."},{"name":"session_uuid","type":"string","doc":"Session of the joining member."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"caller_id","type":"string","doc":"Caller ID of the joining member."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.MemberLeft': '{"type":"record","name":"MemberLeft","namespace":"conference","doc":"A call left a conference room: by the leave command, kicked, hung up, or because the room was destroyed.","fields":[{"name":"event","type":"string","const":"conference.member.left","doc":"Name of the event, always \\"conference.member.left\\"."},{"name":"session_uuid","type":"string","doc":"Session of the departing member."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"reason","type":"string","doc":"Why: \\"hangup\\" (the member\'s channel hung up), \\"removed\\" (an explicit leave or kick, or the room was destroyed), \\"orphan\\" (a janitor cleaned up a session whose channel was lost). Accept any other string: engines may say more."},{"name":"caller_id","type":"string","doc":"Caller ID of the departing member, as it was when the member joined."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.MemberMuted': '{"type":"record","name":"MemberMuted","namespace":"conference","doc":"A conference member was muted.","fields":[{"name":"event","type":"string","const":"conference.member.muted","doc":"Name of the event, always \\"conference.member.muted\\"."},{"name":"session_uuid","type":"string","doc":"Session of the muted member."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"caller_id","type":"string","doc":"Caller ID of the muted member, as it was when the member joined."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.MemberUnmuted': '{"type":"record","name":"MemberUnmuted","namespace":"conference","doc":"A conference member was unmuted.","fields":[{"name":"event","type":"string","const":"conference.member.unmuted","doc":"Name of the event, always \\"conference.member.unmuted\\"."},{"name":"session_uuid","type":"string","doc":"Session of the unmuted member."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"caller_id","type":"string","doc":"Caller ID of the unmuted member, as it was when the member joined."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.Meta': '{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]}',
    'conference.NoOp': '{"type":"record","name":"NoOp","namespace":"conference","doc":"An API signal that was processed and caused no event, such as a repeated request.","fields":[{"name":"signal_id","type":"string","doc":"The signal\'s idempotency key."},{"name":"room_id","type":"string","doc":"The conference room. Also the record key."},{"name":"type","type":"string","doc":"The signal\'s type, such as conference.join."},{"name":"reason","type":"string","doc":"Why it caused no event, such as repeated, join, leave, already_muted, already_unmuted."},{"name":"topic","type":"string","doc":"The topic the signal came on."},{"name":"partition","type":"int","doc":"The partition the signal came on."},{"name":"offset","type":"long","doc":"The offset the signal came at."}]}',
    'conference.PlayFailed': '{"type":"record","name":"PlayFailed","namespace":"conference","doc":"A playback can\'t complete: the media engine reported a failure, or nothing ended it within 10 seconds of its dispatch. The room accepts a new play.","fields":[{"name":"event","type":"string","const":"conference.play.failed","doc":"Name of the event, always \\"conference.play.failed\\"."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"operation_id","type":"string","doc":"Identifies the playback that conference.play.started announced. Empty if the failure belongs to no live playback."},{"name":"urls","type":{"type":"array","items":"string"},"doc":"The files that failed to play. Empty if the source could not be identified."},{"name":"error","type":"string","doc":"Coarse class of the failure: \\"playback_error\\" (the media engine reported it) or \\"playback_timeout\\" (the 10 seconds passed)."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.PlayFinished': '{"type":"record","name":"PlayFinished","namespace":"conference","doc":"An audio file played to its natural end (not stopped). A playback of several files fires one for each; the last has meta.ends_playback.","fields":[{"name":"event","type":"string","const":"conference.play.finished","doc":"Name of the event, always \\"conference.play.finished\\"."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"operation_id","type":"string","doc":"Identifies the playback that conference.play.started announced. Empty if the file belongs to no live playback."},{"name":"urls","type":{"type":"array","items":"string"},"doc":"The one file that finished."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.PlayPaused': '{"type":"record","name":"PlayPaused","namespace":"conference","doc":"Playback was paused: POST /api/v1/conferences/{room_id}/pause while it was playing. Pause is a toggle, the next one resumes.","fields":[{"name":"event","type":"string","const":"conference.play.paused","doc":"Name of the event, always \\"conference.play.paused\\"."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"operation_id","type":"string","doc":"The operation that the request returned to its caller. The playback it acted on is in meta.playback_id."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.PlayResumed': '{"type":"record","name":"PlayResumed","namespace":"conference","doc":"Playback was resumed: POST /api/v1/conferences/{room_id}/pause while it was paused.","fields":[{"name":"event","type":"string","const":"conference.play.resumed","doc":"Name of the event, always \\"conference.play.resumed\\"."},{"name":"app_id","type":"string","doc":"The application that owns the conference. Empty if no create has named it."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"operation_id","type":"string","doc":"The operation that the request returned to its caller. The playback it acted on is in meta.playback_id."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.PlayStarted': '{"type":"record","name":"PlayStarted","namespace":"conference","doc":"Playback in a conference room began, by POST /api/v1/conferences/{room_id}/play.","fields":[{"name":"event","type":"string","const":"conference.play.started","doc":"Name of the event, always \\"conference.play.started\\"."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"urls","type":{"type":"array","items":"string"},"doc":"The audio files of the playback, in the order they are played."},{"name":"operation_id","type":"string","doc":"Identifies the playback. It is meta.playback_id of all events of this playback."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.PlayStopped': '{"type":"record","name":"PlayStopped","namespace":"conference","doc":"Playback was stopped, by POST /api/v1/conferences/{room_id}/stop or because the room was destroyed. It ends the playback.","fields":[{"name":"event","type":"string","const":"conference.play.stopped","doc":"Name of the event, always \\"conference.play.stopped\\"."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"operation_id","type":"string","doc":"The operation of the stop request; when a destroy stopped the playback, the playback\'s own. The playback is in meta.playback_id."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.PlayVolumeChanged': '{"type":"record","name":"PlayVolumeChanged","namespace":"conference","doc":"The playback volume of a room was changed, by POST /api/v1/conferences/{room_id}/volume.","fields":[{"name":"event","type":"string","const":"conference.play.volume_changed","doc":"Name of the event, always \\"conference.play.volume_changed\\"."},{"name":"room_id","type":"string","doc":"The conference room, prefixed with the hash of its node. Also the record key."},{"name":"volume","type":"int","doc":"The new level, -50 to 7: negative values attenuate, positive ones amplify."},{"name":"operation_id","type":"string","doc":"The operation that the request returned to its caller."},{"name":"meta","type":{"type":"record","name":"Meta","namespace":"conference","doc":"What every event carries besides the fields of its own: its identity, its place in the life of its room, and its cause.","fields":[{"name":"event_id","type":"string","doc":"Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals give the same id again, so it is fit for deduplication."},{"name":"sequence","type":"long","doc":"1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a room_id that was forgotten becomes known again."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"When the cause happened at its source, in microseconds since 1970-01-01T00:00:00Z; for a playback_timeout, the deadline that passed."},{"name":"app_id","type":"string","doc":"The application that owns the room. Empty while no create has named it."},{"name":"cause","type":"string","doc":"signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the playback."},{"name":"playback_id","type":["null","string"],"default":null,"doc":"operation_id of the live playback that a conference.play.* event concerns. Null on all other events, and where no live playback is concerned."},{"name":"ends_playback","type":"boolean","doc":"True on the one event that ends a live playback: stopped, failed, or the finished of its last file."},{"name":"synthetic","type":"boolean","doc":"True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of being told by a signal."}]},"doc":"Identity, order and cause of the event."}]}',
    'conference.TopicPosition': '{"type":"record","name":"TopicPosition","namespace":"conference","doc":"The position on one topic-partition of signals.","fields":[{"name":"topic","type":"string","doc":"The topic."},{"name":"partition","type":"int","doc":"The partition."},{"name":"offset","type":"long","doc":"The next offset to process."},{"name":"time","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"The highest record time so far, in microseconds since 1970-01-01T00:00:00Z; time never runs back."},{"name":"topic_id","type":"string","default":"","doc":"Kafka\'s id of the topic, a UUID. Another id under the same name is a topic that was deleted and created again. Empty where the broker has no topic ids."}]}',
    'conference.Position': '{"type":"record","name":"Position","namespace":"conference","doc":"How far one partition has been processed: the row of the table under the key [\\"position\\"].","fields":[{"name":"transactional_id","type":"string","doc":"The transactional id of the worker that wrote it."},{"name":"positions","type":{"type":"array","items":{"type":"record","name":"TopicPosition","namespace":"conference","doc":"The position on one topic-partition of signals.","fields":[{"name":"topic","type":"string","doc":"The topic."},{"name":"partition","type":"int","doc":"The partition."},{"name":"offset","type":"long","doc":"The next offset to process."},{"name":"time","type":{"type":"long","logicalType":"timestamp-micros"},"doc":"The highest record time so far, in microseconds since 1970-01-01T00:00:00Z; time never runs back."},{"name":"topic_id","type":"string","default":"","doc":"Kafka\'s id of the topic, a UUID. Another id under the same name is a topic that was deleted and created again. Empty where the broker has no topic ids."}]}},"default":[],"doc":"The position on each of the two topics of signals."},{"name":"group_id","type":"string","default":"","doc":"The consumer group of the worker that wrote it."}]}',
    'conference.Rejected': '{"type":"record","name":"Rejected","namespace":"conference","doc":"A valid signal that makes no sense in the state of its room. It had no effect.","fields":[{"name":"signal_id","type":"string","doc":"The signal\'s idempotency key."},{"name":"room_id","type":"string","doc":"The conference room. Also the record key."},{"name":"type","type":"string","doc":"The signal\'s type, such as conference.pause."},{"name":"reason","type":"string","doc":"Why it was rejected, such as room_unknown, room_exists, playback_active, playback_inactive, not_a_member, volume_out_of_range."},{"name":"topic","type":"string","doc":"The topic the signal came on."},{"name":"partition","type":"int","doc":"The partition the signal came on."},{"name":"offset","type":"long","doc":"The offset the signal came at."},{"name":"signal","type":"bytes","doc":"The value of the signal\'s record, byte for byte as it came (Avro or JSON)."}]}',
    'conference.Room': '{"type":"record","name":"Room","namespace":"conference","doc":"State of one room: the row of the table under the key [\\"room\\",room_id]. Its members are rows of their own.","fields":[{"name":"room_id","type":"string","doc":"The conference room."},{"name":"app_id","type":"string","default":"","doc":"The application that owns the room. Empty while the room is only discovered: a media signal made it known and no create has named it."},{"name":"name","type":"string","default":"","doc":"Name of the room for people to read. Empty while the room is only discovered."},{"name":"sequence","type":"long","default":0,"doc":"meta.sequence of the room\'s latest event; 0 before the first."},{"name":"playback_status","type":"string","default":"stopped","doc":"stopped, playing or paused."},{"name":"operation_id","type":"string","default":"","doc":"The live playback. Empty when stopped."},{"name":"urls","type":{"type":"array","items":"string"},"default":[],"doc":"The files of the live playback. Empty when stopped."},{"name":"files_finished","type":"int","default":0,"doc":"How many files of the live playback have finished."},{"name":"deadline","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"When the watchdog fails the playback, in microseconds since 1970-01-01T00:00:00Z by the broker\'s clock. Null unless playing."},{"name":"remaining","type":["null","long"],"default":null,"doc":"Microseconds that the watchdog had left when the playback was paused. Null unless paused."},{"name":"ended_operation_id","type":"string","default":"","doc":"The playback that ended last. It is kept over plays that are accepted later. Empty before the first end."},{"name":"ended_by","type":"string","default":"","doc":"What ended that playback: stop, finished or failed (a signal), or timeout (the watchdog). Empty before the first end."},{"name":"ended_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"The time of the signal or deadline that ended that playback. Null before the first end."},{"name":"ended_urls","type":{"type":"array","items":"string"},"default":[],"doc":"After a stop, the files of that playback whose end the engine has not reported yet. Else empty."},{"name":"created_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"The time of the signal that made the room known."},{"name":"last_event_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"The time of the signal or deadline that caused the room\'s latest event."},{"name":"started_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"doc":"The time of the play that started the live playback. Null when stopped."},{"name":"recent","type":{"type":"array","items":"string"},"default":[],"doc":"signal_id of the last 16 API signals of the room, oldest first: those that are repeated have no effect."}]}',
    'conference.signal.ConferenceCreate': '{"type":"record","name":"ConferenceCreate","namespace":"conference.signal","topic":"api","signal":"conference.create","doc":"A request to create a room was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"app_id","type":"string","minLength":1,"maxLength":255,"doc":"The application that owns the room."},{"name":"name","type":"string","maxLength":1024,"doc":"Name of the room for people to read, up to 1024 code points; may be empty."}]}',
    'conference.signal.ConferenceDestroy': '{"type":"record","name":"ConferenceDestroy","namespace":"conference.signal","topic":"api","signal":"conference.destroy","doc":"A request to delete a room was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."}]}',
    'conference.signal.ConferenceJoin': '{"type":"record","name":"ConferenceJoin","namespace":"conference.signal","topic":"api","signal":"conference.join","doc":"A command to join a session to a room was accepted. The media engine\'s member.joined tells whether it came.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."}]}',
    'conference.signal.ConferenceLeave': '{"type":"record","name":"ConferenceLeave","namespace":"conference.signal","topic":"api","signal":"conference.leave","doc":"A command to remove a member was accepted. The media engine\'s member.left tells when it is gone.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."}]}',
    'conference.signal.ConferenceMute': '{"type":"record","name":"ConferenceMute","namespace":"conference.signal","topic":"api","signal":"conference.mute","doc":"A command to mute a member was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."}]}',
    'conference.signal.ConferencePause': '{"type":"record","name":"ConferencePause","namespace":"conference.signal","topic":"api","signal":"conference.pause","doc":"A request to pause was accepted. It is a toggle: it resumes a paused playback.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"operation_id","type":"string","minLength":1,"maxLength":255,"doc":"The operation that the request returned to its caller."}]}',
    'conference.signal.ConferencePlay': '{"type":"record","name":"ConferencePlay","namespace":"conference.signal","topic":"api","signal":"conference.play","doc":"A request to play audio files in a room was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"urls","type":{"type":"array","items":"string"},"minItems":1,"maxItems":128,"items":{"maxLength":2048,"pattern":"^[Hh][Tt][Tt][Pp][Ss]?://[\\\\s\\\\S]"},"doc":"1 to 128 URLs that begin with http:// or https://, each of up to 2048 code points."},{"name":"operation_id","type":"string","minLength":1,"maxLength":255,"doc":"Identifies the playback from now on."}]}',
    'conference.signal.ConferenceStop': '{"type":"record","name":"ConferenceStop","namespace":"conference.signal","topic":"api","signal":"conference.stop","doc":"A request to stop the playback was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"operation_id","type":"string","minLength":1,"maxLength":255,"doc":"The operation that the request returned to its caller."}]}',
    'conference.signal.ConferenceUnmute': '{"type":"record","name":"ConferenceUnmute","namespace":"conference.signal","topic":"api","signal":"conference.unmute","doc":"A command to unmute a member was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."}]}',
    'conference.signal.ConferenceVolume': '{"type":"record","name":"ConferenceVolume","namespace":"conference.signal","topic":"api","signal":"conference.volume","doc":"A request to change the playback volume was accepted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"volume","type":"int","doc":"The level asked for. Outside of -50 to 7 the signal is rejected, not dead."},{"name":"operation_id","type":"string","minLength":1,"maxLength":255,"doc":"The operation that the request returned to its caller."}]}',
    'conference.signal.MemberJoined': '{"type":"record","name":"MemberJoined","namespace":"conference.signal","topic":"media","signal":"member.joined","doc":"The media engine saw a call join a room.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."},{"name":"caller_id","type":"string","doc":"Caller ID of the member; may be empty. Only its first 1024 code points are kept."},{"name":"muted","type":"boolean","default":false,"doc":"True if the member joined muted."}]}',
    'conference.signal.MemberLeft': '{"type":"record","name":"MemberLeft","namespace":"conference.signal","topic":"media","signal":"member.left","doc":"The media engine, or its janitor, saw a call leave a room.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."},{"name":"reason","type":["null","string"],"default":null,"doc":"hangup, removed, orphan or anything else. Null lets the pipeline tell: removed after a leave command, else hangup. Only its first 1024 code points are kept."}]}',
    'conference.signal.MemberMuted': '{"type":"record","name":"MemberMuted","namespace":"conference.signal","topic":"media","signal":"member.muted","doc":"The media engine saw a member being muted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."}]}',
    'conference.signal.MemberUnmuted': '{"type":"record","name":"MemberUnmuted","namespace":"conference.signal","topic":"media","signal":"member.unmuted","doc":"The media engine saw a member being unmuted.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"session_uuid","type":"string","minLength":1,"maxLength":255,"doc":"Session of the member."}]}',
    'conference.signal.PlayFailed': '{"type":"record","name":"PlayFailed","namespace":"conference.signal","topic":"media","signal":"play.failed","doc":"The media engine failed to play.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"operation_id","type":["null","string"],"default":null,"minLength":1,"maxLength":255,"doc":"The playback\'s operation. Null if the engine does not know it: then the url tells."},{"name":"urls","type":{"type":"array","items":"string"},"default":[],"maxItems":128,"items":{"maxLength":2048},"doc":"The files that failed, as the engine names them, each of up to 2048 code points. Empty means: of the whole playback."}]}',
    'conference.signal.PlayFinished': '{"type":"record","name":"PlayFinished","namespace":"conference.signal","topic":"media","signal":"play.finished","doc":"The media engine played a file to its end.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"operation_id","type":["null","string"],"default":null,"minLength":1,"maxLength":255,"doc":"The playback\'s operation. Null if the engine does not know it: then the url tells."},{"name":"url","type":"string","maxLength":2048,"doc":"The file that ended, as the engine names it, up to 2048 code points."}]}',
    'conference.signal.PlayProgress': '{"type":"record","name":"PlayProgress","namespace":"conference.signal","topic":"media","signal":"play.progress","doc":"The media engine is playing a file.","fields":[{"name":"signal_id","type":"string","minLength":1,"maxLength":255,"doc":"The producer\'s idempotency key. An API signal that repeats one of its room\'s last 16 has no effect."},{"name":"room_id","type":"string","minLength":1,"maxLength":255,"doc":"The conference room. The record key must be the same string in UTF-8."},{"name":"occurred_at","type":{"type":"long","logicalType":"timestamp-micros"},"minimum":-62135596800000000,"maximum":253402300799999999,"doc":"When it happened at its source, in microseconds since 1970-01-01T00:00:00Z; a time in the years 1 to 9999."},{"name":"operation_id","type":["null","string"],"default":null,"minLength":1,"maxLength":255,"doc":"The playback\'s operation. Null if the engine does not know it: then the url tells."},{"name":"url","type":["null","string"],"default":null,"maxLength":2048,"doc":"The file that is being played, as the engine names it, up to 2048 code points."}]}',
}
"""Full name of a record → its self-contained schema, as registered."""

_BAD = (LookupError, ValueError, OverflowError)


def _error(name: str, data: bytes, start: int) -> SignalError:
    return SignalError(explain(SCHEMAS[name], data, start))


def encode_created(r: Created, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Created`."""
    r_all: tuple[str, str, str, Any] = astuple(r)
    (r_app_id, r_room_id, r_name, r_meta,) = r_all
    v1 = r_app_id.encode()
    v2 = r_room_id.encode()
    v3 = r_name.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v4 = r_meta_event_id.encode()
    v5 = r_meta_app_id.encode()
    v6 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v7 = b"\0"
    else:
        v7 = r_meta_playback_id.encode()
        v7 = b"\2" + (LENGTH[n] if (n := len(v7)) < USUAL else LONG[n]) + v7
    return b"".join((prefix, b'$conference.created', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, v7, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_created(d: bytes, start: int = HEAD) -> Created:
    """Return the `conference.Created` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'$conference.created', p):
            p += 19
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.created':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            name = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            name, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Created", d, start) from None
    return Created(app_id, room_id, name, meta)


def encode_destroyed(r: Destroyed, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Destroyed`."""
    r_all: tuple[str, str, Any] = astuple(r)
    (r_app_id, r_room_id, r_meta,) = r_all
    v1 = r_app_id.encode()
    v2 = r_room_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v3 = r_meta_event_id.encode()
    v4 = r_meta_app_id.encode()
    v5 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v6 = b"\0"
    else:
        v6 = r_meta_playback_id.encode()
        v6 = b"\2" + (LENGTH[n] if (n := len(v6)) < USUAL else LONG[n]) + v6
    return b"".join((prefix, b'(conference.destroyed', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, v6, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_destroyed(d: bytes, start: int = HEAD) -> Destroyed:
    """Return the `conference.Destroyed` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'(conference.destroyed', p):
            p += 21
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.destroyed':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Destroyed", d, start) from None
    return Destroyed(app_id, room_id, meta)


def encode_engine(r: Engine, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Engine`."""
    r_all: tuple[str, str, tuple[Any, ...], Any, Any, int] = astuple(r)
    (r_kind, r_version, r_capabilities, r_rooms, r_epoch, r_since,) = r_all
    v1 = r_kind.encode()
    v2 = r_version.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, strings(r_capabilities) if r_capabilities else b"\0", LONG[r_rooms], LONG[r_epoch], time(r_since)))


def decode_engine(d: bytes, start: int = HEAD) -> Engine:
    """Return the `conference.Engine` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            kind = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            kind, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            version = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            version, p = read_string(d, p, 0, 9223372036854775808)
        if d[p] == 0:
            p += 1
            capabilities: tuple[str, ...] = ()
        else:
            capabilities_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(capabilities_) + c > MAX_ITEMS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        capabilities_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        capabilities_item, p = read_string(d, p, 0, 9223372036854775808)
                    capabilities_.append(capabilities_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            capabilities = tuple(capabilities_)
        n = d[p]
        if n < 128:
            rooms = n >> 1 ^ -(n & 1)
            p += 1
        else:
            rooms, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        if n < 128:
            epoch = n >> 1 ^ -(n & 1)
            p += 1
        else:
            epoch, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        since = read_time(d, p)
        if since >= 0:
            p += 8
        else:
            since, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Engine", d, start) from None
    return Engine(kind, version, capabilities, rooms, epoch, since)


def encode_gone(r: Gone, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Gone`."""
    r_all: tuple[str, int, bytes] = astuple(r)
    (r_room_id, r_forgotten_at, r_recent,) = r_all
    v1 = r_room_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, time(r_forgotten_at), r_recent))


def decode_gone(d: bytes, start: int = HEAD) -> Gone:
    """Return the `conference.Gone` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        forgotten_at = read_time(d, p)
        if forgotten_at >= 0:
            p += 8
        else:
            forgotten_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        recent, p = remembered.read(d, p)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Gone", d, start) from None
    return Gone(room_id, forgotten_at, recent)


def encode_member(r: Member, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Member`."""
    r_all: tuple[str, str, str, bool, bool, Any, int | None, int | None] = astuple(r)
    (r_room_id, r_session_uuid, r_caller_id, r_muted, r_leaving, r_sequence, r_joined_at, r_muted_at,) = r_all
    v1 = r_room_id.encode()
    v2 = r_session_uuid.encode()
    v3 = r_caller_id.encode()
    if r_joined_at is None:
        v4 = b"\0"
    else:
        v4 = b"\2" + time(r_joined_at)
    if r_muted_at is None:
        v5 = b"\0"
    else:
        v5 = b"\2" + time(r_muted_at)
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, b"\1" if r_muted else b"\0", b"\1" if r_leaving else b"\0", LONG[r_sequence], v4, v5))


def decode_member(d: bytes, start: int = HEAD) -> Member:
    """Return the `conference.Member` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            caller_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            caller_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        muted = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        leaving = n == 1
        n = d[p]
        if n < 128:
            sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        joined_at: int | None = None
        if n:
            joined_at = read_time(d, p)
            if joined_at >= 0:
                p += 8
            else:
                joined_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        muted_at: int | None = None
        if n:
            muted_at = read_time(d, p)
            if muted_at >= 0:
                p += 8
            else:
                muted_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Member", d, start) from None
    return Member(room_id, session_uuid, caller_id, muted, leaving, sequence, joined_at, muted_at)


def encode_member_joined(r: MemberJoined, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.MemberJoined`."""
    r_all: tuple[str, str, str, Any] = astuple(r)
    (r_session_uuid, r_room_id, r_caller_id, r_meta,) = r_all
    v1 = r_session_uuid.encode()
    v2 = r_room_id.encode()
    v3 = r_caller_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v4 = r_meta_event_id.encode()
    v5 = r_meta_app_id.encode()
    v6 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v7 = b"\0"
    else:
        v7 = r_meta_playback_id.encode()
        v7 = b"\2" + (LENGTH[n] if (n := len(v7)) < USUAL else LONG[n]) + v7
    return b"".join((prefix, b'0conference.member.joined', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, v7, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_member_joined(d: bytes, start: int = HEAD) -> MemberJoined:
    """Return the `conference.MemberJoined` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'0conference.member.joined', p):
            p += 25
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.member.joined':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            caller_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            caller_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.MemberJoined", d, start) from None
    return MemberJoined(session_uuid, room_id, caller_id, meta)


def encode_member_left(r: MemberLeft, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.MemberLeft`."""
    r_all: tuple[str, str, str, str, Any] = astuple(r)
    (r_session_uuid, r_room_id, r_reason, r_caller_id, r_meta,) = r_all
    v1 = r_session_uuid.encode()
    v2 = r_room_id.encode()
    v3 = r_reason.encode()
    v4 = r_caller_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v5 = r_meta_event_id.encode()
    v6 = r_meta_app_id.encode()
    v7 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v8 = b"\0"
    else:
        v8 = r_meta_playback_id.encode()
        v8 = b"\2" + (LENGTH[n] if (n := len(v8)) < USUAL else LONG[n]) + v8
    return b"".join((prefix, b',conference.member.left', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, LENGTH[n] if (n := len(v7)) < USUAL else LONG[n], v7, v8, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_member_left(d: bytes, start: int = HEAD) -> MemberLeft:
    """Return the `conference.MemberLeft` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b',conference.member.left', p):
            p += 23
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.member.left':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            reason = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            reason, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            caller_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            caller_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.MemberLeft", d, start) from None
    return MemberLeft(session_uuid, room_id, reason, caller_id, meta)


def encode_member_muted(r: MemberMuted, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.MemberMuted`."""
    r_all: tuple[str, str, str, Any] = astuple(r)
    (r_session_uuid, r_room_id, r_caller_id, r_meta,) = r_all
    v1 = r_session_uuid.encode()
    v2 = r_room_id.encode()
    v3 = r_caller_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v4 = r_meta_event_id.encode()
    v5 = r_meta_app_id.encode()
    v6 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v7 = b"\0"
    else:
        v7 = r_meta_playback_id.encode()
        v7 = b"\2" + (LENGTH[n] if (n := len(v7)) < USUAL else LONG[n]) + v7
    return b"".join((prefix, b'.conference.member.muted', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, v7, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_member_muted(d: bytes, start: int = HEAD) -> MemberMuted:
    """Return the `conference.MemberMuted` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'.conference.member.muted', p):
            p += 24
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.member.muted':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            caller_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            caller_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.MemberMuted", d, start) from None
    return MemberMuted(session_uuid, room_id, caller_id, meta)


def encode_member_unmuted(r: MemberUnmuted, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.MemberUnmuted`."""
    r_all: tuple[str, str, str, Any] = astuple(r)
    (r_session_uuid, r_room_id, r_caller_id, r_meta,) = r_all
    v1 = r_session_uuid.encode()
    v2 = r_room_id.encode()
    v3 = r_caller_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v4 = r_meta_event_id.encode()
    v5 = r_meta_app_id.encode()
    v6 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v7 = b"\0"
    else:
        v7 = r_meta_playback_id.encode()
        v7 = b"\2" + (LENGTH[n] if (n := len(v7)) < USUAL else LONG[n]) + v7
    return b"".join((prefix, b'2conference.member.unmuted', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, v7, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_member_unmuted(d: bytes, start: int = HEAD) -> MemberUnmuted:
    """Return the `conference.MemberUnmuted` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'2conference.member.unmuted', p):
            p += 26
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.member.unmuted':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            caller_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            caller_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.MemberUnmuted", d, start) from None
    return MemberUnmuted(session_uuid, room_id, caller_id, meta)


def encode_meta(r: Meta, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Meta`."""
    r_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r)
    (r_event_id, r_sequence, r_occurred_at, r_app_id, r_cause, r_playback_id, r_ends_playback, r_synthetic,) = r_all
    v1 = r_event_id.encode()
    v2 = r_app_id.encode()
    v3 = r_cause.encode()
    if r_playback_id is None:
        v4 = b"\0"
    else:
        v4 = r_playback_id.encode()
        v4 = b"\2" + (LENGTH[n] if (n := len(v4)) < USUAL else LONG[n]) + v4
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LONG[r_sequence], time(r_occurred_at), LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, v4, b"\1" if r_ends_playback else b"\0", b"\1" if r_synthetic else b"\0"))


def decode_meta(d: bytes, start: int = HEAD) -> Meta:
    """Return the `conference.Meta` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        synthetic = n == 1
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Meta", d, start) from None
    return Meta(event_id, sequence, occurred_at, app_id, cause, playback_id, ends_playback, synthetic)


def encode_no_op(r: NoOp, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.NoOp`."""
    r_all: tuple[str, str, str, str, str, Any, Any] = astuple(r)
    (r_signal_id, r_room_id, r_type, r_reason, r_topic, r_partition, r_offset,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_type.encode()
    v4 = r_reason.encode()
    v5 = r_topic.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LONG[r_partition], LONG[r_offset]))


def decode_no_op(d: bytes, start: int = HEAD) -> NoOp:
    """Return the `conference.NoOp` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            type = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            type, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            reason = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            reason, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            topic = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            topic, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            partition = n >> 1 ^ -(n & 1)
            p += 1
        else:
            partition, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        if n < 128:
            offset = n >> 1 ^ -(n & 1)
            p += 1
        else:
            offset, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.NoOp", d, start) from None
    return NoOp(signal_id, room_id, type, reason, topic, partition, offset)


def encode_play_failed(r: PlayFailed, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayFailed`."""
    r_all: tuple[str, str, tuple[Any, ...], str, Any] = astuple(r)
    (r_room_id, r_operation_id, r_urls, r_error, r_meta,) = r_all
    v1 = r_room_id.encode()
    v2 = r_operation_id.encode()
    v3 = r_error.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v4 = r_meta_event_id.encode()
    v5 = r_meta_app_id.encode()
    v6 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v7 = b"\0"
    else:
        v7 = r_meta_playback_id.encode()
        v7 = b"\2" + (LENGTH[n] if (n := len(v7)) < USUAL else LONG[n]) + v7
    return b"".join((prefix, b',conference.play.failed', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, strings(r_urls) if r_urls else b"\0", LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, v7, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_failed(d: bytes, start: int = HEAD) -> PlayFailed:
    """Return the `conference.PlayFailed` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b',conference.play.failed', p):
            p += 23
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.failed':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        if d[p] == 0:
            p += 1
            urls: tuple[str, ...] = ()
        else:
            urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(urls_) + c > MAX_ITEMS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        urls_item, p = read_string(d, p, 0, 9223372036854775808)
                    urls_.append(urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            urls = tuple(urls_)
        n = d[p]
        if not n & 129:
            error = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            error, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayFailed", d, start) from None
    return PlayFailed(room_id, operation_id, urls, error, meta)


def encode_play_finished(r: PlayFinished, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayFinished`."""
    r_all: tuple[str, str, tuple[Any, ...], Any] = astuple(r)
    (r_room_id, r_operation_id, r_urls, r_meta,) = r_all
    v1 = r_room_id.encode()
    v2 = r_operation_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v3 = r_meta_event_id.encode()
    v4 = r_meta_app_id.encode()
    v5 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v6 = b"\0"
    else:
        v6 = r_meta_playback_id.encode()
        v6 = b"\2" + (LENGTH[n] if (n := len(v6)) < USUAL else LONG[n]) + v6
    return b"".join((prefix, b'0conference.play.finished', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, strings(r_urls) if r_urls else b"\0", LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, v6, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_finished(d: bytes, start: int = HEAD) -> PlayFinished:
    """Return the `conference.PlayFinished` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'0conference.play.finished', p):
            p += 25
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.finished':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        if d[p] == 0:
            p += 1
            urls: tuple[str, ...] = ()
        else:
            urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(urls_) + c > MAX_ITEMS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        urls_item, p = read_string(d, p, 0, 9223372036854775808)
                    urls_.append(urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            urls = tuple(urls_)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayFinished", d, start) from None
    return PlayFinished(room_id, operation_id, urls, meta)


def encode_play_paused(r: PlayPaused, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayPaused`."""
    r_all: tuple[str, str, Any] = astuple(r)
    (r_room_id, r_operation_id, r_meta,) = r_all
    v1 = r_room_id.encode()
    v2 = r_operation_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v3 = r_meta_event_id.encode()
    v4 = r_meta_app_id.encode()
    v5 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v6 = b"\0"
    else:
        v6 = r_meta_playback_id.encode()
        v6 = b"\2" + (LENGTH[n] if (n := len(v6)) < USUAL else LONG[n]) + v6
    return b"".join((prefix, b',conference.play.paused', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, v6, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_paused(d: bytes, start: int = HEAD) -> PlayPaused:
    """Return the `conference.PlayPaused` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b',conference.play.paused', p):
            p += 23
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.paused':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayPaused", d, start) from None
    return PlayPaused(room_id, operation_id, meta)


def encode_play_resumed(r: PlayResumed, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayResumed`."""
    r_all: tuple[str, str, str, Any] = astuple(r)
    (r_app_id, r_room_id, r_operation_id, r_meta,) = r_all
    v1 = r_app_id.encode()
    v2 = r_room_id.encode()
    v3 = r_operation_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v4 = r_meta_event_id.encode()
    v5 = r_meta_app_id.encode()
    v6 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v7 = b"\0"
    else:
        v7 = r_meta_playback_id.encode()
        v7 = b"\2" + (LENGTH[n] if (n := len(v7)) < USUAL else LONG[n]) + v7
    return b"".join((prefix, b'.conference.play.resumed', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LENGTH[n] if (n := len(v6)) < USUAL else LONG[n], v6, v7, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_resumed(d: bytes, start: int = HEAD) -> PlayResumed:
    """Return the `conference.PlayResumed` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'.conference.play.resumed', p):
            p += 24
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.resumed':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayResumed", d, start) from None
    return PlayResumed(app_id, room_id, operation_id, meta)


def encode_play_started(r: PlayStarted, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayStarted`."""
    r_all: tuple[str, tuple[Any, ...], str, Any] = astuple(r)
    (r_room_id, r_urls, r_operation_id, r_meta,) = r_all
    v1 = r_room_id.encode()
    v2 = r_operation_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v3 = r_meta_event_id.encode()
    v4 = r_meta_app_id.encode()
    v5 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v6 = b"\0"
    else:
        v6 = r_meta_playback_id.encode()
        v6 = b"\2" + (LENGTH[n] if (n := len(v6)) < USUAL else LONG[n]) + v6
    return b"".join((prefix, b'.conference.play.started', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, strings(r_urls) if r_urls else b"\0", LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, v6, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_started(d: bytes, start: int = HEAD) -> PlayStarted:
    """Return the `conference.PlayStarted` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'.conference.play.started', p):
            p += 24
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.started':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        if d[p] == 0:
            p += 1
            urls: tuple[str, ...] = ()
        else:
            urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(urls_) + c > MAX_ITEMS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        urls_item, p = read_string(d, p, 0, 9223372036854775808)
                    urls_.append(urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            urls = tuple(urls_)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayStarted", d, start) from None
    return PlayStarted(room_id, urls, operation_id, meta)


def encode_play_stopped(r: PlayStopped, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayStopped`."""
    r_all: tuple[str, str, Any] = astuple(r)
    (r_room_id, r_operation_id, r_meta,) = r_all
    v1 = r_room_id.encode()
    v2 = r_operation_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v3 = r_meta_event_id.encode()
    v4 = r_meta_app_id.encode()
    v5 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v6 = b"\0"
    else:
        v6 = r_meta_playback_id.encode()
        v6 = b"\2" + (LENGTH[n] if (n := len(v6)) < USUAL else LONG[n]) + v6
    return b"".join((prefix, b'.conference.play.stopped', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, v6, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_stopped(d: bytes, start: int = HEAD) -> PlayStopped:
    """Return the `conference.PlayStopped` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'.conference.play.stopped', p):
            p += 24
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.stopped':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayStopped", d, start) from None
    return PlayStopped(room_id, operation_id, meta)


def encode_play_volume_changed(r: PlayVolumeChanged, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.PlayVolumeChanged`."""
    r_all: tuple[str, Any, str, Any] = astuple(r)
    (r_room_id, r_volume, r_operation_id, r_meta,) = r_all
    v1 = r_room_id.encode()
    v2 = r_operation_id.encode()
    r_meta_all: tuple[str, Any, int, str, str, str | None, bool, bool] = astuple(r_meta)
    (r_meta_event_id, r_meta_sequence, r_meta_occurred_at, r_meta_app_id, r_meta_cause, r_meta_playback_id, r_meta_ends_playback, r_meta_synthetic,) = r_meta_all
    v3 = r_meta_event_id.encode()
    v4 = r_meta_app_id.encode()
    v5 = r_meta_cause.encode()
    if r_meta_playback_id is None:
        v6 = b"\0"
    else:
        v6 = r_meta_playback_id.encode()
        v6 = b"\2" + (LENGTH[n] if (n := len(v6)) < USUAL else LONG[n]) + v6
    return b"".join((prefix, b'<conference.play.volume_changed', LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LONG[r_volume], LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_meta_sequence], time(r_meta_occurred_at), LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, v6, b"\1" if r_meta_ends_playback else b"\0", b"\1" if r_meta_synthetic else b"\0"))


def decode_play_volume_changed(d: bytes, start: int = HEAD) -> PlayVolumeChanged:
    """Return the `conference.PlayVolumeChanged` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        if d.startswith(b'<conference.play.volume_changed', p):
            p += 31
        else:
            event, p = read_string(d, p, 0, 9223372036854775808)
            if event != 'conference.play.volume_changed':
                raise ValueError("another event")
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            volume = n >> 1 ^ -(n & 1)
            p += 1
        else:
            volume, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_event_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_event_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            meta_sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            meta_sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        meta_occurred_at = read_time(d, p)
        if meta_occurred_at >= 0:
            p += 8
        else:
            meta_occurred_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            meta_app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            meta_cause = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            meta_cause, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        meta_playback_id: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                meta_playback_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                meta_playback_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_ends_playback = n == 1
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        meta_synthetic = n == 1
        meta = Meta(meta_event_id, meta_sequence, meta_occurred_at, meta_app_id, meta_cause, meta_playback_id, meta_ends_playback, meta_synthetic)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.PlayVolumeChanged", d, start) from None
    return PlayVolumeChanged(room_id, volume, operation_id, meta)


def encode_topic_position(r: TopicPosition, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.TopicPosition`."""
    r_all: tuple[str, Any, Any, int, str] = astuple(r)
    (r_topic, r_partition, r_offset, r_time, r_topic_id,) = r_all
    v1 = r_topic.encode()
    v2 = r_topic_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LONG[r_partition], LONG[r_offset], time(r_time), LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2))


def decode_topic_position(d: bytes, start: int = HEAD) -> TopicPosition:
    """Return the `conference.TopicPosition` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            topic = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            topic, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            partition = n >> 1 ^ -(n & 1)
            p += 1
        else:
            partition, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        if n < 128:
            offset = n >> 1 ^ -(n & 1)
            p += 1
        else:
            offset, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        time = read_time(d, p)
        if time >= 0:
            p += 8
        else:
            time, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            topic_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            topic_id, p = read_string(d, p, 0, 9223372036854775808)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.TopicPosition", d, start) from None
    return TopicPosition(topic, partition, offset, time, topic_id)


def encode_position(r: Position, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Position`."""
    r_all: tuple[str, tuple[Any, ...], str] = astuple(r)
    (r_transactional_id, r_positions, r_group_id,) = r_all
    v1 = r_transactional_id.encode()
    v2 = r_group_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, b"".join((LONG[len(r_positions)], *map(encode_topic_position, r_positions), b"\0")) if r_positions else b"\0", LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2))


def decode_position(d: bytes, start: int = HEAD) -> Position:
    """Return the `conference.Position` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            transactional_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            transactional_id, p = read_string(d, p, 0, 9223372036854775808)
        if d[p] == 0:
            p += 1
            positions: tuple[TopicPosition, ...] = ()
        else:
            positions_: list[TopicPosition] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(positions_) + c > MAX_RECORDS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        positions_item_topic = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        positions_item_topic, p = read_string(d, p, 0, 9223372036854775808)
                    n = d[p]
                    if n < 128:
                        positions_item_partition = n >> 1 ^ -(n & 1)
                        p += 1
                    else:
                        positions_item_partition, p = read_number(d, p, -2147483648, 2147483647)
                    n = d[p]
                    if n < 128:
                        positions_item_offset = n >> 1 ^ -(n & 1)
                        p += 1
                    else:
                        positions_item_offset, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
                    positions_item_time = read_time(d, p)
                    if positions_item_time >= 0:
                        p += 8
                    else:
                        positions_item_time, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
                    n = d[p]
                    if not n & 129:
                        positions_item_topic_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        positions_item_topic_id, p = read_string(d, p, 0, 9223372036854775808)
                    positions_item = TopicPosition(positions_item_topic, positions_item_partition, positions_item_offset, positions_item_time, positions_item_topic_id)
                    positions_.append(positions_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            positions = tuple(positions_)
        n = d[p]
        if not n & 129:
            group_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            group_id, p = read_string(d, p, 0, 9223372036854775808)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Position", d, start) from None
    return Position(transactional_id, positions, group_id)


def encode_rejected(r: Rejected, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Rejected`."""
    r_all: tuple[str, str, str, str, str, Any, Any, bytes] = astuple(r)
    (r_signal_id, r_room_id, r_type, r_reason, r_topic, r_partition, r_offset, r_signal,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_type.encode()
    v4 = r_reason.encode()
    v5 = r_topic.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, LONG[r_partition], LONG[r_offset], LENGTH[n] if (n := len(r_signal)) < USUAL else LONG[n], r_signal))


def decode_rejected(d: bytes, start: int = HEAD) -> Rejected:
    """Return the `conference.Rejected` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            type = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            type, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            reason = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            reason, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            topic = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            topic, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            partition = n >> 1 ^ -(n & 1)
            p += 1
        else:
            partition, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        if n < 128:
            offset = n >> 1 ^ -(n & 1)
            p += 1
        else:
            offset, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        signal, p = read_bytes(d, p)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Rejected", d, start) from None
    return Rejected(signal_id, room_id, type, reason, topic, partition, offset, signal)


def encode_room(r: Room, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.Room`."""
    r_all: tuple[str, str, str, Any, str, str, tuple[Any, ...], Any, int | None, Any, str, str, int | None, tuple[Any, ...], int | None, int | None, int | None, bytes] = astuple(r)
    (r_room_id, r_app_id, r_name, r_sequence, r_playback_status, r_operation_id, r_urls, r_files_finished, r_deadline, r_remaining, r_ended_operation_id, r_ended_by, r_ended_at, r_ended_urls, r_created_at, r_last_event_at, r_started_at, r_recent,) = r_all
    v1 = r_room_id.encode()
    v2 = r_app_id.encode()
    v3 = r_name.encode()
    v4 = r_playback_status.encode()
    v5 = r_operation_id.encode()
    if r_deadline is None:
        v6 = b"\0"
    else:
        v6 = b"\2" + time(r_deadline)
    if r_remaining is None:
        v7 = b"\0"
    else:
        v7 = b"\2" + LONG[r_remaining]
    v8 = r_ended_operation_id.encode()
    v9 = r_ended_by.encode()
    if r_ended_at is None:
        v10 = b"\0"
    else:
        v10 = b"\2" + time(r_ended_at)
    if r_created_at is None:
        v11 = b"\0"
    else:
        v11 = b"\2" + time(r_created_at)
    if r_last_event_at is None:
        v12 = b"\0"
    else:
        v12 = b"\2" + time(r_last_event_at)
    if r_started_at is None:
        v13 = b"\0"
    else:
        v13 = b"\2" + time(r_started_at)
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LONG[r_sequence], LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, LENGTH[n] if (n := len(v5)) < USUAL else LONG[n], v5, strings(r_urls) if r_urls else b"\0", LONG[r_files_finished], v6, v7, LENGTH[n] if (n := len(v8)) < USUAL else LONG[n], v8, LENGTH[n] if (n := len(v9)) < USUAL else LONG[n], v9, v10, strings(r_ended_urls) if r_ended_urls else b"\0", v11, v12, v13, r_recent))


def decode_room(d: bytes, start: int = HEAD) -> Room:
    """Return the `conference.Room` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            app_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            name = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            name, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if n < 128:
            sequence = n >> 1 ^ -(n & 1)
            p += 1
        else:
            sequence, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            playback_status = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            playback_status, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 0, 9223372036854775808)
        if d[p] == 0:
            p += 1
            urls: tuple[str, ...] = ()
        else:
            urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(urls_) + c > MAX_ITEMS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        urls_item, p = read_string(d, p, 0, 9223372036854775808)
                    urls_.append(urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            urls = tuple(urls_)
        n = d[p]
        if n < 128:
            files_finished = n >> 1 ^ -(n & 1)
            p += 1
        else:
            files_finished, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        deadline: int | None = None
        if n:
            deadline = read_time(d, p)
            if deadline >= 0:
                p += 8
            else:
                deadline, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        remaining: int | None = None
        if n:
            n = d[p]
            if n < 128:
                remaining = n >> 1 ^ -(n & 1)
                p += 1
            else:
                remaining, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        if not n & 129:
            ended_operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            ended_operation_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        if not n & 129:
            ended_by = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            ended_by, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        ended_at: int | None = None
        if n:
            ended_at = read_time(d, p)
            if ended_at >= 0:
                p += 8
            else:
                ended_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        if d[p] == 0:
            p += 1
            ended_urls: tuple[str, ...] = ()
        else:
            ended_urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(ended_urls_) + c > MAX_ITEMS:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        ended_urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        ended_urls_item, p = read_string(d, p, 0, 9223372036854775808)
                    ended_urls_.append(ended_urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            ended_urls = tuple(ended_urls_)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        created_at: int | None = None
        if n:
            created_at = read_time(d, p)
            if created_at >= 0:
                p += 8
            else:
                created_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        last_event_at: int | None = None
        if n:
            last_event_at = read_time(d, p)
            if last_event_at >= 0:
                p += 8
            else:
                last_event_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        started_at: int | None = None
        if n:
            started_at = read_time(d, p)
            if started_at >= 0:
                p += 8
            else:
                started_at, p = read_number(d, p, -9223372036854775808, 9223372036854775807)
        recent, p = remembered.read(d, p)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.Room", d, start) from None
    return Room(room_id, app_id, name, sequence, playback_status, operation_id, urls, files_finished, deadline, remaining, ended_operation_id, ended_by, ended_at, ended_urls, created_at, last_event_at, started_at, recent)


def encode_signal_conference_create(r: SignalConferenceCreate, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceCreate`."""
    r_all: tuple[str, str, int, str, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_app_id, r_name,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_app_id.encode()
    v4 = r_name.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4))


def decode_signal_conference_create(d: bytes, start: int = HEAD) -> SignalConferenceCreate:
    """Return the `conference.signal.ConferenceCreate` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            app_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            app_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if not n & 129:
            name = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            name, p = read_string(d, p, 0, 1024)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceCreate", d, start) from None
    return SignalConferenceCreate(signal_id, room_id, occurred_at, app_id, name)


def encode_signal_conference_destroy(r: SignalConferenceDestroy, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceDestroy`."""
    r_all: tuple[str, str, int] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at)))


def decode_signal_conference_destroy(d: bytes, start: int = HEAD) -> SignalConferenceDestroy:
    """Return the `conference.signal.ConferenceDestroy` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceDestroy", d, start) from None
    return SignalConferenceDestroy(signal_id, room_id, occurred_at)


def encode_signal_conference_join(r: SignalConferenceJoin, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceJoin`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_join(d: bytes, start: int = HEAD) -> SignalConferenceJoin:
    """Return the `conference.signal.ConferenceJoin` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceJoin", d, start) from None
    return SignalConferenceJoin(signal_id, room_id, occurred_at, session_uuid)


def encode_signal_conference_leave(r: SignalConferenceLeave, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceLeave`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_leave(d: bytes, start: int = HEAD) -> SignalConferenceLeave:
    """Return the `conference.signal.ConferenceLeave` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceLeave", d, start) from None
    return SignalConferenceLeave(signal_id, room_id, occurred_at, session_uuid)


def encode_signal_conference_mute(r: SignalConferenceMute, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceMute`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_mute(d: bytes, start: int = HEAD) -> SignalConferenceMute:
    """Return the `conference.signal.ConferenceMute` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceMute", d, start) from None
    return SignalConferenceMute(signal_id, room_id, occurred_at, session_uuid)


def encode_signal_conference_pause(r: SignalConferencePause, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferencePause`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_operation_id,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_operation_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_pause(d: bytes, start: int = HEAD) -> SignalConferencePause:
    """Return the `conference.signal.ConferencePause` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferencePause", d, start) from None
    return SignalConferencePause(signal_id, room_id, occurred_at, operation_id)


def encode_signal_conference_play(r: SignalConferencePlay, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferencePlay`."""
    r_all: tuple[str, str, int, tuple[Any, ...], str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_urls, r_operation_id,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_operation_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), strings(r_urls) if r_urls else b"\0", LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


_SIGNAL_CONFERENCE_PLAY_URLS = re.compile('^[Hh][Tt][Tt][Pp][Ss]?://[\\s\\S]').search

def decode_signal_conference_play(d: bytes, start: int = HEAD) -> SignalConferencePlay:
    """Return the `conference.signal.ConferencePlay` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        if d[p] == 0:
            p += 1
            urls: tuple[str, ...] = ()
        else:
            urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(urls_) + c > 128:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        urls_item, p = read_string(d, p, 0, 2048)
                    if not _SIGNAL_CONFERENCE_PLAY_URLS(urls_item):
                        raise ValueError('pattern')
                    urls_.append(urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            urls = tuple(urls_)
        if len(urls) < 1:
            raise ValueError('number of items')
        n = d[p]
        if n and not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferencePlay", d, start) from None
    return SignalConferencePlay(signal_id, room_id, occurred_at, urls, operation_id)


def encode_signal_conference_stop(r: SignalConferenceStop, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceStop`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_operation_id,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_operation_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_stop(d: bytes, start: int = HEAD) -> SignalConferenceStop:
    """Return the `conference.signal.ConferenceStop` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceStop", d, start) from None
    return SignalConferenceStop(signal_id, room_id, occurred_at, operation_id)


def encode_signal_conference_unmute(r: SignalConferenceUnmute, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceUnmute`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_unmute(d: bytes, start: int = HEAD) -> SignalConferenceUnmute:
    """Return the `conference.signal.ConferenceUnmute` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceUnmute", d, start) from None
    return SignalConferenceUnmute(signal_id, room_id, occurred_at, session_uuid)


def encode_signal_conference_volume(r: SignalConferenceVolume, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.ConferenceVolume`."""
    r_all: tuple[str, str, int, Any, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_volume, r_operation_id,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_operation_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LONG[r_volume], LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_conference_volume(d: bytes, start: int = HEAD) -> SignalConferenceVolume:
    """Return the `conference.signal.ConferenceVolume` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n < 128:
            volume = n >> 1 ^ -(n & 1)
            p += 1
        else:
            volume, p = read_number(d, p, -2147483648, 2147483647)
        n = d[p]
        if n and not n & 129:
            operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            operation_id, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.ConferenceVolume", d, start) from None
    return SignalConferenceVolume(signal_id, room_id, occurred_at, volume, operation_id)


def encode_signal_member_joined(r: SignalMemberJoined, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.MemberJoined`."""
    r_all: tuple[str, str, int, str, str, bool] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid, r_caller_id, r_muted,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    v4 = r_caller_id.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4, b"\1" if r_muted else b"\0"))


def decode_signal_member_joined(d: bytes, start: int = HEAD) -> SignalMemberJoined:
    """Return the `conference.signal.MemberJoined` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        n = d[p]
        if not n & 129:
            caller_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            caller_id, p = read_string(d, p, 0, 9223372036854775808)
        n = d[p]
        p += 1
        if n > 1:
            raise ValueError("not a boolean")
        muted = n == 1
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.MemberJoined", d, start) from None
    return SignalMemberJoined(signal_id, room_id, occurred_at, session_uuid, caller_id, muted)


def encode_signal_member_left(r: SignalMemberLeft, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.MemberLeft`."""
    r_all: tuple[str, str, int, str, str | None] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid, r_reason,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    if r_reason is None:
        v4 = b"\0"
    else:
        v4 = r_reason.encode()
        v4 = b"\2" + (LENGTH[n] if (n := len(v4)) < USUAL else LONG[n]) + v4
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3, v4))


def decode_signal_member_left(d: bytes, start: int = HEAD) -> SignalMemberLeft:
    """Return the `conference.signal.MemberLeft` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        reason: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                reason = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                reason, p = read_string(d, p, 0, 9223372036854775808)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.MemberLeft", d, start) from None
    return SignalMemberLeft(signal_id, room_id, occurred_at, session_uuid, reason)


def encode_signal_member_muted(r: SignalMemberMuted, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.MemberMuted`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_member_muted(d: bytes, start: int = HEAD) -> SignalMemberMuted:
    """Return the `conference.signal.MemberMuted` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.MemberMuted", d, start) from None
    return SignalMemberMuted(signal_id, room_id, occurred_at, session_uuid)


def encode_signal_member_unmuted(r: SignalMemberUnmuted, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.MemberUnmuted`."""
    r_all: tuple[str, str, int, str] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_session_uuid,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    v3 = r_session_uuid.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), LENGTH[n] if (n := len(v3)) < USUAL else LONG[n], v3))


def decode_signal_member_unmuted(d: bytes, start: int = HEAD) -> SignalMemberUnmuted:
    """Return the `conference.signal.MemberUnmuted` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        if n and not n & 129:
            session_uuid = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            session_uuid, p = read_string(d, p, 1, 255)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.MemberUnmuted", d, start) from None
    return SignalMemberUnmuted(signal_id, room_id, occurred_at, session_uuid)


def encode_signal_play_failed(r: SignalPlayFailed, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.PlayFailed`."""
    r_all: tuple[str, str, int, str | None, tuple[Any, ...]] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_operation_id, r_urls,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    if r_operation_id is None:
        v3 = b"\0"
    else:
        v3 = r_operation_id.encode()
        v3 = b"\2" + (LENGTH[n] if (n := len(v3)) < USUAL else LONG[n]) + v3
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), v3, strings(r_urls) if r_urls else b"\0"))


def decode_signal_play_failed(d: bytes, start: int = HEAD) -> SignalPlayFailed:
    """Return the `conference.signal.PlayFailed` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        operation_id: str | None = None
        if n:
            n = d[p]
            if n and not n & 129:
                operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                operation_id, p = read_string(d, p, 1, 255)
        if d[p] == 0:
            p += 1
            urls: tuple[str, ...] = ()
        else:
            urls_: list[str] = []
            while True:
                c = d[p]
                if c & 129:  # more than 63 items, or a block with its size in bytes
                    c, e, p = read_block(d, p)
                else:
                    c >>= 1
                    e = -1
                    p += 1
                if not c:
                    break
                if len(urls_) + c > 128:
                    raise ValueError('number of items')
                for _ in range(c):
                    n = d[p]
                    if not n & 129:
                        urls_item = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
                    else:
                        urls_item, p = read_string(d, p, 0, 2048)
                    urls_.append(urls_item)
                if e != -1 and e != p:
                    raise ValueError('block size')
            urls = tuple(urls_)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.PlayFailed", d, start) from None
    return SignalPlayFailed(signal_id, room_id, occurred_at, operation_id, urls)


def encode_signal_play_finished(r: SignalPlayFinished, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.PlayFinished`."""
    r_all: tuple[str, str, int, str, str | None] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_url, r_operation_id,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    if r_operation_id is None:
        v3 = b"\0"
    else:
        v3 = r_operation_id.encode()
        v3 = b"\2" + (LENGTH[n] if (n := len(v3)) < USUAL else LONG[n]) + v3
    v4 = r_url.encode()
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), v3, LENGTH[n] if (n := len(v4)) < USUAL else LONG[n], v4))


def decode_signal_play_finished(d: bytes, start: int = HEAD) -> SignalPlayFinished:
    """Return the `conference.signal.PlayFinished` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        operation_id: str | None = None
        if n:
            n = d[p]
            if n and not n & 129:
                operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                operation_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if not n & 129:
            url = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            url, p = read_string(d, p, 0, 2048)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.PlayFinished", d, start) from None
    return SignalPlayFinished(signal_id, room_id, occurred_at, url, operation_id)


def encode_signal_play_progress(r: SignalPlayProgress, prefix: bytes = b"") -> bytes:
    """Return `prefix` + the encoding of a `conference.signal.PlayProgress`."""
    r_all: tuple[str, str, int, str | None, str | None] = astuple(r)
    (r_signal_id, r_room_id, r_occurred_at, r_operation_id, r_url,) = r_all
    v1 = r_signal_id.encode()
    v2 = r_room_id.encode()
    if r_operation_id is None:
        v3 = b"\0"
    else:
        v3 = r_operation_id.encode()
        v3 = b"\2" + (LENGTH[n] if (n := len(v3)) < USUAL else LONG[n]) + v3
    if r_url is None:
        v4 = b"\0"
    else:
        v4 = r_url.encode()
        v4 = b"\2" + (LENGTH[n] if (n := len(v4)) < USUAL else LONG[n]) + v4
    return b"".join((prefix, LENGTH[n] if (n := len(v1)) < USUAL else LONG[n], v1, LENGTH[n] if (n := len(v2)) < USUAL else LONG[n], v2, time(r_occurred_at), v3, v4))


def decode_signal_play_progress(d: bytes, start: int = HEAD) -> SignalPlayProgress:
    """Return the `conference.signal.PlayProgress` in `d[start:]`. Raises SignalError."""
    p = start
    try:
        n = d[p]
        if n and not n & 129:
            signal_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            signal_id, p = read_string(d, p, 1, 255)
        n = d[p]
        if n and not n & 129:
            room_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
        else:
            room_id, p = read_string(d, p, 1, 255)
        occurred_at = read_time(d, p)
        if occurred_at >= 0:
            p += 8
        else:
            occurred_at, p = read_number(d, p, -62135596800000000, 253402300799999999)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        operation_id: str | None = None
        if n:
            n = d[p]
            if n and not n & 129:
                operation_id = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                operation_id, p = read_string(d, p, 1, 255)
        n = d[p]
        p += 1
        if n != 2 and n:
            n, p = read_number(d, p - 1, 0, 1)
        url: str | None = None
        if n:
            n = d[p]
            if not n & 129:
                url = d[p + 1 : (p := p + 1 + (n >> 1))].decode()
            else:
                url, p = read_string(d, p, 0, 2048)
        if p != len(d):
            raise ValueError("more or fewer bytes")
    except _BAD:
        raise _error("conference.signal.PlayProgress", d, start) from None
    return SignalPlayProgress(signal_id, room_id, occurred_at, operation_id, url)


ENCODERS: dict[type[Any], Callable[[Any, bytes], bytes]] = {
    Created: encode_created,
    Destroyed: encode_destroyed,
    Engine: encode_engine,
    Gone: encode_gone,
    Member: encode_member,
    MemberJoined: encode_member_joined,
    MemberLeft: encode_member_left,
    MemberMuted: encode_member_muted,
    MemberUnmuted: encode_member_unmuted,
    Meta: encode_meta,
    NoOp: encode_no_op,
    PlayFailed: encode_play_failed,
    PlayFinished: encode_play_finished,
    PlayPaused: encode_play_paused,
    PlayResumed: encode_play_resumed,
    PlayStarted: encode_play_started,
    PlayStopped: encode_play_stopped,
    PlayVolumeChanged: encode_play_volume_changed,
    TopicPosition: encode_topic_position,
    Position: encode_position,
    Rejected: encode_rejected,
    Room: encode_room,
    SignalConferenceCreate: encode_signal_conference_create,
    SignalConferenceDestroy: encode_signal_conference_destroy,
    SignalConferenceJoin: encode_signal_conference_join,
    SignalConferenceLeave: encode_signal_conference_leave,
    SignalConferenceMute: encode_signal_conference_mute,
    SignalConferencePause: encode_signal_conference_pause,
    SignalConferencePlay: encode_signal_conference_play,
    SignalConferenceStop: encode_signal_conference_stop,
    SignalConferenceUnmute: encode_signal_conference_unmute,
    SignalConferenceVolume: encode_signal_conference_volume,
    SignalMemberJoined: encode_signal_member_joined,
    SignalMemberLeft: encode_signal_member_left,
    SignalMemberMuted: encode_signal_member_muted,
    SignalMemberUnmuted: encode_signal_member_unmuted,
    SignalPlayFailed: encode_signal_play_failed,
    SignalPlayFinished: encode_signal_play_finished,
    SignalPlayProgress: encode_signal_play_progress,
}
"""Class → encoder."""

DECODERS: dict[str, Callable[..., Any]] = {
    'conference.Created': decode_created,
    'conference.Destroyed': decode_destroyed,
    'conference.Engine': decode_engine,
    'conference.Gone': decode_gone,
    'conference.Member': decode_member,
    'conference.MemberJoined': decode_member_joined,
    'conference.MemberLeft': decode_member_left,
    'conference.MemberMuted': decode_member_muted,
    'conference.MemberUnmuted': decode_member_unmuted,
    'conference.Meta': decode_meta,
    'conference.NoOp': decode_no_op,
    'conference.PlayFailed': decode_play_failed,
    'conference.PlayFinished': decode_play_finished,
    'conference.PlayPaused': decode_play_paused,
    'conference.PlayResumed': decode_play_resumed,
    'conference.PlayStarted': decode_play_started,
    'conference.PlayStopped': decode_play_stopped,
    'conference.PlayVolumeChanged': decode_play_volume_changed,
    'conference.TopicPosition': decode_topic_position,
    'conference.Position': decode_position,
    'conference.Rejected': decode_rejected,
    'conference.Room': decode_room,
    'conference.signal.ConferenceCreate': decode_signal_conference_create,
    'conference.signal.ConferenceDestroy': decode_signal_conference_destroy,
    'conference.signal.ConferenceJoin': decode_signal_conference_join,
    'conference.signal.ConferenceLeave': decode_signal_conference_leave,
    'conference.signal.ConferenceMute': decode_signal_conference_mute,
    'conference.signal.ConferencePause': decode_signal_conference_pause,
    'conference.signal.ConferencePlay': decode_signal_conference_play,
    'conference.signal.ConferenceStop': decode_signal_conference_stop,
    'conference.signal.ConferenceUnmute': decode_signal_conference_unmute,
    'conference.signal.ConferenceVolume': decode_signal_conference_volume,
    'conference.signal.MemberJoined': decode_signal_member_joined,
    'conference.signal.MemberLeft': decode_signal_member_left,
    'conference.signal.MemberMuted': decode_signal_member_muted,
    'conference.signal.MemberUnmuted': decode_signal_member_unmuted,
    'conference.signal.PlayFailed': decode_signal_play_failed,
    'conference.signal.PlayFinished': decode_signal_play_finished,
    'conference.signal.PlayProgress': decode_signal_play_progress,
}
"""Full name of a record → decoder."""
