"""The permissions of each role (pipeline/kafka/acls.py) as tables and commands, for docs/reference/security.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline.kafka import acls
from pipeline.kafka.acls import Acl
from pipeline.settings import Settings

DEFAULTS: Final = Settings.model_construct(
    topic_prefix="conference", group_id="conference-pipeline", transactional_id=""
)
GROUP: Final = "my-consumers"
ROLES: Final[dict[str, tuple[str, Callable[[], list[Acl]]]]] = {
    "worker": ("`worker`", lambda: acls.worker(DEFAULTS)),
    "setup": ("`setup`", lambda: acls.setup(DEFAULTS)),
    "doctor": ("`doctor`, in addition to those of a worker", lambda: acls.doctor(DEFAULTS)),
    "producer": ("A producer of signals, `send`", lambda: acls.producer(DEFAULTS)),
    "consumer": (f"A consumer of events in the group `{GROUP}`", lambda: acls.consumer(DEFAULTS, GROUP)),
    "viewer": ("The rooms view, `rooms`", lambda: acls.viewer(DEFAULTS)),
    "requester": (
        "`signal`, which sends one and shows its outcome",
        lambda: acls.producer(DEFAULTS) + acls.outcomes(DEFAULTS),
    ),
    "gateway": ("A gateway, `gateway`", lambda: acls.gateway(DEFAULTS)),
    "console": ("The console", lambda: acls.console(DEFAULTS)),
    "bridge": ("An engine bridge of node `n1`", lambda: acls.bridge(DEFAULTS, "conference-bridge-n1")),
}
"""User name in the examples to title and permissions."""


def rows(listed: list[Acl]) -> list[tuple[str, ...]]:
    """Return one table row per resource, with the operations on it."""
    found: dict[tuple[str, str], list[Acl]] = {}
    for acl in listed:
        kind = acl.kind.replace("-", " ") + ("s that begin with" if acl.prefixed else "")
        found.setdefault((kind, acl.name), []).append(acl)
    return [
        (
            f"{kind} `{name}`",
            ", ".join(acl.operation for acl in some),
            "; ".join(f"{acl.operation}: {acl.why}" for acl in some) if len(some) > 1 else some[0].why,
        )
        for (kind, name), some in found.items()
    ]


def sections(table: Callable[..., str]) -> str:
    """Return a section per role: a table, and the calls of `kafka-acls.sh` that add the permissions."""
    parts = []
    for user, (title, listed) in ROLES.items():
        acl = listed()
        calls = "\n".join(acls.commands(acl, f"User:{user}"))
        parts.append(f"### {title}\n\n{table(('resource', 'operations', 'what for'), *rows(acl))}\n\n```\n{calls}\n```")
    return "\n\n".join(parts)
