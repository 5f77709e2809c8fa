"""Numba kernels of the indicators: one row of numbers in, one row out."""

from __future__ import annotations

import numpy as np

from quantlab.jit import kernel


@kernel
def moving_means(x, windows, least):
    """Mean of the last w values for every w of `windows` (ascending): shape ``(len(windows), n)``.

    Summed from the newest value backwards in one sweep over the lags, so that a value depends on its
    own window only, bit for bit, wherever the series starts.
    """
    n = x.size
    sums, counts = np.zeros(n), np.zeros(n, np.int32)
    out = np.full((windows.size, n), np.nan)
    lag = 0
    for i in range(windows.size):
        w = windows[i]
        while lag < w:
            for t in range(lag, n):
                value = x[t - lag]
                if value == value:
                    sums[t] += value
                    counts[t] += 1
            lag += 1
        for t in range(w - 1, n):
            if counts[t] >= least * w:
                out[i, t] = sums[t] / counts[t]
    return out


@kernel
def swing_lows(low, strength):
    """Bars whose low is below the `strength` lows before and not above the `strength` lows after."""
    found = np.empty(low.size, np.int64)
    m = 0
    for s in range(strength, low.size - strength):
        is_swing = low[s] == low[s]
        for j in range(1, strength + 1):
            if not (low[s] < low[s - j] and low[s] <= low[s + j]):
                is_swing = False
                break
        if is_swing:
            found[m] = s
            m += 1
    return found[:m]


@kernel
def touched_levels(low, swings, touches, tolerance, longest):
    """For each swing the level it forms with its ``touches - 1`` latest earlier companions.

    Returns
    -------
    level : float array (swings,)
        Lowest of the companions' lows; NaN where there are too few within `longest` bars.
    since : int64 array (swings,)
        Bar of the oldest companion.
    """
    level, since = np.full(swings.size, np.nan), np.zeros(swings.size, np.int64)
    for i in range(swings.size):
        own = low[swings[i]]
        lowest, count, j = own, 1, i
        while count < touches:
            j -= 1
            if j < 0 or swings[i] - swings[j] > longest:
                break
            other = low[swings[j]]
            if abs(other / own - 1.0) <= tolerance:
                count += 1
                lowest = min(lowest, other)
        if count == touches:
            level[i], since[i] = lowest, swings[j]
    return level, since


@kernel
def latest_level(n, swings, level, since, strength, lookback):
    """Level of the latest confirmed swing all of whose companions are at most `lookback` bars old."""
    out = np.full(n, np.nan)
    newest = -1
    for t in range(n):
        while newest + 1 < swings.size and swings[newest + 1] + strength <= t:
            newest += 1
        for i in range(newest, -1, -1):
            if t - swings[i] > lookback:
                break
            if level[i] == level[i] and t - since[i] <= lookback:
                out[t] = level[i]
                break
    return out


@kernel
def reclaims(event_start, event_bars, event_row, level, level_row, bars, close, out):
    """Set ``out[r, t]`` where bar t closes above the level of an event at most ``bars[r] - 1`` bars old.

    Parameters
    ----------
    event_start, event_bars : int64 arrays
        Bars of the events of each event row, one row after the other.
    event_row, level_row : int64 arrays (rows,)
        Rows that each output row reads.
    level : float64 array (level rows, n)
    bars : int64 array (rows,)
    """
    n = close.size
    for r in range(out.shape[0]):
        e, lv = event_row[r], level_row[r]
        for i in range(event_start[e], event_start[e + 1]):
            t = event_bars[i]
            for b in range(t, min(t + bars[r], n)):
                if close[b] > level[lv, t]:
                    out[r, b] = True
