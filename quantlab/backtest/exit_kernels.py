"""Numba kernels of the exit of one trade: what each bar does to a position with a stop and a target."""

from __future__ import annotations

import numpy as np

from quantlab.backtest.path_kernels import first_touch
from quantlab.backtest.record import (
    ASSUMPTION,
    AT_CLOSE,
    BAR_HIGH,
    BAR_LOW,
    BAR_OPEN,
    INSIDE_FROM,
    KNOWN_FROM,
    OPEN,
    OPTIMISTIC,
    PESSIMISTIC,
    STOP,
    TARGET,
)
from quantlab.jit import inlined, inner


@inlined
def meet(points, inside, b, was_held, side, stop, target, partial, assumption):
    """What bar `b` does to a position with these levels.

    Returns
    -------
    reason, raw, within, part, unsure : int, float, bool, float, bool
        OPEN where it is still held; raw price of the exit; whether that lies inside the bar; price of the
        partial target, NaN where it is not filled here; whether another assumption may see it otherwise.
    """
    part, unsure = np.nan, False
    if was_held:
        o = points[b, BAR_OPEN]
        if side * (o - stop) <= 0.0:
            return STOP, o, False, part, unsure
        if side * (o - partial) >= 0.0:
            part, unsure = partial if assumption == PESSIMISTIC else o, True
            partial = side * np.inf
        if side * (o - target) >= 0.0:
            return TARGET, target if assumption == PESSIMISTIC else o, False, part, True
    low, high = points[b, BAR_LOW], points[b, BAR_HIGH]
    worst, best = (low, high) if side > 0 else (high, low)
    stopped = side * (worst - stop) <= 0.0
    parted, reached = side * (best - partial) >= 0.0, side * (best - target) >= 0.0
    if stopped and (parted or reached):
        unsure = True
        for s in range(int(points[b, INSIDE_FROM]), int(points[b + 1, INSIDE_FROM])):
            worst, best = (inside[0, s], inside[1, s]) if side > 0 else (inside[1, s], inside[0, s])
            stopped_here = side * (worst - stop) <= 0.0
            parted_here, reached_here = side * (best - partial) >= 0.0, side * (best - target) >= 0.0
            if stopped_here and (parted_here or reached_here):
                parted, reached = parted_here, reached_here
                break
            if stopped_here:
                return STOP, stop, True, part, part == part
            if parted_here:
                part, partial, parted = partial, side * np.inf, False
            if reached_here:
                return TARGET, target, True, part, False
    if assumption == OPTIMISTIC or not stopped:
        if parted:
            part = partial
        if reached:
            return TARGET, target, True, part, unsure
    if stopped:
        return STOP, stop, True, part, unsure
    return OPEN, 0.0, True, part, unsure


@inner
def leave_market(
    points, low, high, blocks, great, inside, rules, side, e, raw, stop, target, trail, even, partial, due
):
    """Where a position ends: stop and target, moved and partial, until it is due to be left.

    Parameters
    ----------
    e, raw : int, float
        Entry bar and raw entry price.
    stop, target, trail, even, partial : float
        Price distances from `raw`; inf where there is none.
    due : int
        Bar on which a holding limit or a decided exit fills, n_bars if none.

    Returns
    -------
    b, reason, raw, within : int, int, float, bool
        Exit bar; OPEN where nothing was touched; raw price; whether that lies inside the bar.
    part_bar, part_price : int, float
        Where the partial target was filled; n_bars and NaN if it was not.
    unsure : bool
        Whether another fill assumption may see it otherwise.
    """
    n, at_close = low.size, rules[AT_CLOSE] != 0.0
    first, end = (e + 1, min(due + 1, n)) if at_close else (e, due)
    stop_level, target_level = raw - side * min(stop, trail), raw + side * target
    part_level, even_level = raw + side * partial, raw + side * even
    still = trail == np.inf and even == np.inf and partial == np.inf
    assumption, extreme = rules[ASSUMPTION], raw
    part_bar, part_price, unsure = n, np.nan, False
    reason, leave, within = OPEN, 0.0, True
    b = first
    while b < end:
        if still:
            below, above = (stop_level, target_level) if side > 0 else (target_level, stop_level)
            b = first_touch(low, high, blocks, great, b, end, below, above)
            if b == end:
                break
        elif points[b, KNOWN_FROM] != b:
            b += 1
            continue
        reason, leave, within, part, doubt = meet(
            points, inside, b, b > e, side, stop_level, target_level, part_level, assumption
        )
        unsure = unsure or doubt
        if part == part:
            part_bar, part_price, part_level = b, part, side * np.inf
        if reason != OPEN:
            break
        best = points[b, BAR_HIGH] if side > 0 else points[b, BAR_LOW]
        if side * (best - extreme) > 0.0:
            extreme = best
        if side * (extreme - side * trail - stop_level) > 0.0:
            stop_level = extreme - side * trail
        if side * (best - even_level) >= 0.0 and side * (raw - stop_level) > 0.0:
            stop_level = raw
        b += 1
    return b, reason, leave, within, part_bar, part_price, unsure
