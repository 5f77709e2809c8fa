"""Numba kernels of the sweep: simulate a trade once, then compose the cells that share it.

All sizing is proportional to equity, so what a trade does to equity is a path of *multipliers* that
depends on the decision bar, the side and the exit rules, and on nothing else a cell does. A trade is
therefore simulated once per exit rule and read by every cell that takes it; composing a cell costs a
few operations per trade and per day in the market. `replay.py` states the same law one bar at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from quantlab.backtest.metric_kernels import break_even, tail

OPEN, STOP, TARGET, TIME, SIGNAL, RUIN = range(6)
NEUTRAL, PESSIMISTIC, OPTIMISTIC = range(3)
IGNORE, CLOSE, REVERSE = range(3)

# Columns of a trade's record, floats: multiplier at the exit; least and greatest mark; deepest drawdown
# inside; fees; notional of both fills; exit/entry of the raw prices; signed notional of the entry;
# stop distance / entry; fill prices; units per unit of equity.
M, MIN, MAX, DRAWDOWN, FEES, NOTIONAL, RATIO, SIZE, STOP_REL, ENTRY, EXIT, UNITS = range(12)
# integers: exit bar (-1: not enterable), reason, bars held, first mark, number of marks, reversal
EXIT_BAR, REASON, HELD, MARK0, MARKS, REVERSES = range(6)


class Bars(NamedTuple):
    """Columns of one market, shape ``(n_bars,)``; `day` counts UTC days from the first bar."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    day: np.ndarray
    missing: np.ndarray
    settles_at_open: np.ndarray
    settles_inside: np.ndarray


class Rules(NamedTuple):
    """Numbers of an `Execution`, in the form that the kernels read."""

    taker: float
    maker: float
    slippage: float
    funding: float
    fraction: float
    risk: float
    leverage: float
    assumption: int
    on_opposite: int
    may_long: bool
    may_short: bool


class Exits(NamedTuple):
    """Exit rules: each a matrix of distinct rows (time last, length n_bars or 1) and a row per exit cell."""

    stop: np.ndarray
    stop_row: np.ndarray
    target: np.ndarray
    target_row: np.ndarray
    hold: np.ndarray
    hold_row: np.ndarray
    next_long: np.ndarray
    long_row: np.ndarray
    next_short: np.ndarray
    short_row: np.ndarray


class Rows(NamedTuple):
    """Distinct entry rows as lists into the sorted union of all (bar, side) decisions."""

    bar: np.ndarray
    side: np.ndarray
    first_at: np.ndarray
    start: np.ndarray
    entries: np.ndarray


class Span(NamedTuple):
    """What annualises and normalises: bars, days, years, days per year, mean daily market return."""

    bars: int
    days: int
    years: float
    days_per_year: float
    market_mean: float


@njit(cache=True, nogil=True)
def next_true(flags: np.ndarray) -> np.ndarray:
    """For each row and bar the first bar at or after it where `flags` holds; n_bars if there is none."""
    rows, n = flags.shape
    out = np.empty((rows, n + 1), np.int32)
    for r in range(rows):
        out[r, n] = n
        for t in range(n - 1, -1, -1):
            out[r, t] = t if flags[r, t] else out[r, t + 1]
    return out


@njit(cache=True, nogil=True, inline="always")
def _at(matrix, row, t):
    return matrix[row, t if matrix.shape[1] > 1 else 0]


