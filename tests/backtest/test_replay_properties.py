"""Properties of the law of fills on generated markets: what holds whatever the signals and the execution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from generated_markets import assert_equal_trades, backtests
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.backtest.execution import AllIn, Costs
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import OPEN, RUIN

GENERATED = settings(max_examples=60, deadline=None, derandomize=True)


@GENERATED
@given(backtests())
def test_profits_sum_to_the_change_in_equity(backtest: Any) -> None:
    candles, script, execution = backtest
    run = replay(script.strategy, candles, {}, execution)
    assert run.trades["profit"].sum() == pytest.approx(run.equity[-1] - 1, rel=1e-9, abs=1e-9)
    assert np.isfinite(run.equity).all()
    before = np.concatenate(([1.0], 1 + run.trades["profit"].cumsum()[:-1]))[: len(run.trades)]
    assert run.trades["equity_before"] == pytest.approx(before, rel=1e-9, abs=1e-9)


@GENERATED
@given(backtests())
def test_trades_keep_to_the_law(backtest: Any) -> None:
    candles, script, execution = backtest
    trades = replay(script.strategy, candles, {}, execution).trades
    assert (trades["entry_bar"] == trades["decision_bar"] + 1).all()
    assert (trades["exit_bar"] >= trades["entry_bar"]).all()
    assert (trades["bars_held"] >= 1).all()
    assert (trades["entry_bar"][1:] >= trades["exit_bar"][:-1]).all()
    assert not candles.missing[trades["entry_bar"]].any()
    assert not candles.missing[trades["exit_bar"][trades["reason"] != OPEN]].any()
    assert (trades["equity_before"] > 0).all()
    allowed = {"both": [1, -1], "long": [1], "short": [-1]}[execution.direction]
    assert np.isin(trades["side"], allowed).all()


@GENERATED
@given(backtests(), st.data())
def test_the_past_does_not_change_when_the_future_arrives(backtest: Any, data: st.DataObject) -> None:
    candles, script, execution = backtest
    cut = data.draw(st.integers(1, len(candles)))
    whole = replay(script.strategy, candles, {}, execution)
    known = replay(script.strategy, candles[:cut], {}, execution)
    assert np.array_equal(known.equity, whole.equity[:cut])
    finished = whole.trades[(whole.trades["exit_bar"] < cut) & (whole.trades["reason"] != OPEN)]
    assert_equal_trades(known.closed, finished)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(backtests())
def test_live_replay_of_a_causal_strategy_is_the_replay(backtest: Any) -> None:
    candles, script, execution = backtest
    whole = replay(script.strategy, candles, {}, execution)
    live = replay(script.strategy, candles, {}, execution, live_window=1)
    assert_equal_trades(whole.trades, live.trades)
    assert np.array_equal(whole.equity, live.equity)


@GENERATED
@given(backtests())
def test_more_costs_never_mean_more_profit(backtest: Any) -> None:
    candles, script, execution = backtest
    execution = replace(
        execution, sizing=AllIn(), costs=Costs(taker=0.001, maker=0.0005, slippage_bps=2.0, funding_8h=0.0)
    )
    cheap = replay(script.strategy, candles, {}, execution)
    dear = replay(script.strategy, candles, {}, replace(execution, costs=execution.costs.times(3)))
    if (
        (cheap.trades["reason"] == RUIN).any()
        or (dear.trades["reason"] == RUIN).any()
        or (dear.equity <= 0).any()
    ):
        return  # costs may bring ruin forward, and with it other fills
    assert np.array_equal(cheap.trades["exit_bar"], dear.trades["exit_bar"])
    assert (dear.trades["trade_return"] <= cheap.trades["trade_return"] + 1e-12).all()
    assert dear.equity[-1] <= cheap.equity[-1] + 1e-12


@GENERATED
@given(backtests())
def test_an_assumption_orders_single_trades(backtest: Any) -> None:
    """Of the first trade, which all three assumptions enter alike, optimism never earns less."""
    candles, script, execution = backtest
    first = []
    for assumption in ("pessimistic", "neutral", "optimistic"):
        trades = replay(script.strategy, candles, {}, replace(execution, assumption=assumption)).trades
        first.append(trades["gross_return"][0] if len(trades) else 0.0)
    assert first[0] <= first[1] + 1e-12
    assert first[1] <= first[2] + 1e-12
