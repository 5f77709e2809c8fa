"""Numba kernels of what a sweep measures on request: figures by regime, sums of daily returns by block."""

from __future__ import annotations

import numpy as np

from quantlab.backtest.compose_kernels import daily_returns
from quantlab.backtest.record import (
    AT_CLOSE,
    BARS,
    DECISION,
    ENTRY_BAR,
    OPEN,
    PART_BAR,
    PART_UNITS,
    REASON,
    SIZE,
    UNITS,
    M,
)
from quantlab.jit import inner

REGIME_FIGURES = 6
BLOCK_FIGURES = 3


@inner
def regime_figures(n_bars, regime, regimes, memo, taken, out):
    """Write `REGIME_METRICS` of every regime, one after the other, into `out`.

    A trade belongs to the regime of its decision bar, the last that was known when the order was given.
    """
    f, g = memo.f, memo.g
    for r in range(regimes):
        equity, product = 1.0, 1.0
        trades, wins, held, won, forgone, earned = 0, 0, 0, 0.0, 0.0, 0.0
        for slot in taken:
            m = f[slot, M]
            if regime[g[slot, DECISION]] == r:
                product *= m
                held += g[slot, BARS]
                if g[slot, REASON] != OPEN:
                    change = m - 1.0
                    trades += 1
                    earned += change
                    if change > 0.0:
                        wins += 1
                        won += equity * change
                    else:
                        forgone -= equity * change
            equity *= m
        row = out[r * REGIME_FIGURES : (r + 1) * REGIME_FIGURES]
        row[0], row[1], row[5] = trades, product - 1.0, held / n_bars
        row[2] = wins / trades if trades else np.nan
        row[3] = won / forgone if forgone > 0.0 else np.nan
        row[4] = earned / trades if trades else np.nan


@inner
def block_sums(extra, rules, memo, taken, returns, out):
    """Write `BLOCK_SUMS` of every block of days, one after the other, into `out`.

    Parameters
    ----------
    extra : Extra
    returns : float array (n_days,)
        Work space.
    """
    cold, g, day_edges, bar_edges = memo.cold, memo.g, extra.day_edges, extra.bar_edges
    daily_returns(memo, taken, returns)
    for s in range(day_edges.size - 1):
        total, squares = 0.0, 0.0
        for day in range(day_edges[s], day_edges[s + 1]):
            total += returns[day]
            squares += returns[day] * returns[day]
        row = out[s * BLOCK_FIGURES : (s + 1) * BLOCK_FIGURES]
        row[0], row[1], row[2] = total, squares, 0.0
    s = 0
    for slot in taken:
        first = g[slot, ENTRY_BAR] + (1 if rules[AT_CLOSE] != 0.0 else 0)
        stop = first + g[slot, BARS]
        whole = min(g[slot, PART_BAR] + 1, stop) if g[slot, PART_BAR] >= 0 else stop
        size, left = cold[slot, SIZE], cold[slot, SIZE] * (1.0 - cold[slot, PART_UNITS] / cold[slot, UNITS])
        while first < stop:
            while bar_edges[s + 1] <= first:
                s += 1
            edge = min(stop, bar_edges[s + 1])
            before = max(min(whole, edge) - first, 0)
            out[s * BLOCK_FIGURES + 2] += size * before + left * (edge - first - before)
            first = edge
