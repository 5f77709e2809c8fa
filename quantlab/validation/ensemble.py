"""The ensemble of a search's best cells: the top hundredth, equal weights, instead of one cell.

Averaging over many good cells averages out how lucky each was. Every member is a configuration of its own;
together they trade as one whose return of a day is the mean of its members' (weights are made equal again
every day; what that would cost is not charged).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Cell, Surface, sign
from quantlab.backtest.trades import Run
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.validation.statistics import sharpe, timing_alpha_t
from quantlab.validation.thresholds import Gate
from quantlab.validation.walkforward import choose

SHARE, LEAST, MOST = 0.01, 5, 20
"""Share of the eligible cells that are members, and how many these are at least and at most."""


@dataclass(frozen=True)
class Record:
    """What cells that trade together earned.

    Attributes
    ----------
    sharpe : float
        Annualised, from daily returns.
    timing_t : float
        Timing alpha t, matched for their mean exposure; NaN if nothing was traded.
    drawdown : float
        Greatest fall from a peak of the equity at the ends of days, a fraction.
    """

    sharpe: float
    timing_t: float
    drawdown: float

    def __str__(self) -> str:
        return f"Sharpe {self.sharpe:.2f}, timing t {self.timing_t:.2f}, drawdown {self.drawdown:.1%}"


def choose_ensemble(surface: Surface, metric: str = "timing_t", min_trades: int = 30) -> tuple[Cell, ...]:
    """The best hundredth of the eligible cells, 5 to 20 of them, best first.

    Parameters
    ----------
    surface : Surface
    metric : str
        By which they are ranked; equals in the order of the surface.
    min_trades : int
        Least closed trades of a member.

    Returns
    -------
    tuple of Cell
        Empty if fewer than five cells have the metric and enough trades.
    """
    values = sign(metric) * surface.eligible(metric, min_trades).ravel()
    eligible = int(np.isfinite(values).sum())
    if eligible < LEAST:
        return ()
    wanted = min(max(math.ceil(SHARE * eligible), LEAST), MOST)
    best = np.argsort(np.where(np.isfinite(values), -values, np.inf), kind="stable")[:wanted]
    places = zip(*np.unravel_index(best, surface.shape), strict=True)
    return tuple(surface.cell(tuple(int(i) for i in place)) for place in places)


def record(runs: Sequence[Run]) -> Record:
    """What runs of cells on the same candles earned together, each with the same weight.

    Parameters
    ----------
    runs : sequence of Run
        At least one.
    """
    daily = np.mean([run.daily for run in runs], axis=0)
    exposure = float(np.mean([np.mean(run.exposure) for run in runs]))
    equity = np.concatenate([[1.0], np.cumprod(1.0 + daily)])
    return Record(
        sharpe(daily, runs[0].execution.days_per_year),
        timing_alpha_t(daily, exposure, runs[0].market_daily),
        float(np.max(1.0 - equity / np.maximum.accumulate(equity))),
    )


def runs_of(
    strategy: Strategy, candles: Candles, cells: Sequence[Cell], execution: Execution
) -> tuple[Run, ...]:
    """Each cell on all candles."""
    return tuple(run_cell(strategy, candles, dict(cell.params), execution) for cell in cells)


def chosen(surface: Surface, gate: Gate, min_trades: int | None = None) -> tuple[Cell, ...]:
    """What a gate would export of a search: the middle of its plateau, or the members of its ensemble.

    Parameters
    ----------
    surface : Surface
    gate : Gate
    min_trades : int, optional
        Instead of that of the gate, on a part of the history.

    Returns
    -------
    tuple of Cell
        Empty if no cell, or too few for an ensemble, trade enough.
    """
    least = gate.min_trades if min_trades is None else min_trades
    if gate.choice == "ensemble":
        return choose_ensemble(surface, gate.metric, least)
    cell = choose(surface, gate.metric, least)
    return () if cell is None else (cell,)
