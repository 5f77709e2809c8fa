import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_cases import damaged, markets

from quantlab.market.candles import COLUMNS, FLAT, MISSING, NO_TRADE, Candles
from quantlab.market.nulls import permute, sign_flip
from quantlab.market.synthetic import garch, iid

BOTH = pytest.mark.parametrize("null", [sign_flip, permute])
PROPERTY = settings(max_examples=50, deadline=None, derandomize=True)


def shapes(candles):
    """Traded bars: log gap to the traded close before, body, wicks about the open, volume."""
    traded = (candles.flags & (MISSING | NO_TRADE)) == 0
    o, h, lo, c = (
        np.log(column[traded]) for column in (candles.open, candles.high, candles.low, candles.close)
    )
    return o[1:] - c[:-1], c - o, h - o, lo - o, candles.volume[traded]


@BOTH
@PROPERTY
@given(candles=markets(), seed=st.integers(0, 1000))
def test_the_result_is_a_valid_market_on_the_same_grid(null, candles, seed):
    drawn = null(candles, np.random.default_rng(seed))
    columns = [getattr(drawn, name) for name in COLUMNS]
    again = Candles.from_arrays(drawn.exchange, drawn.symbol, "1h", drawn.timestamps, *columns)
    assert again == drawn
    assert np.array_equal(drawn.timestamps, candles.timestamps)
    assert np.array_equal(drawn.missing, candles.missing)
    assert np.array_equal(drawn.flags & NO_TRADE, candles.flags & NO_TRADE)
    assert np.array_equal(
        drawn.flags & (MISSING | FLAT | NO_TRADE), again.flags & (MISSING | FLAT | NO_TRADE)
    )
    assert not drawn.close.flags.writeable


@BOTH
@PROPERTY
@given(candles=markets(), seed=st.integers(0, 1000))
def test_the_same_generator_draws_the_same_market_and_leaves_the_original(null, candles, seed):
    before = candles._with({name: getattr(candles, name).copy() for name in COLUMNS}).fingerprint
    first, second = (null(candles, np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert candles._with({}).fingerprint == before


@PROPERTY
@given(candles=markets(), seed=st.integers(0, 1000))
def test_a_flip_keeps_ranges_volume_and_sizes_of_moves(candles, seed):
    drawn = sign_flip(candles, np.random.default_rng(seed))
    gap, body, up, down, volume = shapes(candles)
    gap2, body2, up2, down2, volume2 = shapes(drawn)
    np.testing.assert_array_equal(volume2, volume)
    np.testing.assert_allclose(np.abs(body2), np.abs(body), atol=1e-11)
    np.testing.assert_allclose(up2 - down2, up - down, atol=1e-11)
    mirrored = np.abs(body2 - body) > np.abs(body2 + body)
    np.testing.assert_allclose(up2, np.where(mirrored, -down, up), atol=1e-11)
    mean = (gap.sum() + body.sum()) / body.size
    kept = np.isclose(gap2, gap, rtol=0, atol=1e-11)
    turned = np.isclose(gap2, 2 * mean - gap, rtol=0, atol=1e-11)
    assert (kept | turned).all()
    assert drawn.open[np.argmin(drawn.missing)] == pytest.approx(
        candles.open[np.argmin(candles.missing)], rel=1e-12
    )


@PROPERTY
@given(candles=markets(), seed=st.integers(0, 1000))
def test_a_permutation_keeps_bars_gaps_and_the_end(candles, seed):
    drawn = permute(candles, np.random.default_rng(seed))
    for before, after in zip(shapes(candles), shapes(drawn), strict=True):
        np.testing.assert_allclose(np.sort(after), np.sort(before), atol=1e-11)
    before, after = np.array(shapes(candles)[1:]), np.array(shapes(drawn)[1:])
    order = np.argsort(after[-1])
    np.testing.assert_allclose(
        after[:, order], before[:, np.argsort(before[-1])], atol=1e-11
    )  # whole shapes move
    traded = np.flatnonzero((candles.flags & (MISSING | NO_TRADE)) == 0)
    assert drawn.close[traded[-1]] == pytest.approx(candles.close[traded[-1]], rel=1e-11)
    assert drawn.open[traded[0]] == pytest.approx(candles.open[traded[0]], rel=1e-12)


@BOTH
@PROPERTY
@given(candles=markets(), seed=st.integers(0, 1000))
def test_quiet_bars_lie_flat_at_the_last_close(null, candles, seed):
    drawn = null(candles, np.random.default_rng(seed))
    last = np.nan
    for t in range(len(drawn)):
        if drawn.missing[t]:
            continue
        if drawn.flags[t] & NO_TRADE and not np.isnan(last):
            assert drawn.open[t] == drawn.high[t] == drawn.low[t] == drawn.close[t] == last
            assert drawn.volume[t] == 0
        last = drawn.close[t]


@BOTH
def test_an_open_at_the_last_close_stays_there(null):
    candles = damaged(5, 300, 0, 0)
    drawn = null(candles, np.random.default_rng(1))
    if null is permute:
        same = (candles.open[1:] == candles.close[:-1]).sum()
        assert same > 50
        assert (drawn.open[1:] == drawn.close[:-1]).sum() == same


def test_flipped_markets_are_symmetric_about_their_mean():
    candles = garch(400, seed=2, annual_drift=1.0)
    returns = np.diff(np.log(candles.close))
    draws = np.array(
        [np.diff(np.log(sign_flip(candles, np.random.default_rng(seed)).close)) for seed in range(2000)]
    )
    mean = shapes(candles)[0].sum() + shapes(candles)[1].sum()
    mean /= len(candles)
    error = np.abs(returns - mean) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - mean) < 4.5 * error + 1e-12).all()
    total = (draws - mean).sum(axis=1)
    assert abs(np.mean(total**3) / np.mean(total**2) ** 1.5) < 0.2  # se .055
    assert abs(np.mean(total > 0) - 0.5) < 0.045  # se .011
    assert np.std(total) == pytest.approx(np.sqrt(np.sum((returns - mean) ** 2)), rel=0.05)


