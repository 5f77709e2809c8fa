"""From a strategy's `Signals` to what the kernels read: distinct entry rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from quantlab.backtest import record
from quantlab.backtest.row_kernels import (
    CROSSING,
    NEVER,
    NOTHING,
    STATE,
    Live,
    Packed,
    list_rows,
    number_rows,
    place_rows,
    unite,
)
from quantlab.clauses import AllOf, Clause, Comparison, row_of, words_of
from quantlab.clauses.ranks import ranked, unranked
from quantlab.errors import InputError
from quantlab.signals import Signals
from quantlab.threads import share

_LEAST_BAR_ROWS = 4_000_000
_NEAR_BYTES = 300_000
_CODES = 2**22

Listed = list[tuple[np.ndarray, np.ndarray]]
"""Rows, and the codes of all their decisions, one row after the other."""


@dataclass(frozen=True)
class Entries:
    """Distinct entry rows of a set of cells.

    Attributes
    ----------
    rows : record.Rows
    row_of : int64 array, shape of the entry axes
        Distinct row of every entry cell.
    shape : tuple of int
        Entry axes, ones where entries do not vary.
    """

    rows: record.Rows
    row_of: np.ndarray
    shape: tuple[int, ...]


def axes_shape(arrays: Sequence[np.ndarray | Clause], k: int) -> tuple[int, ...]:
    """Broadcast shape of the parameter axes of `arrays`, padded with ones to `k` axes."""
    shapes = [(1,) * (k + 1 - a.ndim) + a.shape for a in arrays]
    return np.broadcast_shapes((1,) * k, *(s[:-1] for s in shapes))


def clauses(signal: Any) -> list[np.ndarray | Clause]:
    """The clauses of an entry signal: none, one plain array or clause, or those of an `AllOf`."""
    if signal is None:
        return []
    parts = [
        part if isinstance(part, Clause) else np.asarray(part)
        for part in (signal.clauses if isinstance(signal, AllOf) else (signal,))
    ]
    for part in parts:
        if part.dtype != np.bool_:
            raise InputError(f"entry signals must be boolean, got {part.dtype}: compare before returning.")
    return parts


def find_entries(signals: Signals, usable: np.ndarray, allowed: np.ndarray, delay: int) -> Entries:
    """Combine the clauses of every entry row, list its decisions and number the distinct ones.

    Parameters
    ----------
    signals : Signals
    usable : boolean array (n_bars,)
        Bars on which a decision may be made (not missing, not before the start).
    allowed : boolean array, shape of the cells
        Cells that satisfy the constraints.
    delay : int
        Bars by which decisions are delayed.
    """
    n, k = usable.size, allowed.ndim
    long, short = clauses(signals.long), clauses(signals.short)
    if not long and not short:
        raise InputError("a strategy must return long or short entries, got neither.")
    for part in (*long, *short):
        if part.shape[-1] not in (1, n):
            raise InputError(f"entries must have 1 or {n} bars on their last axis, got {part.shape[-1]}.")
    shape = axes_shape([*long, *short], k)
    live = _live(long, short, n, shape)
    packed = _packed(long, short, n, shape)
    use = allowed.any(axis=tuple(i for i in range(k) if shape[i] == 1), keepdims=True)
    use = np.ascontiguousarray(np.broadcast_to(use, shape)).ravel()
    valid = words_of(usable, n)[0]
    digest, counts = np.empty((use.size, 2), np.uint64), np.empty(use.size, np.int64)
    present = np.zeros(2 * n, np.uint8)
    listed = _listed(packed, live, (valid, use, delay, n), (digest, counts, present))
    numbers, chosen = np.empty(use.size, np.int64), np.empty(use.size, np.int64)
    chosen = chosen[: number_rows(digest, numbers, chosen)]
    return Entries(_union(listed, counts, chosen, present), numbers.reshape(shape), shape)


def _listed(packed: Packed, live: Live, asked: tuple[Any, ...], found: tuple[np.ndarray, ...]) -> Listed:
    """The decisions of all rows, listed by several threads into a few long arrays."""
    _, use, _, n = asked
    order, pieces = _order(live, use.size, n), []
    begun: list[tuple[np.ndarray, int]] = []
    room = max(n, min(_CODES, use.size * n))

    def block(first: int, last: int) -> None:
        rows = order[first:last]
        while rows.size:
            codes, used = begun.pop() if begun else (np.empty(room, np.int32), 0)
            done, total = list_rows(packed, live, *asked, rows, codes, used, *found)
            pieces.append((rows[:done], codes[used:total]))
            if done == rows.size:
                begun.append((codes, total))
            rows = rows[done:]

    share(block, use.size, max(-(-_LEAST_BAR_ROWS // n), -(-use.size // 32)))
    return pieces


def _packed(
    long: list[np.ndarray | Clause], short: list[np.ndarray | Clause], n: int, shape: tuple[int, ...]
) -> Packed:
    """Bits of each clause on its own axes, and the row of each that every entry row reads."""
    distinct = {id(part): part for part in (*long, *short)}
    words = {key: words_of(part, n) for key, part in distinct.items()}
    offsets = dict(zip(words, np.cumsum([0, *map(len, words.values())]).tolist(), strict=False))
    index = {key: row_of(part.shape[:-1], shape) + offsets[key] for key, part in distinct.items()}
    sides = [{id(part) for part in side} for side in (long, short)]
    shares = (sides[0] & sides[1], sides[0] - sides[1], sides[1] - sides[0])
    none = np.empty((0, prod(shape)), np.int64)
    return Packed(
        np.concatenate([np.empty((0, -(-n // 64)), np.uint64), *words.values()]),
        *(
            np.array([*none, *(index[key] for key in share)], np.int64).reshape(-1, none.shape[1])
            for share in shares
        ),
    )


def _live(
    long: list[np.ndarray | Clause], short: list[np.ndarray | Clause], n: int, shape: tuple[int, ...]
) -> Live:
    """Take a comparison of many rows with many rows, and its like on the other side, out of the clauses."""
    size = prod(shape)
    for part in (*long, *short):
        if isinstance(part, Comparison) and part.worth_ranking(size):
            a, b = part.greater, part.lesser
            return Live(
                *ranked(*part.rows(n)),
                row_of(a.shape[:-1], shape),
                row_of(b.shape[:-1], shape),
                *_ask(long, a, b),
                *_ask(short, a, b),
            )
    none, no_row = unranked(np.empty((0, n))), np.empty(0, np.int64)
    asked = [(NOTHING if side else NEVER, False) for side in (long, short)]
    return Live(none, none, no_row, no_row, *asked[0], *asked[1])


def _ask(side: list[np.ndarray | Clause], a: np.ndarray, b: np.ndarray) -> tuple[int, bool]:
    """What a side asks of `a` and `b`, and whether it asks where `a` is less; that clause is taken out."""
    for place, part in enumerate(side):
        if isinstance(part, Comparison) and {id(part.greater), id(part.lesser)} == {id(a), id(b)}:
            del side[place]
            return CROSSING if part.crossed else STATE, part.greater is not a
    return NOTHING if side else NEVER, False


def _order(live: Live, size: int, n: int) -> np.ndarray:
    """The order in which to list the rows: those next to each other that compare the same few rows."""
    if not live.a_row.size:
        return np.arange(size)
    few = max(1, _NEAR_BYTES // (2 * n))
    return np.argsort(live.b_row // few * len(live.a.values) + live.a_row, kind="stable")


def _union(listed: Listed, counts: np.ndarray, chosen: np.ndarray, present: np.ndarray) -> record.Rows:
    """The sorted union of all decisions, and every distinct row as places in it."""
    start = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum(counts[chosen], out=start[1:])
    to = np.full(len(counts), -1)
    to[chosen] = start[:-1]
    bar, side, first_at, position = unite(present)
    entries = np.empty(start[-1], np.int32)

    def place(first: int, last: int) -> None:
        for rows, codes in listed[first:last]:
            place_rows(codes, rows, counts, to, position, entries)

    share(place, len(listed), 1)
    return record.Rows(bar=bar, side=side, first_at=first_at, start=start, entries=entries)


def own(array: np.ndarray) -> np.ndarray:
    """A contiguous, writable copy: kernels are compiled once for one kind of array."""
    return np.array(array, order="C", copy=True)


def later(flat: np.ndarray, delay: int) -> np.ndarray:
    """`flat` moved `delay` bars later; what was not yet decided is NaN (or False)."""
    if not delay or flat.shape[1] == 1:
        return flat
    kept = max(flat.shape[1] - delay, 0)
    later = np.full(flat.shape, False if flat.dtype == np.bool_ else np.nan, flat.dtype)
    later[:, flat.shape[1] - kept :] = flat[:, :kept]
    return later
