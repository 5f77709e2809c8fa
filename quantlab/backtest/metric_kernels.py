"""Numba kernels of the metrics that need more than sums: the tail of daily returns, break-even costs."""

from __future__ import annotations

import math

import numpy as np

from quantlab.jit import kernel

CLOSE_ENOUGH = 1e-7
"""A Newton step this small has squared its error: the next one would move the cost by about 1e-14."""


@kernel
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


@kernel
def _lowest(values, size, zeros, k):
    """The k-th and the next smallest of ``values[:size]`` joined by `zeros` zeros; reorders `values`."""
    everything = np.zeros(size + zeros)
    everything[:size] = values[:size]
    everything.sort()
    return everything[k], everything[min(k + 1, size + zeros - 1)]


@kernel
def tail(returns, size, losses, lost, days):
    """Value at risk and conditional value at risk of daily returns, level 5 %.

    Parameters
    ----------
    returns : float array
        Returns of the ``size`` days on which equity could move.
    losses : float array
        The `lost` negative ones among them; reordered in place.
    days : int
        All days; the others returned exactly zero.

    Returns
    -------
    var_95, cvar_95 : float
        Minus the 5 % quantile (linear interpolation) and minus the mean of the returns at or below it.
    """
    place = 0.05 * (days - 1)
    k = math.floor(place)
    if k + 1 < lost:
        _select(losses, k, lost)
        low, high = losses[k], 0.0
        for i in range(k + 1, lost):
            high = min(high, losses[i])
    elif k + 1 < lost + days - size:
        low, high = 0.0, 0.0
        if k + 1 == lost:
            low = losses[:lost].max()
    else:
        low, high = _lowest(returns, size, days - size, k)
    share = place - k
    quantile = low + (high - low) * share if share < 0.5 else high - (high - low) * (1.0 - share)
    total, count = 0.0, 0
    if quantile < 0.0:
        for i in range(lost):
            if losses[i] <= quantile:
                total += losses[i]
                count += 1
    else:
        count = days - size
        for i in range(size):
            if returns[i] <= quantile:
                total += returns[i]
                count += 1
    return 0.0 - quantile, 0.0 - total / count if count else np.nan


@kernel
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


@kernel
def break_even(ratio, stop_rel, size, logs, fraction, risk, leverage):
    """Cost per side, in basis points, at which the closed trades would have earned exactly nothing.

    Parameters
    ----------
    ratio : float array
        Exit / entry of the raw prices, negative for shorts; the first `size` count.
    stop_rel : float array
        Stop distance / raw entry price; read when ``risk > 0``.
    logs : float
        Sum of the logs of the multipliers before costs: a cost of c takes about 2 c from each.

    Returns
    -------
    float
        Root of log growth in the cost by safeguarded Newton steps; NaN without trades. Growth falls
        strictly as costs rise, so the root in (-1, 1) is unique.
    """
    if size == 0:
        return np.nan
    low, high, cost = -1.0, 1.0, 0.0
    if abs(logs) < size:
        cost = math.tanh(0.5 * logs / size)
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
    return cost * 1e4
