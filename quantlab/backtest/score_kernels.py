"""Numba kernels of one figure: timing t and number of trades of every cell, and nothing else of them.

What a rerun on null markets asks of hundreds of sweeps. The law of a trade is `trade_kernels.settle`, as for
the metrics; what follows it is added up in the same order as there, so that both agree to the last bit.
"""

from __future__ import annotations

import math

import numpy as np

from quantlab.backtest.exposure_kernels import exposed, exposed_last, exposed_rest, last_bar_of
from quantlab.backtest.fetch_kernels import AHEAD, fetch
from quantlab.backtest.kernels import next_opposite, value_at
from quantlab.backtest.record import (
    AT_CLOSE,
    BREAK_EVEN_AT,
    DAY_MARK,
    DAY_OF,
    FRACTION_AT,
    HOLD_AT,
    IGNORE,
    LONG_AT,
    MAY_LONG,
    MAY_SHORT,
    ON_OPPOSITE,
    OPEN,
    PARTIAL_AT,
    REVERSE,
    SHORT_AT,
    SIGNAL,
    STOP_AT,
    TARGET_AT,
    TRAIL_AT,
)
from quantlab.backtest.trade_kernels import enters, settle
from quantlab.jit import inlined, inner

DECISION, TAG, NEXT = range(3)
"""Columns of the integers that are remembered of a trade: its decision and what it was simulated under; the
place from which the next decision may be taken, -1 less that place where it could not be entered."""

WEIGHT, SUM, SQUARES, FIRST, FINAL, CLOSED, DAY, DAYS = range(8)
"""Columns of the floats: as of `record`; day of the entry, and days on which it was marked."""


@inlined
def _days(points, daily, span, whole, mark):
    """Day, days, first and final multiplier, sum, sum of squares, exposure, as of `trade_kernels`."""
    e, b, begin, stop, part_bar = span
    a, h, a2, h2, m = mark
    day = int(points[e, DAY_OF])
    days = int(points[b, DAY_OF]) - day
    changed = int(points[part_bar, DAY_OF]) - day if part_bar < points.shape[0] - 1 else days + 1
    total, squares, first, final = 0.0, 0.0, m, m
    end = last_bar_of(daily, day, 0, stop)
    weight = whole[0] * (end - begin)
    if days > 0:
        close = daily[day, DAY_MARK]
        before = first = a + h * close if changed > 0 else a2 + h2 * close
        for j in range(1, days):
            close = daily[day + j, DAY_MARK]
            value = a + h * close if j < changed else a2 + h2 * close
            part = 1.0 / before if before > 0.0 else 0.0
            change = (value - before) * part
            total += change
            squares += change * change
            weight += exposed(daily, day + j, part, h if j <= changed else h2)
            before = value
        part = 1.0 / before if before > 0.0 else 0.0
        final = m * part if before > 0.0 else 1.0
        weight += exposed_last(daily, day + days, part, h if days <= changed else h2, stop)
    if changed <= days:
        weight -= exposed_rest(daily, day, changed, stop, part_bar, whole, mark)
    return day, days, first, final, total, squares, weight


@inlined
def _run(market, rules, rows, exits, d, x, opposite_at, known, figures, slot):
    """Simulate the trade of decision `d` and remember it in `slot`."""
    points, adjusted, n = market.points, market.adjusted, market.adjusted.size
    constant, row, matrix, t, side = exits.constant, exits.row, exits.matrix, rows.bar[d], rows.side[d]
    known[slot, NEXT] = -1 - (d + 1)
    if rules[MAY_LONG if side > 0 else MAY_SHORT] != 0.0:
        leaving = row[x, LONG_AT if side > 0 else SHORT_AT]
        stop = value_at(constant, row, matrix, x, STOP_AT, t)
        target = value_at(constant, row, matrix, x, TARGET_AT, t)
        trail = value_at(constant, row, matrix, x, TRAIL_AT, t)
        even = value_at(constant, row, matrix, x, BREAK_EVEN_AT, t)
        partial = value_at(constant, row, matrix, x, PARTIAL_AT, t)
        hold = value_at(constant, row, matrix, x, HOLD_AT, t)
        exit_at = exits.leave[leaving, min(t + 1, n)] if leaving >= 0 else n
        share, e = constant[x, FRACTION_AT], enters(points, rules, t, stop, target, trail, even, partial)
        if e < n:
            ended, mark, partly, fills, _ = settle(
                points, market.low, market.high, adjusted, market.blocks, market.great, market.inside, rules,
                side, e, stop, target, trail, even, partial, share, hold, exit_at, opposite_at, True,
            )  # fmt: skip
            b, reason, held, _ = ended
            m, at_close, part_bar = mark[4], rules[AT_CLOSE] != 0.0, partly[0]
            begin = e + (1 if at_close else 0)
            whole = mark[1] * fills[0], share if part_bar < n else 0.0
            day, days, first, final, total, squares, weight = _days(
                points, market.daily, (e, b, begin, begin + held, part_bar), whole, mark
            )
            figures[slot, WEIGHT] = weight
            figures[slot, SUM], figures[slot, SQUARES] = total, squares
            figures[slot, FIRST], figures[slot, FINAL] = first, final
            figures[slot, CLOSED] = 1.0 if reason != OPEN else 0.0
            figures[slot, DAY], figures[slot, DAYS] = day, days
            following = rows.bar.size
            if reason != OPEN and m > 0.0:
                back = 0 if at_close else 1
                reverses = reason == SIGNAL and opposite_at <= exit_at and b == opposite_at + back
                again = reverses and rules[ON_OPPOSITE] == REVERSE
                following = rows.first_at[min(b + 1 - back - (1 if again else 0), n)]
            known[slot, NEXT] = following