@njit(cache=True, nogil=True)
def simulate(bars, rules, side, t, stop, target, hold, exit_at, opposite_at, fm, im, marks, used, path):
    """Run one trade decided at the close of bar `t`; write its record into `fm`, `im`, its daily marks.

    Parameters
    ----------
    stop, target : float
        Price distances from the raw entry; inf where the strategy has none.
    exit_at, opposite_at : int
        First bar at or after the entry whose close decides to leave; n_bars if none.
    marks, used : float array, int
        Buffer of end-of-day multipliers and how much of it is taken; returned, grown if needed.
    path : float array
        If not empty, receives the multiplier at the close of every bar of the trade.
    """
    n = bars.open.size
    e = t + 1
    im[EXIT_BAR] = -1
    if e >= n or bars.missing[e] or not (stop > 0.0 and target > 0.0):
        return marks, used
    raw = bars.open[e]
    price = raw * (1.0 + side * rules.slippage)
    units = rules.fraction / (price * (1.0 + rules.taker))
    if rules.risk > 0.0:
        units = min(rules.risk / stop, rules.leverage / (price * (1.0 + rules.taker)))
    cash = 1.0 - side * units * price - units * price * rules.taker
    stop_level, target_level = raw - side * stop, raw + side * target
    due = min(exit_at, opposite_at)
    last, mark, top = raw, 1.0, 1.0
    low_mark, high_mark, drawdown = np.inf, -np.inf, 0.0
    first_mark, day = used, bars.day[e]
    reason, leave, inside = OPEN, 0.0, True
    b = e
    while b < n:
        while day < bars.day[b]:
            if used == marks.size:
                grown = np.empty(2 * marks.size)
                grown[:used] = marks
                marks = grown
            marks[used] = mark
            used += 1
            day += 1
        held = b > e
        gone = bars.missing[b]
        if held and bars.settles_at_open[b]:
            cash -= side * rules.funding * units * (last if gone else bars.open[b])
        if not gone:
            o, h, lo = bars.open[b], bars.high[b], bars.low[b]
            inside = False
            if held and b - e >= hold:
                reason, leave = TIME, o
            elif due < b:
                reason, leave = SIGNAL, o
            elif held and side * (o - stop_level) <= 0.0:
                reason, leave = STOP, o
            elif held and side * (o - target_level) >= 0.0:
                reason = TARGET
                leave = target_level if rules.assumption == PESSIMISTIC else o
            else:
                inside = True
                worst, best = (lo, h) if side > 0 else (h, lo)
                stopped = side * (worst - stop_level) <= 0.0
                reached = side * (best - target_level) >= 0.0
                if reached and (rules.assumption == OPTIMISTIC or not stopped):
                    reason, leave = TARGET, target_level
                elif stopped:
                    reason, leave = STOP, stop_level
            if reason != OPEN:
                break
            last = bars.close[b]
        if bars.settles_inside[b] > 0:
            cash -= side * rules.funding * units * last * bars.settles_inside[b]
        mark = cash + side * units * last
        if mark <= 0.0 and not gone:
            reason, leave, inside = RUIN, last, True
            break
        top = max(top, mark)
        low_mark, high_mark = min(low_mark, mark), max(high_mark, mark)
        drawdown = min(drawdown, mark / top - 1.0)
        if path.size > 0:
            path[b] = mark
        b += 1

    fee, filled = 0.0, last
    if reason == OPEN:
        b = n - 1
        inside = True
    else:
        fee = rules.maker if reason == TARGET else rules.taker
        filled = leave if reason == TARGET else leave * (1.0 - side * rules.slippage)
        mark = cash + side * units * filled - units * filled * fee
        top = max(top, mark)
        low_mark, high_mark = min(low_mark, mark), max(high_mark, mark)
        drawdown = min(drawdown, mark / top - 1.0)
        if path.size > 0:
            path[b] = mark
    fm[M], fm[MIN], fm[MAX], fm[DRAWDOWN] = mark, low_mark, high_mark, drawdown
    fm[FEES] = units * (price * rules.taker + filled * fee)
    fm[NOTIONAL] = units * price + (units * filled if reason != OPEN else 0.0)
    fm[RATIO] = leave / raw
    fm[SIZE] = side * units * price
    fm[STOP_REL] = stop / raw
    fm[ENTRY], fm[EXIT], fm[UNITS] = price, filled, units
    im[EXIT_BAR], im[REASON], im[HELD] = b, reason, b - e + (1 if inside else 0)
    im[MARK0], im[MARKS] = first_mark, used - first_mark
    im[REVERSES] = reason == SIGNAL and opposite_at <= exit_at and b == opposite_at + 1
    return marks, used


@njit(cache=True, nogil=True)
def _next_opposite(rows, k, stop, side, entry):
    """First decision of the other side at or after bar `entry` in the list from position `k` on."""
    for i in range(k, stop):
        u = rows.entries[i]
        if rows.side[u] != side and rows.bar[u] >= entry:
            return rows.bar[u]
    return rows.first_at.size - 1


