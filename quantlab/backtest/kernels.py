"""Numba kernels of the sweep: simulate a trade once, then compose the cells that share it.

All sizing is proportional to equity, so what a trade does to equity is a path of *multipliers* that
depends on the decision bar, the side and the exit rules, and on nothing else a cell does. A trade is
therefore simulated once per exit rule and read by every cell that takes it; composing a cell costs a
few operations per trade and per day in the market. `replay.py` states the same law one bar at a time.
"""

from __future__ import annotations

import numpy as np

from quantlab.backtest.compose_kernels import compose
from quantlab.backtest.record import (
    DAY,
    DECISION,
    DRAWDOWN,
    ENTRY,
    EXIT,
    EXIT_BAR,
    FEES,
    HELD,
    IGNORE,
    LOG,
    MARK0,
    MARKS,
    MAX,
    MIN,
    NEXT,
    NOTIONAL,
    OPEN,
    OPTIMISTIC,
    PESSIMISTIC,
    RATIO,
    REASON,
    REVERSE,
    REVERSES,
    RUIN,
    SIDE,
    SIGNAL,
    SIZE,
    STOP,
    STOP_REL,
    TARGET,
    TIME,
    UNITS,
    M,
    Memo,
    Work,
)
from quantlab.jit import inlined, kernel

MOST_MARKS = 4_000_000
"""Daily marks kept for reuse; beyond it the memo starts afresh, which bounds the memory of a thread."""


@kernel
def next_true(flags: np.ndarray) -> np.ndarray:
    """For each row and bar the first bar at or after it where `flags` holds; n_bars if there is none."""
    rows, n = flags.shape
    out = np.empty((rows, n + 1), np.int32)
    for r in range(rows):
        out[r, n] = n
        for t in range(n - 1, -1, -1):
            out[r, t] = t if flags[r, t] else out[r, t + 1]
    return out


@inlined
def _at(matrix, row, t):
    return matrix[row, t if matrix.shape[1] > 1 else 0]


@inlined
def _touched(o, h, lo, side, stop_level, target_level, held_before, assumption):
    """Whether a bar reaches the stop or the target: reason, raw price, whether inside the bar."""
    if held_before:
        if side * (o - stop_level) <= 0.0:
            return STOP, o, False
        if side * (o - target_level) >= 0.0:
            return TARGET, target_level if assumption == PESSIMISTIC else o, False
    worst, best = (lo, h) if side > 0 else (h, lo)
    stopped = side * (worst - stop_level) <= 0.0
    reached = side * (best - target_level) >= 0.0
    if reached and (assumption == OPTIMISTIC or not stopped):
        return TARGET, target_level, True
    if stopped:
        return STOP, stop_level, True
    return OPEN, 0.0, True


@kernel
def _with_room(array, size):
    if array.size >= size:
        return array
    grown = np.empty(2 * size)
    grown[: array.size] = array
    return grown


