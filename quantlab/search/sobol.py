"""Quasi-random search: a scrambled Sobol sequence, which fills the space more evenly than chance does.

Source: A. Owen, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14 (1998);
``scipy.stats.qmc.Sobol``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.search.codes import Draws, Seen, points_of
from quantlab.space import Points, Space

_BLOCK = 1024
"""Points at a time: a power of two, of which alone the sequence is balanced."""


class SobolSampler:
    """The points of the sequence, rounded to the values that a parameter has.

    Those that break a constraint or come again are passed over. The sequence of cells follows from the
    seed alone, whatever the size of the batches.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "sobol"
    batch = 256
    several = True

    def __init__(self, space: Space, seed: int) -> None:
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(seed))
        self._space = space
        self._draws = Draws(space, Seen(), lambda: sequence.random(_BLOCK))

    def ask(self, n: int) -> Points | None:
        """At most `n` new cells; None when the space is exhausted."""
        return points_of(self._space, self._draws.take(n))

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Nothing is learned."""
