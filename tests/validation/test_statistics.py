import math

import numpy as np
import purgedcv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from quantlab.validation.statistics import (
    binomial_interval,
    deflated_sharpe,
    expected_maximum,
    kurtosis,
    minimum_track_record,
    probabilistic_sharpe,
    psr,
    sharpe,
    sharpe_of_autocorrelated,
    skewness,
    timing_alpha_t,
    upper_p,
)

RETURNS = np.random.default_rng(5).standard_t(4, 900) * 0.01 + 0.0004


def test_probabilistic_sharpe_gives_the_published_numbers():
    """Bailey & Lopez de Prado (2012): 24 months, Sharpe .458, skew -2.448, kurtosis 10.164."""
    ratio = 0.458
    assert probabilistic_sharpe(ratio, 24, 0.0, 3.0) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(ratio, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)
    # Excess kurtosis in place of plain kurtosis, a known fault of the field, would be caught:
    assert abs(probabilistic_sharpe(ratio, 24, -2.448, 7.164) - 0.913) > 5e-3


def test_psr_takes_its_moments_from_the_returns():
    ratio = RETURNS.mean() / RETURNS.std(ddof=1)
    expected = probabilistic_sharpe(ratio, 900, stats.skew(RETURNS), stats.kurtosis(RETURNS, fisher=False))
    assert psr(RETURNS) == pytest.approx(expected, abs=1e-12)
    assert psr(-RETURNS) < 0.5 < psr(RETURNS)


def test_moments_against_scipy():
    assert skewness(RETURNS) == pytest.approx(stats.skew(RETURNS), abs=1e-12)
    assert kurtosis(RETURNS) == pytest.approx(stats.kurtosis(RETURNS, fisher=False), abs=1e-12)
    assert kurtosis(np.random.default_rng(1).normal(size=200_000)) == pytest.approx(3.0, abs=0.05)


def test_sharpe_by_hand_and_by_calendar():
    returns = np.array([0.01, -0.01, 0.02, 0.0])
    expected = 0.005 / math.sqrt(np.sum((returns - 0.005) ** 2) / 3)
    assert sharpe(returns) == pytest.approx(expected * math.sqrt(365))
    assert sharpe(returns, 252.0) == pytest.approx(expected * math.sqrt(252))


def test_timing_alpha_by_hand():
    strategy, market = np.array([0.02, 0.0, 0.01, -0.01]), np.array([0.01, 0.01, 0.03, -0.01])
    expected = 2 * (0.005 - 0.5 * 0.01) / strategy.std(ddof=1)
    assert timing_alpha_t(strategy, 0.5, market) == pytest.approx(expected, abs=1e-15)
    assert timing_alpha_t(strategy, 0.0, market) == pytest.approx(2 * 0.005 / strategy.std(ddof=1))


@given(arrays(float, 50, elements=st.floats(-0.05, 0.05)), st.floats(-1, 1))
def test_holding_a_constant_share_of_the_market_has_no_timing(market, share):
    held = share * market
    t = timing_alpha_t(held, share, market)
    assert math.isnan(t) or abs(t) < 1e-6


@pytest.mark.parametrize("returns", [np.array([]), np.array([0.01]), np.full(30, 0.1), np.zeros(30)])
def test_undefined_is_nan(returns):
    market = np.zeros(len(returns))
    for value in (
        sharpe(returns),
        timing_alpha_t(returns, 0.5, market),
        skewness(returns),
        kurtosis(returns),
        psr(returns),
    ):
        assert math.isnan(value)
    assert math.isnan(upper_p(math.nan))
    assert math.isnan(probabilistic_sharpe(2.0, 100, 5.0, 3.0))  # no distribution has these moments


def test_upper_p_against_scipy():
    for t in (-3.0, 0.0, 0.524, 1.645, 6.0):
        assert upper_p(t) == pytest.approx(stats.norm.sf(t), rel=1e-12)


def test_timing_t_is_standard_normal_where_there_is_no_timing():
    """Positions that know nothing, on a drifting market: p <= .05 in about 5 % of markets, not more."""
    rng = np.random.default_rng(11)
    market = rng.normal(0.002, 0.02, (4_000, 500))
    position = rng.integers(0, 2, (4_000, 500)).astype(float)
    returns = position * market
    p = [upper_p(timing_alpha_t(r, x.mean(), m)) for r, x, m in zip(returns, position, market, strict=True)]
    rate = np.mean(np.array(p) <= 0.05)
    naive = np.mean(
        [upper_p(timing_alpha_t(r, 0.0, m)) <= 0.05 for r, m in zip(returns, market, strict=True)]
    )
    assert rate < 0.06
    assert naive > 0.3


