"""Candles of a lower timeframe say what came first inside a bar: each case with numbers worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from generated_markets import HOUR_MS, Script, at, candles_of, fills, play
from worked_rules import FLAT, Rows, partial, short

from quantlab.backtest.execution import Execution
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import STOP, TARGET
from quantlab.errors import InputError
from quantlab.market.candles import Candles

# One hour that reaches 106 and 94; by its quarters it was at 106 first, or at 94 first.
BOTH: Rows = [FLAT, (100, 106, 94, 100), FLAT]
QUIET: Rows = [(100, 101, 99, 100)] * 4
UP: Rows = [(100, 106, 99, 105), (105, 105, 100, 101), (101, 101, 94, 95), (95, 100, 95, 100)]
DOWN: Rows = [(100, 101, 97, 98), (98, 99, 94, 95), (95, 106, 95, 104), (104, 104, 99, 100)]
AT_ONCE: Rows = [(100, 106, 94, 100), *QUIET[:3]]
UNKNOWN: Rows = [QUIET[0], None, None, QUIET[0]]


@pytest.mark.parametrize(
    ("hour", "assumption", "reason", "price"),
    [
        (UP, "neutral", TARGET, 105.0),
        (UP, "pessimistic", TARGET, 105.0),
        (DOWN, "neutral", STOP, 95.0),
        (DOWN, "optimistic", STOP, 95.0),
        (AT_ONCE, "neutral", STOP, 95.0),
        (AT_ONCE, "optimistic", TARGET, 105.0),
        (UNKNOWN, "neutral", STOP, 95.0),
        (UNKNOWN, "optimistic", TARGET, 105.0),
    ],
)
def test_the_lower_timeframe_tells_what_came_first(
    hour: Rows, assumption: str, reason: int, price: float
) -> None:
    rules: dict[str, Any] = {"stop": 5, "target": 5, "assumption": assumption}
    inner = [*QUIET, *hour, *QUIET]
    assert fills(play(BOTH, long=0, inner=inner, **rules)) == [(1, 1, 1, reason, 100.0, price)]
    assert fills(short(BOTH, inner=inner, **rules)) == [(-1, 1, 1, reason, 100.0, 200 - price)]


def test_a_lost_lower_bar_is_passed_over() -> None:
    inner: Rows = [*QUIET, None, *UP[:3], *QUIET]
    assert fills(play(BOTH, long=0, stop=5, target=5, inner=inner))[0][3] == TARGET


def test_the_lower_timeframe_orders_partial_target_and_stop() -> None:
    rules: dict[str, Any] = {"stop": 5, "partial": (4, 0.5)}
    # up first: half at 104, the rest at 95; down first: everything at 95
    run = play(BOTH, long=0, inner=[*QUIET, *UP, *QUIET], **rules)
    assert fills(run) == [(1, 1, 1, STOP, 100.0, 99.5)]
    assert partial(run) == (1, 104.0, 0.5)
    run = play(BOTH, long=0, inner=[*QUIET, *DOWN, *QUIET], **rules)
    assert fills(run) == [(1, 1, 1, STOP, 100.0, 95.0)]
    # up to the partial target first, then down, then up to the target: half at 102, the rest at 95
    later: Rows = [(100, 103, 99, 100), (100, 100, 94, 95), (95, 106, 95, 100), (100, 101, 99, 100)]
    run = play(BOTH, long=0, inner=[*QUIET, *later, *QUIET], stop=5, target=5, partial=(2, 0.5))
    assert fills(run) == [(1, 1, 1, STOP, 100.0, 98.5)]
    # the lower bars know the partial target only: the assumption decides about the rest
    vague: Rows = [(100, 103, 99, 100), None, None, (100, 101, 99, 100)]
    for assumption, price in (("neutral", 98.5), ("optimistic", 103.5)):
        run = play(
            BOTH,
            long=0,
            inner=[*QUIET, *vague, *QUIET],
            stop=5,
            target=5,
            partial=(2, 0.5),
            assumption=assumption,
        )
        assert fills(run)[0][5] == price


def test_a_lower_timeframe_changes_no_bar_with_one_side_only() -> None:
    # the hour reaches the stop alone; what its quarters claim about the target is not believed
    rows = [FLAT, (100, 104, 94, 100), FLAT]
    assert fills(play(rows, long=0, stop=5, target=5, inner=[*QUIET, *UP, *QUIET]))[0][3] == STOP
    # with a partial target at 104 there are two sides, of which the target at 105 still is none
    run = play(rows, long=0, stop=5, target=5, partial=(4, 0.5), inner=[*QUIET, *UP, *QUIET])
    assert fills(run)[0][3:] == (STOP, 100.0, 99.5)


def lower(timeframe: str = "15m", bars: int = 12, start_ms: int = HOUR_MS) -> Candles:
    return candles_of([FLAT] * bars, timeframe, start_ms)


def test_a_lower_timeframe_of_part_of_the_time_will_do() -> None:
    rows = [*BOTH, *BOTH[1:]]
    candles = candles_of(rows)
    both = np.full((1, 5), 5.0)
    script = Script(candles.timestamps, long=at(5, [0, 2]), stop=both, target=both)
    run = replay(script.strategy, candles, {}, intrabar=candles_of([*QUIET, *UP], "15m"))
    assert [fill[1:4] for fill in fills(run)] == [(1, 1, TARGET), (3, 3, STOP)]


@pytest.mark.parametrize(
    ("intrabar", "words"),
    [
        (lower("4h", 3, 0), "must divide that of the candles, got 4h for 1h"),
        (lower(start_ms=8 * HOUR_MS), "must overlap the candles in time"),
        (lower(bars=4, start_ms=0), "must overlap the candles in time"),
    ],
)
def test_a_lower_timeframe_that_cannot_tell_is_refused(intrabar: Candles, words: str) -> None:
    candles = candles_of([FLAT] * 5)
    with pytest.raises(InputError, match=words):
        replay(Script(candles.timestamps, long=at(5, 0)).strategy, candles, {}, intrabar=intrabar)


def test_a_lower_timeframe_of_another_market_is_refused() -> None:
    candles, other = candles_of([FLAT] * 5), lower()
    other = Candles(
        "test", "ETH/USD", *(getattr(other, name) for name in list(other.__dataclass_fields__)[2:])
    )
    with pytest.raises(InputError, match="the same market, got test:ETH/USD for test:BTC/USD"):
        replay(Script(candles.timestamps, long=at(5, 0)).strategy, candles, {}, Execution(), intrabar=other)
