"""Numba kernels of what a sweep measures on request: figures by regime, sums of daily returns by block."""

from __future__ import annotations

import numpy as np

from quantlab.backtest.compose_kernels import daily_returns
from quantlab.backtest.exposure_kernels import bars_of_rest, last_bar_of, share_of_equity, terms
from quantlab.backtest.record import (
    BARS,
    DECISION,
    OPEN,
    PART_BAR,
    REASON,
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
def block_sums(extra, market, rules, memo, taken, returns, out):
    """Write `BLOCK_SUMS` of every block of days, one after the other, into `out`.

    Parameters
    ----------
    extra : Extra
    returns : float array (n_days,)
        Work space.
    """
    day_edges = extra.day_edges
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
        daily, day, days, changed, begin, stop, size, share, way = terms(
            market, rules, memo.cold, memo.g, slot
        )
        for j in range(days + 1):
            while day_edges[s + 1] <= day + j:
                s += 1
            held = share_of_equity(daily, day, j, changed, size, way)
            end = last_bar_of(daily, day, j, stop)
            weight = held * (end - begin)
            if j == changed:
                weight -= share * held * bars_of_rest(daily, day, j, stop, memo.g[slot, PART_BAR])
            out[s * BLOCK_FIGURES + 2] += weight
            begin = end
