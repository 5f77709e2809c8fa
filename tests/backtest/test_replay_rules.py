"""Trailing and break-even stops, partial targets and lower timeframes: each rule with numbers worked by hand.

A short lives on the mirror image of the long's market, every price p taken to 200 - p.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from generated_markets import HOUR_MS, fills, play
from worked_rules import FLAT, Rows, partial, short

from quantlab.backtest.execution import Costs, Risk
from quantlab.backtest.trades import OPEN, STOP, TARGET, TIME

# Entered at 100 (bar 1), highest 104, then 106: the stop is at 95 on bar 1, 99 on bar 2, 101 on bar 3.
CLIMB: Rows = [FLAT, (100, 104, 98, 103), (103, 106, 102, 105), (105, 105.5, 100, 102), FLAT]


def test_a_trail_follows_the_best_price_from_the_next_bar_on() -> None:
    assert fills(play(CLIMB, long=0, trail=5)) == [(1, 1, 3, STOP, 100.0, 101.0)]
    assert fills(short(CLIMB, trail=5)) == [(-1, 1, 3, STOP, 100.0, 99.0)]


def test_a_trail_of_the_entry_bar_is_not_live_on_it() -> None:
    # 104 - 5 = 99 is above the low of 98, but known only at the close of that bar; 95 is not reached
    rows = [*CLIMB[:2], (103, 104, 100, 101)]
    assert fills(play(rows, long=0, trail=5)) == [(1, 1, 2, OPEN, 100.0, 101.0)]
    assert fills(play(rows, long=0, trail=2)) == [(1, 1, 1, STOP, 100.0, 98.0)]
    assert fills(short(rows, trail=2)) == [(-1, 1, 1, STOP, 100.0, 102.0)]


def test_a_trail_never_goes_back() -> None:
    # best stays 106, so the stop stays at 101 on bar 4
    rows = [*CLIMB[:3], (105, 105.5, 102, 103), (103, 104, 100.5, 101)]
    assert fills(play(rows, long=0, trail=5)) == [(1, 1, 4, STOP, 100.0, 101.0)]
    assert fills(short(rows, trail=5)) == [(-1, 1, 4, STOP, 100.0, 99.0)]


def test_a_raised_stop_that_the_open_has_passed_fills_at_the_open() -> None:
    rows = [*CLIMB[:3], (98, 99, 97, 98), FLAT]
    assert fills(play(rows, long=0, trail=5)) == [(1, 1, 3, STOP, 100.0, 98.0)]
    assert fills(short(rows, trail=5)) == [(-1, 1, 3, STOP, 100.0, 102.0)]


def test_of_stop_and_trail_the_tighter_counts() -> None:
    # the stop is at 97, the trail at 95, then 104 - 5 = 99
    rows = [FLAT, (100, 101, 97, 98), FLAT]
    assert fills(play(rows, long=0, stop=3, trail=5))[0][3:] == (STOP, 100.0, 97.0)
    assert fills(play(rows, long=0, stop=5, trail=3))[0][3:] == (STOP, 100.0, 97.0)
    rows = [*CLIMB[:2], (103, 104, 98, 99)]
    assert fills(play(rows, long=0, stop=3, trail=5))[0][3:] == (STOP, 100.0, 99.0)
    assert fills(short(rows, stop=3, trail=5))[0][3:] == (STOP, 100.0, 101.0)


def test_a_trail_does_not_loosen_a_tighter_stop() -> None:
    # the stop is at 97, the trail of 5 at 95 and after bar 1 at 96
    rows = [FLAT, FLAT, (100, 101, 96.5, 98), FLAT]
    assert fills(play(rows, long=0, stop=3, trail=5)) == [(1, 1, 2, STOP, 100.0, 97.0)]
    assert fills(short(rows, stop=3, trail=5)) == [(-1, 1, 2, STOP, 100.0, 103.0)]


def test_a_trail_is_carried_over_lost_bars() -> None:
    rows = [*CLIMB[:2], None, (103, 103, 98, 102)]
    assert fills(play(rows, long=0, trail=5)) == [(1, 1, 3, STOP, 100.0, 99.0)]


def test_risk_is_measured_by_the_tighter_of_stop_and_trail() -> None:
    for rules, distance in (({"trail": 4}, 4), ({"trail": 4, "stop": 10}, 4), ({"trail": 4, "stop": 2}, 2)):
        run = play(CLIMB, long=0, sizing=Risk(0.02, leverage=3), **rules)
        assert run.trades["units"][0] == pytest.approx(0.02 / distance, rel=1e-15)


def test_break_even_costs_of_risk_sizing_use_the_tighter_distance() -> None:
    # The trail of 5 ends the first trade at 101; the second is entered at 102 and stopped at 97. Risking 0.1,
    # 0.1 / 5 of each unit of equity is held; with the stop of 8 it would be less, and the balance another.
    rows = [*CLIMB[:4], (102, 103, 96, 97), FLAT]
    sizing = Risk(0.1, leverage=10)
    run = play(rows, long=[0, 3], trail=5, stop=8, sizing=sizing)
    assert [fill[4:] for fill in fills(run)] == [(100.0, 101.0), (102.0, 97.0)]
    cost = run.metrics["break_even_cost_bps"] / 1e4
    first, second = (1 + 0.02 * (q * (1 - cost) - p * (1 + cost)) for p, q in ((100, 101), (102, 97)))
    assert first * second == pytest.approx(1.0, rel=1e-12)


# The high of bar 1 reaches 104, the low of bar 2 is 99.
RETURN: Rows = [FLAT, (100, 104, 98, 103), (103, 103.5, 99, 101), FLAT]


def test_break_even_puts_the_stop_at_the_raw_entry() -> None:
    assert fills(play(RETURN, long=0, break_even=4)) == [(1, 1, 2, STOP, 100.0, 100.0)]
    assert fills(short(RETURN, break_even=4)) == [(-1, 1, 2, STOP, 100.0, 100.0)]
    # bought at 101, slippage included; the stop is at 100 all the same and fills at 99
    slipped = play(RETURN, long=0, break_even=4, costs=Costs(0.0, 0.0, 100.0))
    assert fills(slipped)[0][3:] == pytest.approx((STOP, 101.0, 99.0), rel=1e-15)


def test_break_even_is_reached_once_for_all() -> None:
    # bar 2 reaches neither 104 nor 100, and the trail of 10 stays far behind
    rows = [*RETURN[:2], (103, 103.5, 101, 102), (102, 103, 99, 101)]
    assert fills(play(rows, long=0, break_even=4, trail=10)) == [(1, 1, 3, STOP, 100.0, 100.0)]
    assert fills(short(rows, break_even=4, trail=10)) == [(-1, 1, 3, STOP, 100.0, 100.0)]


def test_break_even_out_of_reach_does_nothing() -> None:
    assert fills(play(RETURN, long=0, break_even=4.5))[0][3] == OPEN
    assert fills(play(RETURN, long=0, break_even=4.5, stop=1.5))[0][1:] == (1, 1, STOP, 100.0, 98.5)


def test_break_even_comes_too_late_for_its_own_bar() -> None:
    # 104 and 97 lie in one bar: the stop of 3 is hit at 97, not at 100
    rows = [FLAT, (100, 104, 97, 98), FLAT]
    assert fills(play(rows, long=0, break_even=4, stop=3))[0][3:] == (STOP, 100.0, 97.0)
    assert fills(short(rows, break_even=4, stop=3))[0][3:] == (STOP, 100.0, 103.0)


def test_break_even_does_not_lower_a_trail_and_holds_it_up() -> None:
    # after bar 1: the trail of 2 is at 102, above break even
    assert fills(play(RETURN, long=0, break_even=4, trail=2.5))[0][3:] == (STOP, 100.0, 101.5)
    # the trail of 10 is at 94, break even at 100
    assert fills(play(RETURN, long=0, break_even=4, trail=10))[0][3:] == (STOP, 100.0, 100.0)
    assert fills(short(RETURN, break_even=4, trail=10))[0][3:] == (STOP, 100.0, 100.0)


def test_exposure_is_taken_anew_as_each_day_begins() -> None:
    # a short of 1 at 100: at 80 it is worth 120 and owes 80, at 60 it is worth 140 and owes 60
    rows: Rows = [FLAT, (100, 100, 80, 80), (80, 80, 60, 60), (60, 60, 60, 60), FLAT]
    sold = play(rows, short=0, hold=3, timeframe="1d", start_ms=0)
    assert sold.exposure == pytest.approx([0, -1, -80 / 120, -60 / 140, 0], rel=1e-14)
    assert sold.daily[1:4] == pytest.approx(sold.exposure[1:4] * sold.market_daily[1:4], rel=1e-14)
    bought = play(rows, long=0, hold=3, timeframe="1d", start_ms=0)
    assert bought.exposure == pytest.approx([0, 1, 1, 1, 0], rel=1e-14)
    # half of it is bought back at 95 on the first day
    halved = play(rows, short=0, hold=3, timeframe="1d", start_ms=0, partial=(5, 0.5))
    # worth 1 + 0.5 * 0.05 + 0.5 * 0.2 as the second day begins, and owes half of 0.8
    assert halved.exposure[1:3] == pytest.approx([-1, -0.4 / 1.125], rel=1e-14)
    # within a day nothing is taken anew
    assert play(rows, short=0, hold=3).exposure == pytest.approx([0, -1, -1, -1, 0], rel=1e-14)


# Entered at 100 (bar 1), 105 is reached on bar 2, 110 on bar 4.
STAGES: Rows = [FLAT, FLAT, (101, 106, 100, 104), (104, 107, 103, 106), (106, 111, 105, 110), FLAT]


def test_a_partial_target_and_the_rest_at_the_target() -> None:
    run = play(STAGES, long=0, partial=(5, 0.4), target=10)
    # 0.4 * 105 + 0.6 * 110 = 108
    assert fills(run) == [(1, 1, 4, TARGET, 100.0, pytest.approx(108.0, rel=1e-15))]
    assert partial(run) == (2, 105.0, pytest.approx(0.4))
    assert run.trades["gross_return"][0] == pytest.approx(0.08, rel=1e-14)
    assert run.equity == pytest.approx([1, 1, 1.02 + 0.6 * 0.04, 1.02 + 0.6 * 0.06, 1.08, 1.08], rel=1e-14)
    assert run.exposure == pytest.approx([0, 1, 1, 0.6, 0.6, 0], rel=1e-14)
    assert run.trades["bars_held"][0] == 4
    mirror = short(STAGES, partial=(5, 0.4), target=10)
    # 0.4 * 95 + 0.6 * 90 = 92
    assert fills(mirror) == [(-1, 1, 4, TARGET, 100.0, pytest.approx(92.0, rel=1e-15))]
    assert partial(mirror) == (2, 95.0, pytest.approx(0.4))
    assert mirror.equity == pytest.approx(run.equity, rel=1e-14)
    assert mirror.exposure == pytest.approx(-run.exposure, rel=1e-14)


def test_costs_of_a_partial_target_and_a_stop() -> None:
    rows = [*STAGES[:3], (104, 105, 94, 95), FLAT]
    run = play(rows, long=0, partial=(5, 0.5), stop=5, costs=Costs(0.01, 0.002, 100.0))
    # Bought u = 1 / (101 * 1.01) at 101; half at 105 for 0.2 %, the rest at 95 * 0.99 = 94.05 for 1 %.
    u = 1 / (101 * 1.01)
    fees = u * (1.01 + 0.5 * 0.21 + 0.5 * 0.9405)
    assert fills(run) == [(1, 1, 3, STOP, 101.0, pytest.approx((105 + 94.05) / 2, rel=1e-15))]
    assert run.trades["fees"][0] == pytest.approx(fees, rel=1e-14)
    assert run.trades["profit"][0] == pytest.approx(u * ((105 + 94.05) / 2 - 101) - fees, rel=1e-13)
    assert run.trades["partial_units"][0] == pytest.approx(u / 2, rel=1e-15)
    assert run.trades["gross_return"][0] == pytest.approx(0.0, abs=1e-15)  # (105 + 95) / 2 = 100
    assert run.metrics["break_even_cost_bps"] == pytest.approx(0.0, abs=1e-9)
    years = 5 / (365 * 24)
    assert run.metrics["turnover"] == pytest.approx(u * (101 + 52.5 + 47.025) / years, rel=1e-14)


def test_a_partial_fill_of_a_trade_still_open() -> None:
    run = play(STAGES[:4], long=0, partial=(5, 0.4), costs=Costs(0.0, 0.01, 0.0))
    # 0.4 * 105 + 0.6 * 106 = 105.6; fee 0.01 * 0.4 * 1.05 = 0.0042
    assert fills(run) == [(1, 1, 3, OPEN, 100.0, pytest.approx(105.6, rel=1e-15))]
    assert run.equity[-1] == pytest.approx(1.056 - 0.0042, rel=1e-14)
    assert run.trades["fees"][0] == pytest.approx(0.0042, rel=1e-14)
    assert run.metrics["turnover"] == pytest.approx((1 + 0.42) / (4 / (365 * 24)), rel=1e-14)
    assert run.metrics["exposure"] == pytest.approx(3 / 4)
    assert run.metrics["trades"] == 0


def test_a_partial_target_is_live_on_the_entry_bar_and_filled_once() -> None:
    rows = [FLAT, (100, 106, 99, 104), (104, 106, 103, 104), FLAT]
    run = play(rows, long=0, partial=(5, 0.5), hold=2)
    # 0.5 * 105 + 0.5 * 100 = 102.5
    assert fills(run) == [(1, 1, 3, TIME, 100.0, 102.5)]
    assert partial(run) == (1, 105.0, 0.5)


@pytest.mark.parametrize("distance", [10, 12])
def test_a_partial_target_not_nearer_than_the_target_does_not_count(distance: float) -> None:
    run = play(STAGES, long=0, partial=(distance, 0.4), target=10)
    assert fills(run) == [(1, 1, 4, TARGET, 100.0, 110.0)]
    assert run.trades["partial_bar"][0] == -1
    assert np.isnan(run.trades["partial_price"][0])
    assert run.trades["partial_units"][0] == 0


@pytest.mark.parametrize("distance", [np.nan, 0.0, -1.0, np.inf])
@pytest.mark.parametrize("rule", ["trail", "break_even", "partial"])
def test_an_entry_needs_valid_distances(rule: str, distance: float) -> None:
    given: Any = (distance, 0.5) if rule == "partial" else distance
    assert fills(play([FLAT] * 3, long=0, **{rule: given})) == []


@pytest.mark.parametrize(
    ("assumption", "reason", "price", "part"),
    [
        # the stop closes everything at 95
        ("neutral", STOP, 95.0, -1),
        ("pessimistic", STOP, 95.0, -1),
        # half at 104, then the stop closes the rest at 95
        ("optimistic", STOP, 99.5, 1),
    ],
)
def test_stop_and_partial_target_in_one_bar(assumption: str, reason: int, price: float, part: int) -> None:
    rows = [FLAT, (100, 105, 94, 100), FLAT]
    run = play(rows, long=0, stop=5, partial=(4, 0.5), assumption=assumption)
    assert fills(run) == [(1, 1, 1, reason, 100.0, price)]
    assert run.trades["partial_bar"][0] == part
    mirror = short(rows, stop=5, partial=(4, 0.5), assumption=assumption)
    assert fills(mirror) == [(-1, 1, 1, reason, 100.0, 200 - price)]
    assert mirror.trades["partial_bar"][0] == part


def test_stop_partial_and_target_in_one_bar() -> None:
    rows = [FLAT, (100, 111, 94, 100), FLAT]
    # neutral: everything at 95; optimistic: half at 104, half at 110
    assert fills(play(rows, long=0, stop=5, target=10, partial=(4, 0.5)))[0][3:] == (STOP, 100.0, 95.0)
    run = play(rows, long=0, stop=5, target=10, partial=(4, 0.5), assumption="optimistic")
    assert fills(run)[0][3:] == (TARGET, 100.0, 107.0)


@pytest.mark.parametrize(
    ("open_", "assumption", "part", "price", "held"),
    [
        (106, "neutral", 106.0, 0.5 * 106 + 0.5 * 100, 2),
        (106, "pessimistic", 104.0, 0.5 * 104 + 0.5 * 100, 2),
        (106, "optimistic", 106.0, 0.5 * 106 + 0.5 * 100, 2),
        # both are behind the open: both are filled there, or each at its level
        (112, "neutral", 112.0, 112.0, 1),
        (112, "pessimistic", 104.0, 107.0, 1),
        (112, "optimistic", 112.0, 112.0, 1),
    ],
)
def test_targets_that_the_open_has_passed(
    open_: float, assumption: str, part: float, price: float, held: int
) -> None:
    # the bar at 106 comes back to 100, where the next one takes the rest
    rows = [FLAT, FLAT, (open_, open_ + 1, 99, 100), (100, 101, 99, 100)]
    rules: dict[str, Any] = {"partial": (4, 0.5), "target": 10, "hold": 2, "assumption": assumption}
    for run, side in ((play(rows, long=0, **rules), 1), (short(rows, **rules), -1)):
        reason, last = (TIME, 3) if open_ == 106 else (TARGET, 2)
        mirror = (lambda p: p) if side > 0 else (lambda p: 200 - p)
        assert fills(run) == [(side, 1, last, reason, 100.0, pytest.approx(mirror(price)))]
        assert partial(run) == (2, mirror(part), 0.5)
        assert run.trades["bars_held"][0] == held
        assert run.exposure == pytest.approx([0, side, side * (held - 1), 0])


def test_after_a_partial_fill_at_the_open_the_stop_may_take_the_rest_in_the_same_bar() -> None:
    rows = [FLAT, FLAT, (106, 107, 94, 100), FLAT]
    # 0.5 * 106 + 0.5 * 95 = 100.5
    assert fills(play(rows, long=0, stop=5, partial=(4, 0.5))) == [(1, 1, 2, STOP, 100.0, 100.5)]
    assert fills(short(rows, stop=5, partial=(4, 0.5))) == [(-1, 1, 2, STOP, 100.0, 99.5)]


def test_a_stop_that_the_open_has_passed_leaves_nothing_for_the_partial_target() -> None:
    run = play([FLAT, FLAT, (90, 106, 89, 100), FLAT], long=0, stop=5, partial=(4, 0.5))
    assert fills(run) == [(1, 1, 2, STOP, 100.0, 90.0)]
    assert run.trades["partial_bar"][0] == -1


def test_funding_is_paid_on_what_is_left() -> None:
    # Entered at 05:00; half goes at 105 on the bar of 06:00; at 08:00 the other half pays 1 % of 104.
    rows = [FLAT, FLAT, (101, 106, 100, 104), (104, 105, 103, 104), (104, 105, 103, 104)]
    run = play(rows, long=0, partial=(5, 0.5), start_ms=4 * HOUR_MS, costs=Costs(0.0, 0.0, 0.0, 0.01))
    assert run.equity[3] == pytest.approx(0.525 + 0.52, rel=1e-14)
    assert run.equity[4] == pytest.approx(0.525 + 0.52 - 0.0052, rel=1e-14)