@njit(cache=True, nogil=True)
def _seek(entries, k, stop, u):
    """First position at or after `k` whose entry is at least `u` (galloping, then bisection)."""
    step = 1
    low = k
    while k < stop and entries[k] < u:
        low = k + 1
        k += step
        step *= 2
    high = min(k, stop)
    while low < high:
        middle = (low + high) // 2
        if entries[middle] < u:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def take(bars, rules, rows, exits, x, u, k, stop, fm, im, marks, used, path):
    """Simulate the decision `u` under exit rules `x`, with the opposite decisions of the list after `k`."""
    t, side = rows.bar[u], rows.side[u]
    n = bars.open.size
    e = min(t + 1, n)
    if side > 0:
        exit_at = exits.next_long[exits.long_row[x], e] if exits.next_long.shape[1] > 1 else n
    else:
        exit_at = exits.next_short[exits.short_row[x], e] if exits.next_short.shape[1] > 1 else n
    opposite_at = n if rules.on_opposite == IGNORE else _next_opposite(rows, k + 1, stop, side, e)
    return simulate(
        bars,
        rules,
        side,
        t,
        _at(exits.stop, exits.stop_row[x], t),
        _at(exits.target, exits.target_row[x], t),
        _at(exits.hold, exits.hold_row[x], t),
        exit_at,
        opposite_at,
        fm,
        im,
        marks,
        used,
        path,
    )


@njit(cache=True, nogil=True)
def after(bars, rules, rows, im, t, k, stop):
    """Position in the list of the first decision that may be taken after the trade `im`."""
    if im[EXIT_BAR] < 0:
        return k + 1
    if im[REASON] == RUIN or im[REASON] == OPEN:
        return stop
    reached = im[EXIT_BAR]
    if rules.on_opposite == REVERSE and im[REVERSES]:
        reached -= 1
    return _seek(rows.entries, k + 1, stop, rows.first_at[reached])


@njit(cache=True, nogil=True)
def run_pairs(bars, rules, rows, exits, pair_row, pair_exit, first, last, span, out, cancel):
    """Compose the pairs ``[first, last)`` of (entry row, exit rule), sorted by exit rule, into `out`.

    ``out[i]`` receives the metrics of pair i in the order of `METRICS`. Stops early, leaving the rest
    of `out` as it is, when ``cancel[0]`` becomes non-zero. Returns the number of pairs done.
    """
    shared = rules.on_opposite == IGNORE
    slots = rows.bar.size if shared else 1
    fm, im = np.empty((slots, 12)), np.empty((slots, 6), np.int64)
    known = np.full(slots, -1, np.int64)
    marks, used, current = np.empty(1024), 0, -1
    returns, ratio, stop_rel = np.empty(span.days), np.empty(64), np.empty(64)
    no_path = np.empty(0)
    for i in range(first, last):
        if cancel[0] != 0:
            return i - first
        x, r = pair_exit[i], pair_row[i]
        if x != current:
            current, used = x, 0
        k, stop = rows.start[r], rows.start[r + 1]
        equity, peak, drawdown = 1.0, 1.0, 0.0
        base, day, filled = 1.0, -1, 0
        total, squares, below = 0.0, 0.0, 0.0
        top, under, longest = 1.0, -1, 0
        trades, wins, gross_wins, losses = 0, 0, 0, 0
        won, lost, won_return, lost_return, sum_return = 0.0, 0.0, 0.0, 0.0, 0.0
        held, weight, turnover, fees = 0, 0.0, 0.0, 0.0
        while k < stop:
            u = rows.entries[k]
            t = rows.bar[u]
            allowed = rules.may_long if rows.side[u] > 0 else rules.may_short
            if not allowed:
                k += 1
                continue
            slot = u if shared else 0
            if not shared:
                used = 0
            if not shared or known[slot] != x:
                marks, used = take(
                    bars, rules, rows, exits, x, u, k, stop, fm[slot], im[slot], marks, used, no_path
                )
                known[slot] = x
            f, g = fm[slot], im[slot]
            if g[EXIT_BAR] >= 0:
                entry_day = bars.day[t + 1]
                if day >= 0 and entry_day != day:
                    returns[filled] = equity / base - 1.0
                    filled += 1
                    if equity < top:
                        under = day if under < 0 else under
                    else:
                        if under >= 0:
                            longest = max(longest, day - under)
                        top, under = equity, -1
                    base = equity
                for j in range(g[MARKS]):
                    value = equity * marks[g[MARK0] + j]
                    returns[filled] = value / base - 1.0
                    filled += 1
                    if value < top:
                        under = entry_day + j if under < 0 else under
                    else:
                        if under >= 0:
                            longest = max(longest, entry_day + j - under)
                        top, under = value, -1
                    base = value
                day = entry_day + g[MARKS]
                drawdown = min(drawdown, f[DRAWDOWN], equity * f[MIN] / peak - 1.0)
                peak = max(peak, equity * f[MAX])
                held += g[HELD]
                weight += f[SIZE] * g[HELD]
                turnover += f[NOTIONAL]
                fees += equity * f[FEES]
                if g[REASON] != OPEN:
                    if trades == ratio.size:
                        ratio, stop_rel = _grow(ratio), _grow(stop_rel)
                    ratio[trades] = f[RATIO] * rows.side[u]
                    stop_rel[trades] = f[STOP_REL]
                    trades += 1
                    change = f[M] - 1.0
                    sum_return += change
                    gross_wins += 1 if rows.side[u] * (f[RATIO] - 1.0) > 0.0 else 0
                    if change > 0.0:
                        wins += 1
                        won += equity * change
                        won_return += change
                    elif change < 0.0:
                        losses += 1
                        lost -= equity * change
                        lost_return += change
                equity *= f[M]
                if equity <= 0.0:
                    k = stop
                    continue
            k = after(bars, rules, rows, g, t, k, stop)
        if day >= 0:
            returns[filled] = equity / base - 1.0
            filled += 1
            if equity < top:
                under = day if under < 0 else under
            elif under >= 0:
                longest = max(longest, day - under)
                under = -1
            if under >= 0:
                longest = max(longest, span.days - under)
        for j in range(filled):
            value = returns[j]
            total += value
            squares += value * value
            if value < 0.0:
                below += value * value
        o = out[i]
        mean = total / span.days
        spread = 0.0
        if span.days > 1:
            spread = np.sqrt(max(squares - total * mean, 0.0) / (span.days - 1))
        worth = equity ** (1.0 / span.years) - 1.0 if equity > 0.0 else -1.0
        annual = np.sqrt(span.days_per_year)
        o[0], o[1] = equity - 1.0, worth
        o[2] = mean / spread * annual if spread > 0.0 else np.nan
        o[3] = mean * annual / np.sqrt(below / span.days) if below > 0.0 else np.nan
        o[4] = worth / -drawdown if drawdown < 0.0 else np.nan
        o[5], o[6], o[7] = drawdown, longest, trades
        o[8] = wins / trades if trades else np.nan
        o[9] = gross_wins / trades if trades else np.nan
        o[10] = won / lost if lost > 0.0 else np.nan
        o[11] = sum_return / trades if trades else np.nan
        o[12] = won_return / wins if wins else np.nan
        o[13] = lost_return / losses if losses else np.nan
        o[14], o[15], o[16] = held / span.bars, turnover / span.years, fees
        o[17], o[18] = tail(returns, filled, span.days)
        o[19] = break_even(ratio, stop_rel, trades, rules.fraction, rules.risk, rules.leverage)
        o[20] = np.nan
        if spread > 0.0:
            o[20] = np.sqrt(span.days) * (mean - weight / span.bars * span.market_mean) / spread
    return last - first


