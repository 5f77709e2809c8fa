"""A market made of random numbers whose volatility clusters and whose returns are skewed; see `synthetic`."""

from __future__ import annotations

import math

import numpy as np

from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.market.synthetic import Floats, bars_a_year, generators, make_market


def skewed(
    n_bars: int = 5_000,
    *,
    timeframe: str = "1h",
    seed: int = 0,
    annual_vol: float = 0.6,
    annual_drift: float = 0.0,
    alpha: float = 0.03,
    gamma: float = 0.08,
    beta: float = 0.90,
    degrees: float = 5.0,
    skew: float = 0.85,
) -> Candles:
    """Make a market whose volatility clusters, more after falls, and whose shocks are skewed: no edge.

    What neither null of the gate keeps whole: a mirrored market is symmetric, a shuffled one has no clusters.

    Parameters
    ----------
    n_bars, timeframe, seed, annual_vol, annual_drift
        As in `garch`.
    alpha, gamma, beta : float
        Weight of the last squared shock, what a negative one has besides, and of the last variance.
    degrees : float
        Degrees of freedom of the Student-t shocks before they are skewed, above 2.
    skew : float
        1 is symmetric; below it falls are larger and rarer than rises.

    Returns
    -------
    Candles
        ``synthetic``, ``SKEWED-<seed>/USD``.

    Raises
    ------
    InputError
        As in `iid`, or a process without a variance.

    References
    ----------
    L. Glosten, R. Jagannathan, D. Runkle, "On the relation between the expected value and the volatility of
    the nominal excess return on stocks", Journal of Finance 48 (1993); C. Fernandez, M. Steel, "On Bayesian
    modeling of fat tails and skewness", Journal of the American Statistical Association 93 (1998).
    """
    from quantlab.market.kernels import gjr_volatility

    if not (min(alpha, gamma, beta) >= 0 and skew > 0 and degrees > 2):
        raise InputError(
            f"a skewed market needs alpha, gamma, beta >= 0, skew > 0 and degrees > 2, got alpha={alpha}, "
            f"gamma={gamma}, beta={beta}, skew={skew}, degrees={degrees}."
        )
    path, bars = generators(n_bars, seed, annual_vol, annual_drift)
    shocks, below = _skewed_shocks(path, n_bars, degrees, skew)
    if not alpha + gamma * below + beta < 1:
        raise InputError(
            f"a skewed market needs alpha + {below:.2f} gamma + beta < 1 to have a variance, got "
            f"{alpha + gamma * below + beta:.3f}."
        )
    vol = gjr_volatility(shocks, alpha, gamma, beta, below) * annual_vol / np.sqrt(bars_a_year(timeframe))
    returns = vol * shocks + annual_drift / bars_a_year(timeframe) - 0.5 * vol**2
    return make_market("SKEWED", seed, timeframe, returns, vol, bars)


def _skewed_shocks(rng: np.random.Generator, n: int, degrees: float, skew: float) -> tuple[Floats, float]:
    """Shocks of mean 0 and variance 1, shape (n,); what of the latter lies below 0."""
    sizes = np.abs(rng.standard_t(degrees, n))
    shocks = np.where(rng.random(n) < skew**2 / (1.0 + skew**2), sizes * skew, -sizes / skew)
    first = 2.0 * math.sqrt(degrees / math.pi) * math.gamma((degrees + 1) / 2) / math.gamma(degrees / 2)
    mean = first / (degrees - 1) * (skew - 1.0 / skew)
    square = degrees / (degrees - 2) * (skew**3 + skew**-3) / (skew + 1.0 / skew)
    return (shocks - mean) / math.sqrt(square - mean**2), _below(degrees, skew, mean, square)


def _below(degrees: float, skew: float, mean: float, square: float) -> float:
    """Expected square of a standardised skewed shock where it is below 0, by quadrature over quantiles."""
    from scipy.special import stdtrit

    places = (np.arange(20_000) + 0.5) / 20_000
    sizes = stdtrit(degrees, 0.5 + 0.5 * places)
    up = skew**2 / (1.0 + skew**2)
    values, weights = np.concatenate([sizes * skew, -sizes / skew]), np.repeat([up, 1.0 - up], places.size)
    below = np.minimum(values - mean, 0.0) ** 2
    return float(below @ weights / places.size / (square - mean**2))
