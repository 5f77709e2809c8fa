"""Fills at the close of the bar that decided: each rule with numbers worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from generated_markets import HOUR_MS, fills, play

from quantlab.backtest.execution import Costs, Risk
from quantlab.backtest.trades import OPEN, RUIN, SIGNAL, STOP, TARGET, TIME, Run

FLAT = (100, 101, 99, 100)
CLIMB = [FLAT, (101, 103, 100, 102), (103, 105, 102, 104), (105, 107, 104, 106), (107, 109, 106, 108)]


def close(rows: list[tuple | None], **rules: Any) -> Run:
    return play(rows, fill="close", **rules)


def test_a_decision_fills_at_its_own_close() -> None:
    run = close(CLIMB, long=1, exit_long=3)
    assert fills(run) == [(1, 1, 3, SIGNAL, 102.0, 106.0)]
    assert run.trades["decision_bar"][0] == 1
    assert run.trades["bars_held"][0] == 2
    assert run.equity == pytest.approx([1, 1, 104 / 102, 106 / 102, 106 / 102], rel=1e-14)
    # in the market from the close of bar 1 to the close of bar 3
    assert run.exposure == pytest.approx([0, 0, 1, 1, 0])
    short = close(CLIMB, short=1, exit_short=3)
    assert fills(short) == [(-1, 1, 3, SIGNAL, 102.0, 106.0)]
    assert short.equity[-1] == pytest.approx(2 - 106 / 102, rel=1e-14)


def test_costs_are_paid_on_the_entry_bar() -> None:
    # bought at 102 * 1.01 for 1 %, marked at 102
    run = close(CLIMB, long=1, costs=Costs(0.01, 0.0, 100.0))
    units = 1 / (102 * 1.01 * 1.01)
    assert run.equity == pytest.approx([1, *(units * p for p in (102, 104, 106, 108))], rel=1e-14)
    assert fills(run) == [(1, 1, 4, OPEN, pytest.approx(103.02), 108.0)]
    assert run.trades["bars_held"][0] == 3


def test_an_entry_on_the_last_bar_is_open_and_held_on_no_bar() -> None:
    run = close(CLIMB, long=4, costs=Costs(0.01, 0.0, 0.0))
    assert fills(run) == [(1, 4, 4, OPEN, 108.0, 108.0)]
    assert run.trades["bars_held"][0] == 0
    assert run.equity[-1] == pytest.approx(1 / 1.01, rel=1e-14)
    assert run.metrics["exposure"] == 0
    assert (run.exposure == 0).all()


def test_an_exit_signal_of_the_entry_bar_does_not_count() -> None:
    assert fills(close(CLIMB, long=1, exit_long=[0, 1])) == [(1, 1, 4, OPEN, 102.0, 108.0)]


def test_the_stop_is_live_from_the_next_bar_on() -> None:
    rows = [(100, 101, 80, 100), (100, 101, 96, 97), (97, 98, 94, 96), FLAT]
    assert fills(close(rows, long=0, stop=5)) == [(1, 0, 2, STOP, 100.0, 95.0)]
    assert close(rows, long=0, stop=5).trades["bars_held"][0] == 2
    rows = [(100, 120, 99, 100), (100, 104, 99, 103), (103, 106, 102, 104), FLAT]
    assert fills(close(rows, short=0, stop=5)) == [(-1, 0, 2, STOP, 100.0, 105.0)]


def test_gaps_fill_at_the_open_and_count_the_bar() -> None:
    run = close([FLAT, (90, 99, 89, 98), FLAT], long=0, stop=5)
    assert fills(run) == [(1, 0, 1, STOP, 100.0, 90.0)]
    assert run.trades["bars_held"][0] == 1
    assert run.exposure == pytest.approx([0, 1, 0])
    for assumption, price in (("neutral", 112.0), ("pessimistic", 110.0)):
        run = close([FLAT, (112, 113, 111, 112), FLAT], long=0, target=10, assumption=assumption)
        assert fills(run) == [(1, 0, 1, TARGET, 100.0, price)]


def test_stop_and_target_in_one_bar() -> None:
    for assumption, reason, price in (("neutral", STOP, 95.0), ("optimistic", TARGET, 105.0)):
        run = close([FLAT, (100, 106, 94, 100), FLAT], long=0, stop=5, target=5, assumption=assumption)
        assert fills(run) == [(1, 0, 1, reason, 100.0, price)]


def test_the_holding_limit_closes_at_the_close() -> None:
    run = close(CLIMB, long=1, hold=2)
    assert fills(run) == [(1, 1, 3, TIME, 102.0, 106.0)]
    assert run.trades["bars_held"][0] == 2


def test_stop_and_target_come_before_the_close() -> None:
    rows = [FLAT, FLAT, (100, 101, 94, 96), FLAT]
    assert fills(close(rows, long=0, stop=5, hold=2, exit_long=2)) == [(1, 0, 2, STOP, 100.0, 95.0)]
    assert fills(close(rows, long=0, stop=7, hold=2, exit_long=2)) == [(1, 0, 2, TIME, 100.0, 96.0)]
    assert fills(close(rows, long=0, stop=7, exit_long=2)) == [(1, 0, 2, SIGNAL, 100.0, 96.0)]


def test_no_entry_on_the_bar_of_a_stop_target_or_time_exit() -> None:
    rows = [FLAT, (100, 106, 94, 100), FLAT, FLAT]
    for rules in ({"stop": 5}, {"target": 5}, {"hold": 1}):
        assert [f[:3] for f in fills(close(rows, long=[0, 1], **rules))] == [(1, 0, 1)]
        assert [f[:3] for f in fills(close(rows, long=0, short=1, on_opposite="reverse", **rules))] == [
            (1, 0, 1)
        ]
        # the next bar is free again
        assert [f[1] for f in fills(close(rows, long=[0, 2], **rules))] == [0, 2]


def test_no_entry_of_the_same_side_on_the_bar_of_a_signal_exit() -> None:
    run = close(CLIMB, long=[0, 2], exit_long=2)
    assert fills(run) == [(1, 0, 2, SIGNAL, 100.0, 104.0)]


def test_reversal_at_one_close() -> None:
    run = close(CLIMB, long=0, short=2, on_opposite="reverse")
    assert fills(run) == [(1, 0, 2, SIGNAL, 100.0, 104.0), (-1, 2, 4, OPEN, 104.0, 108.0)]
    assert run.equity == pytest.approx([1, 1.02, 1.04, 1.04 * (1 - 2 / 104), 1.04 * (1 - 4 / 104)], rel=1e-14)
    assert run.exposure == pytest.approx([0, 1, 1, -1, -1])
    # the same with an exit signal beside it
    assert len(fills(close(CLIMB, long=0, short=2, exit_long=2, on_opposite="reverse"))) == 2
    only = close(CLIMB, long=0, short=2, on_opposite="close")
    assert fills(only) == [(1, 0, 2, SIGNAL, 100.0, 104.0)]
    assert fills(close(CLIMB, long=0, short=2)) == [(1, 0, 4, OPEN, 100.0, 108.0)]


def test_nothing_is_filled_on_a_lost_bar() -> None:
    rows = [FLAT, (101, 103, 100, 102), None, (105, 107, 104, 106), FLAT]
    assert fills(close(rows, long=2)) == []
    # an exit decided at the lost bar, and a holding limit that ends there, wait for the next known close
    assert fills(close(rows, long=1, exit_long=2)) == [(1, 1, 3, SIGNAL, 102.0, 106.0)]
    assert fills(close(rows, long=1, hold=1)) == [(1, 1, 3, TIME, 102.0, 106.0)]
    # an opposite signal of a lost bar is none
    assert fills(close(rows, long=1, short=2, on_opposite="reverse")) == [(1, 1, 4, OPEN, 102.0, 100.0)]


def test_an_exit_that_waits_may_be_overtaken_by_a_stop() -> None:
    rows = [FLAT, FLAT, None, (94, 107, 93, 106)]
    assert fills(close(rows, long=1, exit_long=2, stop=5)) == [(1, 1, 3, STOP, 100.0, 94.0)]


def test_delay_moves_every_decision() -> None:
    run = close(CLIMB, long=0, exit_long=2, delay_bars=1)
    assert fills(run) == [(1, 1, 3, SIGNAL, 102.0, 106.0)]
    assert run.trades["decision_bar"][0] == 1


def test_a_trail_starts_at_the_entry_price() -> None:
    # The high of 120 came before the entry at 100. Best: 100, then 103, 104; the stop: 95, 98, 99.
    rows = [(100, 120, 99, 100), (100, 103, 96, 102), (102, 104, 98.5, 103), (103, 104, 97, 98), FLAT]
    assert fills(close(rows, long=0, trail=5)) == [(1, 0, 3, STOP, 100.0, 99.0)]
    mirror = [(200 - o, 200 - lo, 200 - h, 200 - c) for o, h, lo, c in rows]
    assert fills(close(mirror, short=0, trail=5)) == [(-1, 0, 3, STOP, 100.0, 101.0)]


def test_break_even_counts_from_the_first_bar_after_the_entry() -> None:
    rows = [(100, 120, 99, 100), (101, 104, 99, 103), (103, 104, 99, 103), FLAT]
    assert fills(close(rows, long=0, break_even=4)) == [(1, 0, 2, STOP, 100.0, 100.0)]
    mirror = [(200 - o, 200 - lo, 200 - h, 200 - c) for o, h, lo, c in rows]
    assert fills(close(mirror, short=0, break_even=4)) == [(-1, 0, 2, STOP, 100.0, 100.0)]


def test_a_partial_target_is_live_from_the_next_bar_on() -> None:
    rows = [(100, 120, 99, 100), FLAT, (101, 106, 100, 104), (104, 105, 103, 104)]
    run = close(rows, long=0, partial=(5, 0.5), hold=3)
    # 0.5 * 105 + 0.5 * 104 = 104.5
    assert fills(run) == [(1, 0, 3, TIME, 100.0, 104.5)]
    assert run.trades["partial_bar"][0] == 2
    assert run.exposure == pytest.approx([0, 1, 1, 0.5])
    assert run.equity == pytest.approx([1, 1, 1.045, 1.045], rel=1e-14)


def test_a_partial_fill_and_an_exit_at_the_close_of_the_same_bar() -> None:
    rows = [FLAT, (101, 106, 100, 104), FLAT]
    run = close(rows, long=0, partial=(5, 0.5), exit_long=1)
    assert fills(run) == [(1, 0, 1, SIGNAL, 100.0, 104.5)]
    assert run.exposure == pytest.approx([0, 1, 0])


def test_funding_is_due_after_the_entry_and_until_the_exit() -> None:
    funded = Costs(0.0, 0.0, 0.0, funding_8h=0.01)
    # Bars open at 06:00, 07:00, ...; entered at the close before 08:00: pays at the open of 08:00, at 110.
    rows = [FLAT, FLAT, (110, 111, 109, 110), (110, 111, 109, 110)]
    run = close(rows, long=1, start_ms=6 * HOUR_MS, costs=funded)
    assert run.equity == pytest.approx([1, 1, 1.1 - 0.011, 1.1 - 0.011], rel=1e-14)
    # left at the close before 08:00: nothing is due any more
    run = close(rows, long=0, exit_long=1, start_ms=6 * HOUR_MS, costs=funded)
    assert (run.equity == 1).all()


def test_funding_inside_a_daily_bar_is_due_when_it_is_left_at_its_close() -> None:
    funded = Costs(0.0, 0.0, 0.0, funding_8h=0.01)
    rows = [FLAT, (100, 111, 99, 110), (110, 111, 109, 110)]
    # Nothing on day 0, whose close is the entry. Day 1: 00:00 at 100, 08:00 and 16:00 at 110.
    run = close(rows, long=0, hold=1, timeframe="1d", start_ms=0, costs=funded)
    assert fills(run) == [(1, 0, 1, TIME, 100.0, 110.0)]
    assert run.equity == pytest.approx([1, 1.1 - 0.01 - 0.022, 1.1 - 0.01 - 0.022], rel=1e-14)


def test_ruin_is_found_at_the_close_unless_something_else_ends_there() -> None:
    rows = [FLAT, (100, 251, 99, 250), FLAT, FLAT]
    ruined = close(rows, short=0, long=2)
    assert fills(ruined) == [(-1, 0, 1, RUIN, 100.0, 250.0)]
    assert ruined.equity[1:] == pytest.approx([-0.5] * 3, rel=1e-14)
    assert fills(close(rows, short=0, long=2, hold=1)) == [(-1, 0, 1, TIME, 100.0, 250.0)]
    # costs alone may ruin a position of ten times equity on the bar it was entered on
    dear = {"stop": 4, "sizing": Risk(0.5, leverage=100.0), "costs": Costs(0.0, 0.0, 1000.0)}
    run = close(rows, long=0, **dear)
    assert fills(run) == [(1, 0, 0, RUIN, pytest.approx(110.0), 90.0)]
    assert run.trades["bars_held"][0] == 0


def test_assumptions_do_not_touch_fills_at_the_close() -> None:
    runs = [close(CLIMB, long=0, exit_long=3, assumption=a) for a in ("neutral", "pessimistic", "optimistic")]
    assert all(np.array_equal(run.equity, runs[0].equity) for run in runs)
