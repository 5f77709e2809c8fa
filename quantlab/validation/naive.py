"""The tests that most backtests are judged by, to be shown beside the gate; nothing here decides anything.

Each is right about what it measures and silent about the search that came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.validation.splits import day_starts, walk_forward
from quantlab.validation.statistics import psr, sharpe
from quantlab.validation.walkforward import at_rate, refit, trade_window

SURE = 0.95
"""Probability at which a track record is called convincing."""
_PAST, _FOLDS, _FIRST = 0.7, 6, 0.4


def naive_tests(surface: Surface, candles: Candles, *, min_trades: int = 30) -> dict[str, float]:
    """What the usual tests measure on the best cell of a search.

    Parameters
    ----------
    surface : Surface
        A grid, swept on all of `candles`.
    candles : Candles
    min_trades : int
        Least closed trades of a cell that may be chosen, on the whole history.

    Returns
    -------
    dict of str to float
        ``best Sharpe`` of all cells; ``its PSR``, the probability that the true Sharpe ratio of that record
        is above zero; ``Sharpe of the last 30%`` of the cell that was best on the first 70 %;
        ``walk-forward PSR`` of six windows, each traded with what was best before it.
        NaN where nothing traded enough.
    """

    def search(part: Candles) -> Surface:
        return sweep(surface.strategy, part, surface.cells, surface.execution, progress=False)

    best = surface.best("sharpe", min_trades)
    record = run_cell(surface.strategy, candles, best.params, surface.execution)
    borders = day_starts(candles.timestamps)
    cut = int(borders[np.searchsorted(borders, _PAST * len(candles))])
    past = search(candles[:cut]).best("sharpe", at_rate(min_trades, cut, len(candles)))
    held = trade_window(surface.strategy, candles, past.params, surface.execution, slice(cut, len(candles)))
    splits = walk_forward(len(candles), _FOLDS, _FIRST, borders=borders)
    walked = refit(
        surface.strategy, candles, search, surface.execution, splits, metric="sharpe", min_trades=min_trades
    )
    return {
        "best Sharpe": best.metrics["sharpe"],
        "its PSR": psr(record.daily),
        "Sharpe of the last 30%": sharpe(held.daily, surface.execution.days_per_year),
        "walk-forward PSR": psr(np.array(walked.daily)),
    }


def says_yes(measured: Mapping[str, float]) -> dict[str, bool]:
    """Which of the usual tests would pass: a probability of `SURE`, or a positive Sharpe ratio."""
    bars = {"its PSR": SURE, "Sharpe of the last 30%": 0.0, "walk-forward PSR": SURE}
    said = {name: measured[name] > bar for name, bar in bars.items()}
    return {**said, "any of them": any(said.values())}


def yes_rates(
    strategy: str | Strategy,
    grid: Mapping[str, Any],
    market: Callable[..., Candles],
    seeds: Iterable[int],
    **how: Any,
) -> dict[str, float]:
    """Share of markets on which each of the usual tests says yes to the best cell of a search.

    Parameters
    ----------
    strategy : str or Strategy
    grid : mapping of parameter to values
    market : callable ``(seed=...) -> Candles``
        Makes one market of each seed.
    seeds : iterable of int
    **how
        As `naive_tests` takes it.
    """
    found, said = strategies.get(strategy), []
    for seed in seeds:
        candles = market(seed=seed)
        surface = sweep(found, candles, found.space.grid(**grid), progress=False)
        said.append(says_yes(naive_tests(surface, candles, **how)))
    return {name: sum(one[name] for one in said) / len(said) for name in said[0]}
