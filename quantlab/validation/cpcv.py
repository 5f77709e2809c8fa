"""Combinatorial cross-validation of a whole grid from block sums: several histories of what a choice earns.

On every choice of training blocks the best cell is taken and earns what it earned in the other blocks; these
are put together to whole histories. No sweep is run again. Reported, never decisive: on noise the median of
the paths is above 0 in about half of the markets, and in more of them where a market drifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.backtest.extras import Blocks
from quantlab.errors import InputError
from quantlab.validation.splitters import CombinatorialPurged


@dataclass(frozen=True)
class Paths:
    """Histories of a grid whose cell was always chosen without the block that it trades.

    Attributes
    ----------
    sharpe : float array (paths,)
        Per day; 0 for a history without a trade.
    chosen : int64 array (splits,)
        Raveled index of the cell that each split chose.
    """

    sharpe: np.ndarray
    chosen: np.ndarray

    def quantile(self, share: float) -> float:
        """Sharpe ratio per day that `share` of the histories lies below."""
        return float(np.quantile(self.sharpe, share))


def cross_validated_paths(blocks: Blocks, tests: int = 2) -> Paths:
    """Sharpe ratios of all histories.

    Parameters
    ----------
    blocks : Blocks
        ``surface.blocks``; 8 of them with two tests each give 28 splits and 7 histories.
    tests : int
        Blocks of each test.

    Returns
    -------
    Paths

    Raises
    ------
    InputError
        Too few blocks, or no cell that satisfies its constraints.

    Notes
    -----
    Block sums cannot be purged: a trade that spans the border of two blocks counts in both. Blocks must last
    much longer than trades.

    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, chapter 12.
    """
    count = len(blocks.market)
    cut = CombinatorialPurged(count, tests)
    days = np.diff(blocks.first_day).astype(np.float64)
    sums, squares = (part.reshape(count, -1) for part in (blocks.sum, blocks.sum_of_squares))
    usable = np.flatnonzero(~np.isnan(sums).any(axis=0))
    if not usable.size:
        raise InputError("no cell satisfies its constraints, so none can be chosen: widen the grid.")
    sums, squares = sums[:, usable], squares[:, usable]
    best = np.empty(cut.get_n_splits(), np.int64)
    for i, chosen in enumerate(cut.chosen):
        train = np.setdiff1d(np.arange(count), chosen)
        best[i] = np.argmax(_sharpe(sums[train].sum(axis=0), squares[train].sum(axis=0), days[train].sum()))
    cells = best[cut.paths()]
    group = np.arange(count)
    earned, spread = sums[group, cells].sum(axis=1), squares[group, cells].sum(axis=1)
    return Paths(_sharpe(earned, spread, days.sum()), usable[best])


def _sharpe(total: np.ndarray, squares: np.ndarray, days: float) -> np.ndarray:
    mean = total / days
    variance = np.maximum(squares - total * mean, 0.0) / (days - 1.0)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-18)
