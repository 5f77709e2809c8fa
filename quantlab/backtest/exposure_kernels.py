"""Numba kernels of exposure: signed notional over equity, at the entry and anew as each UTC day begins.

A position is a number of units, so its share of equity drifts with the price. Returns are daily, and what a
position earns over a day is its share as the day begins times the return of the market, exactly.
"""

from __future__ import annotations

from quantlab.backtest.record import (
    A2,
    AT_CLOSE,
    BARS,
    DAY,
    DAY_CLOSE,
    DAY_END,
    DAY_MARK,
    DAY_OF,
    ENTRY_BAR,
    H2,
    MARKS,
    PART_BAR,
    PART_UNITS,
    SIZE,
    UNITS,
    A,
    H,
)
from quantlab.jit import inlined


@inlined
def share_of_equity(daily, day, j, changed, size, way):
    """Exposure on day `j` of a trade entered on day `day` of the market, before what a partial target takes.

    Parameters
    ----------
    daily : float array (n_days, 3)
        As of `record.Market`.
    changed : int
        Day of the trade on which the partial target was filled; beyond its last one without.
    size : float
        Signed notional at entry over equity at entry.
    way : tuple of float
        ``a``, ``h``, ``a2``, ``h2`` of the mark, as of `trade_kernels.settle`.
    """
    if j == 0:
        return size
    d = day + j - 1
    a, h = (way[0], way[1]) if j <= changed else (way[2], way[3])
    mark = a + h * daily[d, DAY_MARK]
    return h * daily[d, DAY_CLOSE] / mark if mark > 0.0 else 0.0


@inlined
def last_bar_of(daily, day, j, stop):
    """End (exclusive) of the bars held on day `j` of a trade that is held up to bar `stop`."""
    return min(daily[day + j, DAY_END], stop)


@inlined
def bars_of_rest(daily, day, changed, stop, part_bar):
    """Bars held after the partial target on the day of its fill."""
    return max(last_bar_of(daily, day, changed, stop) - (part_bar + 1.0), 0.0)


@inlined
def exposed(daily, d, part, h):
    """Exposure on the whole day `d` of the market, summed over its bars; `part` is 1 / mark before it."""
    return h * daily[d - 1, DAY_CLOSE] * part * (daily[d, DAY_END] - daily[d - 1, DAY_END])


@inlined
def exposed_last(daily, d, part, h, stop):
    """The same of the last day of a trade that is held up to bar `stop`."""
    return h * daily[d - 1, DAY_CLOSE] * part * (stop - daily[d - 1, DAY_END])


@inlined
def exposed_rest(daily, day, changed, stop, part_bar, whole, way):
    """What the partial target takes off that sum on the day of its fill."""
    held = share_of_equity(daily, day, changed, changed, whole[0], way)
    return whole[1] * held * bars_of_rest(daily, day, changed, stop, part_bar)


@inlined
def terms(market, rules, cold, g, u):
    """What the exposure of the trade in slot `u` is made of, out of its record."""
    day, days = int(g[u, DAY]), int(g[u, MARKS])
    changed = int(market.points[g[u, PART_BAR], DAY_OF]) - day if g[u, PART_BAR] >= 0 else days + 1
    begin = int(g[u, ENTRY_BAR]) + (1 if rules[AT_CLOSE] != 0.0 else 0)
    share, way = cold[u, PART_UNITS] / cold[u, UNITS], (cold[u, A], cold[u, H], cold[u, A2], cold[u, H2])
    return market.daily, day, days, changed, begin, begin + int(g[u, BARS]), cold[u, SIZE], share, way
