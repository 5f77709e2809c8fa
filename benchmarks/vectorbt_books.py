"""vectorbt's side of the comparison: our fills as its orders, and our metrics as it computes them.

`timed_metrics` are the 17 of our 21 metrics that vectorbt has, each by its cheapest public call: what several
figures share (returns, trade records, drawdown records) is computed once, and Calmar is the quotient of two
figures that are there already. `equal_metrics` are the same 17 in our definitions, from vectorbt's own value
and records; they cost extra and are never timed. The definitions differ so:

==========================================  ==========================================================
timed, as vectorbt has it                   compared, as we have it
==========================================  ==========================================================
Sharpe, Sortino, VaR, CVaR of bars          of UTC days, the first one from the initial cash
annualized return of rows, Calmar           of bars; a bar of two rows counts once
longest drawdown in rows                    in UTC days, the peak starting at the initial cash
expectancy in money; mean return of wins    mean of profit over equity before the trade; of wins; of
and of losses per notional                  losses
coverage: entry row to exit row             bars held; one more where the exit lies inside its bar
==========================================  ==========================================================

vectorbt has no win rate before costs, turnover per year over equity at entry, break-even cost or timing t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import vectorbt
from vectorbt.generic.drawdowns import Drawdowns
from vectorbt.returns.accessors import ReturnsAccessor

from quantlab.backtest.trades import closed
from quantlab.market.candles import Candles

CAPITAL = 100.0
FEE, SLIPPAGE_BPS = 0.001, 2.0
ENGINES = ("numba", "rust")
YEAR = "365D"


@dataclass(frozen=True)
class Book:
    """Orders of some cells, a column each; no order where the size is NaN.

    `bar` is the bar of each row, `last` the last row of each bar.
    """

    close: pd.DataFrame
    size: np.ndarray
    price: np.ndarray
    bar: np.ndarray
    last: np.ndarray


def book(trades: list[np.ndarray], market: Candles) -> Book:
    """The order matrices of some cells."""
    n = len(market)
    twice = np.zeros(n, bool)
    for done in map(closed, trades):
        twice[done["entry_bar"][done["entry_bar"] == done["exit_bar"]]] = True
    last = np.arange(n) + np.cumsum(twice)
    rows = n + int(twice.sum())
    mark = pd.Series(market.close).ffill().bfill().to_numpy()
    close = np.empty((rows, len(trades)))
    close[last] = mark[:, None]
    close[last[twice] - 1] = mark[np.flatnonzero(twice) - 1][:, None]
    size, price = np.zeros(close.shape), np.full(close.shape, np.nan)
    for column, cell in enumerate(trades):
        done = closed(cell)
        same = (cell["entry_bar"] == cell["exit_bar"]) & (cell["reason"] > 0)
        opened, left = last[cell["entry_bar"]] - same, last[done["exit_bar"]]
        size[opened, column] += cell["side"] * cell["units"] * CAPITAL
        size[left, column] -= done["side"] * done["units"] * CAPITAL
        price[opened, column], price[left, column] = cell["entry_price"], done["exit_price"]
        neutral = cell["entry_price"] * (1.0 + cell["side"] * FEE)
        close[opened[same], column] = neutral[same]
    size[np.isnan(price)] = np.nan
    stamps = np.empty(rows, np.int64)
    stamps[last[twice] - 1] = market.timestamps[twice]
    stamps[last] = market.timestamps + twice
    index = pd.DatetimeIndex(stamps.astype("datetime64[ms]"))
    return Book(pd.DataFrame(close, index), size, price, np.repeat(np.arange(n), 1 + twice), last)


def from_orders(orders: Book, engine: str, market: Candles) -> vectorbt.Portfolio:
    """Their books of our fills; a fill that vectorbt would refuse or shrink is an error."""
    return vectorbt.Portfolio.from_orders(
        orders.close,
        size=orders.size,
        price=orders.price,
        direction="both",
        fees=FEE,
        min_size=0.0,
        allow_partial=False,
        raise_reject=True,
        init_cash=CAPITAL,
        max_orders=int(np.isfinite(orders.size).sum()) + 1,
        freq=pd.Timedelta(market.step_ms, unit="ms"),
        engine=engine,
    )


def use(engine: str) -> None:
    """Make it the engine of every later call: with "auto" vectorbt takes Rust wherever it has it."""
    vectorbt.settings["engine"] = "numba" if engine == "numba" else "auto"


def timed_metrics(portfolio: vectorbt.Portfolio) -> dict[str, Any]:
    """17 of our metrics in vectorbt's own definitions; the accessor is made once and without a benchmark."""
    returns = portfolio.returns().vbt.returns(freq=portfolio.wrapper.freq, year_freq=YEAR)
    done, falls = portfolio.trades.closed, portfolio.drawdowns
    growth, depth = returns.annualized(), falls.max_drawdown()
    return {
        "net_profit": portfolio.total_return(),
        "cagr": growth,
        "sharpe": returns.sharpe_ratio(),
        "sortino": returns.sortino_ratio(),
        "calmar": growth / abs(depth),
        "max_drawdown": depth,
        "drawdown_duration": falls.max_duration(),
        "trades": done.count(),
        "win_rate": done.win_rate(),
        "profit_factor": done.profit_factor(),
        "expectancy": done.expectancy(),
        "avg_win": done.winning.returns.mean(),
        "avg_loss": done.losing.returns.mean(),
        "exposure": portfolio.trades.coverage(),
        "fees_paid": portfolio.orders.fees.sum(),
        "var_95": returns.value_at_risk(),
        "cvar_95": returns.cond_value_at_risk(),
    }


