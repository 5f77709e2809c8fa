"""The search on null markets: early ends, Ctrl-C and going on, how often it errs, what it refuses."""

from __future__ import annotations

import time

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.market.nulls import sign_flip
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.threads import PROCESSORS
from quantlab.validation.again import SameCells, SideBySide, in_order
from quantlab.validation.rerun import Interrupted, NullScores, Rerun, best_timing_t, rerun
from quantlab.validation.sequential import ENOUGH

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[3, 5, 8, 12, 20], slow=[15, 30, 60, 100])
NOISE = garch(1_500, timeframe="1d", seed=1)
PLANTED = planted_momentum(2_000, seed=1, true_sharpe=3.5)


def search(candles: Candles) -> Surface:
    return sweep(CROSS, candles, GRID, progress=False)


def test_a_strong_edge_is_more_than_any_null_shows() -> None:
    found = rerun(search, PLANTED, draws=39, progress=False)
    assert found.p == 1 / 40
    assert [len(null.scores) for null in found.nulls] == [39, 39]
    assert not any(null.stopped for null in found.nulls)
    assert str(found).startswith("0 of 39 mirrored markets did as well (p = 0.025); 0 of 39 shuffled")


def test_on_noise_it_stops_at_the_tenth_market_that_does_as_well() -> None:
    found = rerun(search, NOISE, draws=199, progress=False)
    assert found.p > 0.05
    for null in found.nulls:
        assert null.as_good == ENOUGH
        assert null.scores[-1] >= null.real
        assert null.p == ENOUGH / len(null.scores)
        assert null.stopped


def test_market_i_depends_on_the_seed_and_on_i_alone() -> None:
    few, more = (rerun(search, PLANTED, draws=draws, progress=False) for draws in (5, 9))
    for a, b in zip(few.nulls, more.nulls, strict=True):
        assert a.scores.tolist() == b.scores[:5].tolist()
    first = search(sign_flip(PLANTED, np.random.default_rng([0, 0, 0])))
    assert more.nulls[0].scores[0] == best_timing_t()(first)
    other = rerun(search, PLANTED, draws=5, seed=1, progress=False)
    assert (other.nulls[0].scores != few.nulls[0].scores).all()


def test_ctrl_c_keeps_what_was_drawn_and_the_next_call_goes_on() -> None:
    calls = []

    def interrupted(candles: Candles) -> Surface:
        calls.append(candles)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return search(candles)

    with pytest.raises(
        Interrupted, match="interrupted after 9 null markets: call again with `earlier=`"
    ) as caught:
        rerun(interrupted, PLANTED, draws=7, progress=False)
    assert len(calls) == 12
    whole, gone_on = rerun(search, PLANTED, draws=7, progress=False), []

    def counted(candles: Candles) -> Surface:
        gone_on.append(candles)
        return search(candles)

    again = rerun(counted, PLANTED, draws=7, earlier=caught.value.rerun, progress=False)
    assert len(gone_on) == 2 + 14 - 9
    for a, b in zip(again.nulls, whole.nulls, strict=True):
        assert a.scores.tolist() == b.scores.tolist()
    with pytest.raises(InputError, match="`earlier` is of another search"):
        rerun(search, PLANTED, draws=7, seed=2, earlier=again, progress=False)


def test_it_ends_as_soon_as_alpha_is_out_of_reach() -> None:
    found = rerun(search, NOISE, draws=99, alpha=0.02, progress=False)
    for null in found.nulls:
        assert null.as_good == 2  # (2 + 1) / 100 is more than 0.02, (1 + 1) / 100 is not
        assert null.p > 0.02


