from dataclasses import replace

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.sweep import sweep
from quantlab.market import synthetic
from quantlab.market.candles import Candles
from quantlab.validation import evidence
from quantlab.validation.budget import Standing
from quantlab.validation.thresholds import Gate

GATE = Gate()
DAYS = synthetic.planted_momentum(2_000, seed=4, true_sharpe=2.5)
ONE = evidence.Candidate(strategies.get("sma_cross"), DAYS, {"fast": 10, "slow": 60}, Execution())
RUN = ONE.run()


def test_trades_count_closed_ones():
    test = evidence.enough_trades(RUN, GATE)
    assert test.value == len(RUN.closed)
    assert test.passed == (len(RUN.closed) >= 30)
    at_the_border = replace(GATE, min_trades=len(RUN.closed))
    assert evidence.enough_trades(RUN, at_the_border).passed
    assert not evidence.enough_trades(RUN, replace(GATE, min_trades=len(RUN.closed) + 1)).passed


def test_activity_is_a_share_of_days():
    exposure = np.zeros(len(DAYS))
    exposure[100:200] = -0.5
    run = replace(RUN, exposure=exposure)
    test = evidence.enough_activity(run, DAYS, GATE)
    assert test.value == 0.05
    assert test.passed
    exposure[199] = 0.0
    assert not evidence.enough_activity(replace(RUN, exposure=exposure), DAYS, GATE).passed


def test_activity_counts_a_day_once():
    hours = synthetic.iid(240, seed=1)
    one = evidence.Candidate(ONE.strategy, hours, {"fast": 2, "slow": 5}, Execution())
    exposure = np.zeros(240)
    exposure[[5, 6, 7, 30]] = 1.0
    assert evidence.enough_activity(replace(one.run(), exposure=exposure), hours, GATE).value == 0.2


@pytest.mark.parametrize(
    ("costs", "passed"),
    [
        (Costs(0, 0, 0), False),
        (Costs(0, 0, 1), True),
        (Costs(0.001, 0, 0), True),
        (Costs(0, 0.001, 0), False),
    ],
)
def test_costs_of_a_market_order_must_be_on(costs, passed):
    assert evidence.costs_charged(Execution(costs=costs)).passed == passed


def test_missing_bars_by_share():
    keep = np.ones(len(DAYS), bool)
    keep[500:541] = False
    columns = (getattr(DAYS, n)[keep] for n in ("timestamps", "open", "high", "low", "close", "volume"))
    gappy = Candles.from_arrays("lab", "A/USD", "1d", *columns)
    test = evidence.few_missing(gappy, GATE)
    assert test.value == 41 / 2_000
    assert not test.passed
    assert evidence.few_missing(DAYS, GATE).passed


def test_second_engine_agrees_on_real_runs():
    assert evidence.second_engine(ONE, RUN).passed
    assert "2,000 bars" in evidence.second_engine(ONE, RUN).detail


@pytest.mark.parametrize("field", ["entry_bar", "reason", "entry_price", "profit", "fees"])
def test_second_engine_names_the_trade_that_differs(field):
    trades = RUN.trades.copy()
    trades[field][7] = trades[field][7] * (1 + 1e-6) + (field in ("entry_bar", "reason"))
    test = evidence.second_engine(ONE, replace(RUN, trades=trades))
    assert not test.passed
    assert f"trade 8 differs in `{field}`" in test.detail


def test_second_engine_sees_a_lost_trade_and_a_bent_equity():
    assert "books" in evidence.second_engine(ONE, replace(RUN, trades=RUN.trades[:-1])).detail
    equity = RUN.equity.copy()
    equity[1_234] *= 1 + 1e-7
    assert "from bar 1,234 on" in evidence.second_engine(ONE, replace(RUN, equity=equity)).detail


def test_stress_recomputes_with_the_changed_rules():
    twice = evidence.survives_costs(ONE, GATE)
    assert twice.value == ONE.run(costs=ONE.execution.costs.times(2.0)).metrics["timing_t"]
    assert twice.value < RUN.metrics["timing_t"]
    late = evidence.survives_delay(ONE, GATE)
    assert late.value == ONE.run(delay_bars=1).metrics["timing_t"]
    assert late.passed == (late.value > 0)
    hours = synthetic.garch(3_000, seed=1)
    busy = evidence.Candidate(ONE.strategy, hours, {"fast": 2, "slow": 5}, Execution())
    assert not evidence.survives_costs(busy, GATE).passed


def test_no_trades_pass_nothing():
    idle = evidence.Candidate(ONE.strategy, DAYS[:50], {"fast": 10, "slow": 60}, Execution())
    assert evidence.survives_delay(idle, GATE).passed is False
    assert evidence.survives_delay(idle, GATE).value is None
    assert evidence.enough_activity(idle.run(), DAYS[:50], GATE).passed is False
    assert evidence.enough_trades(idle.run(), GATE).value == 0


def test_fills_are_reported_for_all_three_assumptions():
    candles = synthetic.garch(6_000, seed=2)
    one = evidence.Candidate(strategies.get("liquidity_sweep"), candles, {}, Execution())
    test, fills = evidence.fill_assumptions(one)
    assert test.passed is None
    assert set(fills) == {"neutral", "pessimistic", "optimistic"}
    assert (
        fills["pessimistic"]["net_profit"]
        <= fills["neutral"]["net_profit"]
        <= fills["optimistic"]["net_profit"]
    )
    assert fills["neutral"]["sharpe"] == one.run().metrics["sharpe"]


def test_plateau_beside_the_peak():
    surface = sweep(ONE.strategy, DAYS, ONE.strategy.grid(fast=[5, 10, 20], slow=[30, 60]), progress=False)
    cell, gate = surface.plateau("sharpe", 10).cell, replace(GATE, metric="sharpe", min_trades=10)
    test = evidence.plateau_or_peak(surface, cell, gate)
    assert test.value == cell.metrics["sharpe"]
    assert f"{surface.best('sharpe', 10).metrics['sharpe']:.2f} at the single best of 6 cells" in test.detail
    nobody = evidence.plateau_or_peak(surface, cell, replace(GATE, min_trades=9_999))
    assert "no cell traded 9999 times" in nobody.detail


def test_trials_with_and_without_a_ledger():
    assert "12,345 ever" in evidence.trials(144, 12_345, None, 0.05).detail
    assert "no ledger" in evidence.trials(144, None, None, 0.05).detail
    third = evidence.trials(144, None, Standing(500, 4, 3), 0.09).detail
    assert "number 3 on them: of the budget of 0.09 for false approvals it may spend 0.0061" in third


def test_every_test_is_timed():
    causality, parity = evidence.time_rule(ONE, ONE.strategy.space.points([ONE.params]))
    assert causality.seconds > 0.0
    assert causality.passed
    assert parity.passed