def test_binomial_interval_against_scipy_and_its_edges():
    for k, n in ((0, 200), (3, 200), (10, 200), (60, 60)):
        exact = stats.binomtest(k, n).proportion_ci(method="exact")
        assert binomial_interval(k, n) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert binomial_interval(0, 200)[0] == 0.0
    assert binomial_interval(60, 60)[1] == 1.0


def test_deflated_sharpe_gives_the_published_numbers():
    """Bailey & Lopez de Prado (2014): Sharpe 2.5 a year of 250 days, 1,250 days, skew -3, kurtosis 10."""
    spread = math.sqrt(0.5 / 250)
    assert expected_maximum(100, spread) == pytest.approx(0.1132, abs=5e-5)
    ratio = 2.5 / math.sqrt(250)
    assert deflated_sharpe(ratio, 1_250, -3.0, 10.0, 100, spread) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(ratio, 1_250, -3.0, 10.0, 46, spread) == pytest.approx(0.9505, abs=5e-5)


def test_one_trial_deflates_nothing_and_more_trials_deflate_more():
    few = [deflated_sharpe(0.08, 900, -0.2, 5.0, n) for n in (1, 2, 10, 100, 10_000)]
    assert few[0] == probabilistic_sharpe(0.08, 900, -0.2, 5.0)
    assert sorted(few, reverse=True) == few
    assert math.isnan(deflated_sharpe(0.08, 1, 0.0, 3.0, 10))


def test_expected_maximum_is_that_of_simulated_trials():
    drawn = np.random.default_rng(0).normal(0, 0.3, (20_000, 50)).max(axis=1)
    assert expected_maximum(50, 0.3) == pytest.approx(drawn.mean(), rel=0.02)


@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_minimum_track_record_gives_the_published_numbers(per_year, years):
    """Bailey & Lopez de Prado (2012): years until an annual Sharpe of 2 is known to be above 1, at 95 %."""
    one = 1 / math.sqrt(per_year)
    assert minimum_track_record(2 * one, 0.0, 3.0, one) / per_year == pytest.approx(years, abs=0.005)


def test_minimum_track_record_is_where_the_probability_reaches_the_confidence():
    days = minimum_track_record(0.07, -0.5, 6.0, 0.02, 0.9)
    assert probabilistic_sharpe(0.07, days, -0.5, 6.0, 0.02) == pytest.approx(0.9)
    assert minimum_track_record(0.02, 0.0, 3.0, 0.02) == math.inf
    assert math.isnan(minimum_track_record(math.nan, 0.0, 3.0))


def test_other_libraries_agree_on_deflation():
    ratio = RETURNS.mean() / RETURNS.std(ddof=1)
    skew, kurt = stats.skew(RETURNS), stats.kurtosis(RETURNS, fisher=False)
    theirs = purgedcv.deflated_sharpe_ratio(RETURNS, 30, 0.001)
    assert deflated_sharpe(ratio, 900, skew, kurt, 30, math.sqrt(0.001)) == pytest.approx(theirs, abs=2e-3)
    length = purgedcv.min_track_record_length(0.3, 0.1, 0.05, -1.0, 7.0)
    assert math.ceil(minimum_track_record(0.3, -1.0, 7.0, 0.1)) == pytest.approx(length, abs=1)


def test_autocorrelation_changes_a_year_as_lo_has_it():
    """AR(1) returns: the variance of a sum over a year is known; a long sample must come near it."""
    rng, phi, days = np.random.default_rng(1), 0.2, 400_000
    noise = rng.normal(0.0005, 0.01, days)
    returns = np.empty(days)
    returns[0] = noise[0]
    for t in range(1, days):
        returns[t] = phi * returns[t - 1] + noise[t]
    year = 365
    variance = year + 2 * sum((year - k) * phi**k for k in range(1, year))
    expected = sharpe(returns, 1.0) * year / math.sqrt(variance)
    assert sharpe_of_autocorrelated(returns) == pytest.approx(expected, rel=0.02)
    assert sharpe_of_autocorrelated(returns) < 0.9 * sharpe(returns)
    alone = rng.permutation(returns)
    assert sharpe_of_autocorrelated(alone) == pytest.approx(sharpe(alone), rel=0.02)
    assert sharpe_of_autocorrelated(alone, lags=0) == pytest.approx(sharpe(alone))
    assert math.isnan(sharpe_of_autocorrelated(np.zeros(10)))
