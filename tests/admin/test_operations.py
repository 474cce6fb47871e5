"""The procedures of docs/howto/runbook.md on a real broker, and their results."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import PolicyViolationError

from pipeline.admin.doctor import examine
from pipeline.admin.setup import setup
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.model import signals as s
from testkit.pipe import ROOT, Pipe, WorkerProcess

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
URL = "http://x/a.wav"


def life(room: str) -> list[s.AnySignal]:
    """Six signals that cause five events, a no-op and a rejection."""
    return [
        s.ConferenceCreate(f"c-{room}", room, T, "app", "name"),
        s.MemberJoined(f"j-{room}", room, T, "alice", "+15551234567", True),
        s.ConferencePlay(f"p-{room}", room, T, (URL,), f"play-{room}"),
        s.ConferencePause(f"t-{room}", room, T, "toggle"),
        s.ConferencePause(f"t-{room}", room, T, "toggle"),
        s.ConferenceVolume(f"v-{room}", room, T, 99, "too loud"),
    ]


EVENTS_OF_A_LIFE = 5


async def until(pipe: Pipe, name: str, number: int) -> list[ConsumerRecord]:
    """Wait until a topic has this number of records; return them."""
    async with asyncio.timeout(40):
        while len(found := await pipe.records(name)) < number:
            await asyncio.sleep(0.1)
    return found


async def lose_the_table(pipe: Pipe) -> None:
    name = pipe.topic("rooms")
    async with admin_client(pipe.settings) as admin:
        await admin.delete_topics([name])
        while not (await describe_topics(admin, [name])).topics[name].missing:
            await asyncio.sleep(0.05)


async def cut(pipe: Pipe, name: str, number: int, offset: int) -> None:
    """Delete the records before this offset, as retention does; -1 deletes all."""
    async with admin_client(pipe.settings) as admin:
        await admin.delete_records({TopicPartition(pipe.topic(name), number): RecordsToDelete(offset)})


async def rows(pipe: Pipe) -> dict[tuple[int, bytes], Any]:
    """The rows of the table after compaction, without the positions."""
    found = {(row.partition, row.key): row.value for row in await pipe.records("rooms")}
    return {key: value for key, value in found.items() if value is not None and b"position" not in key[1]}


def contents(records: list[ConsumerRecord]) -> list[tuple[Any, ...]]:
    return [(record.partition, record.key, record.value, record.headers) for record in records]


def two_rooms(pipe: Pipe) -> tuple[str, str]:
    """Two rooms on different partitions."""
    first = "room-0"
    other = next(f"room-{n}" for n in range(99) if pipe.partition(f"room-{n}") != pipe.partition(first))
    return first, other


# --- the table is lost ---------------------------------------------------------------------------------------


async def test_lost_table_is_rebuilt_and_its_events_are_repeated(pipe: Pipe) -> None:
    whole, cropped = two_rooms(pipe)
    with pipe.worker() as worker:
        await pipe.send(*life(whole), *life(cropped))
        await until(pipe, "events", 2 * EVENTS_OF_A_LIFE)
        rejected = await until(pipe, "signals.rejected", 2)
        assert worker.stop() == 0
    before, table = await pipe.records(), await rows(pipe)
    await lose_the_table(pipe)
    await cut(pipe, "api.signals", pipe.partition(cropped), 1)  # its create has expired

    with pipe.worker(ready=False) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
    assert "rooms does not exist: run `conference-pipeline setup`" in worker.log[-1]["msg"]
    assert await setup(pipe.settings, lambda _: None) == []
    wrong = [line for line in await examine(pipe.settings) if line.check == "lag" and line.state == "wrong"]
    assert ["has lost rows of partitions" in line.found for line in wrong] == [True]
    with pipe.worker(ready=False) as worker:
        assert await asyncio.to_thread(worker.wait, 30) == 2
    with pipe.worker("--accept-loss"):
        volume = s.ConferenceVolume("new", whole, T, 1, "volume")
        await pipe.send(volume)
        after = await until(pipe, "events", 2 * EVENTS_OF_A_LIFE + EVENTS_OF_A_LIFE + 1 + 4)
        assert next(line for line in await examine(pipe.settings) if line.check == "lag").state == "ok"

    def of(records: list[ConsumerRecord], room: str) -> list[ConsumerRecord]:
        return [record for record in records if record.key == room.encode()]

    once = contents(of(before, whole))
    assert contents(of(after, whole))[: 2 * EVENTS_OF_A_LIFE] == once + once, "byte for byte, with the same ids"
    last = dict(of(after, whole)[-1].headers)
    assert (last["ce_type"], len(of(after, whole))) == (b"conference.play.volume_changed", 11)
    assert {key: row for key, row in (await rows(pipe)).items() if b"room" in key[1]}.keys() == table.keys()
    assert len(await pipe.records("signals.rejected")) > len(rejected), "rejections are repeated, too"

    again = [dict(record.headers) for record in of(after, cropped)[EVENTS_OF_A_LIFE:]]
    assert [one["ce_type"].rpartition(b".")[2] for one in again][:3] == [b"joined", b"muted", b"started"]
    ids = {(dict(record.headers)["ce_id"], dict(record.headers)["ce_type"]) for record in before}
    assert not ids & {(one["ce_id"], one["ce_type"]) for one in again}, (
        "without its create, the sequence numbers differ"
    )
    assert again[1]["ce_id"] == dict(of(before, cropped)[1].headers)["ce_id"], (
        "an id may name another event: the second event of a signal now has the number of the first"
    )


async def test_start_without_table_and_signals_forgets_the_rooms(pipe: Pipe) -> None:
    room = "room"
    with pipe.worker() as worker:
        await pipe.send(*life(room))
        await until(pipe, "events", EVENTS_OF_A_LIFE)
        assert worker.stop() == 0
    await lose_the_table(pipe)
    for name in ("api.signals", "media.signals"):
        for number in range(pipe.settings.partitions):
            await cut(pipe, name, number, -1)
    assert await setup(pipe.settings, lambda _: None) == []
    with pipe.worker("--accept-loss"):
        volume = s.ConferenceVolume("new", room, T, 1, "volume")
        await pipe.send(volume, s.MemberJoined("j-2", room, T, "bob", "+1"))
        events = await pipe.until_events(EVENTS_OF_A_LIFE + 1)
        assert (await until(pipe, "signals.rejected", 2))[-1].key == room.encode()
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3, 4, 5, 1]
    assert len({event["meta"]["event_id"] for event in events}) == EVENTS_OF_A_LIFE + 1


async def test_restored_table_repeats_only_events_after_the_copy(pipe: Pipe) -> None:
    room = "room"
    with pipe.worker() as worker:
        await pipe.send(*life(room))
        await until(pipe, "events", EVENTS_OF_A_LIFE)
        await until(pipe, "signals.rejected", 1)
        copy = {(row.partition, row.key): row.value for row in await pipe.records("rooms")}
        await pipe.send(s.ConferenceVolume("late", room, T, 1, "volume"))
        await until(pipe, "events", EVENTS_OF_A_LIFE + 1)
        assert worker.stop() == 0
    before, table = await pipe.records(), await rows(pipe)
    await lose_the_table(pipe)
    assert await setup(pipe.settings, lambda _: None) == []
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for (number, key), value in copy.items():
            await producer.send_and_wait(pipe.topic("rooms"), value, key, partition=number)
    with pipe.worker(ready=False) as worker:  # the group has worked after the copy
        assert await asyncio.to_thread(worker.wait, 30) == 2
    with pipe.worker("--accept-loss"):
        after = await until(pipe, "events", EVENTS_OF_A_LIFE + 2)
    assert contents(after) == [*contents(before), contents(before)[-1]]
    assert await rows(pipe) == table


# --- group and settings --------------------------------------------------------------------------------------


async def test_another_group_continues_after_a_dead_workers_open_transaction(pipe: Pipe) -> None:
    room = "room"
    with pipe.worker() as worker:
        await pipe.send(*life(room))
        await until(pipe, "events", EVENTS_OF_A_LIFE)
        assert worker.stop() == 0
    owner = f"{pipe.settings.group_id}-dead"
    dead = await pipe.left_open(owner, room)
    await pipe.send(s.ConferenceVolume("new", room, T, 1, "volume"))
    other = f"{pipe.prefix}-other"
    with pipe.worker(PIPELINE_GROUP_ID=other) as worker:
        assert worker.metric("pipeline_fenced_owners") == 1
        events = await pipe.until_events(EVENTS_OF_A_LIFE + 1)
        moved = pipe.settings.model_copy(update={"group_id": other})
        assert [line for line in await examine(moved) if line.check in ("group", "lag") and line.state != "ok"] == []
        left = [line for line in await examine(pipe.settings) if line.check == "lag"]
    await dead.stop()
    assert [event["meta"]["sequence"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert left[0].found.startswith("the last writer of partition")
    assert left[0].found.endswith(f"in group {other!r}, not in {pipe.settings.group_id!r}, and that group has 1 member")
    assert left[0].state == "wrong"


async def test_playback_keeps_its_timeout_after_a_change_of_settings(pipe: Pipe) -> None:
    play = s.ConferencePlay("p", "room", T, (URL,), "play")
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="6") as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"), play)
        await until(pipe, "events", 2)
        assert worker.stop() == 0
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="0.5"):
        first = await until(pipe, "events", 3)
        await pipe.send(msgspec.structs.replace(play, signal_id="p-2", operation_id="play-2"))
        second = await until(pipe, "events", 5)
    _, one, other = (record.timestamp for record in await pipe.records("api.signals"))
    assert 6000 <= first[2].timestamp - one < 9000
    assert 500 <= second[4].timestamp - other < 4000


# --- deleting ------------------------------------------------------------------------------------------------


async def test_processed_records_can_be_deleted_but_table_rows_can_not(pipe: Pipe) -> None:
    room = "room"
    number = pipe.partition(room)
    with pipe.worker():
        await pipe.send(*life(room))
        await until(pipe, "signals.rejected", 1)
        with pytest.raises(PolicyViolationError):
            await cut(pipe, "rooms", number, -1)
        async with admin_client(pipe.settings) as admin:
            offsets = await admin.list_consumer_group_offsets(pipe.settings.group_id)
        for name in ("api.signals", "media.signals"):
            await cut(pipe, name, number, offsets[TopicPartition(pipe.topic(name), number)].offset)
        for name in ("events", "signals.rejected"):
            await cut(pipe, name, number, -1)
        await pipe.send(s.ConferenceVolume("new", room, T, 1, "volume"))
        assert len(await pipe.until_events(1)) == 1
    with pipe.worker():
        await pipe.send(s.ConferenceVolume("newer", room, T, 1, "volume"))
        *_, event = await pipe.until_events(2)
    assert event["meta"]["sequence"] == EVENTS_OF_A_LIFE + 2
    assert await pipe.records("signals.rejected") == []


# --- versions ------------------------------------------------------------------------------------------------


def newer(folder: Path) -> Path:
    """A copy of this program that adds, and fills, a field of a row and of an event."""
    for name in ("pipeline", "tools", "avro"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for record, name in (("Room", "note"), ("Created", "origin")):
        path = folder / "avro" / f"conference.{record}.avsc"
        schema = msgspec.json.decode(path.read_bytes())
        schema["fields"].append({"name": name, "type": "string", "default": "", "doc": "New."})
        path.write_bytes(msgspec.json.encode(schema))
    subprocess.run([sys.executable, "tools/generate.py"], cwd=folder, check=True, capture_output=True)
    rules = folder / "pipeline" / "core" / "room.py"
    text = rules.read_text()
    event = "events.Created(room.app_id, room.room_id, room.name, event_meta(room, signal)"
    assert text.count(event + ")") == text.count("    return accept(room, signal, now, event)\n") == 1
    text = text.replace(event + ")", event + ', "new")')
    rules.write_text(
        text.replace("accept(room, signal, now, event)\n", 'accept(room, signal, now, event, note="new")\n')
    )
    return folder


def start_worker(folder: Path, pipe: Pipe) -> WorkerProcess:
    """Start a worker of the program in this folder."""
    command = [sys.executable, "-m", "pipeline", "worker"]
    return WorkerProcess(
        subprocess.Popen(
            command, cwd=folder, env=pipe.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
    )


async def run_in(folder: Path, pipe: Pipe, *arguments: str) -> list[str]:
    """Run a command of the program in this folder; return its lines."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=pipe.env, capture_output=True, text=True, check=True
    )
    lines: list[str] = done.stdout.splitlines()
    return lines


