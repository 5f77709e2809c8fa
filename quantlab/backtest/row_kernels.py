"""Numba kernels of the entry rows: combine packed clauses, find equal rows, list their decisions."""

from __future__ import annotations

import numpy as np

from quantlab.jit import inlined, kernel

_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX2 = np.uint64(0xC2B2AE3D27D4EB4F)


@inlined
def _mix(h, value, factor):
    h = (h ^ value) * factor
    return h ^ (h >> np.uint64(29))


@inlined
def _word(words, index, r, w):
    """Word `w` of row `r`: the conjunction of its clauses; zero without a clause."""
    if index.shape[0] == 0:
        return np.uint64(0)
    value = words[index[0, r], w]
    for c in range(1, index.shape[0]):
        if value == 0:
            return value
        value &= words[index[c, r], w]
    return value


@kernel
def digest_rows(words, long_index, short_index, valid, use, first, last, out, counts):
    """Hash and count the decisions of the rows ``[first, last)``.

    Parameters
    ----------
    words : uint64 array (clause rows, n_words)
        Packed clauses of both sides, bit b of word w is bar 64 w + b.
    long_index, short_index : int64 array (clauses, rows)
        For every clause the row of `words` that an entry row reads.
    valid : uint64 array (n_words,)
        Bars on which a decision may be made.
    use : boolean array (rows,)
        Rows that any allowed cell needs; the others count as empty.
    out : uint64 array (rows, 2)
        Receives a 128-bit hash, so that equal rows are found without holding any of them. Two unequal
        rows among a million share it with a probability below 1e-26.
    counts : int64 array (rows,)
        Receives the number of decisions.
    """
    for r in range(first, last):
        a, b, count = np.uint64(0), np.uint64(0), 0
        if use[r]:
            for w in range(valid.size):
                long, short = _word(words, long_index, r, w), _word(words, short_index, r, w)
                either = (long ^ short) & valid[w]
                if either != 0:
                    long, short = long & either, short & either
                    place = np.uint64(w + 1)
                    a = _mix(_mix(_mix(a, place, _MIX), long, _MIX2), short, _MIX)
                    b = _mix(_mix(_mix(b, short, _MIX2), place, _MIX2), long, _MIX)
                    while either != 0:
                        either &= either - np.uint64(1)
                        count += 1
        out[r, 0], out[r, 1], counts[r] = a, b, count


@kernel
def list_rows(words, long_index, short_index, valid, chosen, start, out):
    """Write the decisions of the `chosen` rows, ascending, as ``2 * bar + (1 if short)`` into `out`.

    ``out[start[i]:start[i + 1]]`` belongs to ``chosen[i]``. A bar on which both sides hold is no decision.
    """
    for i in range(chosen.size):
        r, k = chosen[i], start[i]
        if start[i + 1] == k:
            continue
        for w in range(valid.size):
            long, short = _word(words, long_index, r, w), _word(words, short_index, r, w)
            either = (long ^ short) & valid[w]
            bit = 0
            while either != 0:
                while either & np.uint64(1) == 0:
                    either >>= np.uint64(1)
                    bit += 1
                out[k] = 2 * (64 * w + bit) + (1 if (short >> np.uint64(bit)) & np.uint64(1) else 0)
                k += 1
                either >>= np.uint64(1)
                bit += 1
