"""What becomes of a candidate when its data or its parameters are a little different; reported."""

from __future__ import annotations

import math

import numpy as np

from quantlab.backtest.engine import run_cell
from quantlab.backtest.plateau import find_plateau
from quantlab.backtest.surface import Cell, Surface, is_ordered
from quantlab.backtest.trades import Run
from quantlab.errors import InputError
from quantlab.market.noise import disturbed
from quantlab.signals import Strategy
from quantlab.space import Grid
from quantlab.validation.evidence import Candidate, timed
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Test

SHARE = 0.1
"""Standard deviation of the noise on prices, as a fraction of the average true range."""
DRAWS = 50
LEAST_DRAWS = 10
BARS_AT_MOST = 1_500_000
"""Bars that are decided again in all; long histories get fewer draws."""


@timed
def noise(one: Candidate, run: Run, seed: int) -> Test:
    """Share of runs with a timing t above 0 when prices are read with an error of a tenth of the ATR.

    Decisions are made on the disturbed candles, orders fill on the real ones. **The trap**: were fills
    disturbed too, every rule that buys dips would earn the noise back and look robust; and a slow rule
    passes without any edge, so this says that a find does not hang on single ticks, not that it is real.
    """
    real = float(run.metrics["timing_t"])
    if math.isnan(real):
        return Test("noise", None, None, None, "not measured: it took no trades.")
    draws = max(LEAST_DRAWS, min(DRAWS, BARS_AT_MOST // len(one.candles)))
    found = np.array([_timing_on_noise(one, np.random.default_rng([seed, k])) for k in range(draws)])
    traded = found[~np.isnan(found)]
    share = float(np.count_nonzero(traded > 0.0)) / draws
    middle = "nothing was traded" if not traded.size else f"{np.median(traded):.2f} in the middle"
    detail = (
        f"decided {draws} times on prices that are off by about {SHARE:.0%} of the ATR and filled at the "
        f"real ones, the timing t was above 0 in {share:.0%}: {middle}, {real:.2f} without noise."
    )
    return Test("noise", share, None, None, detail)


def _timing_on_noise(one: Candidate, rng: np.random.Generator) -> float:
    seen = disturbed(one.candles, rng, SHARE)
    strategy = one.strategy
    misled = Strategy(strategy.name, strategy.space, lambda _, p: strategy.signals(seen, p), strategy.warmup)
    return float(run_cell(misled, one.candles, dict(one.params), one.execution).metrics["timing_t"])


@timed
def sensitivity(surface: Surface, cell: Cell, gate: Gate) -> Test:
    """Lowest timing t one step up or down along any parameter; each step is in the text.

    **The trap**: how far a step goes is whoever laid out the grid's choice: on a grid that is fine enough
    every cell has good neighbours, noise too.
    """
    name = "sensitivity"
    if not isinstance(surface.cells, Grid):
        return Test(name, None, None, None, "not measured: a list of points has no steps.")
    here, steps = float(cell.metrics["timing_t"]), _steps(surface, surface.cells, cell)
    values = [t for _, _, t in steps if not math.isnan(t)]
    if math.isnan(here) or not values:
        return Test(name, None, None, None, "not measured: no parameter has a neighbour that traded.")
    widths = _half_widths(surface, cell, gate)
    parts = []
    for axis in dict.fromkeys(axis for axis, _, _ in steps):
        to = ", ".join(f"{t - here:+.2f} at {value:g}" for a, value, t in steps if a == axis)
        width = widths.get(axis)
        parts.append(f"{axis} {to}" + ("" if width is None else f" (holds ± {width:g})"))
    detail = (
        f"timing t {here:.2f}; one step changes it by: {'; '.join(parts)}. A rule that is real does not end "
        "at one step."
    )
    return Test(name, min(values), None, None, detail)


def _steps(surface: Surface, grid: Grid, cell: Cell) -> list[tuple[str, float, float]]:
    """Parameter, its value one step away, and the timing t there; choices have no steps."""
    found = []
    for k, (name, axis) in enumerate(grid.axes.items()):
        if not is_ordered(grid, name):
            continue
        order = np.argsort(axis)
        here = int(np.flatnonzero(order == cell.index[k])[0])
        for there in (here - 1, here + 1):
            if 0 <= there < len(axis):
                i = int(order[there])
                place = (*cell.index[:k], i, *cell.index[k + 1 :])
                if grid.allowed[place]:
                    found.append((name, float(axis[i]), float(surface["timing_t"][place])))
    return found


def _half_widths(surface: Surface, cell: Cell, gate: Gate) -> dict[str, float | None]:
    try:
        plateau = find_plateau(surface, gate.metric, gate.min_trades)
    except InputError:
        return {}
    return dict(plateau.half_width) if plateau.cell.index == cell.index else {}
