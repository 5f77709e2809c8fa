"""Numba kernels that run one trade: where it ends, and what it does to equity on the way.

All sizing is proportional to equity, so what a trade does to equity is a path of *multipliers* that
depends on the decision bar, the side and the exit rules, and on nothing else a cell does. `replay.py`
states the same law one bar at a time.
"""

from __future__ import annotations

import numpy as np

from quantlab.backtest.exit_kernels import leave_market
from quantlab.backtest.exposure_kernels import exposed, exposed_last, exposed_rest, last_bar_of
from quantlab.backtest.path_kernels import extremes, first_ruin
from quantlab.backtest.record import (
    A2,
    ADJUSTED,
    AT_CLOSE,
    BAR_OPEN,
    BARS,
    BELOW,
    CLOSED,
    DAY,
    DAY_MARK,
    DAY_OF,
    DAYMAX,
    DECISION,
    DRAWDOWN,
    EARNED,
    ENTRY,
    ENTRY_BAR,
    EXIT,
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
    GREAT_SHIFT,
    GREATEST,
    GROSS,
    GROSS_WINS,
    H2,
    HELD,
    KNOWN_FROM,
    LAST,
    LEAST,
    LEVERAGE,
    LOSSES,
    LOST_RETURN,
    MAKER,
    MARK0,
    MARKS,
    MAX,
    MIN,
    NOTIONAL,
    OPEN,
    P1,
    P6,
    PAID,
    PAID_OPEN,
    PART_BAR,
    PART_PRICE,
    PART_UNITS,
    REASON,
    REVERSES,
    RISK,
    RUIN,
    SIDE,
    SIGNAL,
    SIZE,
    SLIPPAGE,
    SQUARES,
    STOP_REL,
    SUM,
    SUMS,
    TAKER,
    TARGET,
    TIME,
    UNITS,
    UNSURE,
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


@inlined
def enters(points, rules, t, stop, target, trail, even, partial):
    """The bar that a decision at the close of bar `t` is filled on, n_bars where it cannot be."""
    n = points.shape[0] - 1
    e = t if rules[AT_CLOSE] != 0.0 else t + 1
    valid = stop > 0.0 and target > 0.0 and trail > 0.0 and even > 0.0 and partial > 0.0
    return e if e < n and points[e, KNOWN_FROM] == e and valid else n


@inlined
def settle(
    points, low, high, adjusted, blocks, great, inside, rules, side, e, stop, target, trail, even, partial,
    share, hold, exit_at, opposite_at, bounded,
):  # fmt: skip
    """Follow one trade that is filled on bar `e` to its end; parameters as of `simulate`.

    Parameters
    ----------
    bounded : bool
        Where no price of the great blocks that it lies in ruins the trade, its least and greatest mark are
        not looked for.

    Returns
    -------
    ended : tuple
        Exit bar, reason, bars held, whether another fill assumption may end it otherwise.
    mark : tuple of float
        ``a``, ``h``, ``a2``, ``h2`` of the marks at closes: ``a + h * adjusted``, from the partial target on
        ``a2 + h2 * adjusted``; multiplier at the exit.
    part : tuple
        Bar (n_bars: none), price and units of the partial target.
    fills : tuple of float
        Price, units and raw price of the entry; raw price, price and fee of the exit.
    extent : tuple
        Least and greatest mark, and the last bar at whose close there is one.
    """
    n, at_close = adjusted.size, rules[AT_CLOSE] != 0.0
    raw = points[e, LAST] if at_close else points[e, BAR_OPEN]
    price, taker, first_stop = raw * (1.0 + side * rules[SLIPPAGE]), rules[TAKER], min(stop, trail)
    units = rules[FRACTION] / (price * (1.0 + taker))
    if rules[RISK] > 0.0:
        units = min(rules[RISK] / first_stop, rules[LEVERAGE] / (price * (1.0 + taker)))
    partial = partial if partial < target else np.inf
    limit = min(min(exit_at, opposite_at) + (0 if at_close else 1), min(e + int(min(hold, n)), n))
    due = int(points[limit, KNOWN_FROM])
    b, reason, leave, within = due, OPEN, 0.0, True
    part_bar, part_price, unsure = n, np.nan, False
    if first_stop < np.inf or target < np.inf or even < np.inf or partial < np.inf:
        b, reason, leave, within, part_bar, part_price, unsure = leave_market(
            points, low, high, blocks, great, inside, rules, side, e, raw, stop, target, trail, even,
            partial, due,
        )  # fmt: skip
    paid = points[min(b, n - 1), PAID_OPEN]
    if reason == OPEN and due < n:
        b, reason, within = due, TIME if due - e >= hold else SIGNAL, at_close
        leave = points[b, LAST] if at_close else points[b, BAR_OPEN]
        paid = points[b, PAID] if at_close else points[b, PAID_OPEN]
    elif reason == OPEN:
        b = n - 1

    h = side * units
    part_units = share * units if part_bar < n else 0.0
    a = 1.0 - h * price - units * price * taker + h * (points[e, PAID] if at_close else points[e, PAID_OPEN])
    a2, h2 = a, h - side * part_units
    if part_bar < n:
        got = part_units * part_price * (side - rules[MAKER])
        a2 = a + got - side * part_units * points[part_bar, PAID_OPEN]
    last, least, greatest = b if reason == OPEN else b - 1, np.inf, -np.inf
    if not bounded or _may_ruin(great, e, last, a, h, a2, h2):
        least, greatest = _range(adjusted, points, blocks, great, e, last, part_bar, a, h, a2, h2)
    if least <= 0.0:
        ruined = first_ruin(points, e, last, part_bar, a, h, a2, h2)
        if ruined <= last:
            b, reason, leave, within, paid = ruined, RUIN, points[ruined, LAST], True, points[ruined, PAID]
            if part_bar > b:
                part_bar, part_price, part_units, a2, h2 = n, np.nan, 0.0, a, h
            last = b - 1
            least, greatest = _range(adjusted, points, blocks, great, e, last, part_bar, a, h, a2, h2)

    fee, filled = 0.0, points[b, LAST]
    m = a2 + h2 * points[b, ADJUSTED]
    if reason == OPEN:
        leave = filled
    else:
        fee = rules[MAKER] if reason == TARGET else taker
        filled = leave if reason == TARGET else leave * (1.0 - side * rules[SLIPPAGE])
        m = a2 - h2 * paid + h2 * filled - (units - part_units) * filled * fee
    held = b - e + (1 if within and not at_close else 0)
    return (
        (b, reason, held, unsure),
        (a, h, a2, h2, m),
        (part_bar, part_price, part_units),
        (price, units, raw, leave, filled, fee),
        (least, greatest, last),
    )


@inlined
def _may_ruin(great, e, last, a, h, a2, h2):
    """Whether a price of the great blocks that hold the closes e..last would leave nothing."""
    floor, ceiling = np.inf, -np.inf
    for block in range(e >> GREAT_SHIFT, (last >> GREAT_SHIFT) + 1):
        floor, ceiling = min(floor, great[LEAST, block]), max(ceiling, great[GREATEST, block])
    whole = min(a + h * floor, a + h * ceiling)
    return not min(whole, min(a2 + h2 * floor, a2 + h2 * ceiling)) > 0.0


@inlined
def simulate(
    points, low, high, adjusted, blocks, great, daily, inside, rules, side, t, stop, target, trail, even,
    partial, share, hold, exit_at, opposite_at, f, cold, g, slot, marks, falls, used,
):  # fmt: skip
    """Run one trade decided at the close of bar `t` and write its record into `slot`.

    Parameters
    ----------
    stop, target, trail, even, partial : float
        Price distances from the raw entry; inf where the strategy has none.
    share, hold : float
        Fraction closed at the partial target; longest holding in bars.
    exit_at, opposite_at : int
        First bar at or after ``t + 1`` whose close decides to leave; n_bars if none.
    marks, falls, used : float arrays, int64 array (2,)
        Buffers of daily marks and of losing daily returns, large enough, and how much of each is taken.
    """
    n, at_close = adjusted.size, rules[AT_CLOSE] != 0.0
    g[slot, EXIT_BAR] = -1
    e = enters(points, rules, t, stop, target, trail, even, partial)
    if e < n:
        ended, mark, partly, fills, extent = settle(
            points, low, high, adjusted, blocks, great, inside, rules, side, e, stop, target, trail, even,
            partial, share, hold, exit_at, opposite_at, False,
        )  # fmt: skip
        b, reason, held, unsure = ended
        a, h, a2, h2, m = mark
        part_bar, part_price, part_units = partly
        price, units, raw, leave, filled, fee = fills
        least, greatest, last = extent
        size, part_value, part, rest = h * price, 0.0, part_bar < n, units - part_units
        mean_leave, mean_filled = leave, filled
        if part:
            part_value = part_units * part_price
            mean_leave = (part_value + rest * leave) / units
            mean_filled = (part_value + rest * filled) / units
        gross = side * (mean_leave / raw - 1.0)
        f[slot, HELD], f[slot, M] = held, m
        f[slot, NOTIONAL] = units * price + part_value + (rest * filled if reason != OPEN else 0.0)
        f[slot, FEES] = units * price * rules[TAKER] + part_value * rules[MAKER] + rest * filled * fee
        f[slot, MIN], f[slot, MAX], f[slot, DRAWDOWN] = least, greatest, np.nan if last > e else 0.0
        _write_outcome(f, slot, reason, m - 1.0, gross, rules[FRACTION], side)
        cold[slot, A], cold[slot, H], cold[slot, A2], cold[slot, H2] = a, h, a2, h2
        cold[slot, STOP_REL], cold[slot, SIZE], cold[slot, UNITS] = min(stop, trail) / raw, size, units
        cold[slot, ENTRY], cold[slot, EXIT], cold[slot, GROSS] = price, mean_filled, gross
        cold[slot, PART_PRICE], cold[slot, PART_UNITS] = part_price, part_units
        g[slot, EXIT_BAR], g[slot, ENTRY_BAR], g[slot, REASON], g[slot, BARS] = b, e, reason, held
        g[slot, DECISION], g[slot, SIDE], g[slot, PART_BAR] = t, side, part_bar if part else -1
        g[slot, UNSURE] = 1 if unsure else 0
        back = 0 if at_close else 1
        g[slot, REVERSES] = reason == SIGNAL and opposite_at <= exit_at and b == opposite_at + back
        begin, whole = e + (1 if at_close else 0), (size, share if part else 0.0)
        span = e, b, begin, begin + held, part_bar
        _write_days(points, daily, span, whole, mark, f, g, slot, marks, falls, used)


@inner
def _range(adjusted, points, blocks, great, e, last, part_bar, a, h, a2, h2):
    """Least and greatest mark at the closes e..last; inf and -inf if there is none."""
    least, greatest = np.inf, -np.inf
    middle = min(part_bar - 1, last)
    if middle >= e:
        small, large = extremes(adjusted, points, blocks, great, e, middle)
        small, large = a + h * small, a + h * large
        least, greatest = min(small, large), max(small, large)
    if part_bar <= last:
        small, large = extremes(adjusted, points, blocks, great, part_bar, last)
        small, large = a2 + h2 * small, a2 + h2 * large
        least, greatest = min(least, min(small, large)), max(greatest, max(small, large))
    return least, greatest


@inlined
def _write_outcome(f, slot, reason, change, gross, fraction, side):
    """What only a closed trade adds to the sums, and how its multiplier depends on costs."""
    for k in range(EARNED, SUMS):
        f[slot, k] = 0.0
    f[slot, WON], f[slot, FORGONE], f[slot, FREE] = 0.0, 0.0, 1.0
    if reason != OPEN:
        free = 1.0 + fraction * gross
        gamma, power = fraction * (1.0 + gross if side > 0 else 1.0) / free, 1.0
        for k in range(P1, P6 + 1):
            power *= gamma
            f[slot, k] = power
        f[slot, FREE] = free if free > 0.0 else np.nan
        f[slot, CLOSED], f[slot, EARNED] = 1.0, change
        f[slot, GROSS_WINS] = 1.0 if gross > 0.0 else 0.0
        if change > 0.0:
            f[slot, WINS], f[slot, WON_RETURN], f[slot, WON] = 1.0, change, change
        elif change < 0.0:
            f[slot, LOSSES], f[slot, LOST_RETURN], f[slot, FORGONE] = 1.0, change, -change


@inner
def _write_days(points, daily, span, whole, mark, f, g, slot, marks, falls, used):
    """Daily marks and exposure of the trade, and what its inner daily returns add to the sums.

    Parameters
    ----------
    span : tuple of int
        Bars of the entry and the exit, ``[begin, stop)`` of those held, bar of the partial target.
    whole : tuple of float
        Signed notional at entry, and the fraction of it that the partial target closes.
    mark
        As `settle` returns it.
    """
    e, b, begin, stop, part_bar = span
    a, h, a2, h2, m = mark
    day = int(points[e, DAY_OF])
    days = int(points[b, DAY_OF]) - day
    mark0, fall0 = used[0], used[1]
    changed = int(points[part_bar, DAY_OF]) - day if part_bar < points.shape[0] - 1 else days + 1
    for j in range(min(days, changed)):
        marks[mark0 + j] = a + h * daily[day + j, DAY_MARK]
    for j in range(changed, days):
        marks[mark0 + j] = a2 + h2 * daily[day + j, DAY_MARK]
    total, squares, below, fell, gains, top, worst = 0.0, 0.0, 0.0, np.int64(fall0), 0, -np.inf, 0.0
    f[slot, FIRST], f[slot, FINAL] = m, m
    end = last_bar_of(daily, day, 0, stop)
    weight = whole[0] * (end - begin)
    if days > 0:
        before = top = marks[mark0]
        f[slot, FIRST] = before
        for j in range(1, days):
            value = marks[mark0 + j]
            part = 1.0 / before if before > 0.0 else 0.0
            change = (value - before) * part
            loss = min(change, 0.0)
            total += change
            squares += change * change
            below += loss * loss
            falls[fell] = change  # no branch: no processor could predict it
            fell += change < 0.0
            gains += change > 0.0
            worst, top = min(worst, loss), max(top, value)
            weight += exposed(daily, day + j, part, h if j <= changed else h2)
            before = value
        part = 1.0 / before if before > 0.0 else 0.0
        f[slot, FINAL] = m * part if before > 0.0 else 1.0
        weight += exposed_last(daily, day + days, part, h if days <= changed else h2, stop)
    if changed <= days:
        weight -= exposed_rest(daily, day, changed, stop, part_bar, whole, mark)
    used[0], used[1] = mark0 + days, fell
    g[slot, DAY], g[slot, MARK0], g[slot, MARKS] = day, mark0, days
    g[slot, FALL0], g[slot, FALLS] = fall0, fell - fall0
    f[slot, SUM], f[slot, SQUARES], f[slot, BELOW], f[slot, GAINS] = total, squares, below, gains
    f[slot, DAYMAX], f[slot, WORST], f[slot, WEIGHT] = top, worst, weight


@inner
def follow(adjusted, cold, g, slot, path):
    """Write the multiplier at the close of every bar from the entry to the bar before the exit."""
    for b in range(g[slot, ENTRY_BAR], g[slot, EXIT_BAR]):
        changed = 0 <= g[slot, PART_BAR] <= b
        a, h = (cold[slot, A2], cold[slot, H2]) if changed else (cold[slot, A], cold[slot, H])
        path[b] = a + h * adjusted[b]
