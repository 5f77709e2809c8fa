import copy
import hashlib
import pickle
import struct
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from market_cases import damaged, markets

from quantlab.errors import CandlesError, InputError, UnknownNameError
from quantlab.market.candles import (
    COLUMNS,
    FLAT,
    MISSING,
    NO_TRADE,
    SUSPICIOUS,
    Candles,
    iso,
    parse_ms,
    step_ms,
)

HOUR = 3_600_000
START = 1_514_764_800_000


def build(timestamps=None, *, timeframe="1h", absent="lost", **changes):
    """Ten plain hours, with columns replaced."""
    n = 10 if timestamps is None else len(timestamps)
    close = 100.0 + np.arange(n)
    columns = {
        "open": close - 0.5,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": np.full(n, 5.0),
    }
    for name, change in changes.items():
        columns[name] = columns[name].copy()
        for row, value in change.items():
            columns[name][row] = value
    times = START + HOUR * np.arange(n) if timestamps is None else timestamps
    return Candles.from_arrays("kraken", "BTC/USD", timeframe, times, **columns, absent=absent)


def test_what_it_holds():
    candles = build()
    assert len(candles) == 10
    assert candles.step_ms == HOUR
    assert candles.family == "kraken:BTC/USD"
    assert (candles.first_ms, candles.last_ms) == (START, START + 9 * HOUR)
    assert not candles.missing.any()
    assert candles.flags.dtype == np.uint8
    assert repr(candles) == (
        "Candles(kraken BTC/USD 1h: 10 bars, 2018-01-01T00:00Z to 2018-01-01T09:00Z, 0 missing)"
    )
    assert "<table>" in candles._repr_html_()


def test_absent_rows_become_lost_bars():
    keep = np.array([0, 1, 4, 5, 9])
    candles = build(START + HOUR * keep)
    assert len(candles) == 10
    assert np.array_equal(np.flatnonzero(~candles.missing), keep)
    assert np.array_equal(candles.flags == MISSING, np.isnan(candles.close))
    assert np.isnan(candles.volume[candles.missing]).all()
    assert np.array_equal(np.diff(candles.timestamps), np.full(9, HOUR))
    assert np.array_equal(candles.close[keep], 100.0 + np.arange(5))


def test_absent_rows_may_mean_that_nothing_traded():
    candles = build(START + HOUR * np.array([0, 1, 4]), absent="no_trade")
    assert candles.close.tolist() == [100, 101, 101, 101, 102]
    assert candles.open[2] == candles.high[3] == candles.low[3] == 101
    assert candles.volume.tolist() == [5, 5, 0, 0, 5]
    assert (candles.flags & NO_TRADE).tolist() == [0, 0, NO_TRADE, NO_TRADE, 0]
    with pytest.raises(InputError, match="'lost' or 'no_trade', got 'zero'"):
        build(absent="zero")


def test_a_row_without_prices_is_a_lost_bar_even_where_absent_means_no_trade():
    times = START + HOUR * np.array([0, 1, 2, 4])
    nan = {2: np.nan}
    candles = build(times, absent="no_trade", open=nan, high=nan, low=nan, close=nan, volume={2: 0.0})
    assert candles.missing.tolist() == [False, False, True, False, False]
    assert candles.close[3] == 101  # carried over the lost bar
    assert np.isnan(candles.volume[2])


def test_flat_and_quiet_bars_are_flagged():
    flat = {3: 102.0, 6: 106.0}
    candles = build(open=flat, high=flat, low=flat, close=flat, volume={3: 0.0})
    assert np.flatnonzero(candles.flags & NO_TRADE).tolist() == [3]
    assert np.flatnonzero(candles.flags & FLAT).tolist() == [3, 6]


def test_volume_zero_with_moving_prices_is_suspicious():
    candles = build(volume={4: 0.0})
    assert np.flatnonzero(candles.flags).tolist() == [4]
    assert candles.flags[4] == SUSPICIOUS


@pytest.mark.parametrize(
    ("timestamps", "message"),
    [
        ([], "there are no rows"),
        (
            START + HOUR * np.array([0, 2, 1]),
            r"row 2 \(2018-01-01T01:00Z\) comes after 2018-01-01T02:00Z.*sort",
        ),
        (
            START + HOUR * np.array([0, 1, 1, 2]),
            r"1 timestamps are duplicated.*2018-01-01T01:00Z \(rows 1 and 2\)",
        ),
        ((START + HOUR * np.arange(5)) // 1000, "look like seconds.*multiply by 1_000"),
        ((START + HOUR * np.arange(5)) * 1000, "look like microseconds.*divide by 1_000"),
        ((START + HOUR * np.arange(5)) * 1_000_000, "look like nanoseconds.*divide by 1_000_000"),
        (np.r_[START, (START + HOUR * np.arange(1, 4)) // 1000], "mix seconds and milliseconds.*row 1"),
        ([START // 1000], "look like seconds"),
        (START + HOUR * np.array([0, 1, 1.5]), "1 of 3 timestamps.*not open times.*2018-01-01T01:30Z"),
        (START + HOUR * np.arange(5) + 60_000, "all rows are 60 s late"),
        (START + HOUR * np.arange(0, 50, 4), "no two rows are 1h apart.*look like 4h: pass timeframe='4h'"),
        (START + 900_000 * np.arange(9), "look like 15m: pass timeframe='15m'"),
        (
            START + HOUR * np.r_[np.arange(5), 5000],
            r"span 5,001 bars of 1h.*2018-07-28T08:00Z \(row 5\).*stray",
        ),
        ([START, START + 0.5], "whole milliseconds"),
        ([START, np.nan], "whole milliseconds"),
        (["2018-01-01", "2018-01-02"], "must be integers"),
    ],
)
def test_times_that_cannot_be(timestamps, message):
    with pytest.raises(CandlesError, match=message):
        build(timestamps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"close": {4: np.nan}}, r"only some prices are NaN at 2018-01-01T04:00Z \(row 4\)"),
        ({"low": {4: -1.0}}, r"prices must be positive at 2018-01-01T04:00Z"),
        ({"open": {0: 0.0}, "low": {0: 0.0}}, r"prices must be positive at 2018-01-01T00:00Z"),
        ({"high": {7: 90.0}}, r"high is below low at 2018-01-01T07:00Z"),
        ({"close": {2: 200.0}}, r"must lie in \[low, high\] at 2018-01-01T02:00Z.*close 200"),
        ({"open": {2: 1.0, 3: 1.0}}, r"must lie in \[low, high\] at 2018-01-01T02:00Z \(row 2 and 1 more\)"),
        ({"volume": {5: -1e-9}}, r"volume is negative at 2018-01-01T05:00Z"),
        ({"volume": {5: np.nan}}, r"volume is NaN in a bar with prices at 2018-01-01T05:00Z"),
        ({"high": {5: np.inf}}, r"infinite at 2018-01-01T05:00Z"),
        ({name: {5: np.nan} for name in COLUMNS[:4]}, r"volume without prices at 2018-01-01T05:00Z"),
    ],
)
def test_rows_that_cannot_be(changes, message):
    with pytest.raises(CandlesError, match=message):
        build(**changes)


def test_other_misuse():
    with pytest.raises(UnknownNameError, match=r"'1hour' is not a timeframe: did you mean '1h'\?"):
        build(timeframe="1hour")
    with pytest.raises(CandlesError, match=r"as long as the timestamps \(3,\)"):
        Candles.from_arrays("a", "b", "1h", START + HOUR * np.arange(3), *[np.ones(4)] * 5)
    with pytest.raises(CandlesError, match="open must be numbers"):
        Candles.from_arrays("a", "b", "1h", [START], ["x"], *[[1.0]] * 4)
    with pytest.raises(CandlesError, match="all 1 rows are NaN"):
        Candles.from_arrays("a", "b", "1h", [START], *[[np.nan]] * 5)
    with pytest.raises(CandlesError, match="exchange must be a name"):
        Candles.from_arrays("", "b", "1h", [START], *[[1.0]] * 5)
    plain = build()
    with pytest.raises(CandlesError, match="close must be float64"):
        plain._with({"close": plain.close.astype(np.float32)})


def test_nothing_can_be_written_and_nothing_is_shared_with_the_caller():
    close = 100.0 + np.arange(4)
    candles = Candles.from_arrays("a", "b", "1h", START + HOUR * np.arange(4), *[close] * 5)
    before = candles.fingerprint
    close[:] = 1.0
    assert candles.close[0] == 100.0
    assert Candles.from_arrays("a", "b", "1h", candles.timestamps, *[candles.close] * 5).fingerprint == before
    for name in ("timestamps", *COLUMNS, "flags"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(candles, name)[0] = 1
    view = close[:]
    view.flags.writeable = False  # read-only, but its owner can still write
    guarded = candles._with({"close": view})
    close[:] = 7.0
    assert guarded.close[0] == 1.0


def test_slices_share_memory_and_nothing_else_indexes():
    candles = damaged(1, 50, 0.2, 0.2)
    part = candles[10:20]
    assert len(part) == 10
    assert np.shares_memory(part.close, candles.close)
    assert np.array_equal(part.flags, candles.flags[10:20])
    assert candles[:] == candles
    assert part != candles
    assert candles[-5:].last_ms == candles.last_ms
    for wrong in (3, "close", slice(0, 10, 2)):
        with pytest.raises(CandlesError, match=r"candles\[a:b\]"):
            candles[wrong]
    with pytest.raises(CandlesError, match="has no bars"):
        candles[5:5]


def test_the_fingerprint_tells_every_difference_and_no_other():
    candles = damaged(3, 60, 0.1, 0.1)
    same = {name: getattr(candles, name).copy() for name in COLUMNS}
    same["volume"][same["volume"] == 0] = -0.0
    assert candles._with(same) == candles
    assert hash(candles._with(same)) == hash(candles)
    row = int(np.flatnonzero(~candles.missing)[5])
    for name in COLUMNS:
        changed = {name: getattr(candles, name).copy()}
        changed[name][row] = np.nextafter(changed[name][row], np.inf)
        assert candles._with(changed).fingerprint != candles.fingerprint
    assert candles[:-1].fingerprint != candles.fingerprint
    renamed = Candles.from_arrays(
        "test", "ETH/USD", "1h", candles.timestamps, *[getattr(candles, name) for name in COLUMNS]
    )
    assert renamed.fingerprint != candles.fingerprint
    assert candles != "candles"


def test_the_fingerprint_is_the_same_for_ever():
    candles = build()
    content = b'["quantlab.candles.1","kraken","BTC/USD","1h",10]' + struct.pack("<10q", *candles.timestamps)
    content += b"".join(struct.pack("<10d", *getattr(candles, name)) for name in COLUMNS)
    assert candles.fingerprint == hashlib.sha256(content).hexdigest()
    assert candles.fingerprint == "6602b703bc4268c95a6e19ac6a5dc93fa82bd0687ee60c19d7bf53c5b0e8d598"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_are_equal_and_read_only(duplicate):
    candles = damaged(2, 40, 0.1, 0.1)
    again = duplicate(candles)
    assert again == candles
    assert np.array_equal(again.flags, candles.flags)
    assert not again.close.flags.writeable


@settings(max_examples=40, deadline=None, derandomize=True)
@given(markets())
def test_a_frame_and_back(candles):
    frame = candles.to_frame()
    again = Candles.from_frame(
        frame.drop(columns="flags"), exchange=candles.exchange, symbol=candles.symbol, timeframe="1h"
    )
    assert again == candles
    assert np.array_equal(again.flags, candles.flags)
    frame.iloc[:, :] = 1
    assert again == candles  # the frame was a copy


def test_a_million_rows_are_checked_in_well_under_a_second():
    n = 1_000_000
    close = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 1e-3, n)))
    columns = (close, close * 1.001, close * 0.999, close, close)
    times = START + 60_000 * np.arange(n)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        Candles.from_arrays("a", "b", "1m", times, *columns)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 1.0


def test_pandas_is_not_imported_for_candles():
    program = "import sys, quantlab.market.candles; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_times_are_written_short():
    assert iso(START) == "2018-01-01T00:00Z"
    assert iso(START + 1) == "2018-01-01T00:00:00.001Z"
    assert step_ms("4h") == 4 * HOUR


@pytest.mark.parametrize("ms", [0, 1_512_086_400_000, 1_512_086_460_000, 1_512_086_460_123])
def test_moments_are_read_as_they_are_written(ms: int) -> None:
    assert parse_ms(iso(ms)) == ms


@pytest.mark.parametrize("moment", ["3rd of May", "now", "", "NaT", "2019-13-01", 2018])
def test_a_moment_that_is_none_is_named(moment: Any) -> None:
    assert parse_ms(None) is None
    with pytest.raises(CandlesError, match=f"got {moment!r}"):
        parse_ms(moment)
