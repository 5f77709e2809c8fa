"""Averages, extremes, deviations and oscillators against plain loops, on generated series with lost bars."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab import indicators as ind
from quantlab.errors import InputError
from quantlab.market.sample import sample_candles

PRICES = st.floats(0.5, 1000.0, width=32)
LOST = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.one_of(*[PRICES] * 7, st.just(7.0), st.just(np.nan))
)
WINDOWS = st.lists(st.integers(1, 20), min_size=1, max_size=4)
GENERATED = settings(max_examples=60, deadline=None, derandomize=True)
BTC = sample_candles()[2_000:3_500]


@GENERATED
@given(LOST, st.integers(1, 6), st.integers(1, 30))
def test_exponential_averages_are_weighted_means_of_their_memory(
    x: np.ndarray, window: int, memory: int
) -> None:
    for found, factor in (
        (ind.ema(x, window, memory), 2 / (window + 1)),
        (ind.wilder(x, window, memory), 1 / window),
    ):
        np.testing.assert_allclose(found, naive.decaying_mean(x.tolist(), factor, memory), rtol=1e-12)


@pytest.mark.parametrize("window", [2, 14, 40])
def test_the_default_memory_is_the_recursion_of_the_textbook(window: int) -> None:
    close = BTC.close
    for found, factor, memory in (
        (ind.ema(close, window), 2 / (window + 1), ind.ema_memory(window)),
        (ind.wilder(close, window), 1 / window, ind.wilder_memory(window)),
    ):
        recursion = np.array(naive.recursive_mean(close.tolist(), factor))
        assert np.isnan(found).sum() == memory - 1
        assert (1 - factor) ** memory <= 1e-12 < (1 - factor) ** (memory - 1)
        np.testing.assert_allclose(found[memory - 1 :], recursion[memory - 1 :], rtol=1e-11)


def test_a_constant_has_a_constant_average() -> None:
    assert ind.ema(np.full(40, 7.0), 2) == pytest.approx(np.r_[[np.nan] * 25, [7.0] * 15], nan_ok=True)


@pytest.mark.parametrize("memory", [0, -3])
def test_a_memory_of_no_bars_is_refused(memory: int) -> None:
    with pytest.raises(InputError, match=f"`memory` must be at least 1 bar, got {memory}"):
        ind.ema(BTC.close, 5, memory)


@GENERATED
@given(LOST, WINDOWS)
def test_extremes_and_deviation(x: np.ndarray, windows: list[int]) -> None:
    rows = np.array(windows)[:, None]
    top, bottom, spread = ind.rolling_max(x, rows), ind.rolling_min(x, rows), ind.rolling_std(x, rows)
    score = ind.zscore(x, rows)
    for i, window in enumerate(windows):
        assert np.array_equal(top[i], naive.rolling_max(x.tolist(), window), equal_nan=True)
        lowest = -np.array(naive.rolling_max((-x).tolist(), window))
        assert np.array_equal(bottom[i], lowest, equal_nan=True)
        plain = np.array(naive.rolling_std(x.tolist(), window))
        np.testing.assert_allclose(spread[i], plain, rtol=1e-9, atol=1e-12)
        far = spread[i] > 1e-9
        scored = (x - naive.sma(x.tolist(), window))[far] / plain[far]
        np.testing.assert_allclose(score[i][far], scored, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 12_345.678])
def test_a_constant_has_no_deviation_and_no_score(value: float) -> None:
    x = np.full(50, value)
    assert (ind.rolling_std(x, 7)[6:] == 0).all()
    assert np.isnan(ind.zscore(x, 7)).all()


def test_deviation_keeps_its_digits_at_high_prices() -> None:
    x = 1e9 + np.array([1.0, 2, 4, 7, 1] * 20)
    wanted = np.std([1.0, 2, 4, 7, 1])
    np.testing.assert_allclose(ind.rolling_std(x, 5)[4:], wanted, rtol=1e-12)


@GENERATED
@given(LOST, st.integers(1, 3))
def test_rsi(x: np.ndarray, window: int) -> None:
    memory = ind.wilder_memory(window)
    plain = np.array(naive.rsi(x.tolist(), window, memory))
    found = ind.rsi(x, window)
    np.testing.assert_allclose(found, plain, rtol=1e-7, atol=1e-7)
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known <= 100)).all()


def test_rsi_by_hand() -> None:
    """Gains of 1 and losses of 3 in turn: a quarter of all that moved."""
    x = 100 - np.cumsum([0.0, *([-1.0, 3.0] * 300)])
    found = ind.rsi(x, 14)[-2:]
    assert found.mean() == pytest.approx(25, abs=1.0)
    rising, falling = np.arange(1.0, 500.0), np.arange(500.0, 1.0, -1)
    assert ind.rsi(rising, 14)[-1] == 100
    assert ind.rsi(falling, 14)[-1] == 0
    assert np.isnan(ind.rsi(np.full(500, 7.0), 14)).all()


def test_stochastic_and_channels_by_hand() -> None:
    high, low, close = np.array([[5.0, 6, 9, 8], [1.0, 2, 4, 3], [2.0, 5, 8, 4]])
    k, d = ind.stochastic(high, low, close, 3, 2)
    assert k.tolist()[2:] == [87.5, pytest.approx(100 * 2 / 7)]
    assert d[3] == pytest.approx((87.5 + 200 / 7) / 2)
    assert np.isnan(k[:2]).all()
    assert np.isnan(d[:3]).all()
    assert [c.tolist()[2:] for c in ind.donchian(high, low, 3)] == [[9, 9], [1, 2]]
    flat = np.full(5, 3.0)
    assert np.isnan(ind.stochastic(flat, flat, flat, 3)[0]).all()


def test_lag_moves_every_row_by_its_own_bars() -> None:
    x = np.arange(10.0).reshape(2, 1, 5)
    found = ind.lag(x, np.array([[0], [2], [9]]))
    assert found.shape == (2, 3, 5)
    for i, j in np.ndindex(2, 3):
        assert np.array_equal(found[i, j], ind.shift(x[i, 0], [0, 2, 9][j]), equal_nan=True)
    assert ind.lag(np.array([True, True, False]), 1).tolist() == [False, True, True]
    with pytest.raises(InputError, match="must not be negative, got -1"):
        ind.lag(x, -1)
    with pytest.raises(InputError, match="float or boolean"):
        ind.lag(np.arange(3), 1)


def test_hold_and_bars_since() -> None:
    at = np.array([False, True, False, False, True, False])
    x = np.array([1.0, 2, 3, 4, 5, 6])
    assert ind.bars_since(at).tolist()[1:] == [0, 1, 2, 0, 1]
    assert np.isnan(ind.bars_since(at)[0])
    assert np.array_equal(ind.hold(x, at, 9), [np.nan, 2, 2, 2, 5, 5], equal_nan=True)
    assert np.array_equal(ind.hold(x, at, 1), [np.nan, 2, 2, np.nan, 5, 5], equal_nan=True)


@pytest.mark.parametrize("indicator", [ind.rolling_max, ind.rolling_std, ind.zscore, ind.ema, ind.wilder])
def test_windows_that_cannot_be_are_refused(indicator) -> None:
    with pytest.raises(InputError, match="at least 1 bar, got 0"):
        indicator(BTC.close, 0)
    with pytest.raises(InputError, match="time axis of length one"):
        indicator(BTC.close, np.array([3, 5]))
