import numpy as np
import pytest
from hypothesis import given, settings
from market_cases import damaged, markets

from quantlab.market.anomalies import REASONS, robust_scale
from quantlab.market.candles import COLUMNS, SUSPICIOUS, Candles
from quantlab.market.quality import Quality
from quantlab.market.synthetic import garch, iid

HOUR = 3_600_000


def changed(candles, **rows):
    """Rebuild candles after `edit[name] = {row: value}`."""
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    for name, edits in rows.items():
        for row, value in edits.items():
            columns[name][row] = value
    return Candles.from_arrays("test", "BTC/USD", candles.timeframe, candles.timestamps, **columns)


def flat_at(price, row):
    return {name: {row: price} for name in COLUMNS[:4]} | {"volume": {row: 0.0}}


def found(candles):
    """Suspicious rows by reason."""
    return {
        reason: [(ms - candles.first_ms) // candles.step_ms for ms in times]
        for reason, times in candles.quality().suspicious.items()
    }


@pytest.fixture(scope="module")
def clean():
    candles = iid(2000, seed=3)
    assert found(candles) == {}
    return candles


@settings(max_examples=40, deadline=None, derandomize=True)
@given(markets())
def test_counts_are_those_of_the_flags_and_every_suspicion_has_a_reason(candles):
    quality = candles.quality()
    assert quality.bars == len(candles)
    assert quality.missing == sum(gap.bars for gap in quality.gaps) == np.isnan(candles.close).sum()
    assert quality.no_trade <= quality.flat
    flagged = candles.timestamps[(candles.flags & SUSPICIOUS) > 0].tolist()
    assert sorted({ms for times in quality.suspicious.values() for ms in times}) == flagged
    assert set(quality.suspicious) <= set(REASONS)
    assert str(quality).startswith("test BTC/USD 1h\n")


def test_gaps_are_listed_in_time_order():
    candles = damaged(1, 40, 0, 0)
    nan = dict.fromkeys((3, 4, 5, 20), np.nan)
    candles = changed(candles, **dict.fromkeys(COLUMNS, nan))
    gaps = candles.quality().gaps
    assert [((gap.first_ms - candles.first_ms) // HOUR, gap.bars) for gap in gaps] == [(3, 3), (20, 1)]
    assert candles.quality().rows()[1] == (
        "missing",
        "4 (10.00%)",
        "2018-01-01T03:00Z (3 bars), 2018-01-01T20:00Z (1 bars)",
    )


def test_a_spike_that_reverts_is_found_and_one_that_stays_is_not(clean):
    price = clean.close[999] * 1.5
    spiked = changed(clean, high={1000: price}, close={1000: price}, open={}, volume={})
    assert found(spiked)["spike"] == [1000]
    partly = {"high": {1000: price}, "close": {1000: price}}
    after = {name: getattr(clean, name).copy() for name in COLUMNS}
    for name in COLUMNS[:4]:
        after[name][1001:] *= 1.2
    half = Candles.from_arrays("a", "b", "1h", clean.timestamps, **after)
    assert "spike" not in found(changed(half, **partly))
    stays = {name: getattr(clean, name).copy() for name in COLUMNS}
    for name in COLUMNS[:4]:
        stays[name][1000:] *= 1.5
    assert found(Candles.from_arrays("a", "b", "1h", clean.timestamps, **stays)) == {}


def test_a_wick_far_from_its_body_is_found(clean):
    assert found(changed(clean, low={500: clean.low[500] * 0.6})) == {"wick": [500]}
    assert found(changed(clean, high={501: clean.high[501] * 1.6})) == {"wick": [501]}


def test_sentinel_rows_at_the_ends_are_found(clean):
    first = changed(clean, open={0: clean.open[0] * 3}, high={0: clean.open[0] * 3})
    assert 0 in found(first)["end"]
    last = changed(clean, **{name: {1999: clean.close[1998] * 4} for name in COLUMNS[:4]})
    assert found(last)["end"] == [1999]
    times = clean.timestamps.copy()
    times[-1] += 50 * 24 * HOUR  # the last line jumps fifty days
    stray = Candles.from_arrays("a", "b", "1h", times, *[getattr(clean, name) for name in COLUMNS])
    assert found(stray) == {"end": [1999 + 50 * 24]}


def test_a_repeated_bar_is_found(clean):
    assert found(changed(clean, **{name: {700: getattr(clean, name)[699]} for name in COLUMNS})) == {
        "repeated": [700]
    }


def test_volume_that_contradicts_prices_is_found(clean):
    assert found(changed(clean, volume={100: 0.0})) == {"moved without volume": [100]}
    assert found(changed(clean, **flat_at(clean.close[99], 100))) == {}
    elsewhere = changed(clean, **flat_at(clean.close[99] * 1.001, 100))
    assert found(elsewhere) == {"quiet elsewhere": [100]}


def test_an_outage_that_was_filled_is_found_only_where_quiet_bars_are_rare(clean):
    price = clean.close[299]
    edits = {name: dict.fromkeys(range(300, 304), price) for name in COLUMNS[:4]}
    edits["volume"] = dict.fromkeys(range(300, 304), 0.0)
    assert found(changed(clean, **edits)) == {"filled outage": [300, 301, 302, 303]}
    assert "filled outage" not in damaged(3, 400, 0, 0.6).quality().suspicious


def test_invented_opens_and_an_unclosed_last_bar_are_noted(clean):
    assert clean.quality().notes == ()
    opens = np.concatenate((clean.open[:1], clean.close[:-1]))
    columns = {name: getattr(clean, name) for name in COLUMNS} | {"open": opens}
    columns["high"] = np.maximum(columns["high"], opens)
    columns["low"] = np.minimum(columns["low"], opens)
    columns["volume"] = np.where(np.arange(2000) == 1999, 1.0, columns["volume"])
    quality = Candles.from_arrays("a", "b", "1h", clean.timestamps, **columns).quality()
    assert quality.invented_opens == 1.0
    assert [note.split()[0] for note in quality.notes] == ["100.0%", "The"]
    assert "fills at the next open meet no gap" in quality._repr_html_()


def test_fat_tails_are_not_called_spikes():
    share = np.mean([np.mean(garch(5000, seed=seed).flags & SUSPICIOUS > 0) for seed in range(10)])
    assert share < 1e-3


def test_one_and_two_bars():
    for n in (1, 2):
        times = HOUR * np.arange(n)
        quality = Candles.from_arrays("a", "b", "1h", times, *[np.ones(n)] * 5).quality()
        assert isinstance(quality, Quality)
        assert np.isnan(quality.invented_opens) == (n == 1)
        assert quality.bars == n


def test_html_is_escaped():
    candles = Candles.from_arrays("<b>", "x&y", "1h", [0], *[[1.0]] * 5)
    page = candles._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt; x&amp;y" in page


def test_the_robust_scale_is_that_of_normal_moves():
    moves = np.random.default_rng(0).normal(0, 0.01, 5000)
    moves[::50] = 1.0
    assert np.median(robust_scale(moves)) == pytest.approx(0.0105, rel=0.1)
    assert (robust_scale(np.zeros(10)) == 0).all()
    assert (robust_scale(np.full(10, np.nan)) == 0).all()
