"""Numba kernels that turn the records of a cell's trades into its metrics, a few operations per trade."""

from __future__ import annotations

import math

import numpy as np

from quantlab.backtest.metric_kernels import break_even, cost_near_zero, losses_needed, tail, tail_of_gains
from quantlab.backtest.path_kernels import deepest
from quantlab.backtest.record import (
    A2,
    BELOW,
    CLOSED,
    DAY,
    DAYMAX,
    DRAWDOWN,
    EARNED,
    ENTRY_BAR,
    EXIT_BAR,
    FALL0,
    FALLS,
    FEES,
    FINAL,
    FIRST,
    FORGONE,
    FRACTION,
    FREE,
    GAINS,
    GROSS,
    GROSS_WINS,
    H2,
    HELD,
    LEVERAGE,
    LOSSES,
    LOST_RETURN,
    MARK0,
    MARKS,
    MAX,
    MIN,
    NOTIONAL,
    OPEN,
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    PART_BAR,
    REASON,
    RISK,
    SIDE,
    SQUARES,
    STOP_REL,
    SUM,
    SUMS,
    WEIGHT,
    WINS,
    WON,
    WON_RETURN,
    WORST,
    A,
    H,
    M,
)
from quantlab.jit import inlined, inner

_ROOMY = 0.9
"""Where a cell looks for its tail, over the last cell's: less keeps more losses, more may miss some."""


@inner
def daily_returns(memo, taken, returns):
    """Write the return of every UTC day; two trades that share a day share its return."""
    f, g, marks = memo.f, memo.g, memo.marks
    returns[:] = 0.0
    factor, day = 1.0, -1
    for slot in taken:
        days = g[slot, MARKS]
        if g[slot, DAY] != day:
            if day >= 0:
                returns[day] = factor - 1.0
            factor, day = 1.0, g[slot, DAY]
        if days == 0:
            factor *= f[slot, M]
            continue
        returns[day] = factor * f[slot, FIRST] - 1.0
        before = f[slot, FIRST]
        for j in range(1, days):
            mark = marks[g[slot, MARK0] + j]
            returns[day + j] = mark / before - 1.0 if before > 0.0 else 0.0
            before = mark
        factor, day = f[slot, FINAL], day + days
    if day >= 0:
        returns[day] = factor - 1.0


@inlined
def _add_up(f, taken, sums):
    """Sums over the trades, ten at a time: as many as there are registers for."""
    for k in range(0, SUMS, 10):
        a, b, c, d, e, p, q, r, s, t = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for slot in taken:
            a += f[slot, k]
            b += f[slot, k + 1]
            c += f[slot, k + 2]
            d += f[slot, k + 3]
            e += f[slot, k + 4]
            p += f[slot, k + 5]
            q += f[slot, k + 6]
            r += f[slot, k + 7]
            s += f[slot, k + 8]
            t += f[slot, k + 9]
        sums[k], sums[k + 1], sums[k + 2], sums[k + 3], sums[k + 4] = a, b, c, d, e
        sums[k + 5], sums[k + 6], sums[k + 7], sums[k + 8], sums[k + 9] = p, q, r, s, t


@inlined
def _money(f, taken):
    """Final equity, fees, money won and lost, and log growth before costs (NaN: a trade would have none)."""
    equity, fees, won, forgone, product, logs = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0
    for slot in taken:
        fees += equity * f[slot, FEES]
        won += equity * f[slot, WON]
        forgone += equity * f[slot, FORGONE]
        equity *= f[slot, M]
        product *= f[slot, FREE]
        if product < 1e-200 or product > 1e200:
            logs += math.log(product)
            product = 1.0
    return equity, fees, won, forgone, logs + math.log(product)


