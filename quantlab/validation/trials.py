"""The trials of a search, seen together: sums by block of days of many cells, and how alike they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantlab.backtest.daily import day_numbers
from quantlab.backtest.extras import Blocks
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.space import Cells
from quantlab.validation.overfitting import Overfitting, overfitting
from quantlab.validation.thinning import MOST_CELL_BARS, thinned_to

SYMMETRIC = 16
"""Blocks of the symmetric splits: 12,870 of them."""
FINEST = 208
"""Blocks at most, 13 in each of `SYMMETRIC`."""
MOST_CELLS = 2_000
ALIKE = 0.8
"""Correlation above which two cells count as one trial."""


@dataclass(frozen=True)
class Trials:
    """Block sums of the cells of a search, or of evenly spread ones of them.

    Attributes
    ----------
    blocks : Blocks
        A multiple of `SYMMETRIC` blocks.
    cells : Cells
        The cells that were summed.
    of : int
        Cells of the search.
    """

    blocks: Blocks
    cells: Cells
    of: int

    @property
    def words(self) -> str:
        """How many cells these are, for a sentence."""
        count = int(np.count_nonzero(self.cells.allowed))
        return f"{count:,} cells" if self.cells.size == self.of else f"{count:,} cells spread over the search"

    @cached_property
    def halves(self) -> Overfitting:
        """The best cell of each half of the time in the other half; computed once.

        Raises
        ------
        InputError
            Fewer than two cells, or none that ever traded.
        """
        if not (np.nansum(self.blocks.sum_of_squares) > 0.0):
            raise InputError("no cell traded.")
        return overfitting(merged(self.blocks, SYMMETRIC))

    def independent(self, alike: float = ALIKE) -> int:
        """How many groups of cells there are whose returns correlate above `alike` on average.

        **The trap**: this is what a sample of cells and a linkage say; another threshold gives another
        number. Average linkage of the correlation of block sums; cells that never traded are left out.

        Returns
        -------
        int
            0 if no cell traded.

        Source: Lopez de Prado & Lewis (2019), "Detection of False Investment Strategies Using Unsupervised
        Learning Methods", Quantitative Finance 19(9), who cluster trials to count the independent ones.
        """
        from scipy.cluster.hierarchy import fcluster, linkage

        sums = self.blocks.sum.reshape(len(self.blocks.market), -1)
        centred = sums - sums.mean(axis=0)
        length = np.sqrt((centred**2).sum(axis=0))
        unit = centred[:, length > 1e-12] / length[length > 1e-12]  # NaN: breaks a constraint
        if unit.shape[1] < 2:
            return unit.shape[1]
        upper = np.triu_indices(unit.shape[1], 1)
        distance = np.clip(1.0 - (unit.T @ unit)[upper], 0.0, 2.0)
        return int(fcluster(linkage(distance, "average"), 1.0 - alike, "distance").max())


def trial_blocks(surface: Surface, candles: Candles) -> Trials:
    """Sweep the cells of a search again, or `MOST_CELLS` of them, with sums by block of days.

    Parameters
    ----------
    surface : Surface
    candles : Candles
        Those of the surface.

    Raises
    ------
    InputError
        Fewer than two days for each of `SYMMETRIC` blocks.
    """
    days = len(day_numbers(candles.timestamps))
    if days < 2 * SYMMETRIC:
        raise InputError(f"{2 * SYMMETRIC} days are needed to cut them into {SYMMETRIC} blocks, got {days}.")
    blocks = SYMMETRIC * max(1, min(FINEST, days // 2) // SYMMETRIC)
    cells = thinned_to(surface.cells, max(1, min(MOST_CELLS, MOST_CELL_BARS // len(candles))))
    swept = sweep(surface.strategy, candles, cells, surface.execution, blocks=blocks, progress=False)
    return Trials(swept.blocks, cells, surface.size)


def merged(blocks: Blocks, count: int) -> Blocks:
    """The same sums over fewer blocks; as a sweep with that many blocks has them.

    Raises
    ------
    InputError
        `count` does not divide the number of blocks.
    """
    each, left = divmod(len(blocks.market), count)
    if left or not each:
        raise InputError(f"{len(blocks.market)} blocks cannot be merged into {count} of equal size.")
    parts = (blocks.sum, blocks.sum_of_squares, blocks.exposure, blocks.market)
    return Blocks(
        blocks.first_day[::each], *(p.reshape(count, each, *p.shape[1:]).sum(axis=1) for p in parts)
    )
