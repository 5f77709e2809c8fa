"""Grid search: a grid of any size in its order, a block of neighbouring cells at a time.

A block is itself a grid, so a sweep shares signals and trades between its cells: searching a grid in large
blocks costs as much as sweeping it.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np

from quantlab.space import Grid


class GridSampler:
    """The cells of `grid`, the last axis fastest; nothing is random.

    Parameters
    ----------
    grid : Grid
        May have more cells than fit in memory: blocks are made as they are asked for.
    """

    name = "grid"
    batch = 65_536
    several = True

    def __init__(self, grid: Grid) -> None:
        self._grid, self._next = grid, 0
        self._lengths = tuple(grid.shape)
        self._behind = [*accumulate(self._lengths[:0:-1], mul, initial=1)][::-1] if self._lengths else []

    def ask(self, n: int) -> Grid | None:
        """The next block of at most `n` cells that is a grid; None at the end.

        Blocks in which every cell breaks a constraint are passed over.
        """
        while self._next < self._grid.size:
            block = self._block(n)
            self._next += block.size
            if not self._grid.space.constraints or block.allowed.any():
                return block
        return None

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Nothing is learned."""

    def _block(self, n: int) -> Grid:
        """The largest prefix of what is left that spans one axis and all those behind it."""
        if not self._lengths:
            return self._grid
        place, rest = [], self._next
        for behind in self._behind:
            index, rest = divmod(rest, behind)
            place.append(index)
        axis = len(place) - 1
        while axis and not place[axis] and self._behind[axis - 1] <= n:
            axis -= 1
        count = min(self._lengths[axis] - place[axis], n // self._behind[axis])
        axes: dict[str, np.ndarray] = {}
        for i, (name, values) in enumerate(self._grid.axes.items()):
            first = place[i] if i <= axis else 0
            last = first + (1 if i < axis else count if i == axis else len(values))
            axes[name] = values[first:last]
        return Grid(self._grid.space, axes, self._grid.fixed)
