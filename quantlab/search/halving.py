"""Successive halving over a growing history: many cells on a short past, the best of them on all of it.

A bracket draws 54 cells and evaluates them on the first sixth of the history, then the nine best of them on
all of it: half of its cost is spent on either. Where fewer than nine have a value, that history is too short
to tell cells apart (a rule that trades seldom has no figures there), and later brackets evaluate 27 cells on
the first third instead. Every evaluation counts as a trial, on whatever history it was made. After every 540
trials a bracket is as large again, up to ten times: large batches cost less each.

A sixth and one step were chosen by the two surfaces of ``benchmarks/sampler_tasks.py``, among ninths to
halves and one or two steps: a ninth tells too little of rules that trade seldom, and a step between costs
more than it sorts out.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
AISTATS (2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.search.codes import Draws, Seen, codes_of, points_of
from quantlab.space import Points, Space

_BRACKETS = ((1 / 6, 54), (1 / 3, 27))
"""Share of the history and cells drawn; the first until it proves too short."""
_KEPT, _MOST = 9, 10


class HalvingSampler:
    """54 cells on a sixth of the history, nine on all of it, and so on.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "halving"
    batch = _MOST * _BRACKETS[0][1]
    startup = _BRACKETS[0][1]
    """Trials before the first on the whole history."""

    def __init__(self, space: Space, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._space = space
        self._draws = Draws(space, Seen(), lambda: rng.random((1024, len(space))))
        self._bracket, self._times, self._asked = 0, 1, 0
        self._waiting = np.empty((0, len(space)))
        self._told: list[tuple[np.ndarray, float]] = []
        self.history = 1.0

    def ask(self, n: int) -> Points | None:
        """At most `n` cells, to be evaluated on the share `history`; None at the end."""
        if not len(self._waiting):
            self._next()
        codes, self._waiting = self._waiting[:n], self._waiting[n:]
        self._asked += len(codes)
        return points_of(self._space, codes)

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Remember the values of these cells."""
        codes = codes_of(self._space, cells)
        self._told += list(zip(codes, np.asarray(values, np.float64).tolist(), strict=True))

    def _next(self) -> None:
        if self.history == 1.0:
            self.history, drawn = _BRACKETS[self._bracket]
            self._times = min(1 + self._asked // self.batch, _MOST)
            self._waiting = self._draws.take(drawn * self._times)
        else:
            kept = _KEPT * self._times
            values = np.array([value for _, value in self._told])
            if np.count_nonzero(~np.isnan(values)) < kept:
                self._bracket = len(_BRACKETS) - 1
            best = np.argsort(-values, kind="stable")[:kept]  # NaN comes last
            self.history, self._waiting = 1.0, np.array([self._told[i][0] for i in best])
        self._told = []