def test_it_ends_as_soon_as_alpha_is_sure() -> None:
    found, whole = (
        rerun(search, PLANTED, draws=draws, alpha=alpha, progress=False)
        for draws, alpha in ((201, 0.05), (72, None))
    )
    for null, all_of_them in zip(found.nulls, whole.nulls, strict=True):
        assert null.as_good == 0
        assert null.answered
        assert null.stopped
        assert null.p == pytest.approx(1 / 73)
        assert null.scores.tolist() == all_of_them.scores.tolist()
    assert found.share == 1.0
    assert Rerun.from_json(found.to_json()).p == found.p


def test_several_at_once_draw_what_one_after_the_other_draws() -> None:
    same, score = SameCells(CROSS, GRID, Execution()), best_timing_t()
    quick = SideBySide(lambda market: score(same.timing(market)))
    for candles, draws in ((PLANTED, 9), (NOISE, 199)):
        one, other = (rerun(s, candles, draws=draws, progress=False) for s in (search, same))
        several = rerun(quick, candles, score=float, draws=draws, progress=False)
        assert one.real == other.real == several.real
        for a, b, c in zip(one.nulls, other.nulls, several.nulls, strict=True):
            assert a.scores.tolist() == b.scores.tolist() == c.scores.tolist()
            assert a.stopped == (candles is NOISE)


def test_numbers_are_called_ahead_and_handed_over_in_order() -> None:
    called: list[int] = []

    def call(number: int) -> float:
        called.append(number)
        time.sleep(0.02 if number % 2 else 0.0)
        return float(number)

    numbers = in_order(call, 3)
    assert [next(numbers) for _ in range(6)] == [3, 4, 5, 6, 7, 8]
    numbers.close()
    assert sorted(called) == list(range(3, 3 + len(called)))
    assert len(called) <= 6 + PROCESSORS + 1


def test_an_error_of_a_call_comes_in_its_turn() -> None:
    def call(number: int) -> float:
        if number == 2:
            raise KeyboardInterrupt
        return float(number)

    numbers = in_order(call, 0)
    assert (next(numbers), next(numbers)) == (0.0, 1.0)
    with pytest.raises(KeyboardInterrupt):
        next(numbers)


def test_p_values_by_hand() -> None:
    scores = np.array([1.0] * 3 + [0.0] * 16)
    assert NullScores("permute", 1.0, scores, 19).p == 4 / 20
    assert NullScores("permute", 1.0, np.array([1.0] * 10 + [0.0] * 30), 199).p == 10 / 40
    low, high = NullScores("sign_flip", 0.5, scores, 19), NullScores("permute", 2.0, scores, 19)
    assert (low.p, high.p) == (4 / 20, 1 / 20)
    assert Rerun(0.5, (low, high), 0).p == 4 / 20


@pytest.mark.slow
def test_on_noise_it_errs_as_often_as_it_says() -> None:
    """60 markets without an edge; 8 or more false alarms at 5 % have a chance of 1 %."""
    alarms = 0
    for seed in range(60):
        candles = garch(700, timeframe="1d", seed=seed)
        alarms += rerun(search, candles, draws=39, alpha=0.05, progress=False).p <= 0.05
    assert alarms < 8


def test_a_search_that_trades_nothing_is_no_find() -> None:
    found = rerun(search, NOISE, score=best_timing_t(min_trades=10**6), draws=20, progress=False)
    assert found.real == -np.inf
    assert found.p == 1.0


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="`draws` must be at least 1, got 0"):
        rerun(search, NOISE, draws=0, progress=False)
    drawn = iter(range(10**6))
    with pytest.raises(InputError, match="two scores on the same candles: give it a seed of its own"):
        rerun(search, NOISE, score=lambda _: next(drawn), progress=False)
    with pytest.raises(InputError, match="score of the search is NaN"):
        rerun(search, NOISE, score=lambda _: np.nan, progress=False)
    flat = np.full(100, 5.0)
    still = Candles.from_arrays("x", "Y/Z", "1d", np.arange(100) * 86_400_000, flat, flat, flat, flat, flat)
    with pytest.raises(InputError, match="never moves: no null can be made of constant prices"):
        rerun(search, still, progress=False)
