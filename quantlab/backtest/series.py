"""Daily returns of chosen cells: what correlations, portfolios and tests of validation start from."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.backtest.daily import day_numbers
from quantlab.backtest.execution import Execution
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells


def daily_returns_of(
    strategy: str | Strategy,
    candles: Candles,
    cells: Cells,
    execution: Execution | None = None,
    **how: Any,
) -> np.ndarray:
    """Equity returns per UTC day of every cell, in one pass.

    A sweep with a block of its own for every day, so it takes 24 bytes per cell and day: choose cells.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles
        Of at least two days.
    cells : Grid or Points
        For chosen cells ``strategy.space.points([...])``.
    execution : Execution, optional
    **how
        `intrabar`, `progress`, `budget`, `threads` of `sweep`.

    Returns
    -------
    float64 array (*shape of the cells, n_days)
        The returns that Sharpe and Sortino are made of, known at the end of their day; NaN for cells that
        break a constraint.
    """
    days = len(day_numbers(candles.timestamps))
    surface = sweep(strategy, candles, cells, execution, blocks=days, **how)
    return np.moveaxis(surface.blocks.sum, 0, -1)
