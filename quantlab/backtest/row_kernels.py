"""Numba kernels of the entry rows: combine packed clauses, list their decisions, find equal rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantlab.clauses.bit_kernels import fold_product, lowest_bit, nonzero_bits
from quantlab.clauses.kernels import delay_row
from quantlab.clauses.rank_kernels import Ranked, relate
from quantlab.jit import inlined, inner, kernel

_ONE = np.uint64(1)
_TOP = np.uint64(63)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX2 = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX3 = np.uint64(0xD6E8FEB86659FD93)
_MIX4 = np.uint64(0xA0761D6478BD642F)

NEVER, NOTHING, STATE, CROSSING = range(4)
"""What a side asks of a live comparison."""


class Packed(NamedTuple):
    """Packed clauses of both sides.

    Attributes
    ----------
    words : uint64 array (clause rows, n_words)
        Bit b of word w is bar 64 w + b.
    both, long, short : int64 array (clauses, rows)
        For every clause of both sides, of long alone and of short alone the row of `words` that an entry
        row reads.
    """

    words: np.ndarray
    both: np.ndarray
    long: np.ndarray
    short: np.ndarray


class Live(NamedTuple):
    """A comparison that is evaluated row by row, so that its product is never held.

    Attributes
    ----------
    a, b : Ranked
    a_row, b_row : int64 array (rows,)
        Row of each that an entry row compares; none if no side asks for it.
    long, short : int
        What the side asks: `NOTHING`, `STATE` (hold now) or `CROSSING` (hold now and not on the bar
        before). A side that is left out is `NEVER`.
    long_less, short_less : bool
        The side asks where `a` is less than `b`, not where it is greater.
    """

    a: Ranked
    b: Ranked
    a_row: np.ndarray
    b_row: np.ndarray
    long: int
    long_less: bool
    short: int
    short_less: bool


@inlined
def _asked(kind, less, bits, out):
    """What a side asks of a comparison, where `bits` holds greater, less and known after a word of zeros.

    A crossing was known and not so on the bar before.
    """
    words, at = out.size, 1 if less else 0
    now, known = bits[at, 1 : words + 1], bits[2, 1 : words + 1]
    now_before, known_before = bits[at, :words], bits[2, :words]
    if kind == STATE:
        for w in range(words):
            out[w] = now[w] & known[w]
    elif kind == CROSSING:
        for w in range(words):
            before, carried = known[w] & ~now[w], known_before[w] & ~now_before[w]
            out[w] = now[w] & known[w] & ((before << _ONE) | (carried >> _TOP))


@inlined
def _conjoin(words, index, r, kind, out):
    """Take from `out` what a clause of row r does not hold; without a comparison they start it."""
    count, c = index.shape[0], 0
    if kind == NEVER or (kind == NOTHING and count == 0):
        out[:] = np.uint64(0) if kind == NEVER else ~np.uint64(0)
    elif kind == NOTHING:
        one, two = words[index[0, r]], words[index[min(1, count - 1), r]]
        for w in range(out.size):
            out[w] = one[w] & two[w]
        c = 2
    while c < count:
        other = words[index[c, r]]
        for w in range(out.size):
            out[w] &= other[w]
        c += 1


@inner
def decide(packed, live, valid, delay, bars, r, bits, long, short, either):
    """Bits of all decisions of row r into `either`; those that are short are in `short` too.

    Parameters
    ----------
    packed, live, valid, delay, bars
        As of `list_rows`.
    bits : uint64 array (3, 1 + n_words rounded up to 64s)
        Scratch; a column of zeros first.
    long, short, either : uint64 array (n_words,)
    """
    if live.a_row.size > 0:
        relate(live.a, live.b, live.a_row[r], live.b_row[r], bits)
        _asked(live.long, live.long_less, bits, long)
        _asked(live.short, live.short_less, bits, short)
    _conjoin(packed.words, packed.long, r, live.long, long)
    _conjoin(packed.words, packed.short, r, live.short, short)
    for w in range(either.size):
        either[w] = long[w] ^ short[w]
    _conjoin(packed.words, packed.both, r, STATE, either)
    if delay > 0:
        delay_row(either, delay, bars)
        delay_row(short, delay, bars)
    for w in range(either.size):
        either[w] &= valid[w]


@inlined
def _digest(word, short, w):
    """Two hashes of a word of decisions at its place."""
    place = np.uint64(w + 1)
    x, y = word ^ (place * _MIX), short ^ (place * _MIX2)
    return fold_product(x ^ _MIX3, y ^ _MIX4), fold_product(x ^ _MIX2, y ^ _MIX)


@inner
def list_words(either, short, words, codes, total, present):
    """Append the decisions in these bits to `codes`; return their number and two hashes of them."""
    a, b = np.uint64(0), np.uint64(0)
    for block in range(0, words, 64):
        some = nonzero_bits(either, block)
        while some != 0:
            w = block + np.int64(lowest_bit(some))
            some &= some - _ONE
            word, down = either[w], short[w]
            x, y = _digest(word, down & word, w)
            a, b = a + x, b + y
            while word != 0:
                bit = lowest_bit(word)
                word &= word - _ONE
                code = 128 * w + np.int64((bit << _ONE) | ((down >> bit) & _ONE))
                codes[total], present[code] = code, 1
                total += 1
    return total, a, b


@kernel
def list_rows(packed, live, valid, use, delay, bars, rows, codes, total, digest, counts, present):
    """List, count and hash the decisions of some rows, as far as there is room.

    Parameters
    ----------
    packed : Packed
    live : Live
    valid : uint64 array (n_words,)
        Bars on which a decision may be made.
    use : boolean array (rows,)
        Rows that any allowed cell needs; the others count as empty.
    delay : int
        Bars by which decisions are moved later.
    bars : int
    rows : int64 array
        Rows to list, in this order.
    codes : int32 array
        Receives from place `total` on the decisions of one row after the other, ascending, as
        ``2 * bar + (1 if short)``. A bar on which both sides hold is no decision.
    total : int
    digest : uint64 array (rows, 2)
        Receives a 128-bit hash of the decisions: a sum of hashes of the words that hold any. Two unequal
        rows among a million share it with a probability below 1e-26.
    counts : int64 array (rows,)
        Receives the number of decisions.
    present : uint8 array (2 bars,)
        Receives ones at all codes that are listed.

    Returns
    -------
    done, total : int
        Rows that were listed, and the end of their decisions: the next may have one on each of its bars.
    """
    words = valid.size
    wide = (words + 63) // 64 * 64
    bits, either = np.zeros((3, wide + 1), np.uint64), np.zeros(wide, np.uint64)
    long, short, own = np.empty(words, np.uint64), np.empty(words, np.uint64), either[:words]
    for k in range(rows.size):
        r, a, b, before = rows[k], np.uint64(0), np.uint64(0), total
        if total + bars > codes.size:
            return k, total
        if use[r]:
            decide(packed, live, valid, delay, bars, r, bits, long, short, own)
            total, a, b = list_words(either, short, words, codes, total, present)
        digest[r, 0], digest[r, 1], counts[r] = a, b, total - before
    return rows.size, total


@kernel
def number_rows(digest, row_of, chosen):
    """Number the distinct rows in the order in which they first appear; return how many there are.

    Parameters
    ----------
    digest : uint64 array (rows, 2)
    row_of : int64 array (rows,)
        Receives the number of each row.
    chosen : int64 array (rows,)
        Receives for each number the row that first had it.
    """
    size = 64
    while size < 2 * digest.shape[0]:
        size *= 2
    table, found = np.full(size, -1, np.int64), 0
    for r in range(digest.shape[0]):
        at = np.int64(digest[r, 0] & np.uint64(size - 1))
        while True:
            known = table[at]
            if known < 0:
                table[at], chosen[found], row_of[r] = found, r, found
                found += 1
                break
            if digest[chosen[known], 0] == digest[r, 0] and digest[chosen[known], 1] == digest[r, 1]:
                row_of[r] = known
                break
            at = (at + 1) & (size - 1)
    return found


@kernel
def unite(present):
    """The sorted union of all decisions.

    Parameters
    ----------
    present : uint8 array (2 n_bars,)
        Not zero for the codes ``2 * bar + (1 if short)`` that some row holds.

    Returns
    -------
    bar, side : int64 array (decisions,)
    first_at : int64 array (n_bars + 1,)
        Number of decisions before each bar.
    position : int32 array (2 n_bars,)
        Place of each code in the union.
    """
    position, first_at = np.empty(present.size, np.int32), np.empty(present.size // 2 + 1, np.int64)
    total = 0
    for code in range(present.size):
        if code % 2 == 0:
            first_at[code // 2] = total
        position[code] = total
        total += present[code] != 0
    first_at[present.size // 2] = total
    bar, side = np.empty(total, np.int64), np.empty(total, np.int64)
    for code in range(present.size):
        if present[code] != 0:
            bar[position[code]], side[position[code]] = code // 2, 1 - 2 * (code % 2)
    return bar, side, first_at, position


@kernel
def place_rows(codes, rows, counts, to, position, entries):
    """Copy the `rows` that `codes` lists, as places in the union, to ``entries[to[r]:]``.

    Rows whose `to` is negative are passed over.
    """
    k = 0
    for r in rows:
        if to[r] >= 0:
            for i in range(counts[r]):
                entries[to[r] + i] = position[codes[k + i]]
        k += counts[r]