@inner
def score_cell(market, rules, rows, exits, span, r, x, known, figures):
    """Timing t and closed trades of entry row `r` under exit rule `x`."""
    bar, sides, entries, slots = rows.bar, rows.side, rows.entries, known.shape[0]
    n, alone = market.adjusted.size, rules[ON_OPPOSITE] == IGNORE
    k, stop = rows.start[r], rows.start[r + 1]
    weight, inner_sum, inner_squares, closed = 0.0, 0.0, 0.0, 0.0
    total, squares, factor, day = 0.0, 0.0, 1.0, -1
    while k < stop:
        d = entries[k]
        if not alone and k + AHEAD < stop:
            fetch(market.points, bar[entries[k + AHEAD]] + 1)
        opposite_at = n if alone else next_opposite(bar, sides, entries, k, stop, n)
        tag, slot = x * (n + 1) + opposite_at, d % slots
        if known[slot, DECISION] != d or known[slot, TAG] != tag:
            known[slot, DECISION], known[slot, TAG] = d, tag
            _run(market, rules, rows, exits, d, x, opposite_at, known, figures, slot)
        following = known[slot, NEXT]
        if following >= 0:
            weight += figures[slot, WEIGHT]
            inner_sum += figures[slot, SUM]
            inner_squares += figures[slot, SQUARES]
            closed += figures[slot, CLOSED]
            first, days = int(figures[slot, DAY]), int(figures[slot, DAYS])
            if first != day:
                change = factor - 1.0
                total, squares, factor = total + change, squares + change * change, 1.0
            if days == 0:
                factor *= figures[slot, FINAL]
            else:
                change = factor * figures[slot, FIRST] - 1.0
                total, squares, factor = total + change, squares + change * change, figures[slot, FINAL]
            day = first + days
        else:
            following = -1 - following
        k += 1
        while k < stop and entries[k] < following:
            k += 1
    change = factor - 1.0
    total, squares = total + change, squares + change * change
    mean = (total + inner_sum) / span.days
    spread = 0.0
    if span.days > 1:
        spread = math.sqrt(max(squares + inner_squares - mean * mean * span.days, 0.0) / (span.days - 1))
    expected = weight / span.bars * span.market_mean
    return math.sqrt(span.days) * (mean - expected) / spread if spread > 0.0 else np.nan, closed


@inner
def score_pairs(market, rules, rows, exits, span, pair_row, pair_exit, first, last, known, figures, out):
    """Score the pairs ``[first, last)`` of (entry row, exit rule).

    Parameters
    ----------
    market, rows, exits, span
        As of `kernels.run_pairs`.
    rules : float array (12,)
    pair_row, pair_exit : int64 arrays (pairs,)
        Sorted by exit rule.
    known : int64 array (slots, 4)
        Filled with -1: what is remembered; decision d in slot ``d % slots``.
    figures : float array (slots, 8)
    out : float array (2, pairs)
        Receives timing t and closed trades.
    """
    for i in range(first, last):
        out[0, i], out[1, i] = score_cell(
            market, rules, rows, exits, span, pair_row[i], pair_exit[i], known, figures
        )
