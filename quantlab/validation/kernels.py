"""Numba kernel of the probability of overfitting: every way to halve the blocks, both halves at once."""

from __future__ import annotations

import math

import numpy as np

from quantlab.jit import inlined, kernel


@inlined
def _add(sums, squares, chosen, s, q):
    """Sums and sums of squares over the chosen blocks, for every cell."""
    s[:], q[:] = 0.0, 0.0
    for b in chosen:
        one, two = sums[b], squares[b]
        for i in range(s.size):
            s[i] += one[i]
            q[i] += two[i]


@inlined
def _ratios(s, q, days, out):
    """Sharpe ratios per day; 0 where nothing varied."""
    for i in range(s.size):
        mean = s[i] / days
        variance = (q[i] - s[i] * mean) / (days - 1.0)
        out[i] = mean / math.sqrt(variance) if variance > 1e-18 else 0.0


@inlined
def _judge(here, there):
    """The best cell here: its ratio here and there, and its mid-rank there in (0, 1)."""
    best = 0
    for i in range(1, here.size):
        if here[i] > here[best]:
            best = i
    value, lower, equal = there[best], 0, 0
    for i in range(there.size):
        lower += there[i] < value
        equal += there[i] == value
    return here[best], value, (lower + 0.5 * (equal + 1.0)) / (there.size + 1.0)


@kernel
def halves(sums, squares, days, total_sum, total_square, combinations, first, last, out):
    """Judge the best cell of each half on the other half.

    Parameters
    ----------
    sums, squares : float64 array (blocks, cells)
        Of daily returns.
    days : float64 array (blocks,)
    total_sum, total_square : float64 array (cells,)
    combinations : int64 array (splits, blocks / 2)
        Blocks of one half; the other has the rest.
    first, last : int
        Combinations to judge.
    out : float64 array (2 * splits, 3)
        Ratio of the best cell where it was chosen and where it was not, and its rank there; for both halves.
    """
    cells = sums.shape[1]
    s, q = np.empty(cells), np.empty(cells)
    one, two = np.empty(cells), np.empty(cells)
    for c in range(first, last):
        _add(sums, squares, combinations[c], s, q)
        length = 0.0
        for b in combinations[c]:
            length += days[b]
        _ratios(s, q, length, one)
        for i in range(cells):
            s[i], q[i] = total_sum[i] - s[i], total_square[i] - q[i]
        _ratios(s, q, days.sum() - length, two)
        out[2 * c, 0], out[2 * c, 1], out[2 * c, 2] = _judge(one, two)
        out[2 * c + 1, 0], out[2 * c + 1, 1], out[2 * c + 1, 2] = _judge(two, one)
