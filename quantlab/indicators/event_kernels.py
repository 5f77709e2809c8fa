"""Numba kernels of events in time: bar b of a row is bit ``b % 64`` of word ``b // 64``."""

from __future__ import annotations

import numpy as np

from quantlab.clauses.bit_kernels import lowest_bit
from quantlab.jit import inner, kernel

_ONE = np.uint64(1)


@inner
def next_bar(row, first, last):
    """The first bar in ``[first, last]`` whose bit is set; ``last + 1`` if there is none."""
    w = first // 64
    if first > last or w >= row.size:
        return last + 1
    word = row[w] & (~np.uint64(0) << np.uint64(first % 64))
    while word == 0:
        w += 1
        if w >= row.size or 64 * w > last:
            return last + 1
        word = row[w]
    return min(last + 1, 64 * w + np.int64(lowest_bit(word)))


@kernel
def first_after(events, condition, ended, index, bars, first, last, out):
    """Bits of the first bar on which a condition holds after each event, for the rows ``[first, last)``.

    Parameters
    ----------
    events, condition, ended : uint64 array (own rows, n_words)
        What ends an event ends it before that bar is judged.
    index : int64 array (3, rows)
        Rows of the three that each output row reads.
    bars : int64 array (rows,)
        Greatest distance from the event.
    out : uint64 array (rows, n_words)
    """
    n = 64 * out.shape[1]
    for r in range(first, last):
        row, event, asked = out[r], events[index[0, r]], condition[index[1, r]]
        end = ended[index[2, r]]
        row[:] = 0
        for w in range(event.size):
            word = event[w]
            while word != 0:
                bar = 64 * w + np.int64(lowest_bit(word))
                word &= word - _ONE
                until = min(n - 1, bar + bars[r])
                found = next_bar(asked, bar + 1, until)
                if found <= until and next_bar(end, bar + 1, found) > found:
                    row[found // 64] |= _ONE << np.uint64(found % 64)


@kernel
def weighted(words, index, sets, start, kind, first, last, out):
    """Bits of the bars on which all members of some set hold, for the rows ``[first, last)``.

    Parameters
    ----------
    words : uint64 array (own rows, n_words)
    index : int64 array (members, rows)
        Row of `words` of every member.
    sets : int64 array (m,)
        Bit c of a set is member c; no set is empty.
    start : int64 array (kinds + 1,)
        Sets of kind k are ``[start[k], start[k + 1])``.
    kind : int64 array (rows,)
    out : uint64 array (rows, n_words)
    """
    for r in range(first, last):
        row, every = out[r], np.empty(out.shape[1], np.uint64)
        row[:] = 0
        for s in range(start[kind[r]], start[kind[r] + 1]):
            every[:] = ~np.uint64(0)
            for c in range(index.shape[0]):
                if (sets[s] >> c) & 1:
                    member = words[index[c, r]]
                    for w in range(row.size):
                        every[w] &= member[w]
            for w in range(row.size):
                row[w] |= every[w]
