"""Successive halving over growing history: many cells on a short past, the best third on three times as much.

A bracket draws `_FIRST` cells and evaluates them on the first ninth of the history, the best third of these
on the first third, and the best third of those on all of it; then comes the next bracket. Histories start
at the first bar, so a longer one contains the shorter. Where those cells that have a value on the first
ninth do not fill the next rung, that history is too short to tell them apart (a rule that trades seldom has
no figures there), and later brackets begin with `_FIRST` / 3 cells on the next. Every evaluation counts as
a trial, on whatever history it was made.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
AISTATS (2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.search.codes import Draws, Seen, codes_of, points_of
from quantlab.space import Points, Space

_FIRST = 81
_ETA = 3
_SHARES = (1 / 9, 1 / 3, 1.0)


class HalvingSampler:
    """81 cells on a ninth of the history, 27 on a third, 9 on all of it, and so on.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "halving"
    batch = _FIRST
    startup = _FIRST + _FIRST // _ETA
    """Trials before the first on the whole history."""

    def __init__(self, space: Space, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._space = space
        self._draws = Draws(space, Seen(), lambda: rng.random((1024, len(space))))
        self._rung, self._first = len(_SHARES) - 1, 0
        self._waiting = np.empty((0, len(space)))
        self._told: list[tuple[np.ndarray, float]] = []
        self.history = 1.0

    def ask(self, n: int) -> Points | None:
        """At most `n` cells of one rung, to be evaluated on the share `history`; None at the end."""
        if not len(self._waiting):
            self._next_rung()
        codes, self._waiting = self._waiting[:n], self._waiting[n:]
        self.history = _SHARES[self._rung]
        return points_of(self._space, codes)

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Remember the values of this rung."""
        codes = codes_of(self._space, cells)
        self._told += list(zip(codes, np.asarray(values, np.float64).tolist(), strict=True))

    def _next_rung(self) -> None:
        if self._rung == len(_SHARES) - 1:
            self._rung = self._first
            self._waiting = self._draws.take(_FIRST // _ETA**self._first)
        else:
            defined = np.count_nonzero(~np.isnan([value for _, value in self._told]))
            if self._rung == self._first < len(_SHARES) - 2 and defined < len(self._told) // _ETA:
                self._first += 1
            order = np.argsort([-value for _, value in self._told], kind="stable")  # NaN comes last
            best = order[: max(1, len(order) // _ETA)]
            self._rung, self._waiting = self._rung + 1, np.array([self._told[i][0] for i in best])
        self._told = []
