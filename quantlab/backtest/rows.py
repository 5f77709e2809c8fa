"""From a strategy's `Signals` to what the kernels read: distinct entry rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.backtest import record
from quantlab.backtest.row_kernels import digest_rows, list_rows
from quantlab.clauses import AllOf, Clause, row_of, words_of
from quantlab.clauses.kernels import delay_words
from quantlab.errors import InputError
from quantlab.signals import Signals


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


def _side(
    parts: list[np.ndarray | Clause], n: int, delay: int, shape: tuple[int, ...], offset: int
) -> tuple[list, np.ndarray]:
    """Bits of each clause on its own axes, delayed, and the row of each that every entry row reads."""
    words, index = [], np.empty((len(parts), int(np.prod(shape))), np.int64)
    for i, part in enumerate(parts):
        if part.shape[-1] not in (1, n):
            raise InputError(f"entries must have 1 or {n} bars on their last axis, got {part.shape[-1]}.")
        packed = words_of(part, n)
        if delay:
            delay_words(packed, delay, n)
        index[i] = row_of(part.shape[:-1], shape) + offset
        offset += len(packed)
        words.append(packed)
    return words, index


def find_entries(signals: Signals, usable: np.ndarray, allowed: np.ndarray, delay: int) -> Entries:
    """Combine, compare and list the entry rows.

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
    shape = axes_shape(long + short, k)
    long_words, long_index = _side(long, n, delay, shape, 0)
    short_words, short_index = _side(short, n, delay, shape, sum(map(len, long_words)))
    words = np.concatenate(long_words + short_words)
    valid = words_of(usable, n)[0]
    use = allowed.any(axis=tuple(i for i in range(k) if shape[i] == 1), keepdims=True)
    use = np.ascontiguousarray(np.broadcast_to(use, shape)).ravel()
    size = use.size
    digest, counts = np.empty((size, 2), np.uint64), np.empty(size, np.int64)
    digest_rows(words, long_index, short_index, valid, use, 0, size, digest, counts)
    order = np.lexsort((digest[:, 1], digest[:, 0]))
    new = np.r_[True, (digest[order[1:]] != digest[order[:-1]]).any(axis=1)]
    distinct = np.empty(size, np.int64)
    distinct[order] = np.cumsum(new) - 1
    chosen = order[new]
    start = np.r_[0, np.cumsum(counts[chosen])]
    codes = np.empty(start[-1], np.int64)
    list_rows(words, long_index, short_index, valid, chosen, start, codes)
    return Entries(_union(codes, start, n), distinct.reshape(shape), shape)


def _union(codes: np.ndarray, start: np.ndarray, n: int) -> record.Rows:
    """The sorted union of all decisions, and every row as positions in it."""
    present = np.zeros(2 * n, bool)
    present[codes] = True
    union = np.flatnonzero(present)
    position = np.cumsum(present) - 1
    bar = (union // 2).astype(np.int64)
    return record.Rows(
        bar=bar,
        side=np.where(union % 2 == 1, -1, 1).astype(np.int64),
        first_at=np.searchsorted(bar, np.arange(n + 1)).astype(np.int64),
        start=start.astype(np.int64),
        entries=position[codes].astype(np.int32),
    )


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
