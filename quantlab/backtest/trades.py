"""What a backtest of one cell leaves behind: its trades, its equity, its figures.

Both engines, the kernel and the plain replay, return the same `Run`, so they can be compared field by field.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.daily import last_bars, last_known
from quantlab.backtest.execution import Execution
from quantlab.errors import InputError
from quantlab.market.candles import Candles

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

OPEN, STOP, TARGET, TIME, SIGNAL, RUIN = range(6)
REASONS = ("open", "stop", "target", "time", "signal", "ruin")

TRADE_DTYPE = np.dtype(
    [
        ("decision_bar", np.int64),  # the entry was decided at the close of this bar ...
        ("entry_bar", np.int64),  # ... and filled at the open of this one, or at the same close
        ("exit_bar", np.int64),  # bar of the exit fill; the last bar for an open trade
        ("side", np.int8),  # +1 long, -1 short
        ("reason", np.int8),  # index into REASONS
        ("entry_price", np.float64),  # slippage included
        ("exit_price", np.float64),  # slippage included; what is still open at the last known close
        ("units", np.float64),  # quantity entered with, for an initial equity of 1
        ("equity_before", np.float64),  # equity at entry, initial equity = 1
        ("profit", np.float64),  # change of equity, all costs included, initial equity = 1
        ("trade_return", np.float64),  # profit / equity_before
        ("gross_return", np.float64),  # side * (exit / entry - 1) from raw prices, before every cost
        ("fees", np.float64),  # entry and exit fees (no slippage, no funding), initial equity = 1
        ("bars_held", np.int64),  # bars on which the position was exposed
        ("partial_bar", np.int64),  # bar on which the partial target was filled; -1: it was not
        ("partial_price", np.float64),  # its fill; NaN: none
        ("partial_units", np.float64),  # how many of the units it closed; 0: none
    ]
)
"""One row a trade, with a partial fill too. Its exit price, raw or not, is then the mean of its fills,
weighted by their units (the rest of an open trade at the last known close); fees are those of all fills; the
reason is that of the last one."""

_HEADLINE = (
    "net_profit",
    "cagr",
    "sharpe",
    "max_drawdown",
    "trades",
    "win_rate",
    "profit_factor",
    "exposure",
)


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One cell, backtested once. Its arrays are read-only.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    params : mapping
        Every parameter of the cell.
    execution : Execution
    trades : record array of `TRADE_DTYPE`, shape (n_trades,)
        In order of entry. An open trade (reason ``OPEN``) can only be the last one.
    equity : float array, shape (n_bars,)
        Marked at the close of each bar; 1 before the first fill.
    exposure : float array, shape (n_bars,)
        Signed notional as a fraction of equity, on the bars counted by ``bars_held``: see `exposure_by_bar`.
    daily : float array, shape (n_days,)
        Equity returns per UTC day.
    market_daily : float array, shape (n_days,)
        Close to close returns of the market per UTC day.
    days : int array, shape (n_days,)
        Days since 1970-01-01, UTC.
    metrics : mapping
        Every name of `quantlab.backtest.metrics.METRICS` to its value; NaN where undefined.
    """

    strategy: str
    params: Mapping[str, Any]
    execution: Execution
    trades: np.ndarray
    equity: np.ndarray
    exposure: np.ndarray
    daily: np.ndarray
    market_daily: np.ndarray
    days: np.ndarray
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        for name in ("trades", "equity", "exposure", "daily", "market_daily", "days"):
            view = np.asarray(getattr(self, name)).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def closed(self) -> np.ndarray:
        """The closed trades, in order of entry."""
        return closed(self.trades)

    def to_frame(self, timestamps: np.ndarray | None = None) -> pd.DataFrame:
        """The trades as a table, sides and reasons by name.

        Parameters
        ----------
        timestamps : int array, shape (n_bars,), optional
            Open times of the candles (ms, UTC): adds ``entry_time`` and ``exit_time`` (tz-naive UTC).
        """
        import pandas as pd

        frame = pd.DataFrame({name: self.trades[name] for name in TRADE_DTYPE.names or ()})
        frame["side"] = np.where(self.trades["side"] > 0, "long", "short")
        frame["reason"] = np.asarray(REASONS)[self.trades["reason"]]
        if timestamps is not None:
            for edge in ("entry", "exit"):
                frame[f"{edge}_time"] = pd.to_datetime(timestamps[self.trades[f"{edge}_bar"]], unit="ms")
        return frame

    def figure(self, candles: Candles) -> go.Figure:
        """Equity over holding the market, the drawdown, and the return of every closed trade at its exit.

        Parameters
        ----------
        candles : Candles
            Those it was run on.

        Raises
        ------
        InputError
            They have another number of bars.
        """
        from quantlab.figures.run import run

        if len(candles) != len(self.equity):
            raise InputError(
                f"this run has {len(self.equity):,} bars, got {len(candles):,}: pass the candles it was "
                "run on."
            )
        left = self.closed
        sides = np.where(left["side"] > 0, "long", "short")
        reasons = np.asarray(REASONS)[left["reason"]]
        caveat = f" ({self.execution.caveat})" if self.execution.caveat else ""
        return run(
            candles.timestamps,
            self.equity,
            candles.close,
            exits_ms=candles.timestamps[left["exit_bar"]],
            returns=left["trade_return"],
            texts=[f"{side}, {reason}" for side, reason in zip(sides, reasons, strict=True)],
            title=f"{self.strategy} on {candles.exchange} {candles.symbol} {candles.timeframe}{caveat}",
        )

    def __repr__(self) -> str:
        figures = ", ".join(f"{name}={self.metrics[name]:.4g}" for name in _HEADLINE if name in self.metrics)
        caveat = f" [{self.execution.caveat}]" if self.execution.caveat else ""
        return f"Run({self.strategy}, {dict(self.params)}: {figures}){caveat}"

    def _repr_html_(self) -> str:
        cell = ", ".join(f"{name}={value}" for name, value in self.params.items())
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{self.metrics[name]:.6g}</td></tr>"
            for name in _HEADLINE
            if name in self.metrics
        )
        caveat = f"<br>{html.escape(self.execution.caveat)}" if self.execution.caveat else ""
        return f"<b>{html.escape(self.strategy)}</b> ({html.escape(cell)}){caveat}<table>{rows}</table>"