@kernel
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
    opens, highs, lows, closes = (
        bars.open,
        bars.high,
        bars.low,
        bars.close,
    )  # locals: no counting of references
    days, missing, at_open, inner = bars.day, bars.missing, bars.settles_at_open, bars.settles_inside
    n = opens.size
    e = t + 1
    im[EXIT_BAR], im[REASON] = -1, STOP
    if e >= n or missing[e] or not (stop > 0.0 and target > 0.0):
        return marks, used
    raw = opens[e]
    price = raw * (1.0 + side * rules.slippage)
    units = rules.fraction / (price * (1.0 + rules.taker))
    if rules.risk > 0.0:
        units = min(rules.risk / stop, rules.leverage / (price * (1.0 + rules.taker)))
    held = side * units
    cash = 1.0 - held * price - units * price * rules.taker
    stop_level, target_level = raw - side * stop, raw + side * target
    last, mark, top, worst = raw, 1.0, 0.0, 1.0
    low_mark, high_mark = np.inf, -np.inf
    first_mark, day = used, days[e]
    reason, leave, inside = OPEN, 0.0, True
    limit = min(min(exit_at, opposite_at) + 1, e + int(min(hold, n)), n)
    bare = stop == np.inf and target == np.inf
    pays = rules.funding != 0.0
    marks = _with_room(marks, used + days[min(limit, n - 1)] - day)  # before the loop: it must not move
    b = e
    while b < n:
        while day < days[b]:
            marks[used] = mark
            used += 1
            day += 1
        gone = missing[b]
        if pays and b > e and at_open[b]:
            cash -= held * rules.funding * (last if gone else opens[b])
        if not gone:
            if b >= limit:
                reason, leave, inside = TIME if b - e >= hold else SIGNAL, opens[b], False
                break
            if not bare:
                o, h, lo = opens[b], highs[b], lows[b]
                reason, leave, inside = _touched(
                    o, h, lo, side, stop_level, target_level, b > e, rules.assumption
                )
                if reason != OPEN:
                    break
            last = closes[b]
        if pays and inner[b] > 0:
            cash -= held * rules.funding * last * inner[b]
        mark = cash + held * last
        if mark <= 0.0 and not gone:
            reason, leave, inside = RUIN, last, True
            break
        top = max(top, mark)
        low_mark, high_mark = min(low_mark, mark), max(high_mark, mark)
        if mark < worst * top:
            worst = mark / top
        if path.size > 0:
            path[b] = mark
        b += 1

    fee, filled = 0.0, last
    if reason == OPEN:
        leave = last
        b = n - 1
        inside = True
    else:
        fee = rules.maker if reason == TARGET else rules.taker
        filled = leave if reason == TARGET else leave * (1.0 - side * rules.slippage)
        mark = cash + held * filled - units * filled * fee
        if path.size > 0:
            path[b] = mark
    fm[M], fm[MIN], fm[MAX], fm[DRAWDOWN] = mark, low_mark, high_mark, worst - 1.0
    fm[FEES] = units * (price * rules.taker + filled * fee)
    fm[NOTIONAL] = units * price + (units * filled if reason != OPEN else 0.0)
    fm[RATIO] = leave / raw
    fm[SIZE] = held * price
    fm[STOP_REL] = stop / raw
    fm[ENTRY], fm[EXIT], fm[UNITS] = price, filled, units
    free = 1.0 + held * (leave - raw)
    fm[LOG] = np.log(free) if free > 0.0 else np.nan
    im[EXIT_BAR], im[REASON], im[HELD] = b, reason, b - e + (1 if inside else 0)
    im[MARK0], im[MARKS] = first_mark, used - first_mark
    im[REVERSES] = reason == SIGNAL and opposite_at <= exit_at and b == opposite_at + 1
    im[DECISION], im[SIDE], im[DAY] = t, side, days[e]
    return marks, used


@inlined
def _next_opposite(rows, k, stop, side, entry):
    """First decision of the other side at or after bar `entry` in the list from position `k` on."""
    for i in range(k, stop):
        u = rows.entries[i]
        if rows.side[u] != side and rows.bar[u] >= entry:
            return rows.bar[u]
    return rows.first_at.size - 1


@inlined
def _seek(entries, k, stop, u):
    """First position at or after `k` whose entry is at least `u` (galloping, then bisection)."""
    low, step = k, 1
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


@inlined
def take(bars, rules, rows, exits, x, u, k, stop, memo, slot, marks, path):
    """Simulate the decision `u` under exit rule `x` into `slot`, with the opposite decisions after `k`.

    A decision that cannot be entered leaves the exit bar -1.

    Returns the buffer of daily marks, which may have grown.
    """
    t, side, n = rows.bar[u], rows.side[u], bars.open.size
    g = memo.i[slot]
    g[EXIT_BAR], g[NEXT] = -1, u + 1
    if not (rules.may_long if side > 0 else rules.may_short):
        return marks
    e = min(t + 1, n)
    exit_at, opposite_at = n, n
    if side > 0 and exits.next_long.shape[1] > 1:
        exit_at = exits.next_long[exits.long_row[x], e]
    if side < 0 and exits.next_short.shape[1] > 1:
        exit_at = exits.next_short[exits.short_row[x], e]
    if rules.on_opposite != IGNORE:
        opposite_at = _next_opposite(rows, k + 1, stop, side, e)
    marks, memo.used[0] = simulate(
        bars,
        rules,
        side,
        t,
        _at(exits.stop, exits.stop_row[x], t),
        _at(exits.target, exits.target_row[x], t),
        _at(exits.hold, exits.hold_row[x], t),
        exit_at,
        opposite_at,
        memo.f[slot],
        g,
        marks,
        memo.used[0],
        path,
    )
    if g[REASON] == RUIN or g[REASON] == OPEN:
        g[NEXT] = rows.bar.size
    elif g[EXIT_BAR] >= 0:
        g[NEXT] = rows.first_at[g[EXIT_BAR] - (1 if rules.on_opposite == REVERSE and g[REVERSES] else 0)]
    return marks


