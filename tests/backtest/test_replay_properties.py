"""Properties of the law of fills on generated markets: what holds whatever the signals and the execution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from generated_markets import FREE, Case, assert_equal_trades, cases
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from quantlab.backtest.execution import AllIn, Costs
from quantlab.backtest.trades import OPEN, RUIN, SIGNAL, TIME, Run, first_bar_held
from quantlab.market.candles import Candles

GENERATED = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much]
)
FEWER = settings(GENERATED, max_examples=60)
FAR = 1e12
"""A distance that no price covers."""


def ruined(*runs: Run) -> bool:
    return any((run.trades["reason"] == RUIN).any() or (run.equity <= 0).any() for run in runs)


def assert_equal_runs(a: Run, b: Run) -> None:
    assert_equal_trades(a.trades, b.trades)
    for name in ("equity", "exposure", "daily"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(list(a.metrics.values()), list(b.metrics.values()))


@GENERATED
@given(cases())
def test_profits_sum_to_the_change_in_equity(case: Case) -> None:
    run = case.replay()
    assert run.trades["profit"].sum() == pytest.approx(run.equity[-1] - 1, rel=1e-9, abs=1e-9)
    assert np.isfinite(run.equity).all()
    before = np.concatenate(([1.0], 1 + run.trades["profit"].cumsum()[:-1]))[: len(run.trades)]
    assert run.trades["equity_before"] == pytest.approx(before, rel=1e-9, abs=1e-9)


@GENERATED
@given(cases())
def test_fills_account_for_every_profit(case: Case) -> None:
    """Without funding a profit is what the fills moved, less the fees; the blended exit price says so."""
    case = case.but(costs=replace(case.execution.costs, funding_8h=0.0))
    trades = case.replay().trades
    moved = trades["side"] * trades["units"] * (trades["exit_price"] - trades["entry_price"])
    assert trades["profit"] == pytest.approx(moved - trades["fees"], rel=1e-9, abs=1e-9)


@GENERATED
@given(cases())
def test_trades_keep_to_the_law(case: Case) -> None:
    candles, at_close = case.candles, case.execution.fill == "close"
    run = case.replay()
    trades = run.trades
    assert (trades["entry_bar"] == trades["decision_bar"] + (0 if at_close else 1)).all()
    assert (trades["decision_bar"] >= case.start).all()
    assert (trades["exit_bar"] >= trades["entry_bar"]).all()
    assert (trades["bars_held"] >= (0 if at_close else 1)).all()
    assert (trades["entry_bar"][1:] >= trades["exit_bar"][:-1]).all()
    assert not candles.missing[trades["entry_bar"]].any()
    assert not candles.missing[trades["exit_bar"][trades["reason"] != OPEN]].any()
    assert (trades["equity_before"] > 0).all()
    allowed = {"both": [1, -1], "long": [1], "short": [-1]}[case.execution.direction]
    assert np.isin(trades["side"], allowed).all()
    assert np.count_nonzero(run.exposure) == trades["bars_held"].sum()
    if at_close:  # one order a bar: but for a reversal, nobody enters where something ended
        again = np.flatnonzero(trades["entry_bar"][1:] == trades["exit_bar"][:-1])
        assert (trades["reason"][again] == SIGNAL).all()
        assert (trades["side"][again] == -trades["side"][again + 1]).all()


@GENERATED
@given(cases())
def test_what_a_whole_day_earns_is_its_exposure_times_the_market(case: Case) -> None:
    """Of days held from the first bar to the last and past the next open, without funding or parts."""
    if case.script.partial_target is not None:
        case = case.but(partial_target=None, partial_fraction=None)
    case = case.but(costs=replace(case.execution.costs, funding_8h=0.0))
    run, day = case.replay(), case.candles.timestamps // 86_400_000
    assume(not ruined(run))
    for trade in run.trades:
        inside = np.arange(first_bar_held(trade), trade["exit_bar"])
        for number in np.unique(day[inside]):
            bars = np.flatnonzero(day == number)
            if inside[0] <= bars[0] and bars[-1] <= inside[-1] and bars[0] > trade["entry_bar"]:
                row = int(number - day[0])
                assert (run.exposure[bars] == run.exposure[bars[0]]).all()
                earned = run.exposure[bars[0]] * run.market_daily[row]
                assert run.daily[row] == pytest.approx(earned, rel=1e-9, abs=1e-12)


@GENERATED
@given(cases(always=["partial"]))
def test_partial_fills_keep_to_the_law(case: Case) -> None:
    run = case.replay()
    trades = run.trades
    cut = trades[trades["partial_bar"] >= 0]
    whole = trades[trades["partial_bar"] < 0]
    assert np.isnan(whole["partial_price"]).all()
    assert (whole["partial_units"] == 0).all()
    assert cut["partial_units"] / cut["units"] == pytest.approx(
        np.full(len(cut), case.script.partial_fraction[0])
    )
    assert (cut["partial_bar"] >= cut["entry_bar"]).all()
    assert (cut["partial_bar"] <= cut["exit_bar"]).all()
    # a limit order in profit: never worse than the raw entry
    raw = cut["entry_price"] / (1 + cut["side"] * case.execution.costs.slippage_bps / 1e4)
    assert (cut["side"] * (cut["partial_price"] - raw) > 0).all()


@GENERATED
@given(cases(), st.data())
def test_the_past_does_not_change_when_the_future_arrives(case: Case, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(case.candles)))
    whole = case.replay()
    known = case.but(candles=case.candles[:cut], start=min(case.start, cut)).replay()
    assert np.array_equal(known.equity, whole.equity[:cut])
    finished = whole.trades[(whole.trades["exit_bar"] < cut) & (whole.trades["reason"] != OPEN)]
    assert_equal_trades(known.closed, finished)


@settings(GENERATED, max_examples=30)
@given(cases())
def test_live_replay_of_a_causal_strategy_is_the_replay(case: Case) -> None:
    assert_equal_runs(case.replay(), case.replay(live_window=1))


@FEWER
@given(cases())
def test_more_costs_never_mean_more_profit(case: Case) -> None:
    costs = Costs(taker=0.001, maker=0.0005, slippage_bps=2.0, funding_8h=0.0)
    cheap = case.but(sizing=AllIn(), costs=costs).replay()
    dear = case.but(sizing=AllIn(), costs=costs.times(3)).replay()
    assume(not ruined(cheap, dear))  # costs may bring ruin forward, and with it other fills
    assert np.array_equal(cheap.trades["exit_bar"], dear.trades["exit_bar"])
    assert np.array_equal(cheap.trades["partial_bar"], dear.trades["partial_bar"])
    assert (dear.trades["trade_return"] <= cheap.trades["trade_return"] + 1e-12).all()
    assert dear.equity[-1] <= cheap.equity[-1] + 1e-12


@FEWER
@given(cases())
def test_an_assumption_orders_single_trades(case: Case) -> None:
    """Of the first trade, which all three assumptions enter alike, optimism never earns less."""
    first = []
    for assumption in ("pessimistic", "neutral", "optimistic"):
        trades = case.but(assumption=assumption).replay().trades
        first.append(trades["gross_return"][0] if len(trades) else 0.0)
    assert first[0] <= first[1] + 1e-12
    assert first[1] <= first[2] + 1e-12


@GENERATED
@given(cases(), st.sampled_from(["trail", "break_even", "partial_target"]))
def test_a_rule_out_of_reach_is_no_rule(case: Case, rule: str) -> None:
    far = np.full((1, len(case.candles)), FAR)
    if rule == "trail" and case.script.stop is None:
        case = case.but(sizing=AllIn())
    without: Any = {rule: None} | ({"partial_fraction": None} if rule == "partial_target" else {})
    beyond: Any = {rule: far} | ({"partial_fraction": np.array([0.5])} if rule == "partial_target" else {})
    assert_equal_runs(case.but(**without).replay(), case.but(**beyond).replay())


@GENERATED
@given(cases(always=["partial"]))
def test_a_tiny_part_is_no_part(case: Case) -> None:
    near = np.nan_to_num(np.abs(case.script.partial_target), nan=1.0, posinf=1.0) + 0.5
    tiny = case.but(partial_target=near, partial_fraction=np.array([1e-12])).replay()
    none = case.but(partial_target=None, partial_fraction=None).replay()
    assert tiny.equity == pytest.approx(none.equity, rel=1e-9, abs=1e-9)
    for name in ("entry_bar", "exit_bar", "reason", "bars_held", "side"):
        assert tiny.trades[name].tolist() == none.trades[name].tolist()


@GENERATED
@given(cases())
def test_the_bars_themselves_tell_nothing_as_a_lower_timeframe(case: Case) -> None:
    assert_equal_runs(case.replay(intrabar=None), case.replay(intrabar=case.candles))


def priced(candles: Candles, prices: np.ndarray) -> Candles:
    """The candles with other prices, shape (n_bars, 4)."""
    columns: Any = dict(zip(("open", "high", "low", "close"), prices.T.copy(), strict=True))
    return replace(candles, **columns)


def upside_down(case: Case) -> tuple[Case, Case]:
    """The case on whole prices, and on their mirror image with the sides swapped."""
    prices = np.column_stack([getattr(case.candles, name) for name in ("open", "high", "low", "close")])
    prices = np.round(10 * prices)
    mirror = (2 * np.nanmax(prices) + 100) - prices[:, [0, 2, 1, 3]]
    script, swap = case.script, {"both": "both", "long": "short", "short": "long"}
    none = np.zeros((1, len(case.candles)), bool)
    sides = {
        "long": none if script.short is None else script.short,
        "short": none if script.long is None else script.long,
        "exit_long": script.exit_short,
        "exit_short": script.exit_long,
    }
    here = case.but(candles=priced(case.candles, prices), intrabar=None, costs=FREE)
    there = case.but(
        candles=priced(case.candles, mirror),
        intrabar=None,
        costs=FREE,
        direction=swap[case.execution.direction],
        **sides,
    )
    return here, there


@GENERATED
@given(cases())
def test_a_market_upside_down_swaps_the_sides(case: Case) -> None:
    """Bars, reasons and the ways that prices went; not units, which depend on the price."""
    here, there = (one.replay() for one in upside_down(case))
    assume(not ruined(here, there))  # a short can lose more than everything
    a, b = here.trades, there.trades
    for name in ("decision_bar", "entry_bar", "exit_bar", "reason", "bars_held", "partial_bar"):
        assert a[name].tolist() == b[name].tolist(), name
    assert a["side"].tolist() == (-b["side"]).tolist()
    for name in ("exit_price", "partial_price"):
        ours, theirs = a[name] - a["entry_price"], b[name] - b["entry_price"]
        np.testing.assert_allclose(ours, -theirs, rtol=1e-9, atol=1e-9, err_msg=name)


@GENERATED
@given(cases(rules=("close",)))
def test_where_every_bar_opens_at_the_last_close_both_fills_are_one(case: Case) -> None:
    """Decided exits only: what fills at the next open is what filled at the close, one bar later."""
    known = case.candles.close[~case.candles.missing]
    close = np.resize(known, len(case.candles))
    open_ = np.append(close[0], close[:-1])
    prices = np.column_stack([open_, np.maximum(open_, close), np.minimum(open_, close), close])
    whole = replace(case.candles, flags=np.zeros(len(close), np.uint8))
    at_close = case.but(
        candles=priced(whole, prices),
        stop=None,
        target=None,
        sizing=AllIn(),
        fill="close",
        costs=replace(case.execution.costs, funding_8h=0.0),
    )
    early, late = at_close.replay(), at_close.but(fill="open").replay()
    assume(not ruined(early, late))
    a, b = early.closed, late.closed
    a = a[: len(b)]  # what is filled at the last close has no next open
    assert len(early.closed) - len(b) in (0, 1)
    assert np.isin(a["reason"], (SIGNAL, TIME)).all()
    for name in ("decision_bar", "side", "reason", "bars_held"):
        assert a[name].tolist() == b[name].tolist(), name
    assert (b["exit_bar"] - a["exit_bar"]).tolist() == [1] * len(b)
    for name in ("entry_price", "exit_price", "units", "profit", "fees"):
        assert a[name] == pytest.approx(b[name], rel=1e-12, abs=1e-12), name
