"""Walk-forward **with refit**: search again on the past of each window, trade what was chosen in it.

For every fold the whole search runs on the training candles alone, the plateau is chosen there, and
that one cell trades the test window. The windows' daily returns, one after the other, are what the
procedure "search, choose the plateau, trade it" would have earned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quantlab.backtest.daily import DAY_MS, day_numbers, market_returns
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Cell, Surface
from quantlab.backtest.trades import OPEN, Run, notional_left
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.validation.splits import Split
from quantlab.validation.statistics import sharpe, timing_alpha_t, upper_p

Search = Callable[[Candles], Surface]
"""The complete search of the user as a function of candles: the same cells, costs and rules each time."""

Choice = Callable[[Surface, int], Sequence[Cell]]
"""What is traded of a search, by what it found and the least closed trades."""


@dataclass(frozen=True)
class Window:
    """What one cell earned in one window of bars, entered flat and left flat.

    Parameters
    ----------
    days : int64 array, shape (D,)
        UTC day numbers.
    daily : float array, shape (D,)
        Returns per day after costs; 0 on days without a position.
    market : float array, shape (D,)
        Returns per day of the market.
    exposure : float
        Mean exposure of the cell on all bars before the window; 0 if there are none.
    trades : int
        Positions taken, one still open at the end included.
    """

    days: np.ndarray
    daily: np.ndarray
    market: np.ndarray
    exposure: float
    trades: int

    @property
    def timing_t(self) -> float:
        """Timing alpha t of the window, beyond holding `exposure`; NaN if nothing was traded."""
        return timing_alpha_t(self.daily, self.exposure, self.market)


@dataclass(frozen=True)
class Fold:
    """One row of the walk-forward table; times are bar opens in epoch milliseconds.

    Parameters
    ----------
    train_first_ms, train_last_ms, test_first_ms, test_last_ms : int
    params : mapping or None
        What the training chose, of an ensemble the best member; None if no cell traded enough there, and the
        window was spent flat.
    in_sample_sharpe : float
        Of the chosen cell on the training candles, of an ensemble the mean of its members.
    out_of_sample_sharpe : float
        Of the same cell in the test window.
    trades : int
        Positions taken in the test window.
    """

    train_first_ms: int
    train_last_ms: int
    test_first_ms: int
    test_last_ms: int
    params: Mapping[str, Any] | None
    in_sample_sharpe: float
    out_of_sample_sharpe: float
    trades: int


@dataclass(frozen=True)
class WalkForward:
    """The table of folds and the stitched out-of-sample record.

    Parameters
    ----------
    folds : tuple of Fold
    days : tuple of int
        UTC day numbers of all test windows.
    daily, market : tuple of float
        Returns per day of the strategy (after costs) and of the market.
    exposure : tuple of float
        Per day the mean exposure that the choice of its window had before it.
    days_per_year : float
    """

    folds: tuple[Fold, ...]
    days: tuple[int, ...]
    daily: tuple[float, ...]
    market: tuple[float, ...]
    exposure: tuple[float, ...]
    days_per_year: float

    @property
    def sharpe(self) -> float:
        """Annualised Sharpe ratio of the stitched out-of-sample returns."""
        return sharpe(np.array(self.daily), self.days_per_year)

    @property
    def timing_t(self) -> float:
        """Timing alpha t of the stitched returns, beyond holding `exposure`."""
        return timing_alpha_t(np.array(self.daily), np.array(self.exposure), np.array(self.market))

    @property
    def p(self) -> float:
        """One-sided p-value of `timing_t`."""
        return upper_p(self.timing_t)

    @property
    def trades(self) -> int:
        """Positions taken in all test windows."""
        return sum(fold.trades for fold in self.folds)

    @property
    def efficiency(self) -> float:
        """Out-of-sample Sharpe over the mean in-sample Sharpe of the choices; NaN unless the latter is > 0.

        Source: Pardo (2008), "The Evaluation and Optimization of Trading Strategies" (there with profits).
        """
        chosen = [fold.in_sample_sharpe for fold in self.folds if fold.params is not None]
        mean = float(np.mean(chosen)) if chosen else math.nan
        return self.sharpe / mean if mean > 0.0 else math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain values; undefined ones stay NaN here."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> WalkForward:
        """The record that `to_json` wrote; null stands for NaN in the figures of a fold."""
        folds = tuple(_fold(row) for row in document["folds"])
        days, daily, market, exposure = (tuple(document[n]) for n in ("days", "daily", "market", "exposure"))
        return cls(folds, days, daily, market, exposure, document["days_per_year"])


def _fold(row: Mapping[str, Any]) -> Fold:
    figures = ("in_sample_sharpe", "out_of_sample_sharpe")
    values: dict[str, Any] = {n: math.nan if v is None and n in figures else v for n, v in row.items()}
    return Fold(**values)


def choose(surface: Surface, metric: str, min_trades: int) -> Cell | None:
    """The cell in the middle of the best plateau, or None if no cell has a metric and enough trades.

    Parameters
    ----------
    surface : Surface
    metric : str
    min_trades : int
        Least closed trades of a cell that may be chosen.
    """
    if np.isnan(surface.eligible(metric, min_trades)).all():
        return None
    return surface.plateau(metric, min_trades).cell


def trade_window(
    strategy: Strategy,
    candles: Candles,
    params: Mapping[str, Any] | None,
    execution: Execution,
    window: slice,
) -> Window:
    """Trade one cell in one window: signals may look back before it, entries lie inside it.

    A position still open at the end is closed at the last close and pays slippage and the taker fee.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
        The history; bars after the window are never read.
    params : mapping or None
        None: stay flat.
    execution : Execution
    window : slice
        Bars ``[start, stop)``; `start` should be the first bar of a UTC day.
    """
    known = candles[: window.stop]
    if params is None:
        return _flat(known, window.start)
    run = run_cell(strategy, known, dict(params), execution, start=window.start)
    before = _mean_exposure(strategy, known[: window.start], params, execution)
    inside = run.days >= known.timestamps[window.start] // DAY_MS
    daily = run.daily[inside].copy()
    daily[-1] = (1.0 + daily[-1]) * _after_closing(run) - 1.0
    return Window(run.days[inside], daily, run.market_daily[inside], before, len(run.trades))


def trade_together(
    strategy: Strategy,
    candles: Candles,
    params: Sequence[Mapping[str, Any]],
    execution: Execution,
    window: slice,
) -> Window:
    """Trade several cells in one window with equal weights; see `trade_window`.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    params : sequence of mapping
        Of each member; none: stay flat.
    execution : Execution
    window : slice
    """
    if not params:
        return trade_window(strategy, candles, None, execution, window)
    windows = [trade_window(strategy, candles, one, execution, window) for one in params]
    return Window(
        windows[0].days,
        np.mean([one.daily for one in windows], axis=0),
        windows[0].market,
        float(np.mean([one.exposure for one in windows])),
        sum(one.trades for one in windows),
    )


def refit(
    strategy: Strategy,
    candles: Candles,
    search: Search,
    execution: Execution,
    splits: Sequence[Split],
    *,
    metric: str = "sharpe",
    min_trades: int = 30,
    choice: Choice | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> WalkForward:
    """Search on each training slice, choose its plateau, trade it in the test slice, stitch the windows.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    search : callable ``(candles) -> Surface``
        Runs again on every training slice and sees nothing else.
    execution : Execution
    splits : sequence of Split
    metric : str
        Metric whose plateau is chosen.
    min_trades : int
        Least closed trades on the whole history; a shorter training slice asks for the same rate.
    choice : callable ``(surface, min_trades) -> cells``, optional
        What is traded of each search, with equal weights; by default the middle of its plateau.
    step : callable ``(str) -> None``
        Told what begins, before each search.
    """
    choice = choice or (lambda surface, least: _middle(surface, metric, least))
    folds, windows = [], []
    for number, split in enumerate(splits, 1):
        step(f"walk-forward fold {number} of {len(splits)}")
        training = candles[split.train.start : split.train.stop]
        cells = choice(search(training), at_rate(min_trades, len(training), len(candles)))
        window = trade_together(strategy, candles, [c.params for c in cells], execution, split.test)
        windows.append(window)
        folds.append(_row(candles, split, cells, window, execution.days_per_year))
    return WalkForward(
        tuple(folds),
        tuple(np.concatenate([w.days for w in windows]).tolist()),
        tuple(np.concatenate([w.daily for w in windows]).tolist()),
        tuple(np.concatenate([w.market for w in windows]).tolist()),
        tuple(np.concatenate([np.full(len(w.days), w.exposure) for w in windows]).tolist()),
        execution.days_per_year,
    )


def at_rate(min_trades: int, bars: int, all_bars: int) -> int:
    """`min_trades` on `all_bars` as the same rate on `bars`, rounded up."""
    return math.ceil(min_trades * bars / all_bars)


def _mean_exposure(
    strategy: Strategy, candles: Candles, params: Mapping[str, Any], execution: Execution
) -> float:
    if not len(candles):
        return 0.0
    return float(run_cell(strategy, candles, dict(params), execution).exposure.mean())


def _flat(candles: Candles, start: int) -> Window:
    inside = candles[start:]
    market = market_returns(candles.open, candles.close, candles.timestamps)
    days = day_numbers(inside.timestamps)
    return Window(days, np.zeros(len(days)), market[-len(days) :], 0.0, 0)


def _after_closing(run: Run) -> float:
    """Equity after closing what is still open, as a fraction of the equity marked at the last close."""
    if not len(run.trades) or run.trades["reason"][-1] != OPEN or run.equity[-1] <= 0.0:
        return 1.0
    trade, costs = run.trades[-1], run.execution.costs
    side, slip = float(trade["side"]), costs.slippage_bps / 1e4
    lost = side * (1.0 - (1.0 - side * slip) * (1.0 - side * costs.taker))
    return 1.0 - float(notional_left(trade)) * lost / float(run.equity[-1])


def _middle(surface: Surface, metric: str, min_trades: int) -> tuple[Cell, ...]:
    cell = choose(surface, metric, min_trades)
    return () if cell is None else (cell,)


def _row(candles: Candles, split: Split, cells: Sequence[Cell], window: Window, days_per_year: float) -> Fold:
    times = candles.timestamps
    return Fold(
        int(times[split.train.start]),
        int(times[split.train.stop - 1]),
        int(times[split.test.start]),
        int(times[split.test.stop - 1]),
        dict(cells[0].params) if cells else None,
        float(np.mean([cell.metrics["sharpe"] for cell in cells])) if cells else math.nan,
        sharpe(window.daily, days_per_year),
        window.trades,
    )
