"""Requests through a real broker, registry, worker and gateway."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from pipeline.model.signals import MemberJoined
from testkit.pipe import Pipe
from tests.support.gateway import NO_COOLDOWNS, PATIENT, ROOMS, Client, apps_file

pytestmark = pytest.mark.broker
URLS = ["https://cdn.example.com/a.wav"]


async def test_a_room_lives_through_its_requests(pipe: Pipe, tmp_path: Path) -> None:
    apps = apps_file(tmp_path)
    with pipe.worker(**PATIENT), pipe.gateway(apps, **NO_COOLDOWNS) as gateway:
        async with Client(gateway.api) as client:
            made = await client.call("POST", ROOMS, {"name": "Team Standup"}, idempotency_key="k1")
            assert made.status == 201, made
            room = made.body["room_id"]
            assert made.body["event"]["event"] == "conference.created"
            assert (made.body["status"], made.body["name"], made.body["reason"]) == ("completed", "Team Standup", None)
            assert made.headers["Idempotency-Key"] == "k1"
            assert (await client.call("POST", ROOMS, {"name": "Team Standup"}, idempotency_key="k1")).body == made.body

            assert (await client.call("GET", f"{ROOMS}/%FF")).status == 400
            assert (await client.call("GET", f"{ROOMS}/no%2Froom")).status == 404
            path = f"{ROOMS}/{room}"
            shown = await client.call("GET", path)
            assert (shown.status, shown.body["playback"]["status"], shown.body["members"]) == (200, "stopped", [])
            refused = await client.call("POST", f"{path}/pause")
            assert (refused.status, refused.error) == (409, "playback_inactive")
            played = await client.call("POST", f"{path}/play", {"urls": URLS})
            assert played.body["event"]["operation_id"] == played.body["operation_id"]
            shown = await client.call("GET", path)
            assert (shown.body["playback"]["status"], shown.body["playback"]["urls"]) == ("playing", URLS)
            again = await client.call("POST", f"{path}/play", {"urls": URLS})
            assert (again.status, again.error) == (409, "playback_active")
            events = [(await client.call("POST", f"{path}/{one}")).body["event"]["event"] for one in ("pause", "pause")]
            assert events == ["conference.play.paused", "conference.play.resumed"]
            louder = await client.call("POST", f"{path}/volume", {"volume": 2})
            assert louder.body["event"]["volume"] == 2
            too_loud = await client.call("POST", f"{path}/volume", {"volume": 8})
            assert (too_loud.status, too_loud.error) == (422, "volume_out_of_range")
            stopped = await client.call("POST", f"{path}/stop", {})
            assert stopped.body["event"]["event"] == "conference.play.stopped"
            taken = await client.call("POST", ROOMS, {"name": "Team Standup"})
            assert (taken.status, taken.error, taken.body["detail"]) == (409, "name_taken", {"room_id": room})

            ended = await client.call("DELETE", path, idempotency_key="end")
            assert (ended.status, ended.body["event"]["event"]) == (200, "conference.destroyed")
            assert (await client.call("DELETE", path, idempotency_key="end")).body == ended.body
            gone = await client.call("GET", path)
            assert (gone.status, gone.error) == (404, "room_unknown")
            assert (await client.call("DELETE", path)).status == 404
            assert await client.create("Team Standup") != room  # the name is free again
    names = [event["event"].removeprefix("conference.") for event in await pipe.events() if event["room_id"] == room]
    assert names == ["created", "play.started", "play.paused", "play.resumed", "play.volume_changed", "play.stopped",
                     "destroyed"]  # fmt: skip


async def test_members_are_moved_and_muted_by_session_commands(pipe: Pipe, tmp_path: Path) -> None:
    apps = apps_file(tmp_path)
    with pipe.worker(**PATIENT), pipe.gateway(apps, **NO_COOLDOWNS) as gateway:
        async with Client(gateway.api) as client, Client(gateway.api, "b") as other:
            room = await client.create()
            session = "acW68-f47%2Fac10"  # an id may have a slash

            async def command(name: str, who: Client = client, of: str = room) -> tuple[int, str | None, str | None]:
                path = f"/api/v1/sessions/{session}/commands/conference/{name}"
                answer = await who.call("POST", path, {"room_id": of})
                event = answer.body.get("event")
                return answer.status, event and event["event"], answer.body.get("reason") or answer.body.get("error")

            assert await command("join") == (200, None, "join")
            assert await command("mute") == (404, None, "not_a_member")
            await pipe.send(MemberJoined("m1", room, time.time_ns() // 1000, "acW68-f47/ac10", "+1555"))
            assert await command("mute") in [(200, "conference.member.muted", None), (404, None, "not_a_member")]
            assert await command("mute") == (200, None, "already_muted")
            assert await command("unmute") == (200, "conference.member.unmuted", None)
            assert await command("leave") == (200, None, "leave")
            [member] = (await client.call("GET", f"{ROOMS}/{room}")).body["members"]
            assert (member["session_uuid"], member["caller_id"], member["muted"]) == ("acW68-f47/ac10", "+1555", False)
            assert await command("join", other) == (404, None, "room_unknown")
            assert await command("join", other, await other.create()) == (403, None, "session_denied")


async def test_ten_equal_requests_on_two_gateways_have_one_effect(pipe: Pipe, tmp_path: Path) -> None:
    apps = apps_file(tmp_path)
    with pipe.worker(**PATIENT), pipe.gateway(apps, **NO_COOLDOWNS) as one, pipe.gateway(apps, **NO_COOLDOWNS) as two:
        async with Client(one.api) as first, Client(two.api) as second:
            calls = [who.call("POST", ROOMS, {"name": "n"}, idempotency_key="k") for who in (first, second) * 5]
            made = await asyncio.gather(*calls)
            assert {answer.status for answer in made} == {201}
            assert [answer.body for answer in made] == [made[0].body] * 10
            path = f"{ROOMS}/{made[0].body['room_id']}"
            await first.call("POST", f"{path}/play", {"urls": URLS})
            calls = [who.call("POST", f"{path}/pause", idempotency_key="p") for who in (first, second) * 5]
            paused = await asyncio.gather(*calls)
            assert [(answer.status, answer.body) for answer in paused] == [(200, paused[0].body)] * 10
            other = await second.call("POST", f"{path}/volume", {"volume": 1}, idempotency_key="v")
            reused = await first.call("POST", f"{path}/volume", {"volume": 2}, idempotency_key="v")
            assert (other.status, reused.status, reused.error) == (200, 422, "key_reused")
            assert (await first.call("DELETE", path)).status == 200
            limit = time.monotonic() + 30
            while (await second.call("GET", path)).status != 404:
                assert time.monotonic() < limit
    names = [event["event"] for event in await pipe.events()]
    assert (names.count("conference.created"), names.count("conference.play.paused")) == (1, 1)


async def test_nothing_is_claimed_while_the_worker_is_frozen(pipe: Pipe, tmp_path: Path) -> None:
    apps = apps_file(tmp_path)
    with pipe.worker(**PATIENT) as worker, pipe.gateway(apps, **NO_COOLDOWNS) as gateway:
        async with Client(gateway.api) as client:
            path = f"{ROOMS}/{await client.create()}"
            worker.signal(signal.SIGSTOP)
            begun = await client.call("POST", f"{path}/play", {"urls": URLS}, prefer="wait=1")
            assert (begun.status, begun.body["status"]) == (202, "in_progress")
            key, operation = begun.body["key"], f"/api/v1/operations/{begun.body['operation_id']}"
            assert (await client.call("GET", operation)).body["status"] == "in_progress"
            again = await client.call("POST", f"{path}/play", {"urls": URLS}, prefer="wait=0", idempotency_key=key)
            assert again.status == 202
            assert (await client.call("GET", path)).body["playback"]["status"] == "stopped"
            worker.kill()
            with pipe.worker(**PATIENT):
                limit = time.monotonic() + 60
                while again.status == 202:
                    assert time.monotonic() < limit
                    again = await client.call("POST", f"{path}/play", {"urls": URLS}, idempotency_key=key)
                assert (again.status, again.body["event"]["event"]) == (200, "conference.play.started")
                assert (await client.call("GET", path)).body["playback"]["status"] == "playing"
                found = await client.call("GET", operation)
                assert (found.body["status"], found.body["event"]) == ("completed", again.body["event"])
        with pipe.gateway(apps) as later:  # it reads the outcomes of the last 10 minutes, and needs no worker
            async with Client(later.api) as client:
                assert (await client.call("GET", operation)).body == found.body
                same = await client.call("POST", f"{path}/play", {"urls": URLS}, idempotency_key=key)
                assert (same.status, same.body) == (200, again.body)
            async with Client(later.api, "b") as other:
                assert (await other.call("GET", operation)).error == "operation_unknown"
    assert [event["event"] for event in await pipe.events()] == ["conference.created", "conference.play.started"]
