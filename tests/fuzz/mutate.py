"""Mutations of valid bytes: bits, lengths, cuts, splices, repetitions, growth, and the structure of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from pipeline.model.avro import long

MIB = 1 << 20
KEPT = 64
"""Mutants that parsed without error and are mutated further."""
KEPT_SIZE = 1 << 14
LONG_ONE_IN = 100
"""One mutant in LONG_ONE_IN is grown to hundreds of KiB; parsing it costs as much as a hundred others."""
NUMBERS = [
    0,
    1,
    2,
    63,
    64,
    127,
    128,
    129,
    255,
    256,
    1023,
    1024,
    1025,
    4096,
    4097,
    8191,
    8192,
    65536,
    10**6,
    2**20,
]
NUMBERS += [2**31 - 1, 2**31, 2**32, 2**53, 2**60, 2**62, 2**63 - 1]
VARINTS = [long(sign * n) for n in NUMBERS for sign in (1, -1)]
VARINTS += [b"\x80", b"\xff" * 9 + b"\1", b"\xff" * 11, b"\x80\x80\0"]
WORDS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"1e999", b"-0", b"1.0", b"NaN", b"\\u0000",
    b"\\ud800", b"\\ud83d\\ude00", b"\xff", b"\xed\xa0\x80", b"\xc3", "😀".encode(), b"\xe2\x80\xa8", b"\0", b"\n",
    b" ", b'{"":', b"[[", b'"type":', b'"occurred_at":"2026-01-01T00:00:00Z",', b"https://", b"\x7f", b"9" * 40,
]  # fmt: skip
TIMES = [
    "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+00:01", "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00." + "1" * 30 + "Z", "2026-01-01T00:00:00", "2026-01-01t00:00:00.5-23:59", "", "x" * 300,
]  # fmt: skip
PLAIN: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, 2**31, 2**63, 2**64, 10**40, "", "a", "\0", "😀" * 255, "é" * 256,
    "x" * 3000, [], {}, [[]], [None], [""] * 128, ["http://x"] * 129, ["a"] * 1025, [{}] * 50, {"a": {"a": []}},
    "conference.play", "play.failed", "member.joined", "record", "array", "https://x", *TIMES,
]  # fmt: skip


class Mutator:
    """Generates mutants of one target's seeds; the same random seed gives the same mutants."""

    def __init__(self, seeds: list[bytes], random: Random, text: bool) -> None:
        self._seeds, self._random = seeds, random
        self._pool = list(seeds)
        self._trees = [json.loads(seed) for seed in seeds] if text else []
        self._bytes: list[Callable[[bytearray], None]] = [
            self._bit, self._byte, self._word, self._number, self._cut, self._drop, self._copy, self._splice, self._repeat,
        ]  # fmt: skip

    def mutant(self) -> bytes:
        """Return the next mutant, of at most 1 MiB plus one byte."""
        chance = self._random.random
        if self._trees and chance() < 0.4:
            data = bytearray(self._tree())
            if chance() < 0.7:
                return bytes(data)
        else:
            data = bytearray(self._pool[int(chance() * len(self._pool))])
        self.change(data)
        if chance() * LONG_ONE_IN < 1:
            self._grow(data)
        return bytes(data[: MIB + 1])

    def change(self, data: bytearray) -> None:
        """Change some bytes."""
        chance = self._random.random
        for _ in range(1 + int(chance() ** 3 * 6)):
            self._bytes[int(chance() * len(self._bytes))](data)

    def keep(self, data: bytes) -> None:
        """Add a mutant that parsed without error to the pool, with a probability of 2 %."""
        if len(data) > KEPT_SIZE or self._random.random() > 0.02:
            return
        if len(self._pool) < len(self._seeds) + KEPT:
            self._pool.append(data)
        else:
            self._pool[len(self._seeds) + int(self._random.random() * KEPT)] = data

    def _at(self, data: bytearray) -> int:
        return int(self._random.random() * (len(data) + 1))

    def _size(self, most: int) -> int:
        return 1 + int(self._random.random() ** 4 * most)

    def _bit(self, data: bytearray) -> None:
        if data:
            data[int(self._random.random() * len(data))] ^= 1 << self._random.getrandbits(3)

    def _byte(self, data: bytearray) -> None:
        at = self._at(data)
        data[at : at + self._random.getrandbits(1)] = self._random.randbytes(self._size(12))

    def _word(self, data: bytearray) -> None:
        at = self._at(data)
        data[at : at + self._size(8) - 1] = self._random.choice(WORDS)

    def _number(self, data: bytearray) -> None:
        """Overwrite a length, a count or a number."""
        at = self._at(data)
        data[at : at + self._random.getrandbits(2)] = self._random.choice(VARINTS)

    def _cut(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _drop(self, data: bytearray) -> None:
        at = self._at(data)
        del data[at : at + self._size(200)]

    def _copy(self, data: bytearray) -> None:
        begin, at = self._at(data), self._at(data)
        data[at:at] = data[begin : begin + self._size(300)]

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._pool)
        data[self._at(data) :] = other[int(self._random.random() * (len(other) + 1)) :]

    def _repeat(self, data: bytearray) -> None:
        begin = self._at(data)
        chunk = bytes(data[begin : begin + self._size(60)])
        at = begin if self._random.getrandbits(1) else self._at(data)
        data[at:at] = chunk * self._size(200)

    def _grow(self, data: bytearray) -> None:
        """Repeat a part of the data, or a word, until it is long."""
        begin = self._at(data)
        piece = bytes(data[begin : begin + self._size(400)])
        if self._random.getrandbits(1) or not piece:
            piece = self._random.choice(WORDS + VARINTS)
        room = max(0, int(MIB * self._random.random() ** 0.5) - len(data))
        at = self._at(data)
        data[at:at] = piece * (room // len(piece))
        if self._random.getrandbits(1):  # with the matching count
            data[at:at] = long(room // len(piece))

    def _tree(self) -> bytes:
        """Return JSON with changed values, keys and nesting, escaped or not."""
        random = self._random
        tree = random.choice(self._trees)
        for _ in range(self._size(4)):
            tree = self._changed(tree, 0)
        text = json.dumps(tree, ensure_ascii=bool(random.getrandbits(1)), separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass")

    def _changed(self, node: Any, depth: int) -> Any:
        """Return a copy with one change."""
        random = self._random
        if isinstance(node, dict) and node and depth < 6 and random.random() < 0.9:
            return self._changed_object(node, depth)
        if isinstance(node, list) and node and depth < 6 and random.random() < 0.8:
            at = int(random.random() * len(node))
            if random.getrandbits(2) == 0:
                return node[:at] + node[at : at + 1] * self._size(40) + node[at + 1 :]
            return [*node[:at], self._changed(node[at], depth + 1), *node[at + 1 :]]
        if isinstance(node, str) and random.getrandbits(1):
            at = int(random.random() * (len(node) + 1))
            return node[:at] + random.choice(("\0", "é", "😀", "\ud800", "\u2028", " ", "/", "-", "9")) + node[at:]
        if random.random() < 0.1:
            for _ in range(self._size(90)):
                node = [node] if random.getrandbits(1) else {"a": node}
            return node
        return random.choice(PLAIN)

    def _changed_object(self, node: dict[str, Any], depth: int) -> dict[str, Any]:
        random = self._random
        key = random.choice(list(node))
        chance = random.random()
        if chance < 0.1:
            return {name: value for name, value in node.items() if name != key}
        if chance < 0.2:
            other = random.choice(self._trees)
            other = other if isinstance(other, dict) and other else {"x": None}
            name = random.choice(list(other))
            return {**node, name: other[name]}
        if chance < 0.25:
            return {(key + "x" if name == key else name): value for name, value in node.items()}
        return {**node, key: self._changed(node[key], depth + 1)}