@inlined
def _drawdown(adjusted, f, cold, g, taken):
    """Deepest drawdown between two closes."""
    equity, peak, drawdown, left = 1.0, 1.0, 0.0, -1
    for slot in taken:
        # equity at the last exit was marked at its close, unless this trade began at the same bar
        if left != g[slot, ENTRY_BAR]:
            peak = max(peak, equity)
            if equity < (1.0 + drawdown) * peak:
                drawdown = equity / peak - 1.0
        left = g[slot, EXIT_BAR]
        low, high = equity * f[slot, MIN], equity * f[slot, MAX]
        if low < (1.0 + drawdown) * peak:
            drawdown = low / peak - 1.0
        if low < (1.0 + drawdown) * high:
            drawdown = min(drawdown, _own_drawdown(adjusted, f, cold, g, slot))
        peak = max(peak, high)
        equity *= f[slot, M]
    return min(drawdown, equity / max(peak, equity) - 1.0)


@inlined
def _ends(day, value, top, under, longest):
    """Carry the peak of the daily marks, and since when they lie below it, over the end of a day."""
    if value < top:
        return top, day if under < 0 else under, longest
    return value, -1, max(longest, day - under) if under >= 0 else longest


@inlined
def _add_day(change, limit, moments, losses, counts):
    """Add a daily return to the moments; keep it where it is a loss below `limit`."""
    total, squares, below = moments
    lost, kept, gains = counts
    fell = min(change, 0.0)
    losses[kept] = change
    counts = lost + (1 if change < 0.0 else 0), kept + (1 if change < limit else 0), gains + (change > 0.0)
    return (total + change, squares + change * change, below + fell * fell), counts


@inner
def _day_by_day(f, g, marks, falls, taken, losses, limit, n):
    """Moments of the daily returns but for those inside trades, the lowest losses, and the time under water.

    What is left of a day is kept as a factor until the day is over: two trades may share it.

    Parameters
    ----------
    losses : float array
        Receives the losses below `limit`, in time order.
    limit : float
        Not above zero.

    Returns
    -------
    moments : tuple of float
        Sum, sum of squares, sum of squared losses.
    counts : tuple of int
        Losses inside trades too, those kept, gains.
    longest : int
        Days.
    """
    equity, factor, day = 1.0, 1.0, -1
    moments, counts = (0.0, 0.0, 0.0), (0, 0, 0)
    top, under, longest = 1.0, -1, 0
    for slot in taken:
        days, first = np.int64(g[slot, MARKS]), np.int64(g[slot, DAY])
        if first != day:
            moments, counts = _add_day(factor - 1.0, limit, moments, losses, counts)
            if under < 0 or equity >= top:
                top, under, longest = _ends(day, equity, top, under, longest)
            factor = 1.0
        if days == 0:
            factor *= f[slot, FINAL]
        else:
            moments, counts = _add_day(factor * f[slot, FIRST] - 1.0, limit, moments, losses, counts)
            lost, kept, gains = counts
            if f[slot, WORST] < limit:
                for j in range(g[slot, FALL0], g[slot, FALL0] + g[slot, FALLS]):
                    losses[kept] = falls[j]
                    kept += falls[j] < limit
            counts = lost + np.int64(g[slot, FALLS]), kept, gains
            factor = f[slot, FINAL]
            if equity * f[slot, DAYMAX] >= top:
                mark0 = g[slot, MARK0]
                for j in range(days):
                    top, under, longest = _ends(first + j, equity * marks[mark0 + j], top, under, longest)
            elif under < 0:
                under = first
        day = first + days
        equity *= f[slot, M]
    moments, counts = _add_day(factor - 1.0, limit, moments, losses, counts)
    if day >= 0:
        top, under, longest = _ends(day, equity, top, under, longest)
    return moments, counts, max(longest, n - under if under >= 0 else 0)


