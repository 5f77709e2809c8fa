"""The law of fills, one named rule at a time, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from generated_markets import HOUR_MS, Script, at, candles_of, fills, play

from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import OPEN, RUIN, SIGNAL, STOP, TARGET, TIME, TRADE_DTYPE
from quantlab.errors import InputError, UnknownNameError
from quantlab.signals import Signals, Strategy
from quantlab.space import Int, Space

FLAT = (100, 101, 99, 100)


def test_decision_at_the_close_fills_at_the_next_open() -> None:
    rows = [(100, 101, 99, 100), (102, 104, 101, 103), (104, 106, 103, 105), (108, 109, 107, 108)]
    run = play(rows, long=0, exit_long=2)
    assert fills(run) == [(1, 1, 3, SIGNAL, 102.0, 108.0)]
    assert run.trades["decision_bar"][0] == 0
    assert run.trades["bars_held"][0] == 2
    assert run.equity == pytest.approx([1, 103 / 102, 105 / 102, 108 / 102], rel=1e-15)
    assert run.exposure == pytest.approx([0, 1, 1, 0])


def test_decision_on_the_last_bar_is_lost() -> None:
    run = play([FLAT, FLAT, FLAT], long=2)
    assert fills(run) == []
    assert (run.equity == 1).all()


def test_fees_and_slippage_of_a_long() -> None:
    rows = [FLAT, (100, 111, 99, 110), (110, 111, 109, 110)]
    run = play(rows, long=0, exit_long=1, costs=Costs(0.01, 0.0, 10.0))
    # bought at 100.1, sold at 109.89, 1 % of each
    units = 1 / (100.1 * 1.01)
    assert fills(run)[0][4:] == pytest.approx((100.1, 109.89), rel=1e-15)
    assert run.trades["units"][0] == pytest.approx(units, rel=1e-15)
    assert run.equity[1] == pytest.approx(units * 110, rel=1e-14)
    assert run.equity[2] == pytest.approx(109.89 * 0.99 / (100.1 * 1.01), rel=1e-14)
    assert run.trades["fees"][0] == pytest.approx(units * (1.001 + 1.0989), rel=1e-14)
    assert run.trades["gross_return"][0] == pytest.approx(0.1, rel=1e-14)


def test_fees_and_slippage_of_a_short() -> None:
    rows = [FLAT, (100, 101, 79, 80), (80, 81, 79, 80)]
    run = play(rows, short=0, exit_short=1, costs=Costs(0.01, 0.0, 10.0))
    # sold at 99.9, bought back at 80.08
    units = 1 / (99.9 * 1.01)
    cash = 1 + units * 99.9 * 0.99
    assert run.equity[1] == pytest.approx(cash - units * 80, rel=1e-14)
    assert run.equity[2] == pytest.approx(cash - units * 80.08 * 1.01, rel=1e-14)
    assert run.trades["gross_return"][0] == pytest.approx(0.2, rel=1e-14)


def test_all_in_fraction_leaves_the_rest_in_cash() -> None:
    rows = [FLAT, (100, 151, 99, 150), (150, 151, 149, 150)]
    run = play(rows, long=0, exit_long=1, sizing=AllIn(0.4))
    assert run.equity[-1] == pytest.approx(0.6 + 0.4 * 1.5, rel=1e-14)


def test_stop_is_live_on_the_entry_bar() -> None:
    run = play([FLAT, (100, 101, 94, 96), FLAT], long=0, stop=5)
    assert fills(run) == [(1, 1, 1, STOP, 100.0, 95.0)]
    assert run.trades["bars_held"][0] == 1


def test_stop_counts_from_the_raw_open_not_from_the_slipped_fill() -> None:
    run = play([FLAT, (100, 101, 94, 96), FLAT], long=0, stop=5, costs=Costs(0.0, 0.0, 100.0))
    assert fills(run)[0][4:] == pytest.approx((101.0, 95 * 0.99), rel=1e-15)


def test_stop_touched_exactly_is_hit() -> None:
    assert fills(play([FLAT, (100, 101, 95, 96), FLAT], long=0, stop=5))[0][3] == STOP
    assert fills(play([FLAT, (100, 105, 99, 100), FLAT], short=0, stop=5))[0][3:] == (STOP, 100.0, 105.0)


def test_stop_gap_fills_at_the_open() -> None:
    run = play([FLAT, FLAT, (90, 99, 89, 98), FLAT], long=0, stop=5)
    assert fills(run) == [(1, 1, 2, STOP, 100.0, 90.0)]
    assert run.trades["bars_held"][0] == 1
    short = play([FLAT, FLAT, (110, 111, 99, 100), FLAT], short=0, stop=5)
    assert fills(short) == [(-1, 1, 2, STOP, 100.0, 110.0)]


def test_stop_distance_is_read_at_the_decision_bar() -> None:
    run = play([FLAT, (100, 101, 98, 100), (100, 101, 97, 100), FLAT], long=0, stop=[3, 1, 1, 1])
    assert fills(run) == [(1, 1, 2, STOP, 100.0, 97.0)]


@pytest.mark.parametrize(
    ("assumption", "price"), [("neutral", 120), ("pessimistic", 110), ("optimistic", 120)]
)
def test_target_gap(assumption: str, price: float) -> None:
    run = play([FLAT, FLAT, (120, 121, 119, 120), FLAT], long=0, target=10, assumption=assumption)
    assert fills(run) == [(1, 1, 2, TARGET, 100.0, price)]
    assert run.trades["bars_held"][0] == 1


def test_target_touched_exactly_is_filled() -> None:
    assert fills(play([FLAT, (100, 105, 99, 100), FLAT], long=0, target=5))[0][3:] == (TARGET, 100.0, 105.0)
    assert fills(play([FLAT, (100, 101, 95, 100), FLAT], short=0, target=5))[0][3:] == (TARGET, 100.0, 95.0)


def test_target_pays_maker_and_no_slippage() -> None:
    run = play([FLAT, (100, 115, 99, 112), FLAT], long=0, target=10, costs=Costs(0.01, 0.002, 100.0))
    # the level counts from the raw open, not from the fill at 101
    assert fills(run) == [(1, 1, 1, TARGET, 101.0, 110.0)]
    assert run.equity[-1] == pytest.approx(110 * 0.998 / (101 * 1.01), rel=1e-14)


@pytest.mark.parametrize(
    ("assumption", "reason", "price"),
    [("neutral", STOP, 95.0), ("pessimistic", STOP, 95.0), ("optimistic", TARGET, 105.0)],
)
def test_stop_and_target_in_one_bar(assumption: str, reason: int, price: float) -> None:
    run = play([FLAT, (100, 106, 94, 100), FLAT], long=0, stop=5, target=5, assumption=assumption)
    assert fills(run) == [(1, 1, 1, reason, 100.0, price)]


def test_target_of_a_short_below_zero_is_never_reached() -> None:
    run = play([FLAT, (100, 101, 1, 2), (2, 3, 1, 2)], short=0, target=100)
    assert fills(run) == [(-1, 1, 2, OPEN, 100.0, 2.0)]


def test_holding_limit_comes_before_a_stop_gap() -> None:
    run = play([FLAT, FLAT, FLAT, (90, 91, 89, 90), FLAT], long=0, stop=5, hold=2)
    assert fills(run) == [(1, 1, 3, TIME, 100.0, 90.0)]
    assert run.trades["bars_held"][0] == 2


def test_holding_limit_on_a_lost_bar_fills_at_the_next() -> None:
    run = play([FLAT, FLAT, None, (97, 98, 96, 97)], long=0, hold=1)
    assert fills(run) == [(1, 1, 3, TIME, 100.0, 97.0)]


def test_no_entry_is_decided_or_filled_on_a_lost_bar() -> None:
    assert fills(play([FLAT, FLAT, None, FLAT, FLAT], long=1)) == []
    assert fills(play([FLAT, FLAT, None, FLAT, FLAT], long=2)) == []


def test_position_is_carried_over_lost_bars_at_the_last_close() -> None:
    run = play([FLAT, (100, 105, 99, 104), None, None, (90, 91, 89, 90)], long=0, stop=5)
    assert run.equity == pytest.approx([1, 1.04, 1.04, 1.04, 0.9], rel=1e-14)
    assert fills(run) == [(1, 1, 4, STOP, 100.0, 90.0)]


def test_exit_decided_before_lost_bars_fills_at_the_next_present_bar() -> None:
    run = play([FLAT, FLAT, None, (103, 104, 102, 103)], long=0, exit_long=1)
    assert fills(run) == [(1, 1, 3, SIGNAL, 100.0, 103.0)]


def test_exit_decided_on_a_lost_bar_counts() -> None:
    run = play([FLAT, FLAT, None, (103, 104, 102, 103), FLAT], long=0, exit_long=2)
    assert fills(run) == [(1, 1, 3, SIGNAL, 100.0, 103.0)]


def test_exit_signal_before_the_entry_bar_does_not_count() -> None:
    run = play([FLAT, FLAT, FLAT, FLAT], long=0, exit_long=0)
    assert fills(run) == [(1, 1, 3, OPEN, 100.0, 100.0)]


def test_signal_while_in_a_position_is_lost_and_at_the_exit_bar_taken() -> None:
    rows = [FLAT, FLAT, (100, 101, 94, 100), FLAT, FLAT]
    assert len(fills(play(rows, long=[0, 1], stop=5))) == 1
    again = play(rows, long=[0, 2], stop=5)
    assert [f[1:4] for f in fills(again)] == [(1, 2, STOP), (3, 4, OPEN)]


def test_reversal_at_one_open() -> None:
    rows = [FLAT, FLAT, (110, 111, 109, 110), (99, 100, 98, 99)]
    run = play(rows, long=0, short=1, on_opposite="reverse")
    assert fills(run) == [(1, 1, 2, SIGNAL, 100.0, 110.0), (-1, 2, 3, OPEN, 110.0, 99.0)]
    assert run.trades["decision_bar"].tolist() == [0, 1]
    assert run.equity == pytest.approx([1, 1, 1.1, 1.1 * 1.1], rel=1e-14)
    assert run.exposure == pytest.approx([0, 1, -1, -1])


def test_reversed_position_may_be_stopped_in_the_same_bar() -> None:
    run = play([FLAT, FLAT, (100, 106, 99, 100), FLAT], long=0, short=1, stop=5, on_opposite="reverse")
    assert fills(run) == [(1, 1, 2, SIGNAL, 100.0, 100.0), (-1, 2, 2, STOP, 100.0, 105.0)]


def test_opposite_signal_closes_only_or_is_ignored() -> None:
    assert [f[:4] for f in fills(play([FLAT] * 4, long=0, short=1, on_opposite="close"))] == [
        (1, 1, 2, SIGNAL)
    ]
    assert [f[:4] for f in fills(play([FLAT] * 4, long=0, short=1, on_opposite="ignore"))] == [
        (1, 1, 3, OPEN)
    ]


def test_no_reversal_over_a_lost_bar() -> None:
    run = play([FLAT, FLAT, None, FLAT, FLAT], long=0, short=1, on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 3, SIGNAL)]


def test_no_reversal_on_a_signal_from_a_lost_bar() -> None:
    run = play([FLAT, FLAT, None, FLAT, FLAT], long=0, short=2, on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 4, OPEN)]


def test_no_reversal_when_the_holding_limit_comes_first() -> None:
    run = play([FLAT] * 5, long=0, short=1, hold=1, on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 2, TIME)]


def test_no_reversal_with_an_invalid_stop_but_the_exit_stands() -> None:
    run = play([FLAT] * 5, long=0, short=1, stop=[5, np.nan, 5, 5, 5], on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 2, SIGNAL)]


def test_exit_signal_and_opposite_signal_together_reverse() -> None:
    run = play([FLAT] * 4, long=0, short=1, exit_long=1, on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 2, SIGNAL), (-1, 2, 3, OPEN)]


def test_both_sides_at_once_are_no_signal() -> None:
    assert fills(play([FLAT] * 3, long=0, short=0)) == []
    run = play([FLAT] * 4, long=[0, 1], short=1, on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 3, OPEN)]


def test_direction_closes_a_side_but_its_signal_still_exits() -> None:
    assert fills(play([FLAT] * 3, short=0, direction="long")) == []
    assert fills(play([FLAT] * 3, long=0, direction="short")) == []
    run = play([FLAT] * 4, long=0, short=1, direction="long", on_opposite="reverse")
    assert [f[:4] for f in fills(run)] == [(1, 1, 2, SIGNAL)]


@pytest.mark.parametrize("distance", [np.nan, 0.0, -1.0, np.inf])
def test_entry_needs_valid_distances(distance: float) -> None:
    assert fills(play([FLAT] * 3, long=0, stop=distance)) == []
    assert fills(play([FLAT] * 3, long=0, target=distance)) == []


def test_delay_moves_every_decision() -> None:
    rows = [FLAT, FLAT, (101, 102, 100, 101), FLAT, (103, 104, 102, 103), FLAT]
    run = play(rows, long=0, exit_long=2, stop=[50, 1, 1, 1, 1, 1], delay_bars=1)
    assert fills(run) == [(1, 2, 4, SIGNAL, 101.0, 103.0)]
    assert run.trades["decision_bar"][0] == 1


def test_entries_before_start_are_ignored() -> None:
    run = play([FLAT] * 5, long=[0, 1, 2], start=2)
    assert [f[1] for f in fills(run)] == [3]


def test_risk_sizing_loses_the_risk_at_the_stop() -> None:
    run = play([FLAT, (100, 101, 94, 96), FLAT], long=0, stop=5, sizing=Risk(0.02, leverage=3))
    assert run.trades["units"][0] == pytest.approx(0.02 / 5, rel=1e-15)
    assert run.equity[-1] == pytest.approx(0.98, rel=1e-14)


def test_risk_sizing_is_capped_by_leverage() -> None:
    costs = Costs(taker=0.01, maker=0.0, slippage_bps=0.0)
    run = play([FLAT, FLAT, FLAT], long=0, stop=0.1, sizing=Risk(0.5, leverage=3), costs=costs)
    # 0.5 / 0.1 = 5 units would be 500 times equity; 3 / (100 * 1.01) are allowed
    assert run.trades["units"][0] == pytest.approx(3 / 101, rel=1e-15)


def test_funding_at_the_open_is_paid_by_longs_but_not_on_the_entry_bar() -> None:
    funded = Costs(0.0, 0.0, 0.0, funding_8h=0.01)
    rows = [FLAT] * 2 + [(100, 111, 99, 110)] * 2 + [(110, 111, 109, 110)] * 6
    # bar 0 opens at 07:00; the position is entered at 08:00 (no funding) and pays once, at 16:00 on 110
    run = play(rows, long=0, start_ms=7 * HOUR_MS, costs=funded)
    assert run.equity[8] == pytest.approx(1.1, rel=1e-14)
    assert run.equity[9] == pytest.approx(1.1 - 0.01 * 1.1, rel=1e-14)
    short = play(rows, short=0, start_ms=7 * HOUR_MS, costs=funded)
    assert short.equity[9] == pytest.approx(0.9 + 0.01 * 1.1, rel=1e-14)
    assert run.trades["fees"][0] == 0


def test_funding_is_paid_before_an_exit_at_the_same_open() -> None:
    run = play(
        [FLAT, FLAT, FLAT], long=0, hold=1, start_ms=6 * HOUR_MS, costs=Costs(0.0, 0.0, 0.0, funding_8h=0.01)
    )
    assert run.equity[-1] == pytest.approx(0.99, rel=1e-14)


def test_funding_on_a_lost_bar_is_paid_at_the_last_close() -> None:
    rows = [FLAT, (100, 121, 99, 120), None, (130, 131, 129, 130)]
    run = play(rows, long=0, start_ms=6 * HOUR_MS, costs=Costs(0.0, 0.0, 0.0, funding_8h=0.01))
    assert run.equity == pytest.approx([1, 1.2, 1.2 - 0.012, 1.3 - 0.012], rel=1e-14)


def test_funding_inside_a_daily_bar_is_paid_at_its_close_unless_stopped_before() -> None:
    funded = Costs(0.0, 0.0, 0.0, funding_8h=0.01)
    rows = [FLAT, (100, 111, 99, 110), (120, 121, 80, 120)]
    run = play(rows, long=0, timeframe="1d", start_ms=0, costs=funded)
    # day 1: 08:00 and 16:00 at 110; day 2: 00:00 at 120, then twice at 120
    assert run.equity == pytest.approx([1, 1.1 - 0.022, 1.2 - 0.022 - 0.012 - 0.024], rel=1e-14)
    stopped = play(rows, long=0, stop=10, timeframe="1d", start_ms=0, costs=funded)
    assert stopped.equity[-1] == pytest.approx(0.9 - 0.022 - 0.012, rel=1e-14)


def test_ruin_ends_everything() -> None:
    rows = [FLAT, (100, 251, 99, 250), FLAT, FLAT, FLAT]
    run = play(rows, short=0, long=[2, 3], costs=Costs(0.0, 0.0, 100.0))
    # sold one unit per 99 of equity at 99, marked at 250: bought back at 252.5
    assert fills(run) == [(-1, 1, 1, RUIN, 99.0, 252.5)]
    assert run.equity[1:] == pytest.approx([2 - 252.5 / 99] * 4, rel=1e-14)
    assert run.trades["bars_held"][0] == 1
    assert run.metrics["cagr"] == -1


def test_ruin_by_a_gap_through_the_stop_forbids_the_next_entry() -> None:
    run = play([FLAT, FLAT, (250, 251, 249, 250), FLAT, FLAT], short=0, long=2, stop=5)
    assert fills(run) == [(-1, 1, 2, STOP, 100.0, 250.0)]
    assert run.equity[-1] == pytest.approx(-0.5, rel=1e-14)


def test_open_position_at_the_end_is_marked_and_not_counted() -> None:
    run = play([FLAT, (100, 108, 99, 107), None], long=0, costs=Costs(0.01, 0.0, 0.0))
    assert fills(run) == [(1, 1, 2, OPEN, 100.0, 107.0)]
    assert run.equity[-1] == pytest.approx(1.07 / 1.01, rel=1e-14)
    assert run.trades["bars_held"][0] == 2
    assert run.trades["fees"][0] == pytest.approx(0.01 / 1.01, rel=1e-14)
    assert run.metrics["trades"] == 0
    assert run.metrics["exposure"] == pytest.approx(2 / 3)


def test_errors_say_what_to_do() -> None:
    candles = candles_of([FLAT] * 3)
    script = Script(candles.timestamps, long=at(3, 0))
    with pytest.raises(InputError, match="Risk sizing needs a stop"):
        replay(script.strategy, candles, {}, Execution(sizing=Risk()))
    with pytest.raises(UnknownNameError, match="entry_row"):
        replay(script.strategy, candles, {"entry_rwo": 0})
    with pytest.raises(InputError, match="one cell"):
        replay(script.strategy, candles, {"entry_row": [0]})
    with pytest.raises(InputError, match="live_window"):
        replay(script.strategy, candles, {}, live_window=0)
    with pytest.raises(InputError, match="start"):
        replay(script.strategy, candles, {}, start=-1)
    with pytest.raises(UnknownNameError, match="strategy"):
        replay("no_such_strategy", candles, {})


def test_a_cell_that_breaks_a_constraint_is_refused() -> None:
    space = Space(Int("fast", 1, 9, 2), Int("slow", 1, 9, 5), constraints=["fast < slow"])
    strategy = Strategy("crossing", space, lambda candles, p: Signals(), lambda params: 0)
    with pytest.raises(InputError, match="fast < slow"):
        replay(strategy, candles_of([FLAT] * 3), {"fast": 7})


def test_an_impossible_holding_limit_is_refused() -> None:
    candles = candles_of([FLAT] * 3)
    strategy = Strategy(
        "restless", Space(Int("a", 0, 1, 0)), lambda c, p: Signals(max_holding=np.arange(len(c))), lambda p: 0
    )
    with pytest.raises(InputError, match="change over time"):
        replay(strategy, candles, {})
    with pytest.raises(InputError, match="at least 1 bar"):
        play([FLAT] * 3, long=0, hold=0)


def test_live_replay_finds_a_strategy_that_looks_ahead() -> None:
    rows = [(100 + i, 102 + i, 99 + i, 101 + i) for i in range(6)]
    candles = candles_of([*rows[:4], (80, 81, 79, 80), (80, 81, 79, 80)])
    leaky = Strategy(
        "leaky",
        Space(Int("a", 0, 1, 0)),
        lambda c, p: Signals(short=c.close > np.append(c.close[1:], c.close[-1])),
        lambda p: 0,
    )
    assert len(replay(leaky, candles, {}).trades) == 1
    assert len(replay(leaky, candles, {}, live_window=6).trades) == 0


def test_a_run_shows_itself() -> None:
    run = play([FLAT] * 4, long=0, hold=1)
    frame = run.to_frame(candles_of([FLAT] * 4).timestamps)
    assert frame["side"].tolist() == ["long"]
    assert frame["reason"].tolist() == ["time"]
    assert str(frame["entry_time"][0]) == "1970-01-01 02:00:00"
    assert set(TRADE_DTYPE.names) <= set(frame.columns)
    assert "net_profit" in run._repr_html_()
    with pytest.raises(ValueError, match="read-only"):
        run.equity[0] = 2
