"""Regimes bar by bar: no look ahead, ignorance where nothing is known, right where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regime_markets import changed, three_states

import quantlab as ql
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.synthetic import garch
from quantlab.regimes import DURATION_BARS, REGIMES, UNKNOWN, Regimes, detect, fit, fixed

BTC = ql.sample_candles()[:4_000]
ARRAYS = ("timestamps", "probability", "label", "trend_z", "vol_percentile", "weights")
DERIVED = ("confidence", "entropy", "bars_in_regime")
SHORT = fit(garch(900, seed=8), 40)


def prefix(regimes: Regimes, bars: int) -> list[bytes]:
    return [getattr(regimes, name)[:bars].tobytes() for name in (*ARRAYS, *DERIVED)]


@st.composite
def markets(draw):
    """Candles with a lost stretch and a wild one."""
    candles = garch(draw(st.integers(60, 900)), seed=draw(st.integers(0, 1_000)))
    first = draw(st.integers(1, len(candles) - 2))
    lost = slice(first, first + draw(st.integers(0, 50)))
    return changed(changed(candles, wild=slice(draw(st.integers(0, len(candles) - 2)), None)), lost=lost)


@given(markets(), st.floats(0.05, 1.0), st.sampled_from(["fixed", "three", "fitted", "refitted"]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_regimes_of_a_prefix_are_the_prefix_of_the_regimes(candles, share, how):
    options = {
        "fixed": {"duration_bars": 30},
        "three": {"duration_bars": 60, "states": REGIMES[:3]},
        "fitted": {"model": SHORT},
        "refitted": {"duration_bars": 20, "refit_bars": 150},
    }[how]
    bars = max(2, int(share * len(candles)))
    whole, part = detect(candles, **options), detect(candles[:bars], **options)
    assert prefix(whole, bars) == prefix(part, bars)
    assert whole.at(bars - 1) == pytest.approx(part.at(-1), nan_ok=True)


@pytest.mark.parametrize("future", ["wild", "lost"])
def test_no_future_reaches_back(future):
    whole = detect(BTC)
    other = detect(changed(BTC, **{future: slice(2_500, None)}))
    assert prefix(whole, 2_500) == prefix(other, 2_500)
    assert not np.array_equal(whole.probability[2_500:], other.probability[2_500:])


@given(markets())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_every_bar_has_a_distribution(candles):
    found = detect(candles, duration_bars=30)
    assert found.probability.shape == (len(candles), 4)
    np.testing.assert_allclose(found.probability.sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=1e-9)
    assert (found.probability >= 0.0).all()
    known = found.label != UNKNOWN
    assert (found.label[known] == found.probability[known].argmax(axis=1)).all()
    assert (found.probability[~known] == 0.25).all()
    assert ((found.entropy >= 0.0) & (found.entropy <= np.log(4) + 1e-12)).all()
    percentile = found.vol_percentile[np.isfinite(found.vol_percentile)]
    assert ((percentile > 0.0) & (percentile <= 1.0)).all()


def test_nothing_is_said_in_the_warm_up():
    found = detect(BTC)
    window = found.model.window
    first = int(np.argmax(found.label != UNKNOWN))
    assert window < first <= 2 * window + 1 + int(BTC.missing[: 2 * window].sum())
    assert (found.label[first:] != UNKNOWN).all()
    assert found.name(0) is None
    assert found.at(0)["label"] is None
    assert found.share["unknown"] == pytest.approx(first / len(BTC))
    assert sum(found.share.values()) == pytest.approx(1.0)


def test_bars_of_the_training_window_have_no_label():
    candles, _ = three_states(9_000)
    model = fit(candles[:6_000])
    found = detect(candles, model)
    assert model.separated
    assert model.fitted_until_ms == candles.timestamps[5_999]
    assert (found.label[:6_000] == UNKNOWN).all()
    assert (found.label[6_000:] != UNKNOWN).all()
    assert found.probability[0] == pytest.approx(model.base, abs=0)


def test_each_stretch_is_labelled_by_a_model_of_its_past():
    found = detect(BTC, refit_bars=3_000)
    (zero, first), (start, second) = found.models
    assert (zero, start, first.fitted_until_ms) == (0, 3_000, None)
    assert second == fit(BTC[:3_000])
    assert prefix(found, 3_000) == prefix(detect(BTC[:3_000]), 3_000)
    alone = detect(BTC, second)
    assert found.probability[3_000:].tobytes() == alone.probability[3_000:].tobytes()
    assert found.at(2_999)["detector"] == first.id != found.at(3_000)["detector"] == second.id
    assert found.to_frame()["detector"].tolist() == [first.id] * 3_000 + [second.id] * 1_000


def test_known_states_are_found():
    candles, state = three_states(24_000)
    half = len(candles) // 2
    model = fit(candles[:half], states=REGIMES[:3])
    found = detect(candles, model)
    right, base = found.label[half:] == state[half:], np.bincount(state[half:]).max() / half
    assert right.mean() > 0.8 > base + 0.3
    seen = found.probability[half:][np.arange(half), state[half:]]
    assert -np.log(seen).mean() < 0.55
    assert fixed(states=REGIMES[:3]).mean[0] < model.mean[0]


def test_without_states_there_is_only_the_base_rate():
    candles, _ = three_states(12_000, drift=0.0, spread=(1.0, 1.0, 1.0))
    model = fit(candles[:6_000])
    assert not model.separated
    assert model.reason
    found = detect(candles, model)
    assert (found.label == UNKNOWN).all()
    assert (found.probability == 0.25).all()
    assert (found.weights == [0.0, 0.0, 1.0]).all()


def test_states_in_the_wrong_order_are_no_regimes():
    upside_down, _ = three_states(12_000, drift=-0.15, spread=(0.6, 1.4, 0.9))
    assert "order" in fit(upside_down, states=REGIMES[:3]).reason


def test_a_lost_stretch_is_forgotten_slowly():
    lost = detect(changed(BTC, lost=slice(3_000, None)))
    sure = lost.confidence[2_999:]
    assert lost.label[2_999] == lost.label[3_010]
    assert sure[0] > sure[100] > sure[900]
    assert np.isnan(lost.trend_z[3_200:]).all()


def test_prices_in_another_unit_say_the_same():
    columns = {name: getattr(BTC, name) * 4.0 for name in ("open", "high", "low", "close")}
    scaled = ql.Candles.from_arrays("x", "Y/Z", "1h", BTC.timestamps, *columns.values(), BTC.volume)
    assert detect(scaled).label.tobytes() == detect(BTC).label.tobytes()
    np.testing.assert_allclose(detect(scaled).probability, detect(BTC).probability, atol=1e-9)


def test_a_market_that_stands_still_has_no_regime():
    flat = garch(600, seed=1)
    columns = [np.full(600, 5.0)] * 4
    flat = ql.Candles.from_arrays("x", "Y/Z", "1h", flat.timestamps, *columns, np.zeros(600))
    found = detect(flat, duration_bars=40)
    assert (found.label == UNKNOWN).all()
    assert np.isnan(found.trend_z).all()


def test_bars_in_a_regime_are_counted():
    label = np.array([-1, -1, 0, 0, 0, 2, 0, 0])
    one = np.zeros(8)
    found = Regimes(((0, fixed()),), one, np.full((8, 4), 0.25), label, one, one, np.zeros((8, 3)))
    assert found.bars_in_regime.tolist() == [1, 2, 1, 2, 3, 1, 1, 2]


def test_the_frame_has_the_columns_of_a_bar():
    found = detect(BTC)
    frame = found.to_frame()
    row = frame.iloc[-1].to_dict()
    last = found.at()
    assert set(frame.columns) == set(last) - {"fitted_until_ms"}
    assert {name: last[name] for name in row} == row
    assert frame.index.name == "timestamp"
    assert frame["label"].cat.categories.tolist() == list(REGIMES)
    assert frame["label"].isna().sum() == (found.label == UNKNOWN).sum()
    assert last["confidence"] == max(last[f"p_{name}"] for name in REGIMES)
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert "bull" in repr(found)


def test_the_duration_follows_from_the_timeframe():
    for timeframe, bars in DURATION_BARS.items():
        candles = garch(400, seed=1, timeframe=timeframe)
        assert detect(candles).model.duration_bars == bars
        assert detect(candles, duration_bars=44).model.duration_bars == 44


def test_a_model_is_named_by_its_parameters():
    models = [fixed(), fixed(400), fixed(states=REGIMES[:3]), fit(BTC[:3_000]), fit(BTC[:3_001])]
    assert len({model.id for model in models}) == len(models)
    assert fixed().id == fixed(500, REGIMES[::-1]).id
    assert fixed().stay == 0.998


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: fixed(10), "`duration_bars` must be a whole number from 20 on, got 10"),
        (lambda: fixed(50.0), r"got 50\.0"),
        (lambda: fixed(states=["bull"]), "at least two different regimes"),
        (lambda: fixed(states=["bull", "bull"]), "at least two different regimes"),
        (lambda: fit(BTC[:2_999]), "at least 3,000 bars .* got 2,999"),
        (lambda: detect(BTC, fixed(), duration_bars=30), "give it alone"),
        (lambda: detect(BTC, fixed(), refit_bars=5_000), "give it alone"),
        (lambda: detect(BTC, refit_bars=2_000), "at least 3,000, 6 expected durations, got 2000"),
    ],
)
def test_what_makes_no_sense_is_refused(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_an_unknown_regime_is_suggested():
    with pytest.raises(UnknownNameError, match="did you mean 'bull'"):
        fixed(states=["bul", "bear"])
