"""Completes values in a shell. What can't be found within two seconds is left out; nothing is printed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, get_args

import typer

SECONDS: Final = 2.0
MOST: Final = 100
"""Values that are offered at most."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~+=@%-]+")
"""Ids that a shell reads as one word and that can't change the terminal; others are not offered."""


def use_global_options(values: dict[str, Any]) -> None:
    """Put the options in front of a command into the environment. Raises ConfigError."""
    if values["profile"] is not None:
        from pipeline.profiles import use_profile
        from pipeline.settings import VARIABLES

        use_profile(values["profile"], os.environ, VARIABLES.values())
    servers = {name: values[name] for name in ("brokers", "registry", "prefix")}
    if any(one is not None for one in servers.values()):
        from pipeline.profiles import use_options

        use_options(os.environ, **servers)


def rooms(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of live rooms that begin with the word."""
    import asyncio
    import logging

    from pipeline.cli.shared import server_settings
    from pipeline.view.one_room import TableScan

    logging.disable(logging.CRITICAL)
    with suppress(Exception):
        use_global_options(ctx.find_root().params)
        ids = asyncio.run(asyncio.wait_for(TableScan(server_settings()).ids(), SECONDS))
        return _beginning((one for one in ids if _PLAIN.fullmatch(one)), incomplete)
    return []


def profiles(incomplete: str) -> list[str]:
    """Return the names of profiles that begin with the word."""
    from pipeline.profiles import profile_names

    with suppress(Exception):
        return _beginning(filter(_PLAIN.fullmatch, profile_names(os.environ)), incomplete)
    return []


def signal_types(incomplete: str) -> list[str]:
    """Return the signals' types that begin with the word."""
    from pipeline.model.signals import SIGNALS

    return _beginning((signal.TYPE for signal in SIGNALS), incomplete)


def signal_words(incomplete: str) -> list[str]:
    """Return the signals' types, or their last words, that begin with the word; short ones first."""
    from pipeline.model.signals import SIGNALS

    return _beginning((signal.TYPE.rpartition(".")[2] for signal in SIGNALS), incomplete) + signal_types(incomplete)


def event_types(incomplete: str) -> list[str]:
    """Return the events' types, without `conference.` unless the word begins with it."""
    from pipeline.model.events import EVENTS

    names = [event.EVENT for event in EVENTS]
    return _beginning([*names, *(name.removeprefix("conference.") for name in names)], incomplete)


def rejections(incomplete: str) -> list[str]:
    """Return the reasons of rejections that begin with the word."""
    from pipeline.core.decision import Rejection

    return _beginning(get_args(Rejection), incomplete)


def _beginning(values: Iterable[str], incomplete: str) -> list[str]:
    return sorted({one for one in values if one.startswith(incomplete)})[:MOST]
