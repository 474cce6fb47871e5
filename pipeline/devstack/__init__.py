"""The local stack: a Kafka broker and a schema registry as processes on this machine (contract §7).

    from pipeline.devstack import Stack

    stack = Stack("mine")
    status = stack.up()               # downloads 200 MB once, then takes 4 s; restarts servers that died
    status.bootstrap_servers          # '127.0.0.1:23456'
    status.schema_registry_url        # 'http://127.0.0.1:23457/apis/ccompat/v7'
    stack.down()                      # stops both, deletes data, logs and state

Calls block: inside an event loop use `await asyncio.to_thread(stack.up)`. Needs the extra `local`,
which brings a Java runtime; Docker is not used.
"""

from __future__ import annotations

from pipeline.devstack.progress import Progress, terminal_progress
from pipeline.devstack.stack import ProcessStatus, Stack, StackStatus, Urls, resolve

__all__ = ["ProcessStatus", "Progress", "Stack", "StackStatus", "Urls", "resolve", "terminal_progress"]
