"""How the cost of a sweep grows: with bars, with entry cells, with exit cells, with trades.

    python benchmarks/scaling.py --json
    python benchmarks/scaling.py --svg docs/scaling.svg

The strategy is made so that one quantity changes at a time. A fixed number of bars, spread evenly, carries
two random marks (in the volume); a cell enters where both reach its thresholds, half of them long. Stops and
targets are a few bars away whatever the number of bars. So **bars at the same trades** thins the same signals
over more bars: over a longer history of hours, and over the same history in finer bars. Every sweep is
candles to surface with all metrics; the least of the repeats on the wall and of the CPU, since other work on
the machine only ever adds; kernels warm. `--stages` adds the same three stages for the reference grids of the
library: signals, distinct entry rows, trades and metrics.
"""

from __future__ import annotations

import argparse
import json
import os
from html import escape
from pathlib import Path

import numpy as np
from common import candles, timed

import quantlab as ql
from quantlab.backtest.engine import prepare
from quantlab.backtest.sweep import sweep
from quantlab.figures.colours import GAIN, INK, LOSS, MUTED, PAPER, RULE
from quantlab.figures.template import FONT
from quantlab.market.candles import Candles
from quantlab.market.synthetic import iid
from quantlab.signals import Columns, Signals, all_of, find_strategy
from quantlab.space import Grid, Params, Space

SPACE = Space(
    ql.Float("first", 0.0, 1.0, 0.0, "fraction", "least first mark", "entry"),
    ql.Float("second", 0.0, 1.0, 0.0, "fraction", "least second mark", "entry"),
    ql.Float("stop_bars", 0.1, 100.0, 2.0, "bar moves", "stop distance", "exit"),
    ql.Float("target_bars", 0.1, 100.0, 2.0, "bar moves", "target distance", "exit"),
)
STEPS = 1_000
TIMES = (1, 2, 5, 10, 20)
FINER = {"1h": 1, "15m": 4, "5m": 12}
WIDTH, HEIGHT = 840, 620


@ql.strategy("marked_bars", SPACE, lambda p: np.asarray(1))
def signals(candles: Columns, p: Params) -> Signals:
    """Enter on marked bars whose two marks reach the thresholds."""
    mark = candles.volume
    first, second = mark // STEPS / STEPS, mark % STEPS / STEPS
    marked, up = mark > 0, np.arange(mark.size) % 2 == 0
    move = 0.6 / np.sqrt(365 * 86_400_000 / (candles.timestamps[1] - candles.timestamps[0])) * candles.close
    passed = (marked & (first >= p.first), second >= p.second)
    stop = p.stop_bars * move
    return Signals(
        long=all_of(*passed, up), short=all_of(*passed, ~up), stop=stop, target=p.target_bars * move
    )


