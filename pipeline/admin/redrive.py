"""Sends dead letters again: what may be sent, where to, and whether it was sent before."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer

from pipeline.errors import ConfigError, SignalError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.oauth import client_options
from pipeline.kafka.ranges import RangeReader, Span
from pipeline.kafka.signal_producer import PRODUCER_OPTIONS
from pipeline.kafka.value_reader import ValueReader
from pipeline.model.codec import decode_json, signal_json
from pipeline.model.signals import AnySignal
from pipeline.settings import Settings
from pipeline.topics import SIGNAL_TOPICS, signal_topics
from pipeline.view.letters import REDRIVEN, Letter

JQ_SECONDS: Final = 10
_NAME: Final = REDRIVEN.encode()
Headers = list[tuple[str, bytes | None]]


class Redrive(NamedTuple):
    """A record to send. `fault` is why it is no signal even now; "" if it is one."""

    letter: Letter
    topic: str
    key: bytes
    value: bytes
    headers: Headers
    fault: str


def refusal(letter: Letter) -> str:
    """Return why a letter can't be sent again; "" if it can."""
    if letter.last is not None:
        return "it stands for a batch that can't be read: its signals are not known"
    if letter.cut:
        return f"only the beginning of its {' and '.join(sorted(letter.cut))} is kept"
    return ""


def full_place(letter: Letter) -> str:
    """Return the place of a letter with its topic, as the header `redriven-from` has it."""
    return letter.found.place


async def redriven_before(settings: Settings, letters: Iterable[Letter]) -> set[str]:
    """Return the full places of those letters that were sent again: a signal since then names them.

    Reads both signal topics from the time of the oldest letter on. Raises ConfigError, KafkaError.
    """
    times = {full_place(letter): letter.written_at for letter in letters}
    found = set[str]()
    if times:
        async with RangeReader(settings, SIGNAL_TOPICS, Span(min(times.values()))) as reader:
            async for one in reader:
                headers = one.record.headers
                if headers and (not isinstance(headers, bytes) or _NAME in headers):
                    found |= {
                        (value or b"").decode("utf-8", "replace") for n, value in one.header_pairs() if n == REDRIVEN
                    }
    return found & times.keys()


async def unchanged(settings: Settings, letter: Letter, values: ValueReader) -> Redrive:
    """Return the record of a letter as it came. Its topic is that of its type, or the one that it came on.

    Raises ConfigError for a letter without a key or a source, RegistryDownError.
    """
    record = letter.found.record
    topics = signal_topics(settings.topic_prefix)
    fault, topic = "", letter.source[0] if letter.source else ""
    try:
        signal: AnySignal = await values.decode(record.value)
        topic = topics[signal.TOPIC]
        if record.key != signal.room_id.encode():
            fault = f"its key is not its room_id {signal.room_id!r}"
    except SignalError as error:
        fault = str(error)
    if record.key is None or topic not in topics.values():
        missing = "key" if record.key is None else "topic of its own"
        raise ConfigError(f"letter {letter.place} has no {missing}: give its signal with --edit or --jq")
    return Redrive(letter, topic, record.key, record.value or b"", _headers(letter), fault)


def edited(settings: Settings, letter: Letter, text: bytes) -> Redrive:
    """Return the record of a letter with another signal, as JSON. Raises SignalError if it is none."""
    signal = decode_json(text.strip())
    topic = signal_topics(settings.topic_prefix)[signal.TOPIC]
    value = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")).encode()
    return Redrive(letter, topic, signal.room_id.encode(), value, _headers(letter), "")


async def text_of(letter: Letter, values: ValueReader) -> bytes:
    """Return the value of a letter as JSON, to be edited; other bytes as a JSON string. Raises RegistryDownError."""
    value = letter.found.record.value or b""
    try:
        return signal_json(await values.decode(value))
    except SignalError:
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return json.dumps(value.decode("utf-8", "replace"), ensure_ascii=False).encode()
        return value


def run_jq(expression: str, text: bytes) -> bytes:
    """Return the output of the program `jq`. Raises ConfigError."""
    if expression.startswith("-"):
        raise ConfigError(f"--jq {expression!r}: begin the expression with a space, because jq takes it for an option")
    try:
        done = subprocess.run(
            ["jq", "-c", expression], input=text, capture_output=True, timeout=JQ_SECONDS, check=False
        )
    except FileNotFoundError:
        raise ConfigError("--jq needs the program jq: install it, or use --edit") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"--jq {expression!r}: no result within {JQ_SECONDS} s") from None
    if done.returncode:
        reason = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise ConfigError(f"--jq {expression!r}: {reason or f'jq ended with {done.returncode}'}")
    return done.stdout


def _headers(letter: Letter) -> Headers:
    """Return the headers of the letter, which hold the reasons so far, and one that names the letter."""
    return [*letter.found.header_pairs(), (REDRIVEN, full_place(letter).encode())]


class Sender:
    """An idempotent producer of redriven letters; an asynchronous context manager. The client partitions by murmur2."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Sender:
        await require_topics(self._settings, acls.producer(self._settings))
        self._producer: Any = AIOKafkaProducer(**client_options(self._settings), **PRODUCER_OPTIONS)
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, one: Redrive) -> str:
        """Append a record, and return its place. Raises KafkaError."""
        done = await self._producer.send_and_wait(one.topic, one.value, one.key, headers=one.headers)
        return f"{done.topic}/{done.partition}/{done.offset}"
