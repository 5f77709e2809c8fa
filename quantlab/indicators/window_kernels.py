"""Numba kernels of indicators over windows: a value depends on its own window only, bit for bit."""

from __future__ import annotations

import numpy as np

from quantlab.jit import kernel

_LANE = 512


@kernel
def weighted_sums(values, weights, first, last, out):
    """Sum of the last values times `weights`, newest first, for the bars ``[first, last)`` of `out`.

    Parameters
    ----------
    values : float64 array (len(weights) + n,)
        Zeros, then the series.
    weights : float64 array (lags,)
    out : float64 array (n,)
    """
    lags, padding = weights.size, values.size - out.size
    for start in range(first, last, _LANE):
        bars = min(_LANE, last - start)
        row, lag = out[start : start + bars], 0
        row[:] = 0.0
        at = padding + start
        while lag + 4 <= lags:
            p, q, r, s = weights[lag], weights[lag + 1], weights[lag + 2], weights[lag + 3]
            a, b = values[at - lag : at - lag + bars], values[at - lag - 1 : at - lag - 1 + bars]
            c, d = values[at - lag - 2 : at - lag - 2 + bars], values[at - lag - 3 : at - lag - 3 + bars]
            for t in range(bars):
                row[t] = (((row[t] + p * a[t]) + q * b[t]) + r * c[t]) + s * d[t]
            lag += 4
        while lag < lags:
            a = values[at - lag : at - lag + bars]
            for t in range(bars):
                row[t] += weights[lag] * a[t]
            lag += 1


@kernel
def moving_moments(values, present, nearest, windows, first, last, sums, squares):
    """Sums of distances from the newest value, and of their squares, over every window (ascending).

    A distance from a value of the window loses no digits where all values are alike: the spread of a
    constant is exactly zero.

    Parameters
    ----------
    values : float64 array (padding + n,)
        Zeros where nothing is known; the padding is at least the longest window.
    present : float64 array (padding + n,)
        One where a value is known, else zero.
    nearest : float64 array (n,)
        The latest known value of each bar.
    windows : int64 array (rows,)
    sums, squares : float64 array (rows, n)
    """
    padding = values.size - nearest.size
    for start in range(first, last, _LANE):
        bars = min(_LANE, last - start)
        one, two, lag = np.zeros(bars), np.zeros(bars), 0
        own = nearest[start : start + bars]
        for i in range(windows.size):
            while lag < windows[i]:
                at = padding + start - lag
                x, there = values[at : at + bars], present[at : at + bars]
                for t in range(bars):
                    far = (x[t] - own[t]) * there[t]
                    one[t] += far
                    two[t] += far * far
                lag += 1
            sums[i, start : start + bars] = one
            squares[i, start : start + bars] = two


@kernel
def running_vwap(starts, price, volume, out):
    """Volume-weighted mean of `price` since the latest start, into `out`; NaN before the first one.

    Parameters
    ----------
    starts : boolean array (n,)
        Bars on which the sums begin anew.
    price, volume, out : float64 array (n,)
        NaN in a lost bar, which adds nothing.
    """
    begun, paid, traded = False, 0.0, 0.0
    for t in range(out.size):
        if starts[t]:
            begun, paid, traded = True, 0.0, 0.0
        if volume[t] == volume[t] and price[t] == price[t]:
            paid += price[t] * volume[t]
            traded += volume[t]
        out[t] = paid / traded if begun and traded > 0.0 else np.nan
