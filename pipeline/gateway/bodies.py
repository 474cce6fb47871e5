"""The bodies of requests and answers, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.gateway.identity import KEY

ROOM: Final = "acW68-room-2f1c9d1e-7b0a-5c39-9c1e-0d3f6a7b8c9d"
SESSION: Final = "acW68-f47ac10b-58cc-4372-a567-0e02b2c3d479"
OPERATION: Final = "d4e5f6a7-b8c9-8123-8567-89abcdef0123"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("every character must be printable")
    return text


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    command_uid: Annotated[str | None, Field(pattern=f"^{KEY.pattern}$", description="As `Idempotency-Key`.")] = None


class NoBody(_Body):
    """Nothing is needed."""


class CreateBody(_Body):
    """A new room."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Team Standup"}]})

    name: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


class PlayBody(_Body):
    """Files to play, one after another."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"urls": ["https://cdn.example.com/audio/announcement.wav"]}]}
    )

    urls: Annotated[
        list[Annotated[str, Field(max_length=2048, pattern=r"^[hH][tT][tT][pP][sS]?://[^\s]")]],
        Field(min_length=1, max_length=128),
    ]


class VolumeBody(_Body):
    """A volume in the engine's steps: negative values attenuate. -50 to 7."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"volume": 2}]})

    volume: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]


class SessionBody(_Body):
    """The room of a command to a session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"room_id": ROOM}]})

    room_id: Annotated[str, Field(min_length=1, max_length=255)]


class Completed(BaseModel):
    """The request took effect, or had none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "operation_id": OPERATION,
                    "status": "completed",
                    "event": {"event": "conference.play.paused", "room_id": ROOM, "operation_id": OPERATION},
                    "reason": None,
                }
            ]
        }
    )

    success: Literal[True]
    operation_id: str
    status: Literal["completed"]
    event: Annotated[dict[str, Any] | None, Field(description="The event, null if there is none.")]
    reason: Annotated[str | None, Field(description="Why there is no event, such as `join`.")]


class Created(Completed):
    """The room exists."""

    room_id: str
    name: str


class InProgress(BaseModel):
    """Nothing is known yet: repeat the request with this key, or look the operation up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"success": True, "operation_id": OPERATION, "status": "in_progress", "key": "my-key-1"}]
        }
    )

    success: Literal[True]
    operation_id: str
    status: Literal["in_progress"]
    key: str


class Operation(BaseModel):
    """What became of a request. `error` and `message` are null unless it was rejected or is a dead letter."""

    success: Literal[True]
    operation_id: str
    status: Literal["completed", "in_progress", "rejected", "dead"]
    event: dict[str, Any] | None
    reason: str | None
    error: str | None
    message: str | None


class Member(BaseModel):
    """A session that is in a room."""

    session_uuid: str
    caller_id: str
    muted: bool
    joined_at: str | None


class Playback(BaseModel):
    """The playback of a room; its urls are those of the last one."""

    status: Literal["stopped", "playing", "paused"]
    operation_id: str | None
    urls: list[str]
    files_finished: int
    started_at: str | None
    deadline: str | None


class Summary(BaseModel):
    """A room in a list."""

    room_id: str
    name: str
    node: str
    member_count: int
    playback_status: Literal["stopped", "playing", "paused"]
    created_at: str | None


class Conference(Summary):
    """A room with its members, in the order in which they joined, and its playback."""

    success: Literal[True]
    members: list[Member]
    playback: Playback


class Conferences(BaseModel):
    """Rooms in the order of their ids. `next` goes into `after`; null at the end."""

    success: Literal[True]
    conferences: list[Summary]
    next: str | None


class ProblemBody(BaseModel):
    """An error: `error` is for programs, `message` for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": False,
                    "error": "playback_active",
                    "message": "another playback is playing or paused: stop it first",
                    "detail": {"operation_id": OPERATION},
                }
            ]
        }
    )

    success: Literal[False]
    error: str
    message: str
    detail: dict[str, Any]
