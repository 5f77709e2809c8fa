"""Numba kernels that compare many rows with many rows: coarse ranks decide, exact values where they tie.

The values of a bar, over all rows of both sides, are ranked into 65,535 steps by a function that never
falls, so that a greater rank is a greater value; only equal ranks ask the values themselves. Sixty-four
ranks compare in a few instructions, and where all ranks of one row over 64 bars lie above all of the
other's, one comparison does for the 64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantlab.clauses.bit_kernels import equal_bits, greater_bits, lowest_bit
from quantlab.jit import inlined, kernel

STEPS = 65_534.0
_ONE = np.uint64(1)
_LOW_SIX = np.uint64(63)


class Ranked(NamedTuple):
    """Rows of values with their ranks.

    Attributes
    ----------
    values : float64 array (rows, n_bars)
    ranks : int16 array (rows, 64 n_words)
    least, greatest : int16 array (rows, n_words rounded up to 64s)
        Of the known ranks of each word; 32767 and -32768 where none is known, so that it is clear.
    known : uint64 array (rows, n_words rounded up to 64s)
        Bits of the values that are not NaN.
    """

    values: np.ndarray
    ranks: np.ndarray
    least: np.ndarray
    greatest: np.ndarray
    known: np.ndarray


@kernel
def bar_bounds(values, every, low, high):
    """Widen ``low[t]`` and ``high[t]`` to the finite values of one row in `every`."""
    for r in range(0, values.shape[0], every):
        row = values[r]
        for t in range(row.size):
            value = row[t]
            low[t] = value if value < low[t] and value > -np.inf else low[t]
            high[t] = value if value > high[t] and value < np.inf else high[t]


@kernel
def rank_rows(low, scale, first, last, out):
    """Rank the rows ``[first, last)`` of `out.values`: steps of ``1 / scale[t]`` above ``low[t]``."""
    n = out.values.shape[1]
    for r in range(first, last):
        row, ranks, known = out.values[r], out.ranks[r], out.known[r]
        least, greatest = out.least[r], out.greatest[r]
        for t in range(n):
            steps = (row[t] - low[t]) * scale[t]
            steps = steps if steps > 0.0 else 0.0
            steps = steps if steps < STEPS else STEPS
            ranks[t] = np.int16(np.int32(steps) - 32_767)
        ranks[n:] = 0
        least[:], greatest[:], known[:] = 32_767, -32_768, 0
        for w in range(ranks.size // 64):
            known[w] = _known(row[64 * w : 64 * w + 64])
            own, smallest, largest = ranks[64 * w : 64 * w + 64], np.int16(32_767), np.int16(-32_768)
            if known[w] == ~np.uint64(0):
                for k in range(64):
                    smallest, largest = min(smallest, own[k]), max(largest, own[k])
            else:
                for k in range(64):
                    if (known[w] >> np.uint64(k)) & _ONE:
                        smallest, largest = min(smallest, own[k]), max(largest, own[k])
            least[w], greatest[w] = smallest, largest


@inlined
def _known(values):
    """Bits of at most 64 values that are not NaN."""
    word = np.uint64(0)
    if values.size == 64:
        for k in range(64):
            word |= np.uint64(values[k] == values[k]) << np.uint64(k)
    else:
        for k in range(values.size):
            word |= np.uint64(values[k] == values[k]) << np.uint64(k)
    return word


@inlined
def _tied(x, y, base, ties, greater, less):
    """Settle ties by the values."""
    while ties != 0:
        bit = lowest_bit(ties)
        u, v = x[base + np.int64(bit)], y[base + np.int64(bit)]
        if u > v:
            greater |= _ONE << bit
        elif u < v:
            less |= _ONE << bit
        ties &= ties - _ONE
    return greater, less


@inlined
def relate(a, b, i, j, bits):
    """Compare row i of `a` with row j of `b`.

    Parameters
    ----------
    a, b : Ranked
    i, j : int
    bits : uint64 array (3, 1 + n_words rounded up to 64s)
        Receives bits of greater and of less, which count only where both are known, and of both known;
        after a first word that is left alone.
    """
    x, y, known_x, known_y = a.values[i], b.values[j], a.known[i], b.known[j]
    ranks_x, least_x, greatest_x = a.ranks[i], a.least[i], a.greatest[i]
    ranks_y, least_y, greatest_y = b.ranks[j], b.least[j], b.greatest[j]
    greater, less, both = bits[0, 1:], bits[1, 1:], bits[2, 1:]
    for block in range(0, both.size, 64):
        over = greater_bits(least_x, block, greatest_y, block)
        under = greater_bits(least_y, block, greatest_x, block)
        for k in range(64):
            greater[block + k] = np.uint64(0) - ((over >> np.uint64(k)) & _ONE)
            less[block + k] = np.uint64(0) - ((under >> np.uint64(k)) & _ONE)
            both[block + k] = known_x[block + k] & known_y[block + k]
        unclear = ~(over | under)
        while unclear != 0:
            w = block + np.int64(lowest_bit(unclear))
            unclear &= unclear - _ONE
            more = greater_bits(ranks_x, 64 * w, ranks_y, 64 * w)
            tied = equal_bits(ranks_x, 64 * w, ranks_y, 64 * w) & both[w]
            fewer = ~(more | tied)
            if tied != 0:
                more, fewer = _tied(x, y, 64 * w, tied, more, fewer)
            greater[w], less[w] = more, fewer
