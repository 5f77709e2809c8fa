"""Statistics of daily returns: pure functions, arrays in, a number out, NaN where undefined.

Every function takes simple returns per day, shape ``(D,)``. Fewer than two days, or returns without
any variation, give NaN: never 0.
"""

from __future__ import annotations

import math

import numpy as np


def sharpe(returns: np.ndarray, days_per_year: float = 365.0) -> float:
    """Annualised Sharpe ratio ``mean / std(ddof=1) * sqrt(days_per_year)`` against a rate of zero.

    Parameters
    ----------
    returns : float array, shape (D,)
        Simple returns per day.
    days_per_year : float
        Calendar: 365 for a market that never closes.

    Source: Sharpe (1994), "The Sharpe Ratio".
    """
    spread = _spread(returns)
    return math.nan if math.isnan(spread) else float(np.mean(returns) / spread * math.sqrt(days_per_year))


def timing_alpha_t(returns: np.ndarray, mean_exposure: float, market: np.ndarray) -> float:
    """t value of what the timing earned beyond holding its mean exposure all the time.

    ``sqrt(D) * (mean(returns) - mean_exposure * mean(market)) / std(returns, ddof=1)``. A market that
    drifts up rewards whoever is long; this takes that reward away.

    Parameters
    ----------
    returns : float array, shape (D,)
        Simple returns per day after costs.
    mean_exposure : float
        Mean over all bars of signed notional as a fraction of equity (short is negative).
    market : float array, shape (D,)
        Simple returns per day of the market itself.
    """
    spread = _spread(returns)
    if math.isnan(spread):
        return math.nan
    alpha = float(np.mean(returns)) - mean_exposure * float(np.mean(market))
    return math.sqrt(len(returns)) * alpha / spread


def upper_p(t: float) -> float:
    """Chance that a standard normal exceeds `t` (one-sided p-value); NaN for NaN."""
    return math.nan if math.isnan(t) else 0.5 * math.erfc(t / math.sqrt(2.0))


def skewness(returns: np.ndarray) -> float:
    """Third standardised moment, population form (0 for a symmetric distribution)."""
    return _standard_moment(returns, 3)


def kurtosis(returns: np.ndarray) -> float:
    """Fourth standardised moment, population form: **plain** kurtosis, 3 for a normal distribution."""
    return _standard_moment(returns, 4)


def probabilistic_sharpe(ratio: float, days: int, skew: float, kurt: float, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`, skew and fat tails considered.

    Parameters
    ----------
    ratio : float
        Observed Sharpe ratio **per period**, not annualised.
    days : int
        Number of returns it was measured on.
    skew : float
    kurt : float
        Plain kurtosis (3 for a normal distribution). With excess kurtosis the formula is wrong.
    benchmark : float
        Per period.

    Returns
    -------
    float
        In [0, 1]; NaN with fewer than two returns or moments that no distribution has.

    Source: Bailey & Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2).
    """
    variance = 1.0 - skew * ratio + (kurt - 1.0) / 4.0 * ratio**2
    if days < 2 or not variance > 0.0:
        return math.nan
    return 1.0 - upper_p((ratio - benchmark) * math.sqrt(days - 1) / math.sqrt(variance))


def psr(returns: np.ndarray) -> float:
    """`probabilistic_sharpe` of daily returns against zero, moments taken from the returns."""
    spread = _spread(returns)
    if math.isnan(spread):
        return math.nan
    ratio = float(np.mean(returns)) / spread
    return probabilistic_sharpe(ratio, len(returns), skewness(returns), kurtosis(returns))


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share: exact, never shorter than it says.

    Source: Clopper & Pearson (1934), Biometrika 26.
    """
    from scipy.stats import beta

    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1.0 - tail, successes + 1, trials - successes))
    return low, high


def _spread(returns: np.ndarray) -> float:
    if len(returns) < 2:
        return math.nan
    spread = float(np.std(returns, ddof=1))
    return spread if spread > 0.0 and np.ptp(returns) > 0.0 else math.nan


def _standard_moment(returns: np.ndarray, order: int) -> float:
    if math.isnan(_spread(returns)):
        return math.nan
    centred = returns - np.mean(returns)
    return float(np.mean(centred**order) / np.mean(centred**2) ** (order / 2))
