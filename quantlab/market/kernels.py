"""Recursions of the synthetic markets, compiled."""

from __future__ import annotations

import numpy as np

from quantlab.jit import kernel


@kernel
def ar1(shocks: np.ndarray, phi: float) -> np.ndarray:
    """Return the stationary AR(1) path of unit variance driven by standard normal `shocks`, shape (n,)."""
    path = np.empty(shocks.size)
    scale = np.sqrt(1.0 - phi * phi)
    value = shocks[0]
    path[0] = value
    for t in range(1, shocks.size):
        value = phi * value + scale * shocks[t]
        path[t] = value
    return path


@kernel
def garch_volatility(shocks: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Return the GARCH(1,1) volatility of each bar, shape (n,), in units of the unconditional one.

    `shocks` have mean 0 and variance 1; the path starts at the unconditional volatility.
    """
    path = np.empty(shocks.size)
    variance = 1.0
    for t in range(shocks.size):
        path[t] = np.sqrt(variance)
        variance = 1.0 - alpha - beta + variance * (alpha * shocks[t] * shocks[t] + beta)
    return path


@kernel
def gjr_volatility(shocks: np.ndarray, alpha: float, gamma: float, beta: float, weight: float) -> np.ndarray:
    """Return the GJR-GARCH(1,1) volatility of each bar, shape (n,), in units of the unconditional one.

    A negative shock has the weight ``alpha + gamma``; `weight` is the expected square of a shock where it is
    negative.
    """
    path, variance = np.empty(shocks.size), 1.0
    rest = 1.0 - alpha - gamma * weight - beta
    for t in range(shocks.size):
        path[t] = np.sqrt(variance)
        share = alpha + gamma if shocks[t] < 0.0 else alpha
        variance = rest + variance * (share * shocks[t] * shocks[t] + beta)
    return path
