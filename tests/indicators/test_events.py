"""Swings, divergence, volume, higher timeframes and events against plain loops."""

from __future__ import annotations

import itertools

import hypothesis.extra.numpy as hnp
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab import indicators as ind
from quantlab.errors import InputError
from quantlab.market.resample import align, resample
from quantlab.market.sample import sample_candles
from quantlab.signals import all_of

BTC = sample_candles()[2_000:3_500]
GENERATED = settings(max_examples=80, deadline=None, derandomize=True)
TICKS = st.one_of(*[st.integers(95, 105).map(float)] * 6, st.just(np.nan))


@GENERATED
@given(
    hnp.arrays(np.float64, (2, 60), elements=TICKS), st.integers(1, 3), st.integers(1, 8), st.integers(8, 60)
)
def test_swings_and_divergence(x: np.ndarray, strength: int, nearest: int, farthest: int) -> None:
    low, oscillator = x
    swings = ind.latest_swing_low(low, strength, farthest)
    assert swings.tolist() == naive.latest_swing_low(low.tolist(), strength, farthest)
    assert ind.latest_swing_high(-low, strength, farthest).tolist() == swings.tolist()
    found = ind.divergence(low, oscillator, nearest, farthest, strength)
    plain = naive.divergence(low.tolist(), oscillator.tolist(), nearest, farthest, strength)
    assert np.array_equal(found, plain, equal_nan=True)


def test_divergence_of_real_candles() -> None:
    oscillator = ind.rsi(BTC.close, 5)
    found = ind.divergence(BTC.low, oscillator)
    plain = naive.divergence(BTC.low.tolist(), oscillator.tolist(), 5, 60, 2)
    assert np.isfinite(found).sum() > 50
    assert np.array_equal(found, plain, equal_nan=True)


def test_a_swing_is_not_known_before_its_confirmation() -> None:
    low = np.array([10.0, 9, 8, 9, 10, 11])
    assert ind.latest_swing_low(low).tolist() == [-1, -1, -1, -1, 2, 2]
    assert ind.latest_swing_low(low, most_bars=2).tolist() == [-1, -1, -1, -1, 2, -1]


def test_vwap_and_obv() -> None:
    price = (BTC.high + BTC.low + BTC.close) / 3
    plain = naive.daily_vwap(BTC.timestamps.tolist(), price.tolist(), BTC.volume.tolist())
    found = ind.daily_vwap(BTC.timestamps, BTC.high, BTC.low, BTC.close, BTC.volume)
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    rolling = ind.vwap(BTC.high, BTC.low, BTC.close, BTC.volume, 20)
    bars = slice(100 - 19, 101)
    assert rolling[100] == pytest.approx(np.average(price[bars], weights=BTC.volume[bars]))
    signed = np.sign(np.diff(BTC.close)) * BTC.volume[1:]
    assert ind.obv(BTC.close, BTC.volume, 20)[100] == pytest.approx(signed[80:100].sum())
    quiet = np.zeros(30)
    assert np.isnan(ind.vwap(BTC.high[:30], BTC.low[:30], BTC.close[:30], quiet, 20)).all()


@pytest.mark.parametrize(("timeframe", "multiple"), [("4h", 4), ("1d", 24)])
def test_higher_bars_are_resampled_candles_from_their_close_on(timeframe: str, multiple: int) -> None:
    higher = resample(BTC, timeframe)
    found = ind.higher_bars(BTC.timestamps, BTC.open, BTC.high, BTC.low, BTC.close, BTC.volume, multiple)
    first = int(np.flatnonzero(found.closed)[1])
    for name in ("open", "high", "low", "close", "volume"):
        shown = align(BTC, higher, getattr(higher, name))
        ours = getattr(found, name)
        np.testing.assert_allclose(
            ours[first : len(BTC) - multiple], shown[first : len(BTC) - multiple], rtol=1e-12
        )
    ends = BTC.timestamps[found.closed] + BTC.step_ms
    assert (ends % (multiple * BTC.step_ms) == 0).all()


def test_higher_bars_of_several_multiples_and_of_a_single_bar() -> None:
    columns = (BTC.open, BTC.high, BTC.low, BTC.close, BTC.volume)
    together = ind.higher_bars(BTC.timestamps, *columns, np.array([[4], [12]]))
    for i, multiple in enumerate((4, 12)):
        alone = ind.higher_bars(BTC.timestamps, *columns, multiple)
        assert np.array_equal(together.high[i], alone.high, equal_nan=True)
        assert np.array_equal(together.closed[i], alone.closed)
    single = ind.higher_bars(BTC.timestamps[:1], *(c[:1] for c in columns), np.array([[4], [12]]))
    assert single.high.shape == (2, 1)
    assert np.isnan(single.high).all()


FLAGS = st.sampled_from([1, 5, 64, 130]).flatmap(lambda n: hnp.arrays(np.bool_, (6, n)))


@GENERATED
@given(FLAGS, st.lists(st.sampled_from([1, 2, 7, 64, 200]), min_size=3, max_size=3))
def test_first_within(flags: np.ndarray, limits: list[int]) -> None:
    events, ended = flags[:2, None], flags[2]
    condition = flags[3:, :][None]
    bars = np.array(limits).reshape(1, 3, 1)
    found = np.asarray(ind.first_within(events, condition, bars, ended))
    free = np.asarray(ind.first_within(events, all_of(condition), bars))
    nothing = [False] * flags.shape[1]
    assert found.shape == (2, 3, flags.shape[1])
    for i, j in np.ndindex(2, 3):
        asked = events[i, 0].tolist(), condition[0, j].tolist(), limits[j]
        assert found[i, j].tolist() == naive.first_within(*asked, ended.tolist())
        assert free[i, j].tolist() == naive.first_within(*asked, nothing)


WEIGHTS = [0.30, 0.25, 0.20, 0.15, 0.10]


def test_scores_of_every_combination() -> None:
    held = np.array(list(itertools.product([False, True], repeat=5)))
    clauses = [held[:, c] for c in range(5)]
    least = np.array([0.1, 0.4, 0.45, 0.55, 0.6, 0.75, 0.9, 1.0])
    found = np.asarray(ind.score_at_least(clauses, WEIGHTS, least[:, None]))
    points = (held * [30, 25, 20, 15, 10]).sum(axis=1)
    for row, value in zip(found, least, strict=True):
        assert row.tolist() == (points >= round(100 * value)).tolist()


def test_scores_broadcast_their_clauses() -> None:
    rng = np.random.default_rng(0)
    clauses = [rng.random((3, 1, 1, 90)) < 0.5, rng.random((2, 1, 90)) < 0.5, rng.random(90) < 0.5]
    found = np.asarray(ind.score_at_least(clauses, [1, 2, 3], np.array([2.0, 3.0, 4.0, 5.0]).reshape(4, 1)))
    score = clauses[0] + 2.0 * clauses[1] + 3.0 * clauses[2]
    assert np.array_equal(found, score >= np.array([2.0, 3.0, 4.0, 5.0]).reshape(4, 1))


@pytest.mark.parametrize(("weights", "least"), [([1.0], 1.0), ([1.0, 0.0], 1.0), ([1.0, 2.0], 0.0)])
def test_scores_that_mean_nothing_are_refused(weights: list[float], least: float) -> None:
    flags = np.ones(5, bool)
    with pytest.raises(InputError, match="positive weight for each clause"):
        ind.score_at_least([flags, flags], weights, least)
