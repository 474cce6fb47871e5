"""The chart of a run as SVG: signals per second, CPU per signal, latency by rate."""

from __future__ import annotations

import math
import statistics
from html import escape
from typing import Final

from benchmarks.peers.contestants import Contestant
from benchmarks.peers.latency import Latency, middle, steady
from benchmarks.peers.report import by_name, by_rate
from benchmarks.peers.throughput import Throughput

COLOURS: Final = (
    "#0b6e4f", "#4f9d7e", "#9cc5a1", "#b5541c", "#e08e5b", "#d98e04", "#3b5b92", "#8b3a62", "#6b6b6b"
)  # fmt: skip
WIDTH, ROW, LEFT, BAR = 960, 26, 280, 520


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _bars(top: float, title: str, bars: list[tuple[str, list[tuple[float, float]], str]]) -> list[str]:
    """Draw rows of (label, [(value, opacity)], figures) as bars stacked from the left."""
    out = [_text(20, top, title, 'font-weight="bold"')]
    most = max((sum(value for value, _ in parts) for _, parts, _ in bars), default=1) or 1
    for row, (label, parts, figures) in enumerate(bars):
        y, x = top + 12 + row * ROW, float(LEFT)
        out.append(_text(LEFT - 8, y + 15, label, 'text-anchor="end"'))
        for value, opacity in parts:
            size = value / most * BAR
            colour = COLOURS[row % len(COLOURS)]
            out.append(
                f'<rect x="{x:.1f}" y="{y}" width="{size:.1f}" height="20" fill="{colour}" opacity="{opacity}"/>'
            )
            x += size
        out.append(_text(x + 6, y + 15, figures))
    return out


def _lines(top: float, contestants: list[Contestant], runs: list[Latency]) -> list[str]:
    """Draw p50 (solid) and p99 (dashed) by rate, both axes logarithmic."""
    out = [_text(20, top, "latency, append to visible, ms: p50 solid, p99 dashed", 'font-weight="bold"')]
    shown = [middle(good) for mine in by_rate(runs) if (good := steady(mine))]
    if not shown:
        return out
    low, high = (pick(math.log10(run.rate) for run in shown) for pick in (min, max))
    ends = [math.log10(max(value or 1, 1)) for run in shown for value in (run.p50, run.p99)]
    floor, roof = math.floor(min(ends)), max(math.ceil(max(ends)), math.floor(min(ends)) + 1)

    def place(rate: float, value: float) -> tuple[float, float]:
        across = (math.log10(rate) - low) / ((high - low) or 1)
        return LEFT + across * BAR, top + 220 - (math.log10(max(value, 1)) - floor) / (roof - floor) * 190

    for power in range(floor, roof + 1):
        y = place(10**low, 10**power)[1]
        out.append(f'<path d="M{LEFT} {y:.1f}h{BAR}" stroke="#ccc"/>')
        out.append(_text(LEFT - 8, y + 4, f"{10**power:,}", 'text-anchor="end"'))
    out += [
        _text(place(rate, 1)[0], top + 240, f"{rate:,.0f}/s", 'text-anchor="middle"')
        for rate in sorted({run.rate for run in shown if not run.nominal})
    ]
    for number, one in enumerate(contestants):
        mine = sorted((run for run in shown if run.contestant == one.name), key=lambda run: run.rate)
        for which, dash in (("p50", ""), ("p99", 'stroke-dasharray="5 4"')):
            points = " ".join("{:.1f},{:.1f}".format(*place(run.rate, getattr(run, which))) for run in mine)
            colour = COLOURS[number % len(COLOURS)]
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" {dash}/>')
    return out


def draw(contestants: list[Contestant], runs: list[Throughput], latencies: list[Latency]) -> str:
    """Return the chart; each contestant has the same colour in all three parts."""
    found = by_name(runs)
    speed, cost = [], []
    for one in contestants:
        mine = found.get(one.name, [])
        k, worker, broker = (
            statistics.median([getattr(run, what) for run in mine] or [0.0])
            for what in ("k_per_s", "worker_us", "broker_us")
        )
        speed.append((one.title, [(k, 1.0)], f"{k:,.1f}"))
        cost.append((one.title, [(worker, 1.0), (broker, 0.45)], f"{worker:,.1f} + {broker:,.1f}"))
    part = 50 + len(contestants) * ROW
    body = _bars(30, "k signals/s, from a backlog (median)", speed)
    body += _bars(30 + part, "CPU per signal, µs: contestant + broker (median)", cost)
    body += _lines(30 + 2 * part, contestants, latencies)
    height = 30 + 2 * part + 270
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )
