import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_cases import damaged, markets

from quantlab.errors import CandlesError, InputError, UnknownNameError
from quantlab.market.candles import COLUMNS, MISSING, SUSPICIOUS, Candles
from quantlab.market.resample import align, resample

HOUR = 3_600_000
LONGER = st.sampled_from(["4h", "1d"])


def closed(candles, timeframe):
    """How many longer bars have closed by the end of `candles`, counted by the clock."""
    step = {"4h": 4, "1d": 24}[timeframe] * HOUR
    return (candles.last_ms + HOUR) // step - candles.first_ms // step


@settings(max_examples=40, deadline=None, derandomize=True)
@given(markets(max_bars=200), st.integers(0, 30), LONGER)
def test_every_longer_bar_is_what_a_loop_makes_of_its_bars(candles, skipped, timeframe):
    candles = candles[min(skipped, len(candles) - 1) :]
    if closed(candles, timeframe) == 0:
        with pytest.raises(CandlesError, match=f"no {timeframe} bar has closed by"):
            resample(candles, timeframe)
        return
    longer = resample(candles, timeframe)
    assert len(longer) == closed(candles, timeframe)
    assert (longer.timestamps % longer.step_ms == 0).all()
    for row, start in enumerate(longer.timestamps):
        inside = (candles.timestamps >= start) & (candles.timestamps < start + longer.step_ms)
        known = np.flatnonzero(inside & ~candles.missing)
        if known.size == 0:
            assert longer.flags[row] == MISSING
            assert np.isnan([getattr(longer, name)[row] for name in COLUMNS]).all()
            continue
        assert longer.open[row] == candles.open[known[0]]
        assert longer.high[row] == candles.high[known].max()
        assert longer.low[row] == candles.low[known].min()
        assert longer.close[row] == candles.close[known[-1]]
        assert longer.volume[row] == pytest.approx(candles.volume[known].sum(), rel=1e-12)
        doubtful = known.size * HOUR < longer.step_ms or (candles.flags[known] & SUSPICIOUS).any()
        assert bool(longer.flags[row] & SUSPICIOUS) == doubtful


@settings(max_examples=40, deadline=None, derandomize=True)
@given(markets(max_bars=200), st.integers(1, 199), LONGER)
def test_a_prefix_gives_a_prefix(candles, cut, timeframe):
    prefix = candles[: min(cut, len(candles))]
    if closed(prefix, timeframe) == 0:
        return
    short = resample(prefix, timeframe)
    whole = resample(candles, timeframe)[: len(short)]
    assert short == whole


@settings(max_examples=40, deadline=None, derandomize=True)
@given(markets(max_bars=200), st.integers(1, 199), LONGER)
def test_aligned_values_know_nothing_of_later_bars(candles, cut, timeframe):
    cut = min(cut, len(candles))
    if closed(candles[:cut], timeframe) == 0:
        return
    future = {name: getattr(candles, name).copy() for name in COLUMNS}
    for column in future.values():
        column[cut:] *= 3.0
    seen = []
    for market in (candles, candles._with(future), candles[:cut]):
        longer = resample(market, timeframe)
        seen.append(align(market, longer, np.stack((longer.close, longer.high, longer.volume)))[:, :cut])
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


def test_a_longer_bar_is_seen_from_the_bar_at_whose_close_it_closed():
    candles = damaged(1, 30, 0, 0)  # from midnight
    longer = resample(candles, "4h")
    seen = align(candles, longer, longer.close)
    assert np.isnan(seen[:3]).all()
    assert seen[3] == longer.close[0] == candles.close[3]
    assert (seen[3:7] == longer.close[0]).all()
    assert seen[7] == longer.close[1]
    assert (seen[27:] == longer.close[6]).all()


def test_align_takes_any_leading_axes_and_booleans():
    candles = damaged(1, 30, 0, 0)
    longer = resample(candles, "4h")
    grid = np.arange(2 * 3 * len(longer)).reshape(2, 3, -1)
    assert align(candles, longer, grid).shape == (2, 3, 30)
    up = align(candles, longer, longer.close > longer.open)
    assert up.dtype == bool
    assert not up[:3].any()
    with pytest.raises(InputError, match=r"must end in the time axis of the 4h candles \(7\)"):
        align(candles, longer, candles.close)
    with pytest.raises(InputError, match="1h bars cannot be made of 4h bars"):
        align(longer, candles, candles.close)


def test_nothing_is_known_once_the_longer_candles_have_ended():
    candles = damaged(1, 96, 0, 0)
    longer = resample(candles, "1d")[:2]
    seen = align(candles, longer, longer.close)
    assert np.isnan(seen[:23]).all()
    assert not np.isnan(seen[23:71]).any()
    assert np.isnan(seen[71:]).all()
    assert (align(candles, candles, candles.close) == candles.close).all()


def test_it_agrees_with_pandas_on_whole_days():
    candles = damaged(7, 24 * 20, 0, 0.1)
    theirs = (
        candles.to_frame()
        .resample("1D")
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    )
    ours = resample(candles, "1d").to_frame().drop(columns="flags")
    pd.testing.assert_frame_equal(ours, theirs, check_freq=False, check_index_type=False)


def test_what_cannot_be_resampled():
    candles = damaged(1, 30, 0, 0)
    for timeframe in ("1h", "15m"):
        with pytest.raises(InputError, match=f"{timeframe} bars cannot be made of 1h bars"):
            resample(candles, timeframe)
    with pytest.raises(UnknownNameError, match="did you mean '4h'"):
        resample(candles, "4hr")


def test_a_run_that_crosses_days_keeps_the_grid():
    candles = damaged(1, 60, 0, 0)[5:]
    longer = resample(candles, "1d")
    assert len(longer) == 2
    assert longer.first_ms == candles.first_ms - 5 * HOUR
    assert longer.flags.tolist() == [SUSPICIOUS, 0]
    assert longer.open[0] == candles.open[0]
    assert isinstance(longer, Candles)