def marked(bars: int, trades: int, timeframe: str = "1h") -> Candles:
    """A random walk on which `trades` bars are marked; the marks are the same whatever `bars`."""
    walk = iid(n_bars=bars, timeframe=timeframe, seed=1)
    drawn = np.random.default_rng(2).integers(STEPS // 2, STEPS, (2, trades))
    volume = np.zeros(bars)
    volume[np.linspace(10, bars - 100, trades).astype(int)] = drawn[0] * STEPS + drawn[1]
    prices = (walk.open, walk.high, walk.low, walk.close)
    return Candles.from_arrays("synthetic", "MARKED/USD", timeframe, walk.timestamps, *prices, volume)


def cells(first: int, second: int, stops: int, targets: int) -> Grid:
    """A grid whose cells all trade: thresholds up to 0.9 where marks reach from 0.5 to 1."""
    return find_strategy("marked_bars").grid(
        first=np.linspace(0.5, 0.9, first),
        second=np.linspace(0.5, 0.9, second),
        stop_bars=np.linspace(1.0, 3.0, stops),
        target_bars=np.linspace(1.0, 3.0, targets),
    )


def measure(market: Candles, grid: Grid, repeats: int) -> dict[str, float]:
    """Least seconds of a sweep and of its three stages, and the trades of all cells."""
    found, execution = find_strategy(grid.space.owner), ql.Execution()
    surface = sweep(found, market, grid, execution, progress=False)
    total = timed(lambda: sweep(found, market, grid, execution, progress=False), repeats)
    decided = timed(lambda: found.signals(market, grid.params()), repeats)["min_seconds"]
    prepared = timed(lambda: prepare(found, market, grid, execution), repeats)["min_seconds"]
    distinct = prepare(found, market, grid, execution).entries.rows.start.size - 1
    return {
        "seconds": total["min_seconds"],
        "cpu_seconds": total["min_cpu_seconds"],
        "signals": decided,
        "rows": prepared - decided,
        "trades_and_metrics": total["min_seconds"] - prepared,
        "cells": surface.size,
        "distinct_entry_rows": distinct,
        "trades": int(np.nansum(surface["trades"])),
    }


def series(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Every series: points with `x`, the quantity that grows, and what a sweep took."""
    bars, times = options.bars, TIMES[: options.points]
    marks = bars // 50
    runs: dict[str, list[tuple[int, Candles, Grid]]] = {
        "bars, longer history": [(bars * k, marked(bars * k, marks), cells(10, 10, 4, 4)) for k in times],
        "bars, finer bars": [
            (bars * k, marked(bars * k, marks, timeframe), cells(10, 10, 4, 4))
            for timeframe, k in list(FINER.items())[: options.points]
        ],
        "entry cells": [(100 * k, marked(2 * bars, marks), cells(10 * k, 10, 2, 2)) for k in times],
        "exit cells": [(16 * k, marked(2 * bars, marks), cells(10, 5, 4 * k, 4)) for k in times],
        "marked bars": [
            (marks * k // 2, marked(5 * bars, marks * k // 2), cells(10, 10, 4, 4)) for k in times
        ],
    }
    return {
        name: [{"x": x, **measure(market, grid, options.repeats)} for x, market, grid in points]
        for name, points in runs.items()
    }


def stages(repeats: int) -> dict[str, dict[str, float]]:
    """What the reference grids cost, stage by stage."""
    found = {}
    for bars in (5_000, 20_000):
        market = candles(bars)
        for name in ("liquidity_sweep", "sma_cross"):
            took = measure(market, ql.reference_grid(name), repeats)
            found[f"{name}, {bars:,} bars"] = {"x": bars, **took}
    return found


def growth(points: list[dict[str, float]]) -> dict[str, float]:
    """From the first point to the last: how much more there is, and how much more it costs."""
    first, last = points[0], points[-1]
    return {
        "times": last["x"] / first["x"],
        "cost": round(last["seconds"] / first["seconds"], 2),
        "cpu_cost": round(last["cpu_seconds"] / first["cpu_seconds"], 2),
        "trades": round(last["trades"] / first["trades"], 2),
        "ns_per_unit_added": (last["seconds"] - first["seconds"]) / (last["x"] - first["x"]) * 1e9,
    }


def ten_times(points: list[dict[str, float]], clock: str = "seconds") -> float | None:
    """Cost of ten times the first point over the cost of the first point; None if it was not measured."""
    there = [p for p in points if p["x"] == 10 * points[0]["x"]]
    return round(there[0][clock] / points[0][clock], 2) if there else None


def svg(found: dict[str, list[dict[str, float]]]) -> str:
    """Four panels, both axes logarithmic; the dotted line is cost in proportion."""
    panels = [
        (
            "bars, the trades stay the same",
            {n: found[n] for n in ("bars, longer history", "bars, finer bars")},
        ),
        *((name, {name: found[name]}) for name in ("entry cells", "exit cells", "marked bars")),
    ]
    every = [p["seconds"] * 1e3 for points in found.values() for p in points]
    limits = (min(every) / 1.5, max(every) * 1.5)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="{escape(FONT)}" font-size="12" fill="{INK}">',
        "<title>Cost of a sweep over bars, entry cells, exit cells and trades</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
    ]
    for i, (title, lines) in enumerate(panels):
        parts += panel(title, lines, limits, 66 + 420 * (i % 2), 46 + 300 * (i // 2))
    parts.append(text(66, HEIGHT - 16, "dotted: cost in proportion; both axes logarithmic", fill=MUTED))
    return "\n".join([*parts, "</svg>\n"])


def panel(
    title: str,
    lines: dict[str, list[dict[str, float]]],
    limits: tuple[float, float],
    left: float,
    top: float,
) -> list[str]:
    """One panel: milliseconds over the quantity that grows."""
    xs = [p["x"] for points in lines.values() for p in points]
    low_x, high_x = np.log10(min(xs)), np.log10(max(xs))
    low_y, high_y = np.log10(limits)
    width, height = 330, 210

    def at(x: float, ms: float) -> tuple[float, float]:
        across = (np.log10(x) - low_x) / (high_x - low_x)
        up = (np.log10(ms) - low_y) / (high_y - low_y)
        return left + across * width, top + height - up * height

    parts = [text(left, top - 14, title, size=14), text(left - 8, top - 14, "ms", "end", MUTED)]
    for ms in (m * 10.0**e for e in range(-3, 6) for m in (1, 3)):
        if limits[0] <= ms <= limits[1]:
            y = at(10**low_x, ms)[1]
            parts.append(line([(left, y), (left + width, y)], RULE, 1))
            parts.append(text(left - 8, y + 4, f"{ms:g}", "end", MUTED))
    for x in dict.fromkeys(p["x"] for p in next(iter(lines.values()))):
        parts.append(text(at(x, limits[0])[0], top + height + 18, f"{x:,.0f}", "middle", MUTED))
    for colour, (name, points) in zip((GAIN, LOSS), lines.items(), strict=False):
        path = [at(p["x"], p["seconds"] * 1e3) for p in points]
        first = points[0]
        end = min(points[-1]["x"], first["x"] * limits[1] / (first["seconds"] * 1e3))
        guide = [path[0], at(end, first["seconds"] * 1e3 * end / first["x"])]
        parts += [line(guide, MUTED, 1, ' stroke-dasharray="2 4"'), line(path, colour, 2)]
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in path]
        if len(lines) > 1:
            x, y = path[-1]
            parts.append(text(x, y + (-9 if colour == GAIN else 18), name.split(", ")[1], "end", colour))
    return parts


def line(points: list[tuple[float, float]], colour: str, width: float, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def text(x: float, y: float, what: str, anchor: str = "start", fill: str = INK, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">'
        f"{escape(what)}</text>"
    )


def show(point: dict[str, float]) -> None:
    parts = ", ".join(f"{s} {point[s] * 1e3:.1f}" for s in ("signals", "rows", "trades_and_metrics"))
    print(
        f"  {point['x']:>9,}  {point['seconds'] * 1e3:8.1f} ms ({parts}), {point['trades']:,} trades, "
        f"{point['distinct_entry_rows']:,} distinct entry rows"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bars", type=int, default=10_000, help="bars of the smallest market")
    parser.add_argument("--points", type=int, default=5, help="points of a series, 2 to 5")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--svg", type=Path, help="write the plot here")
    parser.add_argument("--stages", action="store_true", help="the reference grids too, stage by stage")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measure(marked(1_000, 20), cells(2, 2, 2, 2), 1)
    found = series(options)
    result = {
        "ten_times_the_bars": ten_times(found["bars, longer history"]),
        "ten_times_the_bars_cpu": ten_times(found["bars, longer history"], "cpu_seconds"),
        "growth": {name: growth(points) for name, points in found.items()},
        "series": found,
        "threads": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }
    if options.stages:
        result["stages"] = stages(options.repeats)
    if options.svg:
        options.svg.write_text(svg(found), encoding="utf-8")
    if options.json:
        print(json.dumps(result))
        return
    for name, points in found.items():
        print(f"{name}: {result['growth'][name]}")
        for point in points:
            show(point)
    for name, point in result.get("stages", {}).items():
        print(f"{name}, {point['cells']:,} cells")
        show(point)
    print(f"ten times the bars: {result['ten_times_the_bars']}; load average {result['load_average']}")


if __name__ == "__main__":
    main()
