"""Events in time, on packed bits: what comes first after an event, and scores of several conditions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantlab.clauses import Bits, Clause, row_of, words_of
from quantlab.errors import InputError
from quantlab.indicators.event_kernels import first_after, weighted
from quantlab.threads import share

_LEAST_WORDS = 400_000
_ROUNDING = 1e-9


def first_within(
    events: np.ndarray | Clause,
    condition: np.ndarray | Clause,
    bars: np.ndarray | int,
    ended_by: np.ndarray | Clause | None = None,
) -> Clause:
    """Whether a bar is the first after some event on which a condition holds, at most `bars` bars later.

    The event's own bar does not count. Known at the close of the bar.

    Parameters
    ----------
    events, condition : boolean array or clause (..., n_bars)
    bars : int or int array (..., 1)
        Greatest distance from the event.
    ended_by : boolean array or clause (..., n_bars), optional
        Bars that end every event before them; they are no longer judged for it.

    Returns
    -------
    Clause (..., n_bars)
        Over the broadcast axes of all four; ``np.asarray`` of it is the boolean array.
    """
    n, back = events.shape[-1], np.atleast_1d(np.asarray(bars, dtype=np.int64))
    end = np.zeros(n, bool) if ended_by is None else ended_by
    shapes = [part.shape[:-1] for part in (events, condition, end)]
    axes = np.broadcast_shapes(*shapes, back.shape[:-1])
    index = np.array([row_of(shape, axes) for shape in shapes])
    limits = np.minimum(np.broadcast_to(back[..., 0], axes).ravel(), n)
    words = [words_of(part, n) for part in (events, condition, end)]
    out = np.empty((limits.size, words[0].shape[1]), np.uint64)

    def block(first: int, last: int) -> None:
        first_after(*words, index, limits, first, last, out)

    share(block, limits.size, max(1, _LEAST_WORDS // out.shape[1]))
    return Bits(out, axes, n)


def score_at_least(
    clauses: Sequence[np.ndarray | Clause], weights: Sequence[float], least: np.ndarray | float
) -> Clause:
    """Whether the weights of the clauses that hold add up to `least`; known at the close of the bar.

    A sum within 1e-9 of `least` reaches it: 0.3 + 0.2 + 0.1 is 0.6, whatever binary fractions make of it.

    Parameters
    ----------
    clauses : sequence of boolean arrays or clauses, each (..., n_bars)
        A few: their subsets are counted.
    weights : sequence of float
        Positive, one for each clause.
    least : float or float array (..., 1)
        Positive.

    Returns
    -------
    Clause (..., n_bars)
        Over the broadcast axes of clauses and `least`; ``np.asarray`` of it is the boolean array.

    Raises
    ------
    InputError
        As many weights as clauses are needed, and all numbers must be positive.
    """
    asked = np.atleast_1d(np.asarray(least, dtype=np.float64))
    if len(clauses) != len(weights) or min(*weights, asked.min()) <= 0:
        raise InputError(
            f"a score needs a positive weight for each clause and positive sums, got {len(clauses)} clauses, "
            f"weights {list(weights)} and sums from {asked.min():g}: give one weight a clause."
        )
    n = max(clause.shape[-1] for clause in clauses)
    axes = np.broadcast_shapes(*(clause.shape[:-1] for clause in clauses), asked.shape[:-1])
    words = [words_of(clause, n) for clause in clauses]
    offsets = np.cumsum([0, *map(len, words)])
    index = np.array(
        [row_of(c.shape[:-1], axes) + offset for c, offset in zip(clauses, offsets, strict=False)]
    )
    kinds, kind = np.unique(np.broadcast_to(asked[..., 0], axes), return_inverse=True)
    sets = [_least_sets(weights, value) for value in kinds.tolist()]
    start = np.cumsum([0, *map(len, sets)])
    flat, joined = np.array([s for of_kind in sets for s in of_kind], np.int64), np.concatenate(words)
    kind, out = kind.ravel(), np.empty((index.shape[1], words[0].shape[1]), np.uint64)

    def block(first: int, last: int) -> None:
        weighted(joined, index, flat, start, kind, first, last, out)

    share(block, len(out), max(1, _LEAST_WORDS // out.shape[1]))
    return Bits(out, axes, n)


def _least_sets(weights: Sequence[float], least: float) -> list[int]:
    """The smallest sets of clauses whose weights reach `least`, as bits; no other is needed."""

    def reaches(members: int) -> bool:
        return sum(w for c, w in enumerate(weights) if members >> c & 1) >= least - _ROUNDING

    def smallest(members: int) -> bool:
        return not any(reaches(members & ~(1 << c)) for c in range(len(weights)) if members >> c & 1)

    return [s for s in range(1, 1 << len(weights)) if reaches(s) and smallest(s)]
