"""The worker's memory: huge pages for it, and no page of it given back that is taken again a moment later.

Huge pages are for hosts that grant them to whoever asks (`madvise`, what most Linux come with). Rooms are many small
objects, and signals meet them in no order: with pages of 4 KiB the processor walks the page table for most of them.
The kernel gives whoever asks pages of 2 MiB, and makes them of what is already in use (Linux >= 6.1; before, in the
background). A host that is set to `always` needs no question, one that is set to `never` is not asked.

A unit in a backlog is some 30 MB of batches of up to 900 KB each. Blocks of that size glibc takes from the kernel one
by one, which zeroes page after page of them, and gives back when they are freed, unit after unit; what is free at the
end of its heap, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import mmap
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

SECONDS: Final = 5.0
"""How often we look whether memory has grown."""
GROWN: Final = 16 << 20
"""By how many bytes, and at least by a quarter, before we ask again."""
PAUSES: Final = 10
"""How many times as long as a page took we wait before the next one. The kernel copies what is in it, and whoever
takes new memory meanwhile waits: 200 MB at once took it most of a second, and a worker near its maximum a quarter of a
minute to make up for."""
HEAP: Final = ((-3, 32 << 20), (-1, 128 << 20))
"""mallopt(3): M_MMAP_THRESHOLD, the size from which a block is taken from the kernel by itself (glibc takes no more
than this), and M_TRIM_THRESHOLD, how much may be free at the end of the heap; both in bytes."""
_ADVICE: Final = 14, 25
"""MADV_HUGEPAGE: the mapping may have huge pages. MADV_COLLAPSE: make them now (madvise(2))."""
POLICY: Final = Path("/sys/kernel/mm/transparent_hugepage")
_PROCESS: Final = Path("/proc/self")
_KIB: Final = 1024
_PAGE: Final = mmap.PAGESIZE


class Mapping(NamedTuple):
    """A mapping of the process's own memory: no file, no stack. Addresses and sizes are in bytes."""

    start: int
    end: int
    resident: int
    huge: int
    """How much of what is resident is in huge pages already."""

    def worth(self, size: int) -> bool:
        """Whether huge pages of `size` are made of it: memory that is mostly in use, so that it hardly gets more."""
        return self.resident * 4 >= (self.end - self.start) * 3 and self.resident - self.huge >= size


def keep_heap() -> None:
    """Keep freed memory for what comes next. Nothing where the C library has no such knobs."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in HEAP:
            mallopt(parameter, value)


async def keep_huge() -> None:
    """Ask whenever memory has grown; until cancelled. Returns where there is nothing to ask for, or no way to."""
    size, asked_at = granted(POLICY), 0
    with contextlib.suppress(OSError):  # a worker runs without
        while size:
            resident = int((_PROCESS / "statm").read_text().split()[1]) * _PAGE
            grown = resident - asked_at
            if abs(grown) >= max(GROWN, asked_at // 4):
                asked_at = resident
                if grown > 0:
                    await ask(size)
            await asyncio.sleep(SECONDS)


def granted(policy: Path) -> int:
    """The size (bytes) of the huge pages that the host grants on request; 0 if it does not."""
    try:
        if "[madvise]" not in (policy / "enabled").read_text():
            return 0
        return int((policy / "hpage_pmd_size").read_text())
    except OSError:  # no Linux, or one without
        return 0


async def ask(size: int) -> None:
    """Ask for all memory that is worth it, a page at a time. An answer of no costs nothing but time."""
    for start, end in await asyncio.to_thread(_worth, size):
        for page in range(start, end, size):
            began = time.monotonic()
            await asyncio.to_thread(_madvise, page, size)
            await asyncio.sleep((time.monotonic() - began) * PAUSES)


def _worth(size: int) -> list[tuple[int, int]]:
    """Where memory begins and ends that is worth it, in whole pages of `size`."""
    found = [one for one in mappings((_PROCESS / "smaps").read_text()) if one.worth(size)]
    return [(-(-one.start // size) * size, one.end // size * size) for one in found]


def _madvise(start: int, size: int) -> None:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for advice in _ADVICE:
        madvise(start, size, advice)


_MAPPING: Final = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\])?\n"
    r"(?:(?!Rss:).+\n)*Rss: +(?P<resident>\d+) kB\n"
    r"(?:(?!AnonHugePages:).+\n)*AnonHugePages: +(?P<huge>\d+) kB\n",
    re.MULTILINE,
)


def mappings(smaps: str) -> Iterator[Mapping]:
    """Those in the text of /proc/self/smaps (proc_pid_smaps(5))."""
    for found in _MAPPING.finditer(smaps):
        start, end, resident, huge = found.groups()
        yield Mapping(int(start, 16), int(end, 16), int(resident) * _KIB, int(huge) * _KIB)
