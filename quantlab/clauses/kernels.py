"""Numba kernels of the clauses: bits along time, bar b of a row is bit ``b % 64`` of word ``b // 64``."""

from __future__ import annotations

import numpy as np

from quantlab.jit import inlined, kernel

_TOP = np.uint64(63)
_ONE = np.uint64(1)


@inlined
def above_bits(x, y, first, last):
    """Bits of ``x > y`` over the bars ``[first, last)``, at most 64."""
    word = np.uint64(0)
    if last - first == 64:
        for k in range(64):
            word |= np.uint64(x[first + k] > y[first + k]) << np.uint64(k)
    else:
        for k in range(last - first):
            word |= np.uint64(x[first + k] > y[first + k]) << np.uint64(k)
    return word


@kernel
def pack_known(x, out):
    """Bits of the values that are not NaN."""
    n = x.shape[1]
    for r in range(x.shape[0]):
        for w in range(out.shape[1]):
            word = np.uint64(0)
            for k in range(min(64, n - 64 * w)):
                value = x[r, 64 * w + k]
                word |= np.uint64(value == value) << np.uint64(k)
            out[r, w] = word


@kernel
def pack_above(a, b, a_row, b_row, out):
    """Bits of ``a[a_row[r]] > b[b_row[r]]`` for every row r of `out`; NaN is above nothing.

    Parameters
    ----------
    a, b : float64 array (own rows, n_bars)
    a_row, b_row : int64 array (rows,)
    out : uint64 array (rows, n_words)
    """
    n = a.shape[1]
    for r in range(out.shape[0]):
        x, y, row = a[a_row[r]], b[b_row[r]], out[r]
        for w in range(row.size):
            row[w] = above_bits(x, y, 64 * w, min(64 * w + 64, n))


@kernel
def keep_crossings(out, a_known, b_known, a_row, b_row):
    """Turn bits of "above" into "above now and at or below on the bar before".

    Parameters
    ----------
    out : uint64 array (rows, n_words)
        As `pack_above` leaves it.
    a_known, b_known : uint64 array (own rows, n_words)
        Bits of the values that are not NaN: at or below is known and not above.
    a_row, b_row : int64 array (rows,)
    """
    for r in range(out.shape[0]):
        x, y, row = a_known[a_row[r]], b_known[b_row[r]], out[r]
        carried = np.uint64(0)
        for w in range(row.size):
            now = row[w]
            not_above = x[w] & y[w] & ~now
            row[w] = now & ((not_above << _ONE) | carried)
            carried = not_above >> _TOP


@kernel
def from_bar(first, n, out):
    """Bits of the bars ``[first[r], n)`` for every row r of `out`."""
    ones = ~np.uint64(0)
    for r in range(out.shape[0]):
        start = min(max(first[r], 0), n)
        out[r, : start // 64] = 0
        out[r, start // 64 :] = ones
        if start // 64 < out.shape[1]:
            out[r, start // 64] = ones << np.uint64(start % 64)
        out[r, out.shape[1] - 1] &= ones >> np.uint64(64 * out.shape[1] - n)


@kernel
def conjoin(words, index, out):
    """``out[r]`` becomes the conjunction of the rows ``index[:, r]`` of `words`."""
    for r in range(out.shape[0]):
        row, first = out[r], words[index[0, r]]
        for w in range(row.size):
            row[w] = first[w]
        for c in range(1, index.shape[0]):
            other = words[index[c, r]]
            for w in range(row.size):
                row[w] &= other[w]


@kernel
def delay_row(row, delay, n):
    """Move the bits of a row `delay` bars later, in place; what was not yet decided is zero.

    Bits from bar `n` on stay zero.
    """
    whole, part = delay // 64, np.uint64(delay % 64)
    for w in range(row.size - 1, -1, -1):
        word = row[w - whole] << part if w >= whole else np.uint64(0)
        if part != 0 and w > whole:
            word |= row[w - whole - 1] >> (np.uint64(64) - part)
        row[w] = word
    row[row.size - 1] &= ~np.uint64(0) >> np.uint64(64 * row.size - n)