@kernel
def new_memo(slots):
    """An empty memo of `slots` records."""
    return Memo(
        np.empty((slots, 13)),
        np.empty((slots, 10), np.int64),
        np.full(slots, -1, np.int64),
        np.zeros(1, np.int64),
    )


@kernel
def walk(bars, rules, rows, exits, r, x, memo, marks, taken, no_path):
    """List the trades of one pair: records are simulated, or found in the memo of exit rule `x`.

    Returns
    -------
    number, marks : int, float array
        Number of trades, ``taken[:number]`` holds the slots of their records; the buffer of daily marks.
    """
    shared = rules.on_opposite == IGNORE
    entries, known, f, g = rows.entries, memo.known, memo.f, memo.i
    k, stop, trades, equity = rows.start[r], rows.start[r + 1], 0, 1.0
    while k < stop and equity > 0.0:
        u = entries[k]
        slot = u if shared else trades
        if not shared or known[slot] != x:
            known[slot] = x
            marks = take(bars, rules, rows, exits, x, u, k, stop, memo, slot, marks, no_path)
        if g[slot, EXIT_BAR] >= 0:
            taken[trades] = slot
            trades += 1
            equity *= f[slot, M]
        k = _seek(entries, k + 1, stop, g[slot, NEXT])
    return trades, marks


@kernel
def run_pairs(bars, rules, rows, exits, pair_row, pair_exit, first, last, span, out, cancel):
    """Compose the pairs ``[first, last)`` of (entry row, exit rule), sorted by exit rule, into `out`.

    ``out[i]`` receives the metrics of pair i in the order of `METRICS`. Stops early, leaving the rest
    of `out` as it is, when ``cancel[0]`` becomes non-zero. Returns the number of pairs done.
    """
    longest = 1
    for i in range(first, last):
        longest = max(longest, rows.start[pair_row[i] + 1] - rows.start[pair_row[i]] + 1)
    memo = new_memo(rows.bar.size if rules.on_opposite == IGNORE else longest)
    work = Work(np.empty(span.days), np.empty(span.days), np.empty(longest), np.empty(longest))
    marks, taken, no_path, current = np.empty(1024), np.empty(longest, np.int64), np.empty(0), -1
    for i in range(first, last):
        if cancel[0] != 0:
            return i - first
        x = pair_exit[i]
        if x != current or rules.on_opposite != IGNORE or memo.used[0] > MOST_MARKS:
            current = x
            memo.used[0] = 0
            memo.known[:] = -1
        trades, marks = walk(bars, rules, rows, exits, pair_row[i], x, memo, marks, taken, no_path)
        compose(span, memo, marks, taken[:trades], work, out[i])
    return last - first


@kernel
def trace(bars, rules, rows, exits, path, equity, exposure):
    """Follow the only pair of `rows` and `exits`: its records in order, its equity and exposure per bar.

    Parameters
    ----------
    path, equity, exposure : float arrays (n_bars,)
        Work space; equity at the close of every bar; signed notional over equity at entry while held.

    Returns
    -------
    f, i, worth : float array (trades, 13), int64 array (trades, 8), float array (trades,)
        Records of the trades, an open one included; equity at each entry.
    """
    k, stop = rows.start[0], rows.start[1]
    memo = new_memo(stop - k + 1)
    worth = np.ones(stop - k + 2)
    marks, trades, flat_from = np.empty(64), 0, 0
    while k < stop and worth[trades] > 0.0:
        memo.used[0] = 0
        marks = take(bars, rules, rows, exits, 0, rows.entries[k], k, stop, memo, trades, marks, path)
        g = memo.i[trades]
        k = _seek(rows.entries, k + 1, stop, g[NEXT])
        if g[EXIT_BAR] >= 0:
            entry = g[DECISION] + 1
            equity[flat_from:entry] = worth[trades]
            equity[entry : g[EXIT_BAR] + 1] = worth[trades] * path[entry : g[EXIT_BAR] + 1]
            exposure[entry : entry + g[HELD]] = memo.f[trades, SIZE]
            worth[trades + 1] = worth[trades] * memo.f[trades, M]
            flat_from = g[EXIT_BAR] + 1
            trades += 1
    equity[flat_from:] = worth[trades]
    return memo.f[:trades], memo.i[:trades], worth[:trades]


@kernel
def scatter(out, position, cell, first, last, values):
    """Copy row ``position[i]`` of `out` to column ``cell[i]`` of `values` for i in ``[first, last)``."""
    for i in range(first, last):
        for m in range(out.shape[1]):
            values[m, cell[i]] = out[position[i], m]
