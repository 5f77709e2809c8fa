"""Grid search: the cells of a grid of any size in their order, a batch at a time.

It is there for a grid within a budget of trials. A whole grid is far cheaper in one call of
`quantlab.backtest.sweep.sweep`, which shares signals between cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.search.sampler import Proposal, allowed
from quantlab.space import Grid

_BLOCK = 1024


class GridSampler:
    """The cells of `grid` that satisfy the constraints, the last axis fastest; nothing is random.

    Parameters
    ----------
    grid : Grid
        May have more cells than fit in memory: they are made as they are asked for.
    """

    name = "grid"
    batch = 256

    def __init__(self, grid: Grid) -> None:
        self._cells = _cells(grid)

    def ask(self, n: int) -> list[Proposal]:
        """The next `n` cells; fewer at the end of the grid."""
        return list(itertools.islice(self._cells, n))

    def tell(self, cells: Sequence[Mapping[str, Any]], values: np.ndarray) -> None:
        """Nothing is learned."""


def _cells(grid: Grid) -> Iterator[Proposal]:
    product = itertools.product(*(values.tolist() for values in grid.axes.values()))
    while rows := list(itertools.islice(product, _BLOCK)):
        block = [{**grid.fixed, **dict(zip(grid.axes, row, strict=True))} for row in rows]
        yield from itertools.compress(block, allowed(grid.space, block))