def equal_metrics(
    portfolio: vectorbt.Portfolio, orders: Book, trades: list[np.ndarray], market: Candles
) -> dict[str, np.ndarray]:
    """The same metrics in our definitions, NaN where ours are; never timed.

    CVaR is NaN where days tie at the quantile (flat days, mostly): ours counts all of them, vectorbt one.
    """
    value = portfolio.value()
    start = pd.DataFrame(CAPITAL, value.index[:1] - pd.Timedelta(days=1), value.columns)
    bars = ReturnsAccessor.from_value(
        value.iloc[orders.last],
        init_value=CAPITAL,
        freq=pd.Timedelta(market.step_ms, unit="ms"),
        year_freq=YEAR,
    )
    marks = value.resample("1D").last()
    days = ReturnsAccessor.from_value(marks, init_value=CAPITAL, freq="1D", year_freq=YEAR)
    falls = Drawdowns.from_ts(pd.concat([start, marks]), wrapper_kwargs={"freq": "1D"})
    depth = Drawdowns.from_ts(pd.concat([start, value])).max_drawdown().fillna(0.0)
    every, done = portfolio.trades, portfolio.trades.closed
    growth, with_ties = bars.annualized(), ties(days.to_2d_array())
    profits = trade_returns(every.values)[every.values["status"] == 1]
    mean = {
        name: done.map_array(profits).apply_mask(mask).mean()
        for name, mask in (
            ("expectancy", np.ones(profits.size, bool)),
            ("avg_win", profits > 0),
            ("avg_loss", profits < 0),
        )
    }
    held = orders.bar[every.values["exit_idx"]] - orders.bar[every.values["entry_idx"]]
    ours = np.concatenate(trades)
    held += ours["bars_held"] - (ours["exit_bar"] - ours["entry_bar"])
    found = {
        "net_profit": portfolio.total_return(),
        "cagr": growth,
        "sharpe": days.sharpe_ratio(),
        "sortino": days.sortino_ratio(),
        "calmar": growth / abs(depth),
        "max_drawdown": depth,
        "drawdown_duration": falls.duration.max().fillna(0.0),
        "trades": done.count(),
        "win_rate": done.win_rate(),
        "profit_factor": done.profit_factor(),
        **mean,
        "exposure": every.map_array(held.astype(float)).sum().fillna(0.0) / len(market),
        "fees_paid": portfolio.orders.fees.sum().fillna(0.0) / CAPITAL,
        "var_95": -days.value_at_risk(),
        "cvar_95": (-days.cond_value_at_risk()).where(~with_ties),
    }
    arrays = {name: np.atleast_1d(np.asarray(values, float)) for name, values in found.items()}
    return {name: np.where(np.isinf(values), np.nan, values) for name, values in arrays.items()}


def trade_returns(records: np.ndarray) -> np.ndarray:
    """Profit over equity before each trade, from vectorbt's trade records, by column and entry."""
    before = np.cumsum(records["pnl"]) - records["pnl"]
    first = np.flatnonzero(np.diff(records["col"], prepend=-1))
    began = np.repeat(before[first], np.diff(np.append(first, len(records))))
    return records["pnl"] / (CAPITAL + before - began)


def ties(daily: np.ndarray) -> np.ndarray:
    """Columns in which the worst day that CVaR leaves out is no better than the best that it counts."""
    below = int((len(daily) - 1) * 0.05)
    ordered = np.sort(daily, axis=0)
    return ordered[below] == ordered[min(below + 1, len(daily) - 1)]


def differences(
    portfolio: vectorbt.Portfolio,
    orders: Book,
    ours: Mapping[str, np.ndarray],
    trades: list[np.ndarray],
    market: Candles,
) -> dict[str, float]:
    """Largest absolute difference per metric and of trade profits; infinite where one side is undefined."""
    records = portfolio.trades.values
    profits = np.concatenate([cell["profit"] for cell in trades])
    if len(records) != len(profits):
        raise SystemExit(f"vectorbt books {len(records)} trades of {len(profits)}: the fills differ.")
    pairs = {
        name: (values, ours[name])
        for name, values in equal_metrics(portfolio, orders, trades, market).items()
    }
    untied = ~np.isnan(pairs["cvar_95"][0])
    pairs["cvar_95"] = (pairs["cvar_95"][0][untied], ours["cvar_95"][untied])
    pairs["trade_profit"] = (records["pnl"] / CAPITAL, profits)
    found = {}
    for name, (a, b) in pairs.items():
        apart = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b))
        found[name] = float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
    return found
