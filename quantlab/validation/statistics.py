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


def timing_alpha_t(returns: np.ndarray, exposure: float | np.ndarray, market: np.ndarray) -> float:
    """t value of what the timing earned beyond holding an exposure all the time.

    ``sqrt(D) * mean(returns - exposure * market) / std(returns, ddof=1)``. A market that
    drifts up rewards whoever is long; this takes that reward away.

    Parameters
    ----------
    returns : float array, shape (D,)
        Simple returns per day after costs.
    exposure : float, or float array of shape (D,)
        Signed notional as a fraction of equity (short is negative) that is held instead. Of the whole record
        it is the mean over all bars. Of a part that was not searched it is better what was known before it:
        a rule that follows trends is long in a part that rises, so the mean of that very part would take
        away some of what it earned, and from a rule of reversion less than nothing.
    market : float array, shape (D,)
        Simple returns per day of the market itself.
    """
    spread = _spread(returns)
    if math.isnan(spread):
        return math.nan
    alpha = float(np.mean(returns)) - float(np.mean(exposure * market))
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


def expected_maximum(trials: float, spread: float) -> float:
    """Expected greatest Sharpe ratio of so many independent trials, none of which has an edge.

    Parameters
    ----------
    trials : float
        Number of independent trials, above 1; fewer give 0.
    spread : float
        Standard deviation of the trials' Sharpe ratios, per period.

    Source: Bailey & Lopez de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management
    40(5), equation 1.
    """
    from scipy.special import ndtri

    if not trials > 1.0:
        return 0.0
    high, higher = ndtri(1.0 - 1.0 / trials), ndtri(1.0 - 1.0 / (trials * math.e))
    return spread * float((1.0 - np.euler_gamma) * high + np.euler_gamma * higher)


def deflated_sharpe(
    ratio: float, days: int, skew: float, kurt: float, trials: float, spread: float | None = None
) -> float:
    """Probability that the true Sharpe ratio exceeds what the best of so many idle trials would show.

    Parameters
    ----------
    ratio, days, skew, kurt
        As of `probabilistic_sharpe`.
    trials : float
        Independent trials. Neighbouring cells are anything but independent: their plain number deflates too
        much, so it is reported and never decides.
    spread : float, optional
        Standard deviation of the trials' Sharpe ratios per period, measured; by default that of pure noise,
        ``sqrt(1 / (days - 1))``. A search that contains an edge spreads wider and deflates its own find.

    Source: Bailey & Lopez de Prado (2014), equation 2.
    """
    if days < 2:
        return math.nan
    noise = math.sqrt(1.0 / (days - 1)) if spread is None else spread
    return probabilistic_sharpe(ratio, days, skew, kurt, expected_maximum(trials, noise))


def minimum_track_record(
    ratio: float, skew: float, kurt: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Least number of returns with which `probabilistic_sharpe` reaches `confidence`; inf if none does.

    Parameters
    ----------
    ratio, benchmark : float
        Per period.
    skew, kurt : float
        Plain kurtosis.
    confidence : float

    Source: Bailey & Lopez de Prado (2012), equation 11.
    """
    from scipy.special import ndtri

    variance = 1.0 - skew * ratio + (kurt - 1.0) / 4.0 * ratio**2
    if math.isnan(variance) or not variance > 0.0:
        return math.nan
    if not ratio > benchmark:
        return math.inf
    return 1.0 + variance * float(ndtri(confidence) / (ratio - benchmark)) ** 2


def sharpe_of_autocorrelated(returns: np.ndarray, days_per_year: float = 365.0, lags: int = 10) -> float:
    """Annualised Sharpe ratio with the autocorrelation of the daily returns considered.

    ``sqrt(q)`` days in the root of a year become ``q / sqrt(q + 2 sum over k of (q - k) rho_k)``, k from 1 to
    `lags`: returns that follow each other make a year more uncertain than as many independent days.

    Parameters
    ----------
    returns : float array, shape (D,)
    days_per_year : float
    lags : int
        Autocorrelations that are estimated; the others count as 0.

    Returns
    -------
    float
        NaN where the Sharpe ratio is, or where the estimates leave no variance.

    Source: Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), equation 20.
    """
    ratio = sharpe(returns, 1.0)
    if math.isnan(ratio):
        return math.nan
    centred = returns - np.mean(returns)
    total = float(centred @ centred)
    variance = days_per_year
    for lag in range(1, min(lags, len(returns) - 1) + 1):
        correlation = float(centred[lag:] @ centred[:-lag]) / total
        variance += 2.0 * (days_per_year - lag) * correlation
    return ratio * days_per_year / math.sqrt(variance) if variance > 0.0 else math.nan


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
