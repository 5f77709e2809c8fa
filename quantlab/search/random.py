"""Random search: cells drawn uniformly and independently; the yardstick of every other sampler.

Source: J. Bergstra, Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.search.codes import Draws, Seen, points_of
from quantlab.space import Points, Space

_BLOCK = 1024


class RandomSampler:
    """Uniform draws within the bounds; those that break a constraint or come again are drawn again.

    The sequence of cells follows from the seed alone, whatever the size of the batches.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "random"
    batch = 256
    several = True

    def __init__(self, space: Space, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._space = space
        self._draws = Draws(space, Seen(), lambda: rng.random((_BLOCK, len(space))))

    def ask(self, n: int) -> Points | None:
        """At most `n` new cells; None when the space is exhausted."""
        return points_of(self._space, self._draws.take(n))

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Nothing is learned."""
