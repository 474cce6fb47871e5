"""A real Kafka broker and a real schema registry on this machine, from pip-installable parts alone (contract §7).

    from pipeline.devstack import Stack

    stack = Stack("mine")
    status = stack.up()               # downloads once (200 MB), then 4 s; idempotent; restarts what died
    status.bootstrap_servers          # '127.0.0.1:23456'
    status.schema_registry_url        # 'http://127.0.0.1:23457/apis/ccompat/v7'
    stack.down()                      # stops both, removes data, logs and state

Calls block: inside an event loop use `await asyncio.to_thread(stack.up)`. Needs the extra `local`.
"""

from __future__ import annotations

from pipeline.devstack.progress import Progress, terminal_progress
from pipeline.devstack.stack import ProcessStatus, Stack, StackStatus
from pipeline.devstack.urls import Urls, resolve

__all__ = ["ProcessStatus", "Progress", "Stack", "StackStatus", "Urls", "resolve", "terminal_progress"]
