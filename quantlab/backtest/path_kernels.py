"""Numba kernels of the price path: extremes of blocks, so that nothing has to step through every bar.

While a position is held its mark is an affine function of one price, the *adjusted close*: the last known
close less all funding that a unit has paid since the first bar. Its extremes over a span of bars, the first
bar that touches a level and the deepest drawdown are therefore questions to the market, not to the trade.
"""

from __future__ import annotations

import numpy as np

from quantlab.backtest.record import (
    ADJUSTED,
    BAR_HIGH,
    BAR_LOW,
    BAR_OPEN,
    BLOCK,
    BOTTOM,
    BOTTOM_ON,
    DAY_CLOSE,
    DAY_END,
    DAY_MARK,
    DAY_OF,
    GREATEST,
    HIGHEST,
    KNOWN_FROM,
    LAST,
    LEAST,
    LOWEST,
    PAID,
    PAID_OPEN,
    SHIFT,
    TOP,
    TOP_ON,
)
from quantlab.jit import inlined, inner


@inner
def lay_out(open_, high, low, close, missing, day, settles_at_open, settles_inside, rate, points, daily):
    """Fill the columns of `points` up to `PAID` and the known bars, and how each day ends."""
    n = open_.size
    last, paid = np.nan, 0.0
    for t in range(n):
        gone = missing[t]
        if last != last and not gone:
            last = open_[t]
        if settles_at_open[t] and rate != 0.0 and last == last:
            paid += rate * (last if gone else open_[t])
        points[t, PAID_OPEN] = paid
        last = last if gone else close[t]
        if settles_inside[t] > 0 and rate != 0.0 and last == last:
            paid += rate * last * settles_inside[t]
        points[t, BAR_OPEN], points[t, BAR_HIGH], points[t, BAR_LOW] = open_[t], high[t], low[t]
        points[t, PAID], points[t, LAST], points[t, ADJUSTED] = paid, last, last - paid
        points[t, DAY_OF] = day[t]
        d = day[t]
        daily[d, DAY_MARK], daily[d, DAY_CLOSE], daily[d, DAY_END] = last - paid, last, t + 1
    points[n, KNOWN_FROM], points[n, DAY_OF] = n, day[n - 1]
    for t in range(n - 1, -1, -1):
        points[t, KNOWN_FROM] = points[t + 1, KNOWN_FROM] if missing[t] else t


@inner
def summarise(low, high, adjusted, points, blocks, great):
    """Fill the running extremes of `points` and those of `blocks` and `great`."""
    n = adjusted.size
    for block in range(blocks.shape[1]):
        first, stop = block << SHIFT, min((block + 1) << SHIFT, n)
        lowest, highest, least, greatest = np.inf, -np.inf, np.inf, -np.inf
        for t in range(first, stop):
            lowest, highest = low[t] if low[t] < lowest else lowest, high[t] if high[t] > highest else highest
            close = adjusted[t]
            least, greatest = close if close < least else least, close if close > greatest else greatest
            points[t, BOTTOM], points[t, TOP] = least, greatest
        blocks[LOWEST, block], blocks[HIGHEST, block] = lowest, highest
        blocks[LEAST, block], blocks[GREATEST, block] = least, greatest
        least, greatest = np.inf, -np.inf
        for t in range(stop - 1, first - 1, -1):
            close = adjusted[t]
            least, greatest = close if close < least else least, close if close > greatest else greatest
            points[t, BOTTOM_ON], points[t, TOP_ON] = least, greatest
    for g in range(great.shape[1]):
        great[LOWEST, g], great[HIGHEST, g], great[LEAST, g], great[GREATEST, g] = (
            np.inf,
            -np.inf,
            np.inf,
            -np.inf,
        )
        for block in range(g << SHIFT, min((g + 1) << SHIFT, blocks.shape[1])):
            great[LOWEST, g] = min(great[LOWEST, g], blocks[LOWEST, block])
            great[HIGHEST, g] = max(great[HIGHEST, g], blocks[HIGHEST, block])
            great[LEAST, g] = min(great[LEAST, g], blocks[LEAST, block])
            great[GREATEST, g] = max(great[GREATEST, g], blocks[GREATEST, block])


@inlined
def extremes(adjusted, points, blocks, great, first, last):
    """Least and greatest adjusted close of the bars first..last."""
    one, two = first >> SHIFT, last >> SHIFT
    if one == two:
        least = greatest = adjusted[first]
        for t in range(first + 1, last + 1):
            least, greatest = min(least, adjusted[t]), max(greatest, adjusted[t])
        return least, greatest
    least = min(points[first, BOTTOM_ON], points[last, BOTTOM])
    greatest = max(points[first, TOP_ON], points[last, TOP])
    b = one + 1
    while b < two:
        if b & (BLOCK - 1) == 0 and b + BLOCK <= two:
            g = b >> SHIFT
            least, greatest = min(least, great[LEAST, g]), max(greatest, great[GREATEST, g])
            b += BLOCK
        else:
            least, greatest = min(least, blocks[LEAST, b]), max(greatest, blocks[GREATEST, b])
            b += 1
    return least, greatest


@inlined
def first_touch(low, high, blocks, great, t, stop, below, above):
    """First bar in [t, stop) whose low is at or below `below` or whose high is at or above `above`."""
    while t < stop:
        if t & (BLOCK - 1) == 0 and t + BLOCK <= stop:
            b = t >> SHIFT
            if b & (BLOCK - 1) == 0 and t + BLOCK * BLOCK <= stop:
                g = b >> SHIFT
                if great[LOWEST, g] > below and great[HIGHEST, g] < above:
                    t += BLOCK * BLOCK
                    continue
            if blocks[LOWEST, b] > below and blocks[HIGHEST, b] < above:
                t += BLOCK
                continue
        edge = min(stop, (t | (BLOCK - 1)) + 1)
        while t < edge:
            if low[t] <= below or high[t] >= above:
                return t
            t += 1
    return stop


@inlined
def first_ruin(points, t, last, change, a, h, a2, h2):
    """First known bar in t..last at whose close the mark is not above zero, or last + 1."""
    while t <= last:
        mark = a + h * points[t, ADJUSTED] if t < change else a2 + h2 * points[t, ADJUSTED]
        if mark <= 0.0 and points[t, KNOWN_FROM] == t:
            break
        t += 1
    return t


@inner
def deepest(adjusted, first, last, change, a, h, a2, h2):
    """Deepest drawdown of the marks of bars first..last, the second affine map from bar `change` on."""
    top, worst = 0.0, 1.0
    for t in range(first, last + 1):
        if t == change:
            a, h = a2, h2
        mark = a + h * adjusted[t]
        if mark > top:
            top = mark
        elif mark < worst * top:
            worst = mark / top
    return worst - 1.0
