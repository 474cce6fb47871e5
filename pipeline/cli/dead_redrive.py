"""`dead redrive`: send dead letters again, unchanged or edited."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import room_now
from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.errors import ConfigError, SignalError
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.admin.redrive import Redrive
    from pipeline.kafka.value_reader import ValueReader
    from pipeline.settings import Settings
    from pipeline.view.letters import Letter

Places = Annotated[
    list[str], typer.Argument(metavar="PARTITION/OFFSET...", help="The letters, as `dead list` names them.")
]
Edit = Annotated[bool, typer.Option("--edit", metavar="", help="Edit each signal as JSON in $EDITOR.")]
Jq = Annotated[str | None, typer.Option("--jq", metavar="EXPRESSION", help="Change each signal with the program jq.")]
Again = Annotated[bool, typer.Option("--again", metavar="", help="Also send letters that were sent again before.")]
DryRun = Annotated[bool, typer.Option("--dry-run", metavar="", help="Show what would be sent, and send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Don't ask on a terminal.")]


def redrive(
    places: Places,
    edit: Edit = False,
    jq: Jq = None,
    again: Again = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Send dead letters again, unchanged or edited.

    A letter goes to the topic of its type and to the partition that murmur2
    of its key gives, with its headers and one more, redriven-from, that
    names the letter. If it fails again, its new letter shows that history.
    An edited signal is sent as JSON; its key is its room_id.

    The age of each letter and the state of its room are shown first: an old
    signal has its effect now. Sent twice, an API signal has one effect if it
    is among the last 16 of its room; a media signal may have two. A letter
    that was sent before needs --again. Two people who send the same letter
    at the same moment are not protected from each other. Letters of batches,
    and those of which only a part is kept, can't be sent.

    Exit codes: 0 all sent, or shown with --dry-run, 1 a letter was not sent,
    2 there is no such letter, or Kafka or the registry failed.

    [dim]$ conference-pipeline dead redrive 3/17 --dry-run
    $ conference-pipeline dead redrive 3/17 --jq '.volume = 7'
    $ conference-pipeline dead redrive 3/17 3/18 --again[/dim]
    """
    from pipeline.cli.dead import letter_place

    if edit and jq is not None:
        raise typer.BadParameter("--edit and --jq exclude each other")
    wanted = [letter_place(place) for place in dict.fromkeys(places)]
    settings = server_settings()
    with kafka_errors(settings):
        plans, refused = asyncio.run(_plan(settings, wanted, edit, jq, again))
        if dry_run or not plans:
            raise typer.Exit(int(refused))
        if not yes and sys.stdin.isatty():
            typer.confirm(f"send {len(plans)} of {len(wanted)} letters?", abort=True)
        asyncio.run(_send(settings, plans))
    raise typer.Exit(int(refused))


async def _plan(
    settings: Settings, wanted: list[tuple[int, int]], edit: bool, jq: str | None, again: bool
) -> tuple[list[Redrive], bool]:
    """Show each letter; return what to send, and whether a letter can't be sent."""
    from pipeline.admin.redrive import full_place, redriven_before, refusal
    from pipeline.cli.dead import read_letter
    from pipeline.kafka.schema_registry import Registry
    from pipeline.kafka.value_reader import ValueReader
    from pipeline.model.decoders import SignalDecoder

    letters = [await read_letter(settings, number, offset) for number, offset in wanted]
    before = await redriven_before(settings, letters)
    plans: list[Redrive] = []
    async with Registry(settings) as registry:
        values = ValueReader(registry, SignalDecoder())
        for letter in letters:
            show(f"letter {letter.place}: {_age(letter)} old; {letter.reason}")
            why = refusal(letter)
            if not why and full_place(letter) in before and not again:
                why = "it was sent again before: --again sends it once more"
            if why:
                warn(f"letter {letter.place} is not sent: {why}")
                continue
            try:
                plan = await _planned(settings, letter, values, edit, jq)
            except (ConfigError, SignalError) as error:
                warn(f"letter {letter.place} is not sent: {error}")
                continue
            show(f"  room {await _room_state(settings, plan.key)}")
            show(f"  to {plan.topic}, key {plan.key.decode('utf-8', 'replace')!r}, {len(plan.value)} bytes")
            if plan.fault:
                warn(f"  it will be a dead letter again: {plan.fault}")
            plans.append(plan)
    return plans, len(plans) < len(letters)


async def _planned(settings: Settings, letter: Letter, values: ValueReader, edit: bool, jq: str | None) -> Redrive:
    """Return what to send for a letter. Raises ConfigError, SignalError, RegistryDownError."""
    from pipeline.admin.redrive import edited, run_jq, text_of, unchanged

    if not edit and jq is None:
        return await unchanged(settings, letter, values)
    text = await text_of(letter, values)
    if jq is not None:
        return edited(settings, letter, run_jq(jq, text))
    pretty = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return edited(settings, letter, _edit(f"{pretty}\n".encode("utf-8", "replace")))


def _edit(text: bytes) -> bytes:
    """Return the text as the person's editor leaves it. Raises ConfigError."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with NamedTemporaryFile(suffix=".json") as file:
        file.write(text)
        file.flush()
        try:
            code = subprocess.run([*shlex.split(editor), file.name], check=False).returncode
        except (OSError, ValueError) as error:
            raise ConfigError(f"the editor {editor!r} does not start ({error}): set EDITOR") from None
        if code:
            raise ConfigError(f"the editor {editor!r} ended with {code}")
        changed = Path(file.name).read_bytes()  # an editor may replace the file
    if changed == text:
        raise ConfigError("the editor changed nothing")
    return changed


async def _room_state(settings: Settings, key: bytes) -> str:
    room_id = key.decode("utf-8", "surrogateescape")
    async with room_now.rooms_now(settings, room_id) as state:
        return f"{room_id!r}: {room_now.text(state(room_id))}"


def _age(letter: Letter) -> str:
    seconds = max(0, int(time.time() - letter.written_at / 1e6))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


async def _send(settings: Settings, plans: list[Redrive]) -> None:
    from pipeline.admin.redrive import Sender

    async with Sender(settings) as sender:
        for plan in plans:
            show(f"letter {plan.letter.place} sent: {await sender.send(plan)}")
