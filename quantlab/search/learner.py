"""What the samplers that fit a model share: the cells told so far, and a new model for every batch.

A proposal follows from the seed, the number of the batch and the cells told, and from nothing else. So a
search goes on from the cells that it was told, without proposing any of them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.search.codes import Draws, Seen, codes_of, points_of
from quantlab.space import Points, Space

_BLOCK = 1024


class Learner:
    """Uniform draws until `startup` cells have a defined value, then what `_learned` proposes.

    What that leaves missing of a batch is drawn uniformly.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "learner"
    batch = 25
    startup = 10

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed, self._batch = space, seed, 0
        self._seen = Seen()
        self._codes = np.empty((0, len(space)))
        self._values = np.empty((0, 1))

    def ask(self, n: int) -> Points | None:
        """At most `n` new cells; None when the space is exhausted."""
        rng = np.random.default_rng([self._seed, self._batch])
        self._batch += 1
        draws = Draws(self._space, self._seen, lambda: rng.random((_BLOCK, len(self._space))))
        defined = np.count_nonzero(~np.isnan(self._values).any(axis=1))
        learned = self._learned(n, rng) if defined >= self.startup else self._codes[:0]
        return points_of(self._space, np.concatenate([learned, draws.take(n - len(learned))]))

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Remember the values of the cells, NaN included."""
        values = np.asarray(values, np.float64).reshape(len(values), -1)
        kept = self._values if len(self._values) else values[:0]
        self._codes = np.concatenate([self._codes, codes_of(self._space, cells)])
        self._values = np.concatenate([kept, values])

    def recall(self, cells: Any, values: np.ndarray) -> None:
        """Hear of a batch of an earlier session."""
        self._batch += 1
        self._seen.add(codes_of(self._space, cells))
        self.tell(cells, values)

    def _learned(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Codes of at most `n` new, allowed cells, added to those seen."""
        raise NotImplementedError

    def _remembered(self, best: int, recent: int) -> np.ndarray:
        """Places of the `best` best and the `recent` last cells told, in the order of telling."""
        order = np.argsort(rank(self._values), kind="stable")
        last = np.arange(max(0, len(order) - recent), len(order))
        return np.union1d(order[:best], last)


def rank(values: np.ndarray) -> np.ndarray:
    """Rank of each row, 0 the best: int64 (n,). Rows that hold NaN come last.

    Parameters
    ----------
    values : float64 (n, objectives)
        The higher the better. Of one objective equal values share a rank; of several the rank is that of
        the front: 0 on the Pareto front, 1 on the front of what is left without it, ...
    """
    ranks = np.full(len(values), len(values), np.int64)
    defined = np.flatnonzero(~np.isnan(values).any(axis=1))
    if values.shape[1] == 1:
        ranks[defined] = np.unique(-values[defined, 0], return_inverse=True)[1]
        return ranks
    left, front = defined, 0
    while left.size:
        on = pareto(values[left])
        ranks[left[on]] = front
        left, front = left[~on], front + 1
    return ranks


def pareto(values: np.ndarray) -> np.ndarray:
    """Boolean array (n,): which rows no other row dominates.

    A row dominates another if it is nowhere lower and somewhere higher. Rows that hold NaN dominate
    nothing and are never on the front.

    Parameters
    ----------
    values : float64 (n, objectives)
        The higher the better.
    """
    on = np.zeros(len(values), bool)
    left = np.flatnonzero(~np.isnan(values).any(axis=1))
    left = left[np.lexsort((*-values[left].T[::-1], -values[left].sum(axis=1)))]
    while left.size:
        first, rest = left[0], left[1:]  # of the highest sum: nothing left dominates it
        same = (values[rest] == values[first]).all(axis=1)
        on[[first, *rest[same]]] = True
        left = rest[(values[rest] > values[first]).any(axis=1)]
    return on