@inner
def compose(span, rules, adjusted, memo, taken, work, out):
    """Write the metrics of the trades in the slots `taken` into `out`, in the order of `METRICS`.

    Parameters
    ----------
    work : Work
        Arrays to work in.
    """
    f, g, sums, n = memo.f, memo.g, work.sums, span.days
    _add_up(f, taken, sums)
    equity, fees, won, forgone, logs = _money(f, taken)
    drawdown = _drawdown(adjusted, f, memo.cold, g, taken)
    days = f, g, memo.marks, memo.falls, taken, work.losses
    (total, squares, below), (lost, kept, gains), longest = _day_by_day(*days, work.guess[0], n)
    if kept < losses_needed(lost, n):
        _, (lost, kept, gains), _ = _day_by_day(*days, 0.0, n)
    mean = (total + sums[SUM]) / n
    spread = math.sqrt(max(squares + sums[SQUARES] - mean * mean * n, 0.0) / (n - 1)) if n > 1 else 0.0
    below += sums[BELOW]
    annual = math.sqrt(span.days_per_year)
    growth = equity ** (1.0 / span.years) - 1.0 if equity > 0.0 else -1.0
    trades = sums[CLOSED]
    out[0], out[1] = equity - 1.0, growth
    out[2] = mean / spread * annual if spread > 0.0 else np.nan
    out[3] = mean * annual / math.sqrt(below / n) if below > 0.0 and n > 1 else np.nan
    out[4] = growth / -drawdown if drawdown < 0.0 else np.nan
    out[5], out[6], out[7] = drawdown, longest, trades
    out[8] = sums[WINS] / trades if trades > 0.0 else np.nan
    out[9] = sums[GROSS_WINS] / trades if trades > 0.0 else np.nan
    out[10] = won / forgone if forgone > 0.0 else np.nan
    out[11] = sums[EARNED] / trades if trades > 0.0 else np.nan
    out[12] = sums[WON_RETURN] / sums[WINS] if sums[WINS] > 0.0 else np.nan
    out[13] = sums[LOST_RETURN] / sums[LOSSES] if sums[LOSSES] > 0.0 else np.nan
    out[14], out[15], out[16] = sums[HELD] / span.bars, sums[NOTIONAL] / span.years, fees
    out[17], out[18], settled = tail(work.losses, kept, lost, gains + int(sums[GAINS]), n, work.scratch)
    work.guess[0] = -_ROOMY * out[17] if out[17] > 0.0 else 0.0
    if not settled:
        daily_returns(memo, taken, work.returns)
        out[17], out[18] = tail_of_gains(work.returns)
    cost, near = np.nan, trades == 0.0
    if trades > 0.0 and rules[RISK] == 0.0 and logs == logs:
        cost, near = cost_near_zero(logs, sums[P1], sums[P2], sums[P3], sums[P4], sums[P5], sums[P6])
    if not near:
        cost = _break_even(rules, memo.cold, g, taken, work, cost)
    out[19] = cost * 1e4
    expected = sums[WEIGHT] / span.bars * span.market_mean
    out[20] = math.sqrt(n) * (mean - expected) / spread if spread > 0.0 else np.nan


@inner
def _own_drawdown(adjusted, f, cold, g, slot):
    """Deepest drawdown between two closes of one trade; looked for once, when a cell may need it."""
    if f[slot, DRAWDOWN] != f[slot, DRAWDOWN]:
        last = g[slot, EXIT_BAR] - (1 if g[slot, REASON] != OPEN else 0)
        ways = cold[slot, A], cold[slot, H], cold[slot, A2], cold[slot, H2]
        f[slot, DRAWDOWN] = deepest(adjusted, g[slot, ENTRY_BAR], last, g[slot, PART_BAR], *ways)
    return f[slot, DRAWDOWN]


@inner
def _break_even(rules, cold, g, taken, work, guess):
    """Cost per side at which the closed trades would have earned nothing, however far from zero it is."""
    ratio, stop_rel, size = work.ratio, work.stop_rel, 0
    for slot in taken:
        if g[slot, REASON] != OPEN:
            side = g[slot, SIDE]
            ratio[size] = side * (1.0 + side * cold[slot, GROSS])
            stop_rel[size] = cold[slot, STOP_REL]
            size += 1
    return break_even(ratio, stop_rel, size, guess, rules[FRACTION], rules[RISK], rules[LEVERAGE])
