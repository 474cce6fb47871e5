"""Inputs drawn by Hypothesis: smaller and less regular than mutants, and a failing input is shrunk."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import MIB, NUMBERS, VARINTS, WORDS
from tests.fuzz.targets import Target

settings.register_profile(
    "fuzz",
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
PORTION = 200
"""Examples per run of Hypothesis, which keeps all of them in memory."""

TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('\0"\\\u2028😀'), max_size=40)
PIECES = st.sampled_from([*WORDS, *VARINTS]) | st.binary(max_size=12) | TEXT.map(str.encode)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(NUMBERS) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def _edited(draw: st.DrawFn, target: Target) -> bytes:
    data = draw(st.sampled_from(target.seeds))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 30)))
        data = data[:begin] + draw(PIECES) + data[end:]
    return data


@st.composite
def _restructured(draw: st.DrawFn, target: Target) -> bytes:
    tree = json.loads(draw(st.sampled_from(target.seeds)))
    for key, value in draw(st.dictionaries(st.sampled_from(sorted(tree)) | TEXT, JSON, min_size=1, max_size=3)).items():
        tree[key] = value
    return json.dumps(tree, ensure_ascii=draw(st.booleans())).encode()


@st.composite
def _grown(draw: st.DrawFn, target: Target) -> bytes:
    """Draw an input of up to 1 MiB."""
    data = draw(st.sampled_from(target.seeds))
    at, piece = draw(st.integers(0, len(data))), draw(PIECES) or b"\0"
    return data[:at] + piece * draw(st.integers(1, (MIB - len(data)) // len(piece))) + data[at:]


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return a strategy for the inputs of `target`."""
    usual = [_edited(target), _edited(target), st.binary(max_size=300)]
    if target.text:
        usual += [_restructured(target), _restructured(target)]
    return st.integers(0, 19).flatmap(lambda n: _grown(target) if n == 19 else st.one_of(usual))


def draw(target: Target, examples: int, number: int, one: Callable[[Target, bytes], None]) -> None:
    """Call `one` with `examples` inputs of `target`; the same `number` draws the same inputs."""
    for portion, first in enumerate(range(0, examples, PORTION)):

        @seed(f"{number}/{target.name}/{portion}")
        @settings(settings.get_profile("fuzz"), max_examples=min(PORTION, examples - first))
        @given(inputs(target))
        def run(value: bytes) -> None:
            one(target, value)

        run()
        gc.collect()  # garbage of Hypothesis holds inputs of up to 1 MiB


def warm_up() -> None:
    """Let Hypothesis build its character table, which takes 200 MiB on the first run in a checkout."""

    @settings(settings.get_profile("fuzz"), max_examples=1)
    @given(TEXT)
    def draw_one(_: str) -> None: ...

    draw_one()
