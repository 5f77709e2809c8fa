"""The kernels of the regimes against plain oracles, on markets with lost, quiet and wild bars."""

import naive_regimes as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.market.synthetic import garch
from quantlab.regimes import REGIMES, fixed
from quantlab.regimes.kernels import expanding_share, fit_states, mix, observe


@st.composite
def closes(draw):
    """Prices with lost bars, standstill and jumps."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(1, 120))
    steps = rng.standard_t(3, n) * draw(st.sampled_from([0.0, 1e-6, 0.01, 0.3]))
    steps[rng.random(n) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    close = 100.0 * np.exp(np.cumsum(steps))
    close[rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.6]))] = np.nan
    return close


@given(closes(), st.sampled_from([(0.9, 5, 3), (0.999, 12, 2), (0.5, 2, 2)]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_what_is_observed(close, how):
    found, expected = observe(close, *how), naive.observe(close, *how)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@given(st.lists(st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.5, np.nan]), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_shares_so_far(values):
    values = np.array(values)
    ranks = np.full(len(values), -1)
    known = np.isfinite(values)
    ranks[known] = np.unique(values[known], return_inverse=True)[1]
    np.testing.assert_allclose(expanding_share(ranks), naive.expanding_share(values), rtol=1e-15)


@given(closes(), st.sampled_from([REGIMES, REGIMES[:3], REGIMES[2:]]), st.integers(20, 60))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_filter_and_its_mixture(close, states, duration):
    model = fixed(duration, states)
    seen = observe(close, model.decay, model.window, model.vol_window)
    arguments = (seen[0], seen[1], seen[3], np.array(model.mean), np.array(model.sd), model.stay)
    arguments += (np.array(model.base), model.toward, model.forget)
    for ours, theirs in zip(mix(*arguments), naive.mix(*arguments), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("states", [REGIMES, REGIMES[:3]])
def test_one_round_of_the_fit(lost, states):
    model = fixed(50, states)
    seen = observe(garch(700, seed=3).close, model.decay, model.window, model.vol_window)[0]
    seen[np.random.default_rng(1).random(700) < lost] = np.nan
    start = (np.array(model.mean), np.array(model.sd), model.stay, 50.0)
    for ours, theirs in zip(fit_states(seen, *start, 1, 0.0), naive.fit_once(seen, *start), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_the_fit_finds_what_was_planted():
    rng = np.random.default_rng(5)
    state = (np.arange(40_000) // 400) % 2
    mean, sd = np.array([0.2, -0.2]), np.array([0.6, 1.5])
    x = mean[state] + sd[state] * rng.standard_t(4, state.size) / np.sqrt(2)
    found = fit_states(x, np.array([0.05, -0.05]), np.array([0.9, 1.1]), 0.998, 400.0, 60, 1e-6)
    np.testing.assert_allclose(found[0], mean, atol=0.02)
    np.testing.assert_allclose(found[1], sd, rtol=0.05)
    np.testing.assert_allclose(found[2], [0.5, 0.5], atol=0.01)


def test_a_return_beyond_all_measure_is_survived():
    model = fixed(20)
    x = np.concatenate([np.zeros(5), [1e200, -1e308], np.zeros(5)])
    found = mix(
        x, x * 0, x * 0 + 1, *map(np.array, (model.mean, model.sd)), model.stay, np.array(model.base),
        model.toward, model.forget,
    )  # fmt: skip
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[0].sum(axis=1), 1.0, rtol=1e-12)
