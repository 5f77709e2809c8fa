"""Every metric against numbers worked out by hand or published, and what it says when it is undefined."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest
from generated_markets import HOUR_MS, Script, backtests, candles_of
from hypothesis import given, settings

from quantlab.backtest import daily as days
from quantlab.backtest import metrics
from quantlab.backtest.break_even import break_even_cost_bps
from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import OPEN, RUIN, SIGNAL, TRADE_DTYPE
from quantlab.errors import InputError, UnknownNameError

ALWAYS = {"net_profit", "cagr", "max_drawdown", "drawdown_duration", "trades", "exposure", "turnover"} | {
    "fees_paid",
    "var_95",
    "cvar_95",
}


def trade(gross: float, *, reason: int = SIGNAL, **fields: Any) -> np.ndarray:
    """One trade entered at 100 for all of equity 1, free of costs unless `fields` say otherwise."""
    side = fields.get("side", 1)
    values: dict[str, Any] = {
        "decision_bar": 0,
        "entry_bar": 1,
        "exit_bar": 3,
        "side": side,
        "reason": reason,
        "entry_price": 100.0,
        "exit_price": 100.0 * (1 + side * gross),
        "units": 0.01,
        "equity_before": 1.0,
        "profit": gross,
        "trade_return": gross,
        "gross_return": gross,
        "fees": 0.0,
        "bars_held": 2,
        "partial_bar": -1,
        "partial_price": np.nan,
        "partial_units": 0.0,
    }
    values |= fields
    return np.array([tuple(values[name] for name in TRADE_DTYPE.names)], TRADE_DTYPE)


NONE = np.empty(0, TRADE_DTYPE)
MIXED = np.concatenate([trade(0.10), trade(-0.05), trade(0.02), trade(0.0), trade(-0.01)])


def test_the_table_names_every_metric_once_and_each_has_a_documented_function() -> None:
    assert len(set(metrics.METRICS)) == len(metrics.METRICS) == 21
    for definition in metrics.DEFINITIONS:
        name = {"trades": "trade_count"}.get(definition.name, definition.name)
        text = getattr(metrics, name).__doc__
        assert definition.unit.split(",")[0].split()[0] in text, definition
        assert "NaN" in text, definition
        assert definition.formula
    assert metrics.definition("sharpe").better == "higher"
    with pytest.raises(UnknownNameError, match="did you mean 'sharpe'"):
        metrics.definition("sharp")


def test_net_profit_and_cagr() -> None:
    equity = np.array([1.0, 1.1, 1.21])
    assert metrics.net_profit(equity) == pytest.approx(0.21)
    assert metrics.cagr(equity, 2.0) == pytest.approx(0.1)
    assert metrics.cagr(np.array([1.0, -0.2]), 2.0) == -1
    assert metrics.cagr(np.array([5.0]), 1e-4) == np.inf


def test_sharpe() -> None:
    # mean 0.01, deviations -0.02, 0, 0.02: sample standard deviation 0.02
    returns = np.array([-0.01, 0.01, 0.03])
    assert metrics.sharpe(returns, 365.0) == pytest.approx(0.5 * sqrt(365))
    assert isnan(metrics.sharpe(returns[:1], 365.0))
    assert isnan(metrics.sharpe(np.zeros(5), 365.0))


def test_sortino_of_a_published_example() -> None:
    """Rollinger and Hoffman (2013), "Sortino: A 'Sharper' Ratio", Red Rock Capital: 4.417 with target 0."""
    returns = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04])
    assert metrics.sortino(returns, 1.0) == pytest.approx(4.417, abs=5e-4)
    assert isnan(metrics.sortino(np.array([0.01, 0.02]), 365.0))
    assert isnan(metrics.sortino(np.array([-0.01]), 365.0))


def test_max_drawdown_counts_the_initial_equity_as_a_peak() -> None:
    assert metrics.max_drawdown(np.array([0.9, 0.95])) == pytest.approx(-0.1)
    assert metrics.max_drawdown(np.array([1.0, 2.0, 1.5, 3.0, 2.4])) == pytest.approx(-0.25)
    assert metrics.max_drawdown(np.array([1.0, 1.1])) == 0
    assert metrics.max_drawdown(np.array([1.0, -0.5])) == pytest.approx(-1.5)


def test_calmar() -> None:
    assert metrics.calmar(0.3, -0.2) == pytest.approx(1.5)
    assert isnan(metrics.calmar(0.3, 0.0))


def test_drawdown_duration_is_the_longest_time_strictly_below_the_peak() -> None:
    assert metrics.drawdown_duration(np.array([0.9, 1.0, 0.9, 0.8, 0.99, 1.0, 1.1])) == 3
    assert metrics.drawdown_duration(np.array([0.9, 0.8])) == 2
    assert metrics.drawdown_duration(np.array([1.0, 1.0, 1.2])) == 0


def test_trade_statistics() -> None:
    assert metrics.trade_count(MIXED) == 5
    assert metrics.win_rate(MIXED) == pytest.approx(2 / 5)
    assert metrics.gross_win_rate(MIXED) == pytest.approx(2 / 5)
    assert metrics.profit_factor(MIXED) == pytest.approx(0.12 / 0.06)
    assert metrics.expectancy(MIXED) == pytest.approx(0.06 / 5)
    assert metrics.avg_win(MIXED) == pytest.approx(0.06)
    assert metrics.avg_loss(MIXED) == pytest.approx(-0.03)


def test_a_win_before_costs_may_be_a_loss_after() -> None:
    costly = trade(0.001, trade_return=-0.002, profit=-0.002)
    assert metrics.win_rate(costly) == 0
    assert metrics.gross_win_rate(costly) == 1
    assert metrics.profit_factor(costly) == 0


def test_trade_statistics_are_undefined_without_trades() -> None:
    for name in ("win_rate", "gross_win_rate", "profit_factor", "expectancy", "avg_win", "avg_loss"):
        assert isnan(getattr(metrics, name)(NONE)), name
    assert isnan(metrics.profit_factor(trade(0.1)))
    assert isnan(metrics.avg_loss(trade(0.1)))
    assert isnan(metrics.avg_win(trade(-0.1)))


def test_exposure_turnover_and_fees_count_the_open_trade() -> None:
    trades = np.concatenate(
        [
            trade(0.1, fees=0.002),
            trade(0.2, reason=OPEN, equity_before=1.1, units=0.011, fees=0.001, bars_held=4),
        ]
    )
    assert metrics.exposure(trades, 12) == pytest.approx(0.5)
    # 1 bought, 1.1 sold, 1 bought again, in half a year
    assert metrics.turnover(trades, 0.5) == pytest.approx(3.1 / 0.5)
    assert metrics.fees_paid(trades) == pytest.approx(0.003)


def test_value_at_risk_is_the_type_7_quantile() -> None:
    """R: quantile(1:10, 0.05) is 1.45."""
    returns = -np.arange(10, 0, -1.0)[::-1]
    assert metrics.var_95(-np.arange(1.0, 11.0)) == pytest.approx(9.55)
    assert metrics.var_95(returns[::-1]) == pytest.approx(9.55)
    assert metrics.cvar_95(returns) == pytest.approx(10.0)
    assert metrics.cvar_95(np.arange(1.0, 11.0)) == pytest.approx(-1.0)


def test_timing_t_takes_drift_out() -> None:
    market = np.array([0.01, 0.03, -0.02, 0.02])
    assert metrics.timing_t(0.5 * market, market, 0.5) == pytest.approx(0, abs=1e-15)
    # mean 0.015 against half of 0.01; deviations +-0.005: sample standard deviation sqrt(1e-4 / 3)
    daily = np.array([0.01, 0.02, 0.01, 0.02])
    assert metrics.timing_t(daily, market, 0.5) == pytest.approx(2 * 0.01 / sqrt(1e-4 / 3))
    assert isnan(metrics.timing_t(np.zeros(4), market, 0.0))
    assert isnan(metrics.timing_t(daily[:1], market[:1], 0.5))


def test_break_even_cost_of_one_long() -> None:
    # (1 - c) / (1 + c) * 1.01 = 1
    assert break_even_cost_bps(trade(0.01), Execution()) == pytest.approx(1e4 * 0.01 / 2.01, rel=1e-12)


def test_break_even_cost_of_one_short() -> None:
    # (1 - c) / (1 + c) = 0.99, whatever the fraction
    for fraction in (1.0, 0.3):
        execution = Execution(sizing=AllIn(fraction))
        assert break_even_cost_bps(trade(0.01, side=-1), execution) == pytest.approx(
            1e4 * 0.01 / 1.99, rel=1e-9
        )


def test_break_even_cost_of_a_loss_is_negative_and_of_nothing_undefined() -> None:
    assert break_even_cost_bps(trade(-0.01), Execution()) == pytest.approx(-1e4 * 0.01 / 1.99, rel=1e-12)
    assert isnan(break_even_cost_bps(NONE, Execution()))
    assert isnan(break_even_cost_bps(trade(0.1, reason=OPEN), Execution()))
    assert break_even_cost_bps(trade(0.0), Execution()) == pytest.approx(0, abs=1e-9)


def test_break_even_cost_with_risk_sizing_needs_the_stops() -> None:
    execution = Execution(sizing=Risk(0.02, leverage=1.0))
    with pytest.raises(InputError, match="stop_distances"):
        break_even_cost_bps(trade(0.01), execution)
    # u = 0.02 / 5 of price 100: notional 0.4; 1.01 (1 - c) - (1 + c) = 0
    value = break_even_cost_bps(trade(0.01), execution, np.array([5.0]))
    assert value == pytest.approx(1e4 * 0.01 / 2.01, rel=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(backtests())
def test_at_the_break_even_cost_the_closed_trades_earn_nothing(backtest: Any) -> None:
    candles, script, execution = backtest
    free = Costs(taker=0.0, maker=0.0, slippage_bps=0.0)
    run = replay(script.strategy, candles, {}, replace(execution, costs=free))
    cost = run.metrics["break_even_cost_bps"] / 1e4
    if not 0 <= cost <= 0.05:
        return
    charged = replay(
        script.strategy, candles, {}, replace(execution, costs=replace(free, taker=cost, maker=cost))
    )
    if (run.trades["reason"] == RUIN).any() or (charged.trades["reason"] == RUIN).any():
        return
    assert len(run.trades) == len(charged.trades)
    assert np.prod(1 + charged.closed["trade_return"]) == pytest.approx(1, abs=1e-9)


def test_a_run_without_a_trade_has_zeros_where_zero_is_true() -> None:
    candles = candles_of([(100, 101, 99, 100)] * 60)
    run = replay(Script(candles.timestamps).strategy, candles, {})
    assert tuple(run.metrics) == metrics.METRICS
    for name, value in run.metrics.items():
        assert (value == 0) if name in ALWAYS else isnan(value), name


def test_compute_wires_every_metric_to_its_inputs() -> None:
    # three days of 4h bars; bought at 100 on bar 1, sold at 110 on bar 7
    rows = [(100, 100, 100, 100)] * 7 + [(110, 110, 110, 110)] * 11
    candles = candles_of(rows, "4h", start_ms=0)
    exits = np.zeros((1, 18), bool)
    exits[0, 6] = True
    script = Script(candles.timestamps, long=np.arange(18)[None] == 0, exit_long=exits)
    run = replay(script.strategy, candles, {}, Execution(costs=Costs(0.0, 0.0, 0.0), days_per_year=365.0))
    expected = {
        "net_profit": 0.1,
        "cagr": 1.1 ** (365 / 3) - 1,
        "sharpe": (0.1 / 3) / (0.1 / sqrt(3)) * sqrt(365),
        "sortino": nan,
        "calmar": nan,
        "max_drawdown": 0.0,
        "drawdown_duration": 0.0,
        "trades": 1.0,
        "win_rate": 1.0,
        "gross_win_rate": 1.0,
        "profit_factor": nan,
        "expectancy": 0.1,
        "avg_win": 0.1,
        "avg_loss": nan,
        "exposure": 6 / 18,
        "turnover": 2.1 / (3 / 365),
        "fees_paid": 0.0,
        "var_95": 0.0,
        "cvar_95": 0.0,
        "break_even_cost_bps": 1e4 * 0.1 / 2.1,
        "timing_t": sqrt(3) * (0.1 / 3 - 6 / 18 * 0.1 / 3) / (0.1 / sqrt(3)),
    }
    assert run.metrics == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def test_a_day_is_the_utc_day_of_the_open_of_its_bars() -> None:
    timestamps = np.arange(22, 22 + 30) * HOUR_MS
    assert days.day_numbers(timestamps).tolist() == [0, 1, 2]
    assert days.last_bars(timestamps).tolist() == [1, 25, 29]
    assert days.daily_returns(np.array([2.0, 3.0])).tolist() == [1.0, 0.5]
    assert days.daily_returns(np.array([-0.5, -0.5, -0.5])).tolist() == [-1.5, 0.0, 0.0]


def test_market_returns_carry_the_last_close_over_lost_bars() -> None:
    rows = [None, (100, 112, 99, 110), None, None, (121, 133, 120, 132)]
    candles = candles_of(rows, "1d", start_ms=0)
    returns = days.market_returns(candles.open, candles.close, candles.timestamps)
    assert returns == pytest.approx([0.0, 0.1, 0.0, 0.0, 0.2], rel=1e-14)
    lost = np.full(2, np.nan)
    assert days.market_returns(lost, lost, np.arange(2) * days.DAY_MS).tolist() == [0.0, 0.0]
