"""What a report shows of an ensemble: its equity, its figures and its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.backtest.daily import last_bars
from quantlab.backtest.metrics import max_drawdown, net_profit
from quantlab.backtest.surface import Cell
from quantlab.backtest.trades import Run
from quantlab.explore.data import Members
from quantlab.explore.tables import param_text
from quantlab.figures.labels import metric_style, metric_text
from quantlab.space import Space
from quantlab.validation.ensemble import record

SHOWN = ("sharpe", "net_profit", "max_drawdown", "trades")
NOTE = (
    "Each member gets the same share of the equity, made equal again as each UTC day begins; what that would "
    "cost is not charged."
)


def equity_together(runs: Sequence[Run], timestamps: np.ndarray) -> np.ndarray:
    """Equity of runs that trade together, weights made equal as each UTC day begins.

    Parameters
    ----------
    runs : sequence of Run
        At least one, all on the same candles.
    timestamps : int array, shape (n_bars,)
        Open times of the bars, epoch milliseconds UTC.

    Returns
    -------
    float array, shape (n_bars,)
        At the close of each bar, 1 at the start. At the last bar of a day it is what
        `quantlab.validation.ensemble.record` compounds. A member that is ruined stays where it is.
    """
    last = last_bars(timestamps)
    day = np.searchsorted(last, np.arange(len(timestamps)))
    within = np.zeros(len(timestamps))
    for run in runs:
        begun = np.concatenate([[1.0], run.equity[last][:-1]])[day]
        within += np.where(begun > 0.0, run.equity / np.where(begun > 0.0, begun, 1.0), 1.0)
    daily = np.mean([run.daily for run in runs], axis=0)
    return np.concatenate([[1.0], np.cumprod(1.0 + daily)[:-1]])[day] * within / len(runs)


def figures_together(runs: Sequence[Run], equity: np.ndarray) -> dict[str, Any]:
    """Headline figures of runs that trade together; `equity` as of `equity_together`."""
    return {
        "members": len(runs),
        "sharpe": record(runs).sharpe,
        "net_profit": net_profit(equity),
        "max_drawdown": max_drawdown(equity),
        "trades of all members": sum(int(run.metrics["trades"]) for run in runs),
    }


def members_of(cells: Sequence[Cell], runs: Sequence[Run], space: Space, metric: str) -> Members:
    """Parameters and figures of each member, the best first.

    Parameters
    ----------
    cells : sequence of Cell
    runs : sequence of Run
        Of each of them.
    space : Space
        Units of the parameters.
    metric : str
        By which the members were ranked.
    """
    first = cells[0].params
    same = {name: value for name, value in first.items() if all(c.params[name] == value for c in cells)}
    columns: dict[str, list[str]] = {"place": [str(place) for place in range(1, len(cells) + 1)]}
    columns |= {
        f"{name} ({space[name].unit})": [param_text(cell.params[name]) for cell in cells]
        for name in first
        if name not in same
    }
    for name in dict.fromkeys((metric, *SHOWN)):
        columns[metric_style(name).label] = [metric_text(name, run.metrics[name]) for run in runs]
    return Members(columns, same, f"Weight {1 / len(cells):.2%} each. {NOTE}")


def differing(params: Sequence[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """The places of members on some parameters, each once, in order."""
    return list(dict.fromkeys(tuple(one[name] for name in names) for one in params))