def test_every_shape_is_equally_likely_at_every_place():
    candles = iid(8, seed=1)
    body = shapes(candles)[1]
    counts = np.zeros((8, 8))
    for seed in range(2000):
        drawn = shapes(permute(candles, np.random.default_rng(seed)))[1]
        counts[np.arange(8), np.abs(drawn[:, None] - body).argmin(axis=1)] += 1
    assert np.abs(counts / 2000 - 1 / 8).max() < 5 * np.sqrt(1 / 8 * 7 / 8 / 2000)


def test_gaps_are_shuffled_apart_from_the_bars_they_led_to():
    candles = garch(2000, seed=1)
    before, after = shapes(candles), shapes(permute(candles, np.random.default_rng(0)))
    other = shapes(permute(candles, np.random.default_rng(1)))
    leaps = np.abs(before[0]) > 1e-9
    both = (np.abs(after[0]) > 1e-9) & (np.abs(other[0]) > 1e-9)
    assert np.mean(np.isclose(after[0][both], other[0][both], rtol=1e-6, atol=1e-12)) < 0.01
    assert np.mean(np.isclose(after[0][leaps], before[0][leaps], rtol=1e-6, atol=1e-12)) < 0.01
    body_before = before[1][np.argmin(np.abs(after[1][1:, None] - before[1]), axis=1)]
    np.testing.assert_allclose(body_before, after[1][1:], atol=1e-11)
    origin = np.argmin(np.abs(after[1][1:, None] - before[1][1:]), axis=1)  # where each bar came from
    assert (
        np.mean(np.isclose(after[0], before[0][origin], rtol=1e-6, atol=1e-12) & (np.abs(after[0]) > 1e-9))
        < 0.01
    )


def test_what_each_null_keeps_and_destroys():
    """Autocorrelation of squared returns: volatility clusters survive a flip, not a permutation."""
    candles = garch(20_000, seed=1, alpha=0.1, beta=0.88, degrees=30)

    def clustering(market):
        squares = np.log(market.close[1:] / market.open[1:]) ** 2
        return np.corrcoef(squares[1:], squares[:-1])[0, 1]

    rng = np.random.default_rng(0)
    assert clustering(candles) > 0.1
    assert clustering(sign_flip(candles, rng)) == pytest.approx(clustering(candles), abs=1e-6)
    assert abs(clustering(permute(candles, rng))) < 0.04


def test_markets_given_one_seed_are_mirrored_together():
    one, other = garch(500, seed=1), damaged(9, 500, 0.1, 0.2)
    flips = [
        np.sign(np.log(market.close / market.open)) * np.sign(np.log(drawn.close / drawn.open))
        for market in (one, other)
        for drawn in (sign_flip(market, np.random.default_rng(4)),)
    ]
    both = np.isfinite(flips[1]) & (flips[1] != 0)
    assert both.sum() > 300
    assert (flips[0][both] == flips[1][both]).all()


@BOTH
def test_degenerate_markets(null):
    quiet = Candles.from_arrays("a", "b", "1h", [0, 3_600_000], *[[7.0, 7.0]] * 4, [0.0, 0.0])
    assert null(quiet, np.random.default_rng(0)) == quiet
    lone = Candles.from_arrays("a", "b", "1h", [0, 3_600_000], *[[7.0, 7.0]] * 4, [0.0, 3.0])
    drawn = null(lone, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.close, 7.0, rtol=1e-12)


@BOTH
def test_a_hundred_thousand_bars_take_milliseconds(null):
    candles = garch(100_000)
    null(candles, np.random.default_rng(0))
    seconds = []
    for seed in range(10):
        began = time.process_time()
        null(candles, np.random.default_rng(seed))
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.04  # 7 and 11 ms measured on a two-core machine
