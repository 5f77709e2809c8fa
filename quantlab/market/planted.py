"""Processes with a planted edge whose true Sharpe ratio is known for every moving-average rule.

Log returns are ``r[t] = sigma[t] * e[t]``. ``e`` is a stationary Gaussian process of unit variance with a
known autocovariance; ``sigma`` is a slow lognormal volatility, independent of ``e``.

- *momentum*: ``e[t] = sqrt(1 - s) * noise[t] + sqrt(s) * drift[t]``, where the latent ``drift`` is an AR(1)
  of unit variance that loses half its value in `half_life_bars`; autocovariance ``s * phi**k``.
- *reversion*: the log price is a random walk plus an AR(1) displacement of the same half-life, which
  carries the share ``s`` of the variance of returns; autocovariance ``-s * (1 - phi) / 2 * phi**(k - 1)``.

A rule that holds the sign of a weighted sum of past returns earns per bar, for correlation ``rho`` between
that sum and the next return, a mean of ``rho * sqrt(2 / pi)`` in units of volatility (two jointly normal
variables). A cross of simple averages of the log price is such a sum. So `Process.sharpe` is exact for log
prices, decisions at the close, no costs and volatility that is constant over the windows of the rule;
tests compare it with long simulated paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from quantlab.errors import InputError
from quantlab.market.candles import step_ms

Floats = npt.NDArray[np.float64]
YEAR_MS = 365 * 86_400_000


@dataclass(frozen=True)
class Process:
    """A planted edge.

    Parameters
    ----------
    kind : {"momentum", "reversion"}
    timeframe : str
        Of the bars; a year has 365 days.
    half_life_bars : float
        In which the latent drift or displacement halves.
    share : float
        Share of the variance of returns that the edge carries, in [0, 1).
    log_vol : float
        Standard deviation of the logarithm of volatility.
    """

    kind: Literal["momentum", "reversion"]
    timeframe: str
    half_life_bars: float
    share: float
    log_vol: float

    @property
    def phi(self) -> float:
        """Autoregression of the latent state per bar."""
        return float(0.5 ** (1.0 / self.half_life_bars))

    def autocovariance(self, n_lags: int) -> Floats:
        """Autocovariance of returns of unit variance at lags 0 .. n_lags - 1, shape (n_lags,)."""
        lags = np.arange(n_lags, dtype=np.float64)
        if self.kind == "momentum":
            values = self.share * self.phi**lags
        else:
            values = -0.5 * self.share * (1.0 - self.phi) * self.phi ** (lags - 1.0)
        values[0] = 1.0
        return values

    def sharpe(self, weights: Floats) -> float:
        """True annual Sharpe ratio, before costs, of holding the sign of a weighted sum of past returns.

        Parameters
        ----------
        weights : ndarray of float64, shape (n_lags,)
            Of the returns of the bars t, t - 1, ...; see `cross_weights` and `reversion_weights`.
        """
        covariance = self.autocovariance(weights.size + 1)
        lags = np.arange(weights.size)
        spread = weights @ covariance[np.abs(lags[:, None] - lags)] @ weights
        correlation = float(weights @ covariance[1:]) / math.sqrt(spread)
        mean = correlation * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * self.log_vol**2)
        return mean / math.sqrt(1.0 - mean**2) * math.sqrt(YEAR_MS / step_ms(self.timeframe))

    def cross_sharpe(self, fast: int, slow: int) -> float:
        """True annual Sharpe ratio, before costs, of ``sma_cross`` held long and short, windows in bars."""
        return self.sharpe(cross_weights(fast, slow))


def cross_weights(fast: int, slow: int) -> Floats:
    """Weights that turn past log returns into (mean of `fast` bars - mean of `slow` bars) of the log price.

    Returns
    -------
    ndarray of float64, shape (slow,)
        Of the returns of the bars t, t - 1, ...

    Raises
    ------
    InputError
        Unless 1 <= fast < slow.
    """
    if not 1 <= fast < slow:
        raise InputError(f"windows must hold 1 <= fast < slow, got fast={fast}, slow={slow}.")
    ages = np.arange(slow)
    return np.clip(slow - 1 - ages, 0, None) / slow - np.clip(fast - 1 - ages, 0, None) / fast


def reversion_weights(window: int) -> Floats:
    """Weights of the rule that is long below and short above the mean of the last `window` log prices."""
    return -cross_weights(1, window)


def calibrated(
    kind: Literal["momentum", "reversion"],
    true_sharpe: float,
    weights: Floats,
    *,
    timeframe: str,
    half_life_bars: float,
    log_vol: float,
) -> Process:
    """Find the process on which the rule of `weights` has the annual Sharpe ratio `true_sharpe`.

    Raises
    ------
    InputError
        No share of variance in [0, 0.9] gives that Sharpe ratio.
    """
    if not half_life_bars > 0:
        raise InputError(f"`half_life_bars` must be positive, got {half_life_bars}.")

    def process(share: float) -> Process:
        return Process(kind, timeframe, half_life_bars, share, log_vol)

    low, high = 0.0, 0.9
    most = process(high).sharpe(weights)
    if not 0.0 <= true_sharpe <= most:
        raise InputError(
            f"`true_sharpe` must be in [0, {most:.2f}] for {kind} on {timeframe} bars with a half-life of "
            f"{half_life_bars:g} bars, got {true_sharpe}: choose a shorter timeframe or another half-life."
        )
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if process(middle).sharpe(weights) < true_sharpe else (low, middle)
    return process(0.5 * (low + high))
