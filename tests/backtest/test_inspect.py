"""A cell in vectorbt's books: the third check of the accounting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from generated_markets import FREE, Case, Script, candles_of, cases
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


def test_partial_fills_have_rows_of_their_own() -> None:
    # bar 2 opens beyond both targets, bar 4 reaches the partial target inside and then the stop
    rows = [FLAT, FLAT, (112, 113, 111, 112), FLAT, (100, 106, 94, 100), FLAT]
    candles = candles_of(rows)
    script = Script(
        candles.timestamps,
        **sides(6, [0, 2], []),
        stop=np.full((1, 6), 5.0),
        target=np.full((1, 6), 10.0),
        partial_target=np.full((1, 6), 5.0),
        partial_fraction=np.array([0.25]),
    )
    run = replay(script.strategy, candles, {}, Execution(costs=COSTS, assumption="optimistic"))
    assert run.trades["partial_bar"].tolist() == [2, 4]
    booked = portfolio(run, candles)
    # five rows a bar: partial, exit, entry at the open; partial, exit inside
    assert booked.orders.values["idx"].tolist() == [7, 10, 11, 17, 23, 24]
    assert booked.orders.values["price"] == pytest.approx([100.05, 112, 112, 100.05, 105, 94.9525])
    assert max(check(run, candles).values()) < 1e-12


def test_fills_at_the_close_and_a_reversal_there() -> None:
    candles = candles_of([FLAT, (101, 103, 100, 102), (103, 105, 102, 104), (105, 107, 104, 106)])
    script = Script(candles.timestamps, **sides(4, [0], [2]), on_opposite="reverse")
    run = replay(script.strategy, candles, {}, Execution(costs=FREE, fill="close"))
    booked = portfolio(run, candles)
    assert booked.orders.values["idx"].tolist() == [1, 6, 7]
    assert booked.orders.values["price"].tolist() == [100.0, 104.0, 104.0]
    assert str(booked.wrapper.index[6]) == "1970-01-01 03:59:59.997000"
    assert max(check(run, candles).values()) < 1e-12


BOOKED = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def assert_booked_alike(case: Case) -> None:
    # a funding of percents can exceed the proceeds of a leveraged long, which vectorbt cannot book
    costs = replace(case.execution.costs, funding_8h=min(case.execution.costs.funding_8h, 0.0001))
    run = case.but(costs=costs).replay()
    assert max(check(run, case.candles).values()) < 1e-9


@BOOKED
@given(cases())
def test_vectorbt_books_every_generated_run_alike(case: Case) -> None:
    assert_booked_alike(case)


@BOOKED
@given(cases(always=["partial"]))
def test_vectorbt_books_every_partial_fill_alike(case: Case) -> None:
    assert_booked_alike(case)
