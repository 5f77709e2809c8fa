"""Probability of backtest overfitting: is the best half of the time still good in the other half?

Combinatorially symmetric cross-validation: the days are cut into S blocks; for every way to choose half of
them the best cell of that half is ranked among all cells in the other half. Reported, never decisive: on a
search whose cells all have the same small edge the best one is no better than its neighbours, and the
probability is high although nothing is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from quantlab.backtest.extras import Blocks
from quantlab.errors import InputError
from quantlab.threads import share
from quantlab.validation.kernels import halves

_BLOCK = 64
_MOST_BLOCKS = 20


@dataclass(frozen=True)
class Overfitting:
    """What all splits together say.

    Attributes
    ----------
    probability : float
        Share of the splits in which the best cell of one half ranked below the median in the other; a rank at
        the median counts half, so that it is 1/2 on average where nothing is known.
    ranks : float array (splits,)
        Its rank among all cells in the other half, in (0, 1), ties at their middle.
    chosen, unseen : float array (splits,)
        Its Sharpe ratio per day where it was chosen, and in the other half.
    cells : int
    """

    probability: float
    ranks: np.ndarray
    chosen: np.ndarray
    unseen: np.ndarray
    cells: int

    @property
    def probability_of_loss(self) -> float:
        """Share of the splits in which the chosen cell lost money in the other half."""
        return float(np.mean(self.unseen < 0.0))

    @property
    def kept(self) -> float:
        """Mean Sharpe ratio in the other half over that where it was chosen; NaN if that is not positive."""
        before = float(np.mean(self.chosen))
        return float(np.mean(self.unseen)) / before if before > 0.0 else math.nan


def overfitting(blocks: Blocks) -> Overfitting:
    """Probability of backtest overfitting over all symmetric splits of the blocks.

    Parameters
    ----------
    blocks : Blocks
        ``surface.blocks`` of a sweep with an even number of blocks, 16 by custom: 12,870 splits.

    Returns
    -------
    Overfitting
        Cells that break a constraint are left out; a cell that does not trade has a ratio of 0.

    Raises
    ------
    InputError
        An odd number of blocks, more than 20, or fewer than two cells.

    Notes
    -----
    Ranks of equals are in their middle: cells that are copies of each other must not be told apart by order.

    Source: Bailey, Borwein, Lopez de Prado & Zhu (2017), "The Probability of Backtest Overfitting", Journal
    of Computational Finance 20(4).
    """
    days = np.diff(blocks.first_day).astype(np.float64)
    if len(days) % 2 or not 2 <= len(days) <= _MOST_BLOCKS:
        raise InputError(
            f"an even number of blocks up to {_MOST_BLOCKS} is needed, got {len(days)}: sweep with blocks=16."
        )
    if days.min() < 2:
        raise InputError(f"every block needs 2 days, got {int(days.min())}: sweep with fewer blocks.")
    sums = blocks.sum.reshape(len(days), -1)
    kept = ~np.isnan(sums).any(axis=0)
    if kept.sum() < 2:
        raise InputError(f"at least two cells are needed to rank one, got {int(kept.sum())}.")
    sums = np.ascontiguousarray(sums[:, kept])
    squares = np.ascontiguousarray(blocks.sum_of_squares.reshape(len(days), -1)[:, kept])
    # the half that has the first block; its complement is judged with it
    chosen = np.array([(0, *c) for c in combinations(range(1, len(days)), len(days) // 2 - 1)], np.int64)
    out, totals = np.empty((2 * len(chosen), 3)), (sums.sum(axis=0), squares.sum(axis=0))

    def judge(first: int, last: int) -> None:
        halves(sums, squares, days, *totals, chosen, first, last, out)

    share(judge, len(chosen), _BLOCK)
    before, after, ranks = out.T.copy()
    below = float(np.mean((ranks < 0.5) + 0.5 * (ranks == 0.5)))
    return Overfitting(below, ranks, before, after, sums.shape[1])
