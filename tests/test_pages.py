"""The worker's memory: what is asked for and kept, and that a host that grants huge pages makes them."""

from __future__ import annotations

import asyncio
import mmap
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.worker import pages

MIB = 1 << 20
SMAPS = """\
55d0c9a00000-55d0c9c00000 r-xp 00000000 fe:00 247742                     /usr/bin/python3
Rss:                2048 kB
AnonHugePages:         0 kB
55d0ca400000-55d0cb000000 rw-p 00000000 00:00 0                          [heap]
Size:              12288 kB
Rss:               12000 kB
Pss:               12000 kB
AnonHugePages:      4096 kB
VmFlags: rd wr mr mw me ac
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
Size:               8192 kB
Rss:                  64 kB
AnonHugePages:         0 kB
7f0001000000-7f0001800000 rw-s 00000000 00:01 77                         /dev/shm/x
Rss:                8192 kB
AnonHugePages:         0 kB
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
Rss:                4096 kB
AnonHugePages:         0 kB
"""


def huge() -> int:
    """Bytes of this process in huge pages."""
    return sum(each.huge for each in pages.mappings(Path("/proc/self/smaps").read_text()))


def test_mappings_are_the_memory_of_the_process_alone() -> None:
    """No code, no file, nothing shared, no stack; and of a thread's stack, hardly anything is in use."""
    heap, thread = pages.mappings(SMAPS)
    assert heap == (0x55D0CA400000, 0x55D0CB000000, 12000 * 1024, 4 * MIB)
    assert heap.worth(2 * MIB)
    assert not heap.worth(8 * MIB)  # less than that is left in small pages
    assert not thread.worth(2 * MIB)


@pytest.mark.parametrize(
    ("enabled", "size"),
    [("always [madvise] never", 2 * MIB), ("[always] madvise never", 0), ("always madvise [never]", 0)],
)
def test_only_a_host_that_wants_to_be_asked_is(tmp_path: Path, enabled: str, size: int) -> None:
    """`always` needs no question, and `never` is the operator's word."""
    (tmp_path / "enabled").write_text(enabled)
    (tmp_path / "hpage_pmd_size").write_text(f"{2 * MIB}\n")
    assert pages.granted(tmp_path) == size
    assert pages.granted(tmp_path / "none") == 0


async def test_a_worker_that_cannot_look_runs_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task ends, and does not take the worker with it."""
    (tmp_path / "enabled").write_text("[madvise]")
    (tmp_path / "hpage_pmd_size").write_text(str(2 * MIB))
    monkeypatch.setattr(pages, "POLICY", tmp_path)
    monkeypatch.setattr(pages, "_PROCESS", tmp_path / "none")
    await asyncio.wait_for(pages.keep_huge(), 5)


async def test_memory_in_use_gets_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process; on a host that grants none, the task has nothing to do and ends."""
    monkeypatch.setattr(pages, "SECONDS", 0.01)
    if not pages.granted(pages.POLICY):
        await asyncio.wait_for(pages.keep_huge(), 5)
        return
    with mmap.mmap(-1, 16 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"x" * len(memory))
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        before = huge()
        task = asyncio.create_task(pages.keep_huge())
        async with asyncio.timeout(30):
            while huge() <= before:
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        assert memory[:] == b"x" * len(memory)


class Process:
    """/proc/self of a process that is of these sizes (MiB), one after another; then it can't be read any more."""

    def __init__(self, *sizes: int) -> None:
        self._left = list(sizes)
        self.size = 0

    def __truediv__(self, name: str) -> Process:
        assert name == "statm"
        return self

    def read_text(self) -> str:
        if not self._left:
            raise OSError
        self.size = self._left.pop(0)
        return f"0 {self.size * MIB // mmap.PAGESIZE} 0 0 0 0 0\n"


async def test_it_asks_when_memory_has_grown_by_a_quarter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not each time that a worker takes for a moment what it gave back: each question costs milliseconds."""
    (tmp_path / "enabled").write_text("[madvise]")
    (tmp_path / "hpage_pmd_size").write_text(str(2 * MIB))
    process, asked = Process(75, 85, 95, 110, 60, 70, 77, 90), list[int]()
    monkeypatch.setattr(pages, "POLICY", tmp_path)
    monkeypatch.setattr(pages, "_PROCESS", process)
    monkeypatch.setattr(pages, "SECONDS", 0)

    async def ask(_size: int) -> None:
        asked.append(process.size)

    monkeypatch.setattr(pages, "ask", ask)
    await asyncio.wait_for(pages.keep_huge(), 5)
    assert asked == [75, 95, 77]


UNITS = """
import resource
from pipeline.worker import pages
{first}
for unit in range(12):
    if unit == 2:  # the heap has grown by then
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    batches = [b"x" * (900_000 + 1000 * number) for number in range(30)]
    del batches
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_a_unit_is_not_taken_from_the_kernel_anew() -> None:
    """27 MB are 6,600 pages. Where the C library has no such knobs, nothing happens."""
    if platform.libc_ver()[0] != "glibc":
        pages.keep_heap()
        return

    def faults(first: str) -> int:
        command = [sys.executable, "-c", UNITS.format(first=first)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("") > 10 * 1000 > faults("pages.keep_heap()") * 10
