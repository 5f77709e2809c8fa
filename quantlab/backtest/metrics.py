"""Every figure of a backtest: one pure function each, and `METRICS`, the table that names them.

Conventions. Equity starts at 1, so profits and fees are fractions of initial equity. `daily` are the returns
of UTC days (`quantlab.backtest.daily`). `trades` are *closed* trades (`TRADE_DTYPE`) unless a docstring says
otherwise. What is undefined (no trade, a zero denominator, fewer than two days) is NaN, never 0 and never
infinite by convention. All figures are known at the close of the last bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt
from typing import Literal

import numpy as np

from quantlab.backtest import daily as days
from quantlab.backtest.break_even import break_even_cost_bps
from quantlab.backtest.execution import Execution
from quantlab.backtest.trades import OPEN, closed, exposure_by_bar, partial_notional
from quantlab.errors import UnknownNameError
from quantlab.market.candles import Candles


@dataclass(frozen=True)
class Metric:
    """What a figure means: for tables, documentation and error messages.

    Parameters
    ----------
    name : str
    unit : str
    formula : str
        In the words of the module docstring.
    better : {"higher", "lower", None}
        Which way is better; None where neither is.
    """

    name: str
    unit: str
    formula: str
    better: Literal["higher", "lower"] | None


DEFINITIONS = (
    Metric("net_profit", "fraction of initial equity", "E_end - 1", "higher"),
    Metric("cagr", "fraction per year", "E_end ** (1 / years) - 1", "higher"),
    Metric("sharpe", "per sqrt(year)", "mean(r) / std(r, ddof=1) * sqrt(A)", "higher"),
    Metric("sortino", "per sqrt(year)", "mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(A)", "higher"),
    Metric("calmar", "per year", "cagr / |max_drawdown|", "higher"),
    Metric("max_drawdown", "fraction, at most 0", "min(E / running max(E) - 1)", "higher"),
    Metric("drawdown_duration", "days", "longest run of days below the running max of daily marks", "lower"),
    Metric("trades", "count", "number of closed trades", None),
    Metric("win_rate", "fraction", "share of trade returns > 0", "higher"),
    Metric("gross_win_rate", "fraction", "share of gross returns > 0", "higher"),
    Metric("profit_factor", "ratio", "sum of profits > 0 / |sum of profits < 0|", "higher"),
    Metric("expectancy", "fraction per trade", "mean trade return", "higher"),
    Metric("avg_win", "fraction per trade", "mean of trade returns > 0", "higher"),
    Metric("avg_loss", "fraction per trade, negative", "mean of trade returns < 0", "higher"),
    Metric("exposure", "fraction of bars", "sum of bars held / bars", None),
    Metric("turnover", "times equity per year", "sum over fills of notional / equity at entry / years", None),
    Metric("fees_paid", "fraction of initial equity", "sum of fees", "lower"),
    Metric("var_95", "fraction per day", "-quantile(r, 0.05)", "lower"),
    Metric("cvar_95", "fraction per day", "-mean(r where r <= quantile(r, 0.05))", "lower"),
    Metric("break_even_cost_bps", "bps per side", "fee c at which prod(m_i(c)) = 1", "higher"),
    Metric(
        "timing_t", "t statistic", "sqrt(D) * (mean(r) - mean(pos) * mean(mkt)) / std(r, ddof=1)", "higher"
    ),
)

METRICS = tuple(metric.name for metric in DEFINITIONS)


def definition(name: str) -> Metric:
    """The definition of the metric `name`.

    Raises
    ------
    UnknownNameError
        `name` is not in `METRICS`.
    """
    for metric in DEFINITIONS:
        if metric.name == name:
            return metric
    raise UnknownNameError("metric", name, METRICS)


def compute(
    trades: np.ndarray,
    equity: np.ndarray,
    candles: Candles,
    execution: Execution,
    stop_distances: np.ndarray | None = None,
) -> dict[str, float]:
    """Every metric of one backtest, in the order of `METRICS`.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`, shape (n_trades,)
        An open trade last, if there is one.
    equity : float array, shape (n_bars,)
    candles : Candles
    execution : Execution
    stop_distances : float array, shape (n_trades,), optional
        Distance of the stop of each trade in price units; needed for `Risk` sizing.

    Returns
    -------
    dict
        Name to value; NaN where undefined.
    """
    done, annual = closed(trades), execution.days_per_year
    years = len(candles) * candles.step_ms / (annual * days.DAY_MS)
    marks = days.daily_marks(equity, candles.timestamps)
    daily = days.daily_returns(marks)
    market = days.market_returns(candles.open, candles.close, candles.timestamps)
    growth, depth = cagr(equity, years), max_drawdown(equity)
    values = (
        net_profit(equity),
        growth,
        sharpe(daily, annual),
        sortino(daily, annual),
        calmar(growth, depth),
        depth,
        drawdown_duration(marks),
        trade_count(done),
        win_rate(done),
        gross_win_rate(done),
        profit_factor(done),
        expectancy(done),
        avg_win(done),
        avg_loss(done),
        exposure(trades, len(candles)),
        turnover(trades, years),
        fees_paid(trades),
        var_95(daily),
        cvar_95(daily),
        break_even_cost_bps(trades, execution, stop_distances),
        timing_t(daily, market, float(exposure_by_bar(trades, equity, candles).mean())),
    )
    return {name: float(value) for name, value in zip(METRICS, values, strict=True)}


def net_profit(equity: np.ndarray) -> float:
    """Gain over the whole record [fraction of initial equity]: E_end - 1. Never NaN."""
    return equity[-1] - 1.0


def cagr(equity: np.ndarray, years: float) -> float:
    """Compound growth [fraction per year]: E_end ** (1 / years) - 1; -1 once ruined. Never NaN.

    Infinite where a short record annualises beyond the range of a float.
    """
    if equity[-1] <= 0:
        return -1.0
    with np.errstate(over="ignore"):
        return float(np.float64(equity[-1]) ** (1.0 / years) - 1.0)


def sharpe(daily: np.ndarray, days_per_year: float) -> float:
    """Sharpe ratio of daily returns [per sqrt(year)]: mean(r) / std(r, ddof=1) * sqrt(A), no risk-free rate.

    NaN: fewer than two days, or no variation. Source: Sharpe (1994), "The Sharpe Ratio", J. Portfolio
    Management 21(1).
    """
    return _ratio(daily.mean() * sqrt(days_per_year), _std(daily))


def sortino(daily: np.ndarray, days_per_year: float) -> float:
    """Sortino ratio [per sqrt(year)]: mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(A).

    The mean of squares is over all days. NaN: fewer than two days, or none that lost. Source: Sortino and
    Price (1994), "Performance Measurement in a Downside Risk Framework", J. Investing 3(3), target 0.
    """
    if daily.size < 2:
        return nan
    return _ratio(daily.mean() * sqrt(days_per_year), sqrt(np.mean(np.minimum(daily, 0.0) ** 2)))


def calmar(growth: float, depth: float) -> float:
    """Growth per worst loss [per year]: cagr / |max_drawdown|. NaN: no drawdown.

    Source: Young (1991), "Calmar Ratio: A Smoother Tool", Futures 20(1); here over the whole record.
    """
    return _ratio(growth, abs(depth))


def max_drawdown(equity: np.ndarray) -> float:
    """Deepest loss from a peak, at bar closes [fraction, at most 0]: min(E / running max(E) - 1).

    The running max includes the initial equity of 1. Below -1 when equity ends negative. Never NaN.
    """
    return float(min(0.0, (equity / np.maximum(1.0, np.maximum.accumulate(equity)) - 1.0).min()))


def drawdown_duration(marks: np.ndarray) -> float:
    """Longest time under water [days]: longest run of days strictly below the running max of daily marks.

    The running max includes the initial equity of 1. Never NaN.
    """
    below = marks < np.maximum(1.0, np.maximum.accumulate(marks))
    runs = np.diff(np.flatnonzero(np.concatenate(([True], ~below, [True]))))
    return float(runs.max() - 1)


def trade_count(trades: np.ndarray) -> float:
    """Number of closed trades [count]. Never NaN."""
    return float(trades.size)


def win_rate(trades: np.ndarray) -> float:
    """Share of trade returns > 0, after costs [fraction]. NaN: no trade."""
    return _mean(trades["trade_return"] > 0)


def gross_win_rate(trades: np.ndarray) -> float:
    """Share of gross returns > 0, before costs [fraction]. NaN: no trade."""
    return _mean(trades["gross_return"] > 0)


def profit_factor(trades: np.ndarray) -> float:
    """Money won over money lost [ratio]: sum of profits > 0 / |sum of profits < 0|. NaN: no trade lost."""
    profit = trades["profit"]
    return _ratio(profit[profit > 0].sum(), abs(profit[profit < 0].sum()))


def expectancy(trades: np.ndarray) -> float:
    """Mean trade return, after costs [fraction per trade]. NaN: no trade."""
    return _mean(trades["trade_return"])


def avg_win(trades: np.ndarray) -> float:
    """Mean of trade returns > 0 [fraction per trade]. NaN: no trade won."""
    return _mean(trades["trade_return"][trades["trade_return"] > 0])


def avg_loss(trades: np.ndarray) -> float:
    """Mean of trade returns < 0 [fraction per trade, negative]. NaN: no trade lost."""
    return _mean(trades["trade_return"][trades["trade_return"] < 0])


def exposure(trades: np.ndarray, n_bars: int) -> float:
    """Time in the market [fraction of bars]: sum of bars held / bars, an open trade included. Never NaN."""
    return float(trades["bars_held"].sum() / n_bars)


def turnover(trades: np.ndarray, years: float) -> float:
    """How often equity changes hands [times equity per year]. Never NaN.

    Sum over fills of notional / equity at entry / years; of an open trade its entry and its partial fill.
    """
    sold = np.where(
        trades["reason"] == OPEN, partial_notional(trades), trades["units"] * trades["exit_price"]
    )
    notional = trades["units"] * trades["entry_price"] + sold
    return float((notional / trades["equity_before"]).sum() / years)


def fees_paid(trades: np.ndarray) -> float:
    """Sum of fees, the entry of an open trade included [fraction of initial equity]. Never NaN.

    Fees only: no slippage, no funding. Negative if maker rebates exceed them.
    """
    return float(trades["fees"].sum())


def var_95(daily: np.ndarray) -> float:
    """Daily value at risk [fraction per day]: -quantile(r, 0.05), linear between order statistics. Never NaN.

    Source: quantile of type 7, Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages".
    """
    return -float(np.quantile(daily, 0.05))


def cvar_95(daily: np.ndarray) -> float:
    """Mean loss on the worst days [fraction per day]: -mean(r where r <= quantile(r, 0.05)). Never NaN.

    Source: Rockafellar and Uryasev (2000), "Optimization of Conditional Value-at-Risk", J. Risk 2(3).
    """
    return -float(daily[daily <= np.quantile(daily, 0.05)].mean())


def timing_t(daily: np.ndarray, market_daily: np.ndarray, mean_position: float) -> float:
    """How much better than its average exposure a strategy did [t statistic].

    sqrt(D) * (mean(r) - mean(pos) * mean(mkt)) / std(r, ddof=1), D the number of days: drift earned by
    merely being exposed is taken out. mean(pos) is the mean over all bars of `trades.exposure_by_bar`. NaN:
    fewer than two days, or no variation.
    """
    excess = daily.mean() - mean_position * market_daily.mean()
    return _ratio(sqrt(daily.size) * excess, _std(daily))


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else nan


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else nan


def _std(daily: np.ndarray) -> float:
    return float(daily.std(ddof=1)) if daily.size > 1 else nan
