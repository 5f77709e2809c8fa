"""A cell in vectorbt's books: the third check of the accounting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from generated_markets import FREE, Script, backtests, candles_of
from hypothesis import HealthCheck, given, settings

from quantlab.backtest.execution import Costs, Execution, Risk
from quantlab.backtest.inspect import check, portfolio, reserve
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import RUIN, SIGNAL, STOP
from quantlab.errors import InputError, IntegrityError

FLAT = (100, 101, 99, 100)
COSTS = Costs(taker=0.001, maker=0.0002, slippage_bps=5.0)


def sides(n: int, long: list[int], short: list[int]) -> dict[str, np.ndarray]:
    bars = np.arange(n)[None]
    return {"long": np.isin(bars, long), "short": np.isin(bars, short)}


def test_three_fills_in_one_bar() -> None:
    candles = candles_of([FLAT, FLAT, (102, 108, 99, 100), FLAT])
    script = Script(
        candles.timestamps, **sides(4, [0], [1]), stop=np.full((1, 4), 5.0), on_opposite="reverse"
    )
    execution = Execution(costs=COSTS)
    run = replay(script.strategy, candles, {}, execution)
    assert run.trades["reason"].tolist() == [SIGNAL, STOP]
    assert run.trades["exit_bar"].tolist() == [2, 2]
    booked = portfolio(run, candles, execution)
    assert booked.orders.values["idx"].tolist() == [4, 6, 7, 8]
    assert booked.orders.values["price"] == pytest.approx([100.05, 101.949, 101.949, 107.0535])
    assert str(booked.wrapper.index[6]) == "1970-01-01 03:00:00"
    assert booked.wrapper.index.tz is None
    assert max(check(run, candles).values()) < 1e-12


def test_capital_scales_the_books() -> None:
    candles = candles_of([FLAT, FLAT, (110, 111, 109, 110), FLAT])
    run = replay(Script(candles.timestamps, **sides(4, [0], [])).strategy, candles, {}, Execution(costs=FREE))
    booked = portfolio(run, candles, capital=5000.0)
    assert booked.init_cash == 5000.0
    assert booked.value().to_numpy()[2::3] == pytest.approx([5000, 5000, 5500, 5000])
    assert booked.trades.values["status"].tolist() == [0]


def test_leverage_and_ruin_need_a_reserve() -> None:
    candles = candles_of([FLAT, FLAT, FLAT, (100, 301, 99, 300), FLAT])
    long = Script(candles.timestamps, **sides(5, [0], []), stop=np.full((1, 5), 20.0))
    run = replay(long.strategy, candles, {}, Execution(costs=COSTS, sizing=Risk(0.5, leverage=2.0)))
    assert reserve(run, COSTS) == pytest.approx(1.01)
    assert max(check(run, candles).values()) < 1e-9
    ruined = replay(
        Script(candles.timestamps, **sides(5, [], [0])).strategy, candles, {}, Execution(costs=COSTS)
    )
    assert ruined.trades["reason"].tolist() == [RUIN]
    assert reserve(ruined, COSTS) == pytest.approx(-ruined.equity[-1] * 1.01)
    assert max(check(ruined, candles).values()) < 1e-9


def test_funding_of_closed_and_open_trades() -> None:
    rows = [FLAT] * 12 + [None] * 6 + [(105, 106, 104, 105)] * 30
    candles = candles_of(rows)
    entries = sides(48, [0, 30], [])
    exits = np.isin(np.arange(48)[None], [19])
    execution = Execution(costs=replace(COSTS, funding_8h=0.003))
    run = replay(Script(candles.timestamps, **entries, exit_long=exits).strategy, candles, {}, execution)
    assert len(run.trades) == 2
    assert max(check(run, candles).values()) < 1e-12


def test_a_run_without_a_trade_is_an_empty_portfolio() -> None:
    candles = candles_of([FLAT] * 4)
    run = replay(Script(candles.timestamps).strategy, candles, {})
    assert portfolio(run, candles).orders.count() == 0
    assert check(run, candles) == {"profit": 0.0, "equity": 0.0, "total_return": 0.0}


def test_the_candles_must_be_those_of_the_run() -> None:
    candles = candles_of([FLAT] * 4)
    run = replay(Script(candles.timestamps).strategy, candles, {})
    with pytest.raises(InputError, match="candles must be those of the run"):
        portfolio(run, candles[:3])


def test_a_doctored_run_is_noticed() -> None:
    candles = candles_of([FLAT, FLAT, (110, 111, 109, 110), FLAT])
    exits = np.isin(np.arange(4)[None], [2])
    run = replay(Script(candles.timestamps, **sides(4, [0], []), exit_long=exits).strategy, candles, {})
    doctored = run.trades.copy()
    doctored["profit"] += 0.01
    assert check(replace(run, trades=doctored), candles)["profit"] == pytest.approx(0.01)
    assert check(replace(run, equity=run.equity * 1.1), candles)["equity"] > 0.09
    with pytest.raises(IntegrityError, match="books 1 of 2"):
        check(replace(run, trades=np.concatenate([run.trades, run.trades])), candles)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(backtests())
def test_vectorbt_books_every_generated_run_alike(backtest: Any) -> None:
    candles, script, execution = backtest
    # a funding of percents can exceed the proceeds of a leveraged long, which vectorbt cannot book
    costs = replace(execution.costs, funding_8h=min(execution.costs.funding_8h, 0.0001))
    run = replay(script.strategy, candles, {}, replace(execution, costs=costs))
    assert max(check(run, candles).values()) < 1e-9
