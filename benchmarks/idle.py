"""CPU share and memory of an idle worker with 12 partitions.

    python -m benchmarks.idle [--seconds 60]

The worker is not compiled. Broker and registry run on the same machine.
"""

from __future__ import annotations

import time

from benchmarks.shared import CONSOLE, cpu_seconds, memory, parser, pipeline, servers

PARTITIONS = 12


def main() -> None:
    """Measure once and print the result."""
    options = parser(__doc__ or "", saves=False)
    options.add_argument("--seconds", type=float, default=60, help="duration (%(default)s)")
    given = options.parse_args()
    with servers() as where, pipeline(where, PARTITIONS) as pipe, pipe.worker() as worker:
        time.sleep(10)  # joining the group, the first checks
        began = time.monotonic(), cpu_seconds(worker.pid)
        time.sleep(given.seconds)
        spent, passed = cpu_seconds(worker.pid) - began[1], time.monotonic() - began[0]
        megabytes = memory(worker.pid) / 1e6
    CONSOLE.print(f"idle for {passed:.0f} s: {spent / passed * 100:.2f} % of a core, {megabytes:.1f} MB resident")


if __name__ == "__main__":
    main()
