"""`demo`: everything in one command, on real servers, with what comes out compared with what must come out."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.servers import kafka_errors
from pipeline.errors import ConfigError, PipelineError

if TYPE_CHECKING:
    from pipeline.cli.demo_run import Screen
    from pipeline.devstack import Stack
    from pipeline.settings import Settings

PARTITIONS: Final = 4
SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)

NEXT: Final = """
Next:
  eval "$(conference-pipeline up)"              a broker and a registry that stay, until `conference-pipeline down`
  conference-pipeline setup                     the topics and the schemas
  conference-pipeline worker &                  as many as there are cores
  conference-pipeline events &                  what is published, as JSON lines
  conference-pipeline demo --save signals.jsonl
  conference-pipeline send --keep-pace signals.jsonl
                                                the same through your worker; `replay signals.jsonl` needs no Kafka
"""


Speed = Annotated[
    float,
    typer.Option(metavar="X", min=0.1, max=100, help="Play X times as fast; the watchdog keeps its 10 s."),
]
Save = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the signals that were sent there, as JSON lines.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the events as JSON lines, and nothing else.")]


def demo(speed: Speed = 1.0, save: Save = None, as_json: Json = False) -> None:
    """Play a recorded conference through a real Kafka, registry and worker, and show the events as they come.

    Uses the servers that the environment names, else those of `up`, else starts its own (the first time it downloads
    200 MB); topics and group are its own, and are removed at the end. The events are compared with an
    offline replay of the same signals. Exit codes: 0 they are the same, 1 they are not or the worker died, 2 no
    servers could be had, 130 after Ctrl-C, 143 after SIGTERM.

    [dim]$ conference-pipeline demo
    $ conference-pipeline demo --speed 3 --json | jq -c '[.meta.sequence, .event]'[/dim]
    """
    from pipeline.cli.demo_run import DemoError, Screen, play

    screen = Screen(as_json)
    with _orderly() as number, contextlib.ExitStack() as closing:
        try:
            found = _servers(closing, screen)
            with kafka_errors(found):
                _topics(closing, found, screen)
                play(found, screen, speed, save)
            if not as_json:
                typer.echo(NEXT)
        except DemoError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            screen.progress("stopped")
            raise typer.Exit(128 + (number[0] if number else signal.SIGINT)) from None
        finally:
            _deaf()  # nothing interrupts the cleaning up, which `closing` does now


@contextlib.contextmanager
def _orderly() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP do what Ctrl-C does; the list then holds the signal's number."""
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    handlers = {number: signal.signal(number, interrupt) for number in SIGNALS}
    # A shell's `&` and nohup have SIGINT ignored: then nothing would be interrupted.
    handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _deaf() -> None:
    for number in (signal.SIGINT, *SIGNALS):
        signal.signal(number, signal.SIG_IGN)


# --- servers -------------------------------------------------------------------------------------------------


def _servers(closing: contextlib.ExitStack, screen: Screen) -> Settings:
    """Settings of this run: servers that answer, a prefix and a group that nobody else has."""
    from pipeline.settings import load

    run = f"demo-{secrets.token_hex(3)}"
    own: dict[str, Any] = {"topic_prefix": run, "group_id": run, "partitions": PARTITIONS}
    named = load(**own, watchdog_seconds=10.0, watchdog_mode="dispatch", transactional_id="")
    if named.bootstrap_servers and named.registry_url:
        screen.progress(
            f"using Kafka at {named.bootstrap_servers} and the registry at {named.registry_shown}"
        )
        return named
    from pipeline.devstack import Stack, terminal_progress

    status = Stack().status()
    if status.state == "running":
        screen.progress("using the servers that `conference-pipeline up` started")
    else:
        stack = _own_stack(
            closing, nodes=0 if named.bootstrap_servers else 1, registry=not named.registry_url
        )
        closing.callback(_down, stack, screen)
        with terminal_progress() as progress:
            status = stack.up(progress)
    return named.model_copy(
        update={
            "bootstrap_servers": named.bootstrap_servers or status.bootstrap_servers,
            "registry_url": named.registry_url or status.schema_registry_url,
        }
    )


def _own_stack(closing: contextlib.ExitStack, *, nodes: int, registry: bool) -> Stack:
    """A stack that is gone after this run: `demo`, and under another name while another demo has that one."""
    from pipeline.devstack import Stack
    from pipeline.devstack.cache import cache_dir, make_dir

    path = make_dir(cache_dir()) / "demo.running"
    lock = closing.enter_context(path.open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Stack(f"demo-{os.getpid()}", nodes=nodes, registry=registry)
    Stack("demo").down()  # what a demo that was killed left behind
    return Stack("demo", nodes=nodes, registry=registry)


def _down(stack: Stack, screen: Screen) -> None:
    screen.progress("stopping Kafka and the registry")
    stack.down()


# --- topics and schemas --------------------------------------------------------------------------------------


def _topics(closing: contextlib.ExitStack, found: Settings, screen: Screen) -> None:
    from pipeline.admin.setup import setup

    screen.progress("creating topics, registering schemas")
    closing.callback(_remove, found)
    differences = asyncio.run(setup(found, lambda _: None))
    if differences:
        raise ConfigError("; ".join(differences))


def _remove(found: Settings) -> None:
    from aiokafka.errors import KafkaError

    with contextlib.suppress(KafkaError, PipelineError, OSError, TimeoutError):
        asyncio.run(asyncio.wait_for(_remove_all(found), 20))
        return
    print(f"topics and schemas of {found.topic_prefix}.* could not all be removed", file=sys.stderr)


async def _remove_all(found: Settings) -> None:
    """Servers that outlive this run get nothing of it to keep; the group, without members, expires by itself."""
    from aiokafka.admin import AIOKafkaAdminClient

    from pipeline.kafka.schema_registry import Registry
    from pipeline.topics import TOPICS

    admin = AIOKafkaAdminClient(**found.kafka())
    await admin.start()
    try:
        await admin.delete_topics([topic.full_name(found.topic_prefix) for topic in TOPICS])
    finally:
        await admin.close()
    async with Registry(found) as registry:
        subjects = [subject for topic in TOPICS for subject in topic.subjects(found.topic_prefix)]
        await asyncio.gather(*(registry.delete(subject) for subject in subjects))
