"""Throughput of one worker on JSON signals: the load of the comparison with peers, as JSON instead of Avro.

    make compile && python -m benchmarks.json_in [--signals 600000] [--warm-up 300000] [--rounds 3]

The input topics are filled once, on a separate broker. Each run is one worker with a new group on the whole backlog,
measured from the end of the warm-up until all events are written. Compiled and uncompiled runs alternate.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers import throughput
from benchmarks.peers.contestants import Running, contestants
from benchmarks.peers.load import Load, fill
from benchmarks.peers.rooms import Codec
from benchmarks.peers.workspace import Workspace, servers
from pipeline.model.codec import signal_json
from pipeline.model.decoders import SignalDecoder
from pipeline.model.wire import SCHEMAS


class JsonLoad:
    """The signals of `load` as JSON."""

    def __init__(self, load: Load, ids: dict[str, int]) -> None:
        self._load, self.lives = load, load.lives
        self._decoder = SignalDecoder()
        for name, schema_id in ids.items():
            if name.startswith("conference.signal."):
                self._decoder.learn(schema_id, SCHEMAS[name])

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        for topic, key, value in self._load:
            yield topic, key, signal_json(self._decoder.decode(value))


def main() -> int:
    """Fill the topics, measure, and print a line per contestant."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.json_in",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Callable[..., Any] = parser.add_argument
    add("--signals", type=int, default=600_000, help="signals measured (%(default)s)")
    add("--warm-up", type=int, default=300_000, help="signals before them (%(default)s)")
    add("--rounds", type=int, default=3, help="runs of each contestant (%(default)s)")
    given = parser.parse_args()
    pipelines = [one for one in contestants([], 0, 0) if one.name in {"ours", "ours-2", "ours-source"}]
    rates: dict[str, list[float]] = {one.title: [] for one in pipelines}
    with tempfile.TemporaryDirectory() as folder, servers() as running:
        workspace = Workspace(running)
        workspace.set_up()
        load = JsonLoad(Load(Codec(workspace.ids), workspace.prefix, 20_000), workspace.ids)
        fill(running.bootstrap, load, given.warm_up + given.signals, lambda text: print(text, file=sys.stderr))
        for _ in range(given.rounds):
            for one in pipelines:
                workspace.empty_outputs()
                with Running(one, workspace, Path(folder)) as worker:
                    before = throughput.reach(workspace, worker, given.warm_up)
                    after = throughput.reach(workspace, worker, given.warm_up + given.signals)
                rate = given.signals / (after.at - before.at)
                rates[one.title].append(rate)
                cost = (after.worker - before.worker) / given.signals * 1e6
                print(f"{one.title}: {rate:,.0f} signals/s, {cost:.1f} µs of CPU per signal", flush=True)
    for title, found in rates.items():
        print(f"{title}: median {statistics.median(found):,.0f}/s ({min(found):,.0f}–{max(found):,.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
