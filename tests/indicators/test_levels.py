from __future__ import annotations

import hypothesis.extra.numpy as hnp
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.indicators import reclaimed, resistance, support
from quantlab.indicators.kernels import swing_lows
from quantlab.market.sample import sample_candles

BTC = sample_candles()[5_000:5_600]
TICKS = st.one_of(*[st.integers(95, 105).map(float)] * 6, st.just(np.nan))
LOWS = hnp.arrays(np.float64, st.integers(1, 70), elements=TICKS)


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LOWS, st.integers(1, 3))
def test_swings_against_the_plain_rule(low: np.ndarray, strength: int) -> None:
    assert swing_lows(low, strength).tolist() == naive.swings(low.tolist(), strength)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(LOWS, st.integers(1, 40), st.integers(1, 4), st.sampled_from([0.0, 0.011, 0.03]), st.integers(1, 3))
def test_levels_against_the_plain_rule(
    low: np.ndarray, lookback: int, touches: int, near: float, strength: int
) -> None:
    args = column(lookback), column(touches), column(near), strength
    plain = (low.tolist(), lookback, touches, near, strength)
    assert np.array_equal(support(low, *args)[0], naive.support(*plain), equal_nan=True)
    assert np.array_equal(resistance(low, *args)[0], naive.resistance(*plain), equal_nan=True)


@pytest.mark.parametrize(
    "cell", [(20, 1, 0.0005), (100, 2, 0.001), (100, 3, 0.003), (200, 5, 0.003), (50, 2, 0.0005)]
)
def test_levels_of_real_candles(cell: tuple[int, int, float]) -> None:
    args = [column(v) for v in cell]
    below, above = support(BTC.low, *args)[0], resistance(BTC.high, *args)[0]
    assert np.isfinite(below).sum() > 50
    assert np.array_equal(below, naive.support(BTC.low.tolist(), *cell), equal_nan=True)
    assert np.array_equal(above, naive.resistance(BTC.high.tolist(), *cell), equal_nan=True)


def test_a_level_does_not_depend_on_its_company_in_the_grid() -> None:
    lookback = np.array([20, 50, 200]).reshape(3, 1, 1, 1)
    touches = np.array([1, 2, 4]).reshape(3, 1, 1)
    near = np.array([0.0005, 0.003]).reshape(2, 1)
    together = support(BTC.low, lookback, touches, near)
    assert together.shape == (3, 3, 2, len(BTC))
    for i, j, k in np.ndindex(3, 3, 2):
        alone = support(BTC.low, lookback[i].ravel(), touches[j].ravel(), near[k])
        assert np.array_equal(together[i, j, k], alone.reshape(-1), equal_nan=True)


def test_a_swing_is_known_only_after_its_confirmation() -> None:
    low = np.array([10.0, 9, 8, 9, 10, 11, 12])
    level = support(low, column(50), column(1), column(0.001))[0]
    assert np.isnan(level[:4]).all()
    assert (level[4:] == 8.0).all()


def test_a_level_grows_old() -> None:
    low = np.array([10.0, 9, 8, 9, *np.linspace(10, 20, 30)])
    level = support(low, column(20), column(1), column(0.001))[0]
    assert np.flatnonzero(np.isfinite(level)).tolist() == list(range(4, 23))


def test_the_price_of_a_level_is_the_lowest_touch() -> None:
    low = np.array([10.0, 10, 8.00, 10, 10, 10, 8.02, 10, 10, 10, 8.01, 10, 10, 10])
    for touches, price in ((1, 8.01), (2, 8.01), (3, 8.0)):
        assert support(low, column(50), column(touches), column(0.005))[0, -1] == price
    assert np.isnan(support(low, column(50), column(4), column(0.005))[0, -1])


PRICES = st.integers(1, 12).map(float)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_reclaimed_against_plain_loops(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([1, 5, 30, 64, 130]))
    close = np.array(data.draw(st.lists(PRICES | st.just(np.nan), min_size=n, max_size=n)))
    level = data.draw(hnp.arrays(np.float64, (2, 1, n), elements=PRICES | st.just(np.nan)))
    pierced = data.draw(hnp.arrays(np.bool_, (2, 1, n)))
    bars = np.array(
        data.draw(st.lists(st.sampled_from([1, 2, 6, 64, 65, 100]), min_size=3, max_size=3))
    ).reshape(1, 3, 1)
    found = np.asarray(reclaimed(pierced, close, level, bars))
    assert found.shape == (2, 3, n)
    for i, j, t in np.ndindex(found.shape):
        first = max(0, t - int(bars[0, j, 0]) + 1)
        wanted = any(pierced[i, 0, s] and close[t] > level[i, 0, s] for s in range(first, t + 1))
        assert found[i, j, t] == wanted


def test_reclaimed_serves_a_list_of_points() -> None:
    pierced = np.array([[True, False, False], [True, False, False]])
    level = np.full((2, 3), 5.0)
    found = reclaimed(pierced, np.array([4.0, 4.0, 6.0]), level, np.array([[2], [3]]))
    assert found.to_array().tolist() == [[False, False, False], [False, False, True]]
