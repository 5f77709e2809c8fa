import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantlab.figures.colours import DIVERGING, SEQUENTIAL, UNDEFINED, colour_scale, significant
from quantlab.figures.labels import metric_style, metric_text, number_text, plain, value_texts
from quantlab.figures.thin import group_candles, thin

FLOATS = st.floats(-1e12, 1e12, allow_subnormal=False)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e9, 1e9) | st.just(np.nan)))
def test_limits_are_ordered_and_symmetric_for_any_values(z):
    scale = colour_scale(z, "sharpe")
    assert scale.low < scale.high
    assert scale.low == -scale.high
    finite = z[np.isfinite(z)]
    assert scale.clipped_high == bool((finite > scale.high).any())
    plain_scale = colour_scale(z, "win_rate")
    assert plain_scale.low < plain_scale.high


def test_outliers_do_not_flatten_the_rest_and_the_extreme_is_kept_when_it_is_near():
    z = np.linspace(-1, 1, 101)
    assert colour_scale(z, "sharpe").high == 1.0
    z[0] = 1e6
    assert colour_scale(z, "sharpe").high <= 1.0
    assert colour_scale(z, "sharpe").clipped_high
    assert colour_scale(np.append(z, -1e6), "trades").low >= -1.0


def test_a_profit_factor_turns_colour_at_one():
    scale = colour_scale(np.array([0.5, 1.2, 1.4]), "profit_factor")
    assert (scale.low + scale.high) / 2 == 1.0
    assert scale.colour(1.0) == DIVERGING[5]
    assert scale.colours is DIVERGING
    assert colour_scale(np.array([0.1]), "exposure").colours is SEQUENTIAL


def test_colours_at_the_ends_between_and_undefined():
    scale = colour_scale(np.array([-2.0, 2.0]), "sharpe")
    assert scale.colour(-5.0) == DIVERGING[0]
    assert scale.colour(2.0) == DIVERGING[-1]
    assert scale.colour(np.nan) == UNDEFINED
    assert UNDEFINED not in DIVERGING + SEQUENTIAL
    between = scale.colour(0.2)
    assert between not in DIVERGING


def luminance(colour):
    return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.2126, 1), (0.7152, 3), (0.0722, 5)))


def test_the_scales_stay_ordered_without_colour():
    dark_to_light = [luminance(c) for c in DIVERGING[:6]]
    light_to_dark = [luminance(c) for c in DIVERGING[5:]]
    assert dark_to_light == sorted(dark_to_light)
    assert light_to_dark == sorted(light_to_dark, reverse=True)
    assert [luminance(c) for c in SEQUENTIAL] == sorted(map(luminance, SEQUENTIAL), reverse=True)


@given(arrays(np.float64, 8, elements=FLOATS))
def test_rounding_keeps_six_digits_and_is_stable(values):
    rounded = significant(values)
    np.testing.assert_allclose(rounded, values, rtol=5.1e-6, atol=0)
    np.testing.assert_array_equal(significant(rounded), rounded)


def test_rounding_removes_the_last_bits_and_what_cannot_be_drawn():
    np.testing.assert_array_equal(
        significant([0.1 + 0.2, 123456.789, 5e-324, 0.0]), [0.3, 123457.0, 5e-324, 0.0]
    )
    assert np.isnan(significant([np.nan, np.inf, -np.inf])).all()
    assert significant(1.7e308) == pytest.approx(1.7e308)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("net_profit", -0.1234, "−12.3%"),
        ("sharpe", 1.239, "1.24"),
        ("trades", 1234.0, "1,234"),
        ("sharpe", float("nan"), "–"),
        ("sharpe", None, "–"),
        ("break_even_cost_bps", 12.34, "12.3"),
        ("anything", 201_600, "201,600"),
        ("anything", 0.00051234567, "0.000512346"),
        ("anything", "text", "text"),
        ("anything", True, "yes"),
    ],
)
def test_metric_text(name, value, text):
    assert metric_text(name, value) == text


def test_number_text_is_short():
    assert number_text(1234.5678) == "1,234.57"
    assert number_text(-3) == "−3"
    assert number_text(float("inf")) == "–"


def test_every_metric_of_the_engine_has_a_style():
    from quantlab.backtest.metrics import METRICS

    for name in METRICS:
        assert metric_style(name).label != name.replace("_", " ") or metric_style(name) != metric_style(
            "unheard_of"
        )
        assert metric_style(name).form != "number", name


def test_value_texts_differ_where_values_do():
    assert value_texts([0.1, 0.30000000000000004, 2]) == ["0.1", "0.3", "2"]
    assert value_texts([1.0000001, 1.0000002]) == ["1.0000001", "1.0000002"]
    assert value_texts(np.array(["long", "both"])) == ["long", "both"]
    assert plain("<b>&") == "&lt;b&gt;&amp;"


@given(
    arrays(np.float64, st.integers(1, 3000), elements=st.floats(-1e6, 1e6) | st.just(np.nan)),
    st.integers(2, 200),
)
def test_thinning_keeps_ends_and_extremes(values, limit):
    kept = thin((values, -values), limit)
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= max(len(values) if len(values) <= limit else 0, 2 * limit + 10)
    if np.isfinite(values).any():
        assert np.nanmax(values[kept]) == np.nanmax(values)
        assert np.nanmin(values[kept]) == np.nanmin(values)


def test_merged_candles_skip_missing_ones():
    nan = np.nan
    o, h, low, c = (
        np.array([nan, 2.0, nan, nan, 5.0]),
        np.array([nan, 3.0, nan, nan, 9.0]),
        np.array([nan, 1.0, nan, nan, 4.0]),
        np.array([nan, 2.5, nan, nan, 6.0]),
    )
    (times, *prices), size = group_candles((np.arange(5), o, h, low, c), 3)
    assert size == 2
    assert times.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(
        prices, [[2.0, nan, 5.0], [3.0, nan, 9.0], [1.0, nan, 4.0], [2.5, nan, 6.0]]
    )
