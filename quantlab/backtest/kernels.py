"""Numba kernels of the sweep: list the trades of every cell, each trade simulated once, and measure them.

A trade depends on its decision, on its exit rule and, where opposite decisions end it, on the next of
these; on nothing else a cell does. It is therefore kept in a memo and read by the cells that take it.
"""

from __future__ import annotations

import numpy as np

from quantlab.backtest.compose_kernels import compose
from quantlab.backtest.exposure_kernels import last_bar_of, share_of_equity, terms
from quantlab.backtest.extra_kernels import REGIME_FIGURES, block_sums, regime_figures
from quantlab.backtest.fetch_kernels import AHEAD, fetch
from quantlab.backtest.record import (
    AT_CLOSE,
    BORN,
    BREAK_EVEN_AT,
    ENTRY_BAR,
    EXIT_BAR,
    FALLS_USED,
    FRACTION_AT,
    HOLD_AT,
    IGNORE,
    LONG_AT,
    MARKS_USED,
    MAY_LONG,
    MAY_SHORT,
    NEXT,
    OLDEST,
    ON_OPPOSITE,
    OPEN,
    PART_BAR,
    PARTIAL_AT,
    REASON,
    RECORDS,
    REVERSE,
    REVERSES,
    SHORT_AT,
    STOP_AT,
    TAG,
    TARGET_AT,
    TRAIL_AT,
    UNSURE,
    M,
)
from quantlab.backtest.trade_kernels import follow, simulate
from quantlab.jit import inlined, inner, kernel

N_METRICS = 21


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
def value_at(constant, row, matrix, x, kind, t):
    """Value of one kind of exit of rule `x` on bar `t`."""
    return constant[x, kind] if row[x, kind] < 0 else matrix[row[x, kind], t]


@inlined
def next_opposite(bar, sides, entries, k, stop, n):
    """First decision of the other side after the one at `k` of a row; n_bars if there is none."""
    side, after = sides[entries[k]], bar[entries[k]] + 1
    k += 1
    while k < stop and (sides[entries[k]] == side or bar[entries[k]] < after):
        k += 1
    return bar[entries[k]] if k < stop else n


@inlined
def _next_decision(bar, first_at, rules, f, g, d, u):
    """`NEXT` of decision `d`, record in slot `u`: none follows a ruin or a position that is still open."""
    if g[u, EXIT_BAR] < 0:
        return -1 - (d + 1)
    if g[u, REASON] == OPEN or not f[u, M] > 0.0:
        return bar.size
    reverses = rules[ON_OPPOSITE] == REVERSE and g[u, REVERSES] != 0
    first = g[u, EXIT_BAR] + (1 if rules[AT_CLOSE] != 0.0 else 0) - (1 if reverses else 0)
    return first_at[min(first, first_at.size - 1)]


@inner
def walk(market, rules, rows, exits, r, x, memo, taken):
    """List the trades of entry row `r` under exit rule `x`: simulated, or found in the memo.

    Parameters
    ----------
    taken : int64 array
        Receives the slots of the trades.

    Returns
    -------
    int
        Number of trades.
    """
    points, low, high, adjusted = market.points, market.low, market.high, market.adjusted
    blocks, great, daily, inside = market.blocks, market.great, market.daily, market.inside
    f, cold, g, key = memo.f, memo.cold, memo.g, memo.key
    marks, falls, used, room, slots = memo.marks, memo.falls, memo.used, memo.room[1], len(memo.f)
    bar, sides, first_at, entries = rows.bar, rows.side, rows.first_at, rows.entries
    constant, row, matrix, leave = exits.constant, exits.row, exits.matrix, exits.leave
    n, alone = adjusted.size, rules[ON_OPPOSITE] == IGNORE
    k, stop, trades = rows.start[r], rows.start[r + 1], 0
    while k < stop:
        d = entries[k]
        if not alone and k + AHEAD < stop:
            fetch(points, bar[entries[k + AHEAD]] + 1)
        opposite_at = n if alone else next_opposite(bar, sides, entries, k, stop, n)
        tag, born = x * (n + 1) + opposite_at, key[d, BORN]
        if key[d, TAG] != tag or born < used[OLDEST] or used[RECORDS] - born > room:
            born, t, side = used[RECORDS], bar[d], sides[d]
            used[RECORDS] += 1
            u = born % slots
            g[u, EXIT_BAR] = -1
            if rules[MAY_LONG if side > 0 else MAY_SHORT] != 0.0:
                leaving = row[x, LONG_AT if side > 0 else SHORT_AT]
                stop_at = value_at(constant, row, matrix, x, STOP_AT, t)
                target_at = value_at(constant, row, matrix, x, TARGET_AT, t)
                trail = value_at(constant, row, matrix, x, TRAIL_AT, t)
                even = value_at(constant, row, matrix, x, BREAK_EVEN_AT, t)
                partial = value_at(constant, row, matrix, x, PARTIAL_AT, t)
                hold = value_at(constant, row, matrix, x, HOLD_AT, t)
                exit_at = leave[leaving, min(t + 1, n)] if leaving >= 0 else n
                simulate(
                    points, low, high, adjusted, blocks, great, daily, inside, rules, side, t, stop_at,
                    target_at, trail, even, partial, constant[x, FRACTION_AT], hold, exit_at, opposite_at,
                    f, cold, g, u, marks, falls, used,
                )  # fmt: skip
            key[d, TAG], key[d, BORN] = tag, born
            key[d, NEXT] = _next_decision(bar, first_at, rules, f, g, d, u)
        following = key[d, NEXT]
        if following >= 0:
            taken[trades] = born % slots
            trades += 1
        else:
            following = -1 - following
        k += 1
        while k < stop and entries[k] < following:
            k += 1
    return trades


