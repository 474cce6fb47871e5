"""CPU time of a join and a leave in a room of 10,000 members and in an empty room (contract §5: the same).

python benchmarks/join.py [--members 10000]
"""

from __future__ import annotations

import argparse
import time

from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.signals import ConferenceCreate, MemberJoined, MemberLeft

ROUNDS, PAIRS = 15, 2_000


def room(members: int) -> Partition:
    """Return a partition with one room of `members` members."""
    partition = Partition(Rules())
    partition.apply(ConferenceCreate("create", "room", 0, "app", "Team"), 0)
    for n in range(members):
        partition.apply(MemberJoined(f"join-{n}", "room", n, f"member-{n}", "+15551234567"), n)
    return partition


def microseconds(partition: Partition) -> float:
    """Return the CPU microseconds of one join and one leave."""
    pairs = [
        (MemberJoined(f"j{n}", "room", 1, f"new-{n}", "+1"), MemberLeft(f"l{n}", "room", 1, f"new-{n}"))
        for n in range(PAIRS)
    ]
    began = time.process_time()
    for join, leave in pairs:
        partition.apply(join, 1)
        partition.apply(leave, 1)
    return (time.process_time() - began) / PAIRS * 1e6


def main() -> None:
    """Measure both alternately and print the minimum of each and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--members", type=int, default=10_000, metavar="N", help="members of the large room (%(default)s)"
    )
    count = parser.parse_args().members
    empty, full = room(0), room(count)
    rounds = [(microseconds(empty), microseconds(full)) for _ in range(ROUNDS)]
    small, large = min(first for first, _ in rounds), min(second for _, second in rounds)
    print(f"join and leave, empty room:              {small:.2f} µs")
    print(f"join and leave, room of {count:,} members: {large:.2f} µs")
    print(f"ratio: {large / small:.2f}")


if __name__ == "__main__":
    main()
