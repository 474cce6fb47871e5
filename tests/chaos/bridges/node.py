"""One engine node: a switch behind wires, a bridge in one of two slots, and a load of callers and requests."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Producer

from testkit.fake_freeswitch import PASSWORD
from testkit.fork_server import ForkServer
from testkit.pipe import Pipe, WorkerProcess
from tests.chaos.bridges.switch import FILES, LONG, Host

CALLS: Final = 14
NAMES: Final = ("{node}-room-1", "{node}-room-2", "{node}-room-3", "lobby", "{node}-room-lobby")
"""The conferences of a node. The last two are one room."""
SITE: Final = "https://cdn.example.com/"
READY_SECONDS: Final = 90.0
"""Seconds within which a bridge must work when the faults are over."""
STEP_SECONDS: Final = 0.2
"""Mean seconds between two things that happen at a node."""


class BridgeProcess(WorkerProcess):
    """The process of a bridge."""

    @property
    def port(self) -> int:
        """The HTTP port; 0 while it does not listen."""
        return next((int(line["http_port"]) for line in self.log if line["msg"] == "started"), 0)

    @property
    def ready(self) -> bool:
        """Whether it holds the claim and reaches its engine and Kafka."""
        return self.returncode is None and bool(self.port) and self.get("/readyz")[0] == 200


@dataclass
class Life:
    """A bridge's process: slot, begin (microseconds since 1970), end and exit code, what was done to it."""

    slot: int
    began: int
    process: BridgeProcess
    ended: int = 1 << 62
    code: int | None = None
    killed: bool = False
    terminated: bool = False


@dataclass
class Slot:
    """A place for one bridge; `held`: the supervisor leaves it alone."""

    number: int
    wanted: bool = False
    life: Life | None = None
    held: threading.RLock = field(default_factory=threading.RLock)