async def new_rows(pipe: Pipe) -> int:
    """The number of rows that the newer version wrote."""
    return sum(b"\x06new" in row for row in (await rows(pipe)).values())


async def test_two_versions_run_side_by_side_and_back(pipe: Pipe, tmp_path: Path) -> None:
    """The new version adds a field to a row and to an event; the old version drops it."""
    folder = await asyncio.to_thread(newer, tmp_path / "newer")
    rooms = [f"room-{n}" for n in range(8)]

    def volumes(name: str) -> list[s.AnySignal]:
        return [s.ConferenceVolume(f"{name}-{room}", room, T, 1, name) for room in rooms]

    with pipe.worker() as old:
        early = start_worker(folder, pipe)
        assert await asyncio.to_thread(early.wait, 30) == 2
        assert "run `conference-pipeline setup`" in early.log[-1]["msg"]
        done = await run_in(folder, pipe, "setup")
        created = sorted(line.rpartition("-")[2] for line in done if line.startswith("registered"))
        assert created == ["conference.Created", "conference.Room"]
        new = start_worker(folder, pipe)
        try:
            await asyncio.to_thread(new.until_log, "partitions assigned")
            assert {old.metric("pipeline_partitions"), new.metric("pipeline_partitions")} == {2}
            await pipe.send(*(s.ConferenceCreate(f"c-{room}", room, T, "app", "name") for room in rooms))
            await until(pipe, "events", 8)
            assert old.stop() == 0
            assert 0 < await new_rows(pipe) < 8
            await pipe.send(*volumes("v"))
            await until(pipe, "events", 16)
            assert 0 < await new_rows(pipe) < 8
            with pipe.worker() as back:
                assert new.stop() == 0
                await pipe.send(*volumes("w"))
                records = await until(pipe, "events", 24)
                assert back.stop() == 0
        finally:
            new.end()
    assert await new_rows(pipe) == 0
    options = ("--from-beginning", "--max", "24", "--timeout", "30")
    found = [msgspec.json.decode(line) for line in await run_in(ROOT, pipe, "events", *options)]
    assert len(records) == len(found) == 24
    for room in rooms:
        assert [one["meta"]["sequence"] for one in found if one["room_id"] == room] == [1, 2, 3]
