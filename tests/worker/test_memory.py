"""Freed memory stays in the process."""

from __future__ import annotations

import platform
import subprocess
import sys

from pipeline.worker import memory

UNITS = """
import resource
from pipeline.worker import memory
{first}
for unit in range(12):
    if unit == 2:  # the heap has grown by then
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    batches = [b"x" * (900_000 + 1000 * number) for number in range(30)]
    del batches
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_a_freed_unit_is_reused() -> None:
    """27 MB are 6,600 pages. Without glibc the call does nothing."""
    if platform.libc_ver()[0] != "glibc":
        memory.keep_heap()
        return

    def faults(first: str) -> int:
        command = [sys.executable, "-c", UNITS.format(first=first)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("") > 10 * 1000 > faults("memory.keep_heap()") * 10