class Node:
    """A node with its load in a thread. `lives` are its bridges, `sent` its API signals by signal_id."""

    def __init__(self, name: str, pipe: Pipe, forks: ForkServer, seed: int) -> None:
        self.name, self._pipe, self._forks = name, pipe, forks
        self.rng, self._chance = random.Random(seed), random.Random(seed + 1)
        self.host = Host(seed)
        self.switch = self.host.switch
        self.slots = (Slot(0, wanted=True), Slot(1))
        self.lives: list[Life] = []
        self.sent: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        """Violations that the supervisor saw."""
        self.busy = threading.Event()
        """While set, the load goes on."""
        self._ending = False
        self._number = 0
        self._producer = Producer(
            {
                "bootstrap.servers": pipe.servers.bootstrap_servers,
                "enable.idempotence": True,
                "linger.ms": 0,
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": 300_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._load, name=f"load {name}", daemon=True)
        self._thread.start()

    # --- bridges ---------------------------------------------------------------------------------------------

    @property
    def slot(self) -> Slot:
        """The slot whose bridge is to hold the node."""
        return next(slot for slot in self.slots if slot.wanted)

    @property
    def wire(self) -> Any:
        """The wire of the bridge that is to hold the node."""
        return self.host.wires[self.slot.number]

    def start(self, slot: Slot) -> None:
        """Start a slot's bridge."""
        port = self.host.wires[slot.number].port
        options = ("freeswitch", "--node", self.name, "--url", f"tcp://127.0.0.1:{port}", "--media-map",
                   f"{SITE}=/media/", "--silent-seconds", "4", "--away-seconds", "4")  # fmt: skip
        env = {**self._pipe.env, "ENGINE_PASSWORD": PASSWORD}
        began = time.time_ns() // 1000
        slot.life = Life(slot.number, began, BridgeProcess(self._forks.spawn(env, options, "engine")))
        self.lives.append(slot.life)

    def supervise(self) -> None:
        """Note the bridges that ended, and start those that are wanted."""
        for slot in self.slots:
            if not slot.held.acquire(blocking=False):
                continue
            try:
                life = slot.life
                if life is not None and life.process.returncode is not None:
                    self._note(life)
                    slot.life = None
                if slot.wanted and slot.life is None:
                    self.start(slot)
            finally:
                slot.held.release()

    def _note(self, life: Life) -> None:
        life.code, life.ended = life.process.wait(), time.time_ns() // 1000
        last = life.process.log[-1]["msg"] if life.process.log else " ".join(life.process.lines[-3:])
        other = any(one.ended > life.began and one.slot != life.slot for one in self.lives)
        allowed = {1} | ({0, -signal.SIGTERM} if life.terminated else set()) | ({3} if other else set())
        if life.killed:
            allowed.add(-signal.SIGKILL)
        if life.code not in allowed or "Traceback" in last:
            self.faults.append(f"a bridge of {self.name} ended with {life.code}: {last}")

    def kill(self, slot: Slot) -> None:
        """Kill a slot's bridge."""
        if (life := slot.life) is not None:
            life.killed = True
            life.process.signal(signal.SIGKILL)

    def terminate(self, slot: Slot) -> None:
        """Send SIGTERM to a slot's bridge."""
        if (life := slot.life) is not None:
            life.terminated = True
            life.process.signal(signal.SIGTERM)

    @contextlib.contextmanager
    def frozen(self, slot: Slot) -> Iterator[None]:
        """Stop a slot's bridge for the block."""
        life, wire = slot.life, self.host.wires[slot.number]
        if life is not None:
            wire.held_at = float("inf")
            life.process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if life is not None:
                life.process.signal(signal.SIGCONT)
                wire.held_at = time.monotonic()

    def ready(self, seconds: float) -> bool:
        """Wait until the bridge works; False after `seconds`."""
        return until(lambda: (life := self.slot.life) is not None and life.process.ready, seconds)

    def audits(self) -> float | None:
        """Return the audits that the bridge has completed; None if it does not answer."""
        life = self.slot.life
        if life is None or not life.process.port:
            return None
        found = re.search(r"^bridge_audits_total (\S+)$", life.process.get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else None

    def audited(self, seconds: float) -> bool:
        """Wait until one process of the bridge has completed two more audits; False after `seconds`.

        The first of them may have begun before this call.
        """
        seen: dict[int, float] = {}

        def check() -> bool:
            life, number = self.slot.life, self.audits()
            return number is not None and number >= seen.setdefault(id(life), number) + 2

        return until(check, seconds)

    # --- load ------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        while not self._ending:
            self.busy.wait(0.2)
            if self.busy.is_set():
                self.host.do(self._happen)
                self._request(*self._chosen())
            self._producer.poll(0)
            time.sleep(self._chance.uniform(0, 2 * STEP_SECONDS))

    def _happen(self) -> None:
        """Let something happen in the engine."""
        switch, dice = self.switch, self._chance.random()
        call = f"u-{self._chance.randrange(CALLS)}"
        if switch.halted:
            return
        if call not in switch.calls:
            if dice < 0.7:
                switch.join(self._room(), call, f"+1555{self._chance.randrange(10**6)}", muted=dice < 0.1)
        elif dice < 0.12:
            switch.leave(call)
        elif dice < 0.35:
            room = switch.calls[call]
            what = "mute" if switch.rooms[room].members[call]["speak"] else "unmute"
            switch._of_member(room, what, [f"uuid={call}"])

    def _room(self) -> str:
        return self._chance.choice(NAMES).format(node=self.name)

    def _chosen(self) -> tuple[str, str, dict[str, Any]]:
        """Return the type, room and fields of a request."""
        room, chance = self._room(), self._chance
        session = {"session_uuid": f"{self.name}-u-{chance.randrange(CALLS)}"}
        kinds = ("create", "destroy", "play", "pause", "stop", "volume", "join", "leave", "mute", "unmute")
        kind = chance.choices(kinds, (8, 1, 30, 12, 8, 5, 8, 6, 11, 11))[0]
        match kind:
            case "create":
                return kind, room, {"app_id": "app", "name": room}
            case "play":
                return kind, room, {"urls": self._urls()}
            case "volume":
                return kind, room, {"volume": chance.randint(-10, 7)}
            case "destroy" | "pause" | "stop":
                return kind, room, {}
        return kind, room, session

    def _urls(self) -> list[str]:
        chance = self._chance
        names = [path.rpartition("/")[2] for path in FILES]
        urls = [SITE + name for name in chance.sample(names, chance.choice((1, 1, 1, 2, 3)))]
        if chance.random() < 0.08:
            urls.append(SITE + chance.choice(("none.wav", "../passwd", "a b.wav", "x}y.wav")))
        return urls

    def _request(self, kind: str, room: str, fields: dict[str, Any]) -> None:
        """Write an API signal."""
        self._number += 1
        room_id = room if room.startswith(self.name) else f"{self.name}-room-{room}"
        made = {"type": f"conference.{kind}", "signal_id": f"{self.name}-{self._number}", "room_id": room_id,
                "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields}  # fmt: skip
        if kind in ("play", "pause", "stop", "volume"):
            made["operation_id"] = f"op-{self.name}-{self._number}"
        self.sent[made["signal_id"]] = made
        self._producer.produce(self._pipe.topic("api.signals"), json.dumps(made).encode(), room_id.encode())

    def quiet(self) -> None:
        """End the load. Once the bridge has caught up, the long file is to play for someone in most conferences."""
        self.busy.clear()
        time.sleep(2 * STEP_SECONDS)
        self._producer.flush(60)
        self.ready(READY_SECONDS)
        self.audited(READY_SECONDS)
        self.host.do(self._enter)
        time.sleep(2 * STEP_SECONDS)
        for name in list(self.host.do(lambda: list(self.switch.rooms))):
            if self._chance.random() < 0.7:
                self._request("stop", name, {})
                self._request("play", name, {"urls": [f"{SITE}{LONG}.wav"]})
                if self._chance.random() < 0.3:
                    self._request("pause", name, {})
        self._producer.flush(60)

    def _enter(self) -> None:
        for number in range(CALLS):
            if f"u-{number}" not in self.switch.calls and self._chance.random() < 0.5:
                self.switch.join(self._room(), f"u-{number}", muted=self._chance.random() < 0.2)

    def finish_all(self) -> None:
        """Let all files end."""

        def work() -> None:
            for room, conference in list(self.switch.rooms.items()):
                while conference.files:
                    self.switch.finish(room)
                conference.paused = False

        self.host.do(work)

    def stop(self) -> None:
        """End all."""
        self._ending = True
        self.busy.clear()
        self._thread.join(5)
        for slot in self.slots:
            slot.wanted = False
            if slot.life is not None:
                slot.life.process.signal(signal.SIGCONT)
                slot.life.process.kill()
        self.host.stop()


def until(check: Callable[[], object], seconds: float) -> bool:
    """Wait until a check holds; False after `seconds`."""
    limit = time.monotonic() + seconds
    while not check():
        if time.monotonic() > limit:
            return False
        time.sleep(0.1)
    return True
