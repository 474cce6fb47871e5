"""Keep freed memory in the process for reuse.

A unit under load is about 30 MB of batches of up to 900 KB each. By default glibc takes each block of that size
from the kernel, which zeroes its pages, and returns it when it is freed; it also trims the end of the heap.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

HEAP: Final = ((-3, 32 << 20), (-1, 128 << 20))
"""Parameters of mallopt(3), in bytes: M_MMAP_THRESHOLD, the size from which glibc maps a block by itself (32 MiB is its
maximum), and M_TRIM_THRESHOLD, the free space at the end of the heap that is kept."""


def keep_heap() -> None:
    """Keep freed memory for later allocations. Does nothing where the C library has no mallopt(3)."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in HEAP:
            mallopt(parameter, value)