@inner
def run_pairs(market, rules, rows, exits, extra, span, where, memos, work, out, done, cancel):
    """Measure the pairs ``[first, last)`` of (entry row, exit rule), sorted by exit rule.

    Parameters
    ----------
    rules : float array (1 + other assumptions, 12)
        The execution's own fill assumption first.
    where : tuple of (int64 array, int64 array, int, int)
        Row and exit rule of every pair; first, last.
    memos : tuple of three Memo
        Empty; one for each assumption.
    work : Work
    out : float array (pairs, figures)
        ``out[i]`` receives the metrics of pair i under each assumption, its figures by regime and its
        sums by block.
    done : int64 array (2,)
        Counts the pairs that are finished, for whoever watches; receives the number of trades of the last.
    cancel : int64 array (1,)
        The kernel stops early when it becomes non-zero.
    """
    pair_row, pair_exit, first, last = where
    n_regimes, n_blocks, views = extra.regimes, extra.day_edges.size - 1, rules.shape[0]
    for i in range(first, last):
        if cancel[0] != 0:
            return
        x, unsure, trades = pair_exit[i], True, 0
        for v in range(views):
            memo = memos[v]
            if memo.used[MARKS_USED] > memo.room[0]:
                memo.used[MARKS_USED], memo.used[FALLS_USED] = 0, 0
                memo.used[OLDEST] = memo.used[RECORDS]
            if not unsure:
                for m in range(N_METRICS):
                    out[i, N_METRICS * v + m] = out[i, m]
                continue
            count = walk(market, rules[v], rows, exits, pair_row[i], x, memo, work.taken)
            taken = work.taken[:count]
            compose(span, rules[v], market.adjusted, memo, taken, work, out[i, N_METRICS * v :])
            if v > 0:
                continue
            trades = count
            if views > 1:
                unsure = False
                for slot in taken:
                    unsure = unsure or memo.g[slot, UNSURE] != 0
            more = out[i, N_METRICS * views :]
            if n_regimes > 0:
                regime_figures(span.bars, extra.regime, n_regimes, memo, taken, more)
            if n_blocks > 0:
                block_sums(
                    extra, market, rules[v], memo, taken, work.returns, more[REGIME_FIGURES * n_regimes :]
                )
        done[0] += 1
        done[1] = trades


@inner
def trace(market, rules, memo, taken, path, equity, exposure, worth):
    """Follow the trades of one cell bar by bar.

    Parameters
    ----------
    taken : uint64 array (trades,)
        Slots of the trades, in order.
    path : float array (n_bars,)
        Work space.
    equity, exposure : float arrays (n_bars,)
        Receive the equity at the close of every bar, and the exposure while held.
    worth : float array (trades + 1,)
        Receives the equity at each entry, and at the end.
    """
    g, flat_from = memo.g, 0
    worth[0] = 1.0
    exposure[:] = 0.0
    for j in range(taken.size):
        u = taken[j]
        entry, leave = g[u, ENTRY_BAR], g[u, EXIT_BAR]
        worth[j + 1] = worth[j] * memo.f[u, M]
        follow(market.adjusted, memo.cold, g, u, path)
        for b in range(flat_from, entry):
            equity[b] = worth[j]
        for b in range(entry, leave):
            equity[b] = worth[j] * path[b]
        equity[leave] = worth[j + 1]
        flat_from = leave + 1
        _expose(market, rules, memo.cold, g, u, exposure)
    for b in range(flat_from, equity.size):
        equity[b] = worth[taken.size]


@inlined
def _expose(market, rules, cold, g, u, exposure):
    """Write the exposure of the trade in slot `u` on every bar that it is held."""
    daily, day, days, changed, begin, stop, size, share, way = terms(market, rules, cold, g, u)
    for i in range(days + 1):
        held = share_of_equity(daily, day, i, changed, size, way)
        end = int(last_bar_of(daily, day, i, stop))
        for b in range(begin, end):
            exposure[b] = held
        if i == changed:
            for b in range(max(g[u, PART_BAR] + 1, begin), end):
                exposure[b] = held * (1.0 - share)
        begin = end


@inner
def scatter(out, position, cell, first, last, values):
    """Copy row ``position[i]`` of `out` to column ``cell[i]`` of `values` for i in ``[first, last)``."""
    for i in range(first, last):
        for m in range(out.shape[1]):
            values[m, cell[i]] = out[position[i], m]
