"""Numba kernels of the metrics that need more than sums: the tail of daily returns, break-even costs."""

from __future__ import annotations

import math

import numpy as np

from quantlab.jit import inlined, inner

SMALL = 0.02
"""How far from zero six terms suffice: a break-even cost of about 100 bps."""

CLOSE_ENOUGH = 1e-7
"""A Newton step this small has squared its error: the next one would move the cost by about 1e-14."""


@inner
def _select(values, k, size):
    """Partially order ``values[:size]`` in place so that its first k+1 are the smallest, k-th in place."""
    low, high = 0, size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return


@inner
def tail_of_gains(returns):
    """`tail` where more than 95 % of the days gained; `returns` of all days are reordered in place."""
    place = 0.05 * (returns.size - 1)
    k = int(place)
    _select(returns, k, returns.size)
    low, share = returns[k], place - k
    high = low if k + 1 == returns.size else np.inf
    for i in range(k + 1, returns.size):
        high = min(high, returns[i])
    quantile = low + (high - low) * share if share < 0.5 else high - (high - low) * (1.0 - share)
    total, count = 0.0, 0
    for i in range(returns.size):
        if returns[i] <= quantile:
            total += returns[i]
            count += 1
    return 0.0 - quantile, 0.0 - total / count


@inlined
def losses_needed(lost, days):
    """How many of the `lost` lowest returns `tail` has to know."""
    return min(int(0.05 * (days - 1)) + 2, lost)


@inner
def tail(losses, kept, lost, gains, days, scratch):
    """Value at risk and conditional value at risk of daily returns, level 5 %, where they are no gains.

    Parameters
    ----------
    losses : float array
        The `kept` lowest of the `lost` negative returns, at least `losses_needed`, in any order: the same
        order gives the same bits, however many are kept.
    gains, days : int
        Number of positive returns, and of all days; the others returned exactly zero.
    scratch : float array
        Room for as many.

    Returns
    -------
    var_95, cvar_95, settled : float, float, bool
        Minus the 5 % quantile (linear interpolation) and minus the mean of the returns at or below it. Not
        settled where gains decide it.
    """
    place = 0.05 * (days - 1)
    k = int(place)
    share = place - k
    if k + 1 < lost:
        for i in range(kept):
            scratch[i] = losses[i]
        _select(scratch, k, kept)
        low, high = scratch[k], 0.0
        for i in range(k + 1, kept):
            high = min(high, scratch[i])
    elif k + 1 < days - gains:
        low, high = 0.0, 0.0
        if k + 1 == lost:
            low = losses[0]
            for i in range(1, lost):
                low = max(low, losses[i])
    else:
        return 0.0, 0.0, False
    quantile = low + (high - low) * share if share < 0.5 else high - (high - low) * (1.0 - share)
    total, count = 0.0, 0
    for i in range(kept):
        if losses[i] <= quantile:
            total += losses[i]
            count += 1
    if quantile == 0.0:
        count = days - gains
    return 0.0 - quantile, 0.0 - total / count if count else np.nan, True


@inlined
def cost_near_zero(logs, p1, p2, p3, p4, p5, p6):
    """Break-even cost per side of all-in trades from power sums, and whether that is exact.

    With z = (1 - c) / (1 + c) the multiplier of a trade at cost c is ``free * (1 - w * gamma)``, w = 1 - z:
    a long of the fraction s of equity earns ``1 - s + s q z``, a short ``1 - s q + s z``, q = exit / entry.
    So log growth is ``logs - sum over k of w^k p_k / k`` with the power sums p_k of gamma. After six terms
    w errs by at most ``SMALL^7 p_1^(1/6) / 7`` where ``w^6 p_6 <= SMALL^6 p_1``: 4e-13 for 500 trades.

    Parameters
    ----------
    logs : float
        Log growth before costs.
    p1, ..., p6 : float
        Sums of the powers of gamma over the trades.
    """
    w = logs / p1
    for _ in range(20):
        if abs(w) > 1.0:
            return np.nan, False
        value = w * (p1 + w * (p2 / 2.0 + w * (p3 / 3.0 + w * (p4 / 4.0 + w * (p5 / 5.0 + w * p6 / 6.0)))))
        slope = p1 + w * (p2 + w * (p3 + w * (p4 + w * (p5 + w * p6))))
        step = (logs - value) / slope
        w += step
        if abs(step) <= 1e-15:
            break
    return w / (2.0 - w), w**6 * p6 <= SMALL**6 * p1


@inner
def _log_growth(ratio, stop_rel, size, fraction, risk, leverage, cost):
    """Log of the product of all trades' multipliers at `cost` per side, and its derivative."""
    product, logs, slope = 1.0, 0.0, 0.0
    for i in range(size):
        side = 1.0 if ratio[i] > 0.0 else -1.0
        q = abs(ratio[i])
        full = fraction if risk == 0.0 else leverage
        units, tilt = full / (1.0 + cost), -full / (1.0 + cost) ** 2
        if risk > 0.0 and risk / stop_rel[i] < units:
            units, tilt = risk / stop_rel[i], 0.0
        gain = side * (q - 1.0) - cost * (q + 1.0)
        m = 1.0 + units * gain
        if m <= 0.0:
            return -np.inf, -np.inf
        slope += (tilt * gain - units * (q + 1.0)) / m
        product *= m
        if product < 1e-200 or product > 1e200:
            logs += math.log(product)
            product = 1.0
    return logs + math.log(product), slope


@inner
def break_even(ratio, stop_rel, size, guess, fraction, risk, leverage):
    """Cost per side, as a fraction, at which the closed trades would have earned exactly nothing.

    Parameters
    ----------
    ratio : float array
        Exit / entry of the raw prices, negative for shorts; the first `size` count.
    stop_rel : float array
        Stop distance / raw entry price; read when ``risk > 0``.
    guess : float
        Where to begin; NaN: at zero.

    Returns
    -------
    float
        Root of log growth in the cost by safeguarded Newton steps; NaN without trades. Growth falls
        strictly as costs rise, so the root in (-1, 1) is unique.
    """
    if size == 0:
        return np.nan
    low, high, cost = -1.0, 1.0, guess if abs(guess) < 1.0 else 0.0
    for _ in range(200):
        value, slope = _log_growth(ratio, stop_rel, size, fraction, risk, leverage, cost)
        if value > 0.0:
            low = cost
        elif value < 0.0:
            high = cost
        else:
            break
        step = cost - value / slope if value > -np.inf else low
        crawls = abs(step - cost) <= CLOSE_ENOUGH and abs(value) > 1e-6 * size
        newton = low < step < high and not crawls
        if not newton:
            step = 0.5 * (low + high)
        moved, cost = abs(step - cost), step
        if moved <= (CLOSE_ENOUGH if newton else 1e-16):
            break
    return cost