@njit(cache=True, nogil=True)
def _grow(array):
    grown = np.empty(2 * array.size)
    grown[: array.size] = array
    return grown


@njit(cache=True, nogil=True)
def trace(bars, rules, rows, exits, r, x, records, reasons, path, equity):
    """Follow one pair and write its trades and its equity per bar.

    Parameters
    ----------
    records : float array (decisions, 13)
        Receives the float record of each trade, then equity at entry.
    reasons : int64 array (decisions, 8)
        Receives the integer record, then decision bar and side.
    path, equity : float arrays (n_bars,)
        Work space; equity at the close of every bar.

    Returns
    -------
    int
        Number of trades, an open one included.
    """
    marks, used = np.empty(64), 0
    k, stop = rows.start[r], rows.start[r + 1]
    trades, worth, flat_from = 0, 1.0, 0
    while k < stop:
        u = rows.entries[k]
        if not (rules.may_long if rows.side[u] > 0 else rules.may_short):
            k += 1
            continue
        f, g = records[trades], reasons[trades]
        marks, used = take(bars, rules, rows, exits, x, u, k, stop, f, g, marks, 0, path)
        if g[EXIT_BAR] >= 0:
            entry = rows.bar[u] + 1
            equity[flat_from:entry] = worth
            for b in range(entry, g[EXIT_BAR] + 1):
                equity[b] = worth * path[b]
            f[12], g[6], g[7] = worth, rows.bar[u], rows.side[u]
            worth *= f[M]
            flat_from = g[EXIT_BAR] + 1
            trades += 1
            if worth <= 0.0:
                break
        k = after(bars, rules, rows, g, rows.bar[u], k, stop)
    equity[flat_from:] = worth
    return trades
