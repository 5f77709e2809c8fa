from __future__ import annotations

import hypothesis.extra.numpy as hnp
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.errors import InputError
from quantlab.indicators import mean_true_range, shift, sma, true_range
from quantlab.market.sample import sample_candles

PRICES = st.floats(0.5, 1000.0, width=32)
LOST = hnp.arrays(np.float64, st.integers(1, 60), elements=st.one_of(PRICES, PRICES, PRICES, st.just(np.nan)))
BTC = sample_candles()[2_000:2_400]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LOST, st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_sma_is_the_mean_of_what_is_present(x: np.ndarray, windows: list[int]) -> None:
    found = sma(x, np.array(windows)[:, None])
    assert found.shape == (len(windows), len(x))
    for row, window in zip(found, windows, strict=True):
        np.testing.assert_allclose(row, naive.sma(x.tolist(), window), rtol=1e-13)


@pytest.mark.parametrize(("lost", "defined"), [(2, True), (3, False)])
def test_sma_needs_four_fifths_of_its_window(lost: int, defined: bool) -> None:
    x = np.arange(10.0)
    x[3 : 3 + lost] = np.nan
    assert np.isfinite(sma(x, 10)[-1]) == defined


def test_sma_keeps_the_axes_of_its_windows() -> None:
    windows = np.array([[3, 5], [5, 8]])[..., None]
    found = sma(BTC.close, windows)
    assert found.shape == (2, 2, len(BTC))
    for place in np.ndindex(2, 2):
        assert np.array_equal(found[place], sma(BTC.close, int(windows[place][0])), equal_nan=True)
    assert sma(BTC.close, 3).shape == (len(BTC),)


def test_sma_forgets_what_lies_before_its_window_to_the_last_bit() -> None:
    whole = sma(BTC.close, 50)
    for first in (1, 37, 200):
        assert np.array_equal(sma(BTC.close[first:], 50)[49:], whole[first + 49 :])


@pytest.mark.parametrize(
    ("window", "words"),
    [(0, "at least 1 bar, got 0"), (np.array([3, 5]), r"time axis of length one, got shape \(2,\)")],
)
def test_sma_refuses_windows_it_cannot_use(window: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sma(BTC.close, window)


def test_sma_of_fewer_bars_than_the_window_is_undefined() -> None:
    assert np.isnan(sma(BTC.close[:4], np.array([[5], [400]]))).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hnp.arrays(np.float64, (3, 40), elements=st.one_of(PRICES, PRICES, PRICES, st.just(np.nan))),
    st.integers(1, 20),
)
def test_true_range_and_its_mean(prices: np.ndarray, window: int) -> None:
    low, close, high = np.sort(prices, axis=0)
    lost = np.isnan(prices).any(axis=0)
    for column in (low, close, high):
        column[lost] = np.nan
    columns = [c.tolist() for c in (high, low, close)]
    np.testing.assert_allclose(
        true_range(high, low, close), naive.true_range(*columns), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        mean_true_range(high, low, close, window),
        naive.mean_true_range(*columns, window),
        rtol=1e-12,
        atol=1e-12,
    )


def test_mean_true_range_of_real_candles() -> None:
    columns = (BTC.high, BTC.low, BTC.close)
    np.testing.assert_allclose(
        mean_true_range(*columns), naive.mean_true_range(*(c.tolist() for c in columns)), rtol=1e-13
    )


def test_true_range_by_hand() -> None:
    high, low, close = np.array([[11.0, 12, 20, 9], [9.0, 11, 18, 7], [10.0, 11, 19, 8]])
    assert true_range(high, low, close).tolist()[1:] == [2.0, 9.0, 12.0]
    assert np.isnan(true_range(high, low, close)[0])


@pytest.mark.parametrize("bars", [0, 1, 3, 5, 9])
def test_shift(bars: int) -> None:
    x = np.arange(10.0).reshape(2, 5)
    expected = np.full((2, 5), np.nan)
    for t in range(bars, 5):
        expected[:, t] = x[:, t - bars]
    assert np.array_equal(shift(x, bars), expected, equal_nan=True)
    flags = shift(np.ones((2, 5), bool), bars)
    assert flags.dtype == bool
    assert np.array_equal(flags, ~np.isnan(expected))


def test_shift_refuses_the_future() -> None:
    with pytest.raises(InputError, match="must not be negative, got -1: that would show the future"):
        shift(np.ones(3), -1)


def test_shift_refuses_whole_numbers_that_cannot_be_undefined() -> None:
    with pytest.raises(InputError, match="float or boolean"):
        shift(np.arange(3), 1)
