"""Numba kernels of the indicators: one row of numbers in, one row out."""

from __future__ import annotations

import numpy as np

from quantlab.clauses.kernels import above_bits
from quantlab.jit import kernel


@kernel
def present_values(x, padding):
    """Prepare `x` for `moving_means`.

    Returns
    -------
    values : float64 array (padding + n,)
        Zeros, then `x` with zeros where it is NaN.
    counts : int64 array (n + 1,)
        Number of values present before each bar; empty if none is missing.
    """
    values, missing = np.empty(padding + x.size), 0
    values[:padding] = 0.0
    for t in range(x.size):
        missing += x[t] != x[t]
        values[padding + t] = x[t] if x[t] == x[t] else 0.0
    counts = np.zeros(x.size + 1 if missing > 0 else 0, np.int64)
    for t in range(counts.size - 1):
        counts[t + 1] = counts[t] + (x[t] == x[t])
    return values, counts


@kernel
def moving_means(values, counts, windows, least, first, last, out):
    """Mean of the last w values for every w of `windows` (ascending), bars ``[first, last)`` of `out`.

    Summed from the newest value backwards in one sweep over the lags, so that a value depends on its
    own window only, bit for bit, wherever the series starts. Every step adds one lag to all bars.

    Parameters
    ----------
    values, counts : arrays
        As `present_values` returns them, with a padding of at least the longest window.
    windows : int64 array
    least : float
        Share of a window that must be present.
    out : float64 array (len(windows), n)
    """
    bars, at = last - first, values.size - out.shape[1] + first
    sums, lag = np.zeros(bars), 0
    for i in range(windows.size):
        w = windows[i]
        while lag + 4 <= w:
            a, b = values[at - lag : at - lag + bars], values[at - lag - 1 : at - lag - 1 + bars]
            c, d = values[at - lag - 2 : at - lag - 2 + bars], values[at - lag - 3 : at - lag - 3 + bars]
            for t in range(bars):
                sums[t] = (((sums[t] + a[t]) + b[t]) + c[t]) + d[t]
            lag += 4
        while lag < w:
            a = values[at - lag : at - lag + bars]
            for t in range(bars):
                sums[t] += a[t]
            lag += 1
        row = out[i, first:last]
        if counts.size == 0:
            for t in range(bars):
                row[t] = sums[t] / w
        else:
            for t in range(bars):
                there = counts[first + t + 1] - counts[max(first + t + 1 - w, 0)]
                row[t] = sums[t] / there if there >= least * w else np.nan
        row[: max(0, min(bars, w - 1 - first))] = np.nan


@kernel
def swing_lows(low, strength):
    """Bars whose low is below the `strength` lows before and not above the `strength` lows after."""
    found, m = np.empty(low.size, np.int64), 0
    is_swing = np.ones(max(low.size - 2 * strength, 0), np.bool_)
    own = low[strength : strength + is_swing.size]
    for j in range(1, strength + 1):
        before, after = low[strength - j :], low[strength + j :]
        for i in range(is_swing.size):
            is_swing[i] &= (own[i] < before[i]) & (own[i] <= after[i])
    for i in range(is_swing.size):
        found[m] = strength + i
        m += is_swing[i]
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
def latest_level(swings, level, since, strength, lookback, out):
    """Level of the latest confirmed swing all of whose companions are at most `lookback` bars old.

    Into `out`, shape ``(n_bars,)``; NaN where there is none.
    """
    n = out.size
    out[:] = np.nan
    for newest in range(swings.size):
        t = swings[newest] + strength
        last = min(n, swings[newest + 1] + strength) if newest + 1 < swings.size else n
        i = newest
        while t < last and i >= 0 and t - swings[i] <= lookback:
            until = min(last, since[i] + lookback + 1)
            if level[i] == level[i] and t < until:
                out[t:until] = level[i]
                t = until
            i -= 1


@kernel
def reclaiming(close, level, out):
    """Bits of ``close[t + age] > level[r, t]`` into ``out[age, r]``: closed above by a later bar."""
    n = close.size
    for age in range(out.shape[0]):
        later = close[age:]
        for r in range(level.shape[0]):
            row, words = level[r], out[age, r]
            for w in range(words.size):
                words[w] = above_bits(later, row, 64 * w, max(64 * w, min(64 * w + 64, n - age)))


@kernel
def reclaims(events, event_row, closes, level_row, bars, first, last, out):
    """Bits of the bars that close above the level of an event at most ``bars[r] - 1`` bars old.

    Parameters
    ----------
    events : uint64 array (event rows, n_words)
        Bits of the events.
    closes : uint64 array (ages, level rows, n_words)
        As `reclaiming` leaves it.
    event_row, level_row : int64 arrays (rows,)
        Rows that each output row reads.
    bars : int64 array (rows,)
    first, last : int
        Rows to fill.
    out : uint64 array (rows, n_words)
    """
    words = out.shape[1]
    padded = np.zeros(words + 1, np.uint64)
    now, before = padded[1:], padded[:words]
    for r in range(first, last):
        row, event = out[r], events[event_row[r]]
        row[:] = 0
        for age in range(bars[r]):
            closed, part = closes[age, level_row[r]], np.uint64(age % 64)
            for w in range(words):
                now[w] = event[w] & closed[w]
            late = row[age // 64 :]
            if part == 0:
                for w in range(late.size):
                    late[w] |= now[w]
            else:
                carry = np.uint64(64) - part
                for w in range(late.size):
                    late[w] |= (now[w] << part) | (before[w] >> carry)
