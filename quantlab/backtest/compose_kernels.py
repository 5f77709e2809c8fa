"""Numba kernels that turn the trades of a cell into its metrics; `metrics.py` has the formulas."""

from __future__ import annotations

import numpy as np

from quantlab.backtest.metric_kernels import break_even, tail
from quantlab.backtest.record import (
    DAY,
    DECISION,
    DRAWDOWN,
    EXIT_BAR,
    FEES,
    HELD,
    LOG,
    MARK0,
    MARKS,
    MAX,
    MIN,
    NOTIONAL,
    OPEN,
    RATIO,
    REASON,
    SIDE,
    SIZE,
    STOP_REL,
    M,
)
from quantlab.jit import kernel


@kernel
def daily(memo, marks, taken, days, returns):
    """Returns of the days on which equity could move, and the longest time under water.

    Two trades that share a day share its return. Returns ``(number of returns, longest [days])``;
    all other days returned exactly zero.
    """
    f, g = memo.f, memo.i
    filled, equity, base, day = 0, 1.0, 1.0, -1
    top, under, longest = 1.0, -1, 0
    for slot in taken:
        first = g[slot, DAY]
        open_days = g[slot, MARKS]
        j = 0 if day < 0 or day == first else -1
        while j < open_days:
            value = equity if j < 0 else equity * marks[g[slot, MARK0] + j]
            closed = day if j < 0 else first + j
            returns[filled] = value / base - 1.0
            filled += 1
            base = value
            if value < top:
                under = closed if under < 0 else under
            else:
                longest = max(longest, closed - under if under >= 0 else 0)
                top, under = value, -1
            j += 1
        day = first + open_days
        equity *= f[slot, M]
    if day >= 0:
        returns[filled] = equity / base - 1.0
        filled += 1
        if equity < top:
            under = day if under < 0 else under
        else:
            longest = max(longest, day - under if under >= 0 else 0)
            under = -1
    return filled, max(longest, days - under if under >= 0 else 0)


@kernel
def moments(returns, size, days, losses):
    """Mean, standard deviation (ddof 1), mean squared loss, number of losses; fills `losses`."""
    total, squares, below, lost = 0.0, 0.0, 0.0, 0
    for j in range(size):
        value = returns[j]
        total += value
        squares += value * value
        if value < 0.0:
            below += value * value
            losses[lost] = value
            lost += 1
    mean = total / days
    spread = np.sqrt(max(squares - total * mean, 0.0) / (days - 1)) if days > 1 else 0.0
    return mean, spread, below / days, lost


@kernel
def path_figures(span, memo, taken, out):
    """Figures of the equity path and of activity; returns final equity and mean signed exposure."""
    f, g = memo.f, memo.i
    equity, peak, drawdown = 1.0, 1.0, 0.0
    held, weight, turnover, fees = 0, 0.0, 0.0, 0.0
    for j in range(taken.size):
        slot = taken[j]
        drawdown = min(drawdown, f[slot, DRAWDOWN], equity * f[slot, MIN] / peak - 1.0)
        peak = max(peak, equity * f[slot, MAX])
        held += g[slot, HELD]
        weight += f[slot, SIZE] * g[slot, HELD]
        turnover += f[slot, NOTIONAL]
        fees += equity * f[slot, FEES]
        equity *= f[slot, M]
        reversed_at_once = j + 1 < taken.size and g[taken[j + 1], DECISION] + 1 == g[slot, EXIT_BAR]
        if not reversed_at_once:
            drawdown, peak = min(drawdown, equity / peak - 1.0), max(peak, equity)
    growth = equity ** (1.0 / span.years) - 1.0 if equity > 0.0 else -1.0
    out[0], out[1], out[5] = equity - 1.0, growth, drawdown
    out[4] = growth / -drawdown if drawdown < 0.0 else np.nan
    out[14], out[15], out[16] = held / span.bars, turnover / span.years, fees
    return weight / span.bars


@kernel
def trade_figures(span, memo, taken, work, out):
    """Figures of the closed trades."""
    f, g, ratios, stops = memo.f, memo.i, work.ratio, work.stop_rel
    trades, wins, gross_wins, losses, equity = 0, 0, 0, 0, 1.0
    won, lost, won_return, lost_return, total, logs = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for slot in taken:
        change = f[slot, M] - 1.0
        if g[slot, REASON] != OPEN:
            side, ratio = g[slot, SIDE], f[slot, RATIO]
            ratios[trades] = ratio * side
            stops[trades] = f[slot, STOP_REL]
            logs += f[slot, LOG]
            trades += 1
            total += change
            gross_wins += 1 if side * (ratio - 1.0) > 0.0 else 0
            if change > 0.0:
                wins += 1
                won += equity * change
                won_return += change
            elif change < 0.0:
                losses += 1
                lost -= equity * change
                lost_return += change
        equity *= f[slot, M]
    out[7] = trades
    out[8] = wins / trades if trades else np.nan
    out[9] = gross_wins / trades if trades else np.nan
    out[10] = won / lost if lost > 0.0 else np.nan
    out[11] = total / trades if trades else np.nan
    out[12] = won_return / wins if wins else np.nan
    out[13] = lost_return / losses if losses else np.nan
    out[19] = break_even(ratios, stops, trades, logs, span.fraction, span.risk, span.leverage)


@kernel
def compose(span, memo, marks, taken, work, out):
    """Write the metrics of the trades in the slots `taken` into `out`, in the order of `METRICS`."""
    filled, longest = daily(memo, marks, taken, span.days, work.returns)
    mean, spread, below, lost = moments(work.returns, filled, span.days, work.losses)
    weight = path_figures(span, memo, taken, out)
    trade_figures(span, memo, taken, work, out)
    annual = np.sqrt(span.days_per_year)
    out[2] = mean / spread * annual if spread > 0.0 else np.nan
    out[3] = mean * annual / np.sqrt(below) if below > 0.0 and span.days > 1 else np.nan
    out[6] = longest
    out[17], out[18] = tail(work.returns, filled, work.losses, lost, span.days)
    out[20] = np.sqrt(span.days) * (mean - weight * span.market_mean) / spread if spread > 0.0 else np.nan