def closed(trades: np.ndarray) -> np.ndarray:
    """The trades that have an exit fill: all but one still open at the end of the data.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    """
    return trades[trades["reason"] != OPEN]


def exposure_by_bar(trades: np.ndarray, equity: np.ndarray, candles: Candles) -> np.ndarray:
    """Signed notional over equity on every bar that ``bars_held`` counts, else 0.

    It is taken at the entry, and anew from the marks as each UTC day begins: what is earned over a day is the
    exposure as it begins times the return of the market. After the bar of a partial fill only the part that
    is left counts.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    equity : float array, shape (n_bars,)
    candles : Candles

    Returns
    -------
    float array, shape (n_bars,)
    """
    exposure, close = np.zeros(len(candles)), last_known(candles.close)
    ends = last_bars(candles.timestamps)
    for trade in trades:
        first, share = first_bar_held(trade), 1.0 - trade["partial_units"] / trade["units"]
        end = first + trade["bars_held"]
        exposure[first:end] = trade["side"] * (trade["units"] / trade["equity_before"]) * trade["entry_price"]
        exposure[end - bars_after_partial(trade) : end] *= share
        for last in ends[(ends >= trade["entry_bar"]) & (ends < end - 1)]:
            held = slice(last + 1, end)
            exposure[held] = trade["side"] * trade["units"] * close[last] / equity[last]
            if trade["partial_bar"] >= 0:
                exposure[max(last, trade["partial_bar"]) + 1 : end] *= share
    return exposure


def first_bar_held(trades: np.ndarray) -> np.ndarray:
    """First bar of exposure of each trade: its entry bar, or the next one if it was entered at the close.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    """
    return trades["entry_bar"] + (trades["entry_bar"] == trades["decision_bar"])


def bars_after_partial(trades: np.ndarray) -> np.ndarray:
    """How many of the bars held came after the bar of the partial fill; 0 without one.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    """
    after = first_bar_held(trades) + trades["bars_held"] - 1 - trades["partial_bar"]
    return np.where(trades["partial_bar"] >= 0, np.maximum(after, 0), 0)


def last_fill(trades: np.ndarray) -> np.ndarray:
    """Price of the last fill of each trade, slippage included; of an open one the last known close.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    """
    left = trades["units"] - trades["partial_units"]
    return np.where(trades["partial_bar"] >= 0, notional_left(trades) / left, trades["exit_price"])


def notional_left(trades: np.ndarray) -> np.ndarray:
    """What is not closed by the partial target, at the exit price of each trade [initial equity = 1].

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    """
    return trades["units"] * trades["exit_price"] - partial_notional(trades)


def partial_notional(trades: np.ndarray) -> np.ndarray:
    """Notional of the partial fill of each trade, 0 without one [initial equity = 1].

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    """
    return np.where(trades["partial_bar"] >= 0, trades["partial_units"] * trades["partial_price"], 0.0)
