"""Confirmed swings (pivots) and divergence between price and an oscillator at them."""

from __future__ import annotations

import numpy as np

from quantlab.indicators.kernels import swing_lows
from quantlab.indicators.swing_kernels import diverging


def latest_swing_low(low: np.ndarray, strength: int = 2, most_bars: int | None = None) -> np.ndarray:
    """Bar of the latest confirmed swing low; known at the close of the bar that asks.

    A swing low is below the `strength` lows before it and not above the `strength` lows after it, and
    **confirmed only `strength` bars after it**: using it on its own bar would know the future.

    Parameters
    ----------
    low : float array (n_bars,)
    strength : int
        Bars on either side.
    most_bars : int, optional
        Greatest age of the swing; older ones are forgotten.

    Returns
    -------
    int64 array (n_bars,)
        -1 where there is none; `quantlab.indicators.value_at` reads a column there.
    """
    latest = np.full(len(low), -1)
    swings = swing_lows(np.array(low, dtype=np.float64), strength)
    latest[swings + strength] = swings
    latest = np.maximum.accumulate(latest)
    if most_bars is not None:
        latest[np.arange(len(low)) - latest > most_bars] = -1
    return latest


def latest_swing_high(high: np.ndarray, strength: int = 2, most_bars: int | None = None) -> np.ndarray:
    """Bar of the latest confirmed swing high, `latest_swing_low` mirrored."""
    return latest_swing_low(-np.asarray(high), strength, most_bars)


def divergence(
    low: np.ndarray, oscillator: np.ndarray, nearest: int = 5, farthest: int = 60, strength: int = 2
) -> np.ndarray:
    """Bars back to the swing low from which the latest confirmed one diverges.

    It diverges where its price is lower and the oscillator on its bar is higher. Known at the close of the
    bar that asks. For the bearish case pass ``-high`` and ``-oscillator``.

    Parameters
    ----------
    low, oscillator : float array (n_bars,)
    nearest, farthest : int
        Bars between the two swings.
    strength : int
        As of `latest_swing_low`.

    Returns
    -------
    float array (n_bars,)
        Age of the earlier swing, the latest one that diverges; it grows until a newer swing is confirmed.
        NaN where the latest swing diverges from none, or is more than `farthest` bars old.
    """
    lows, values = np.array(low, dtype=np.float64), np.array(oscillator, dtype=np.float64)
    swings = swing_lows(lows, strength)
    earlier = np.full(lows.size, -1)
    earlier[swings] = diverging(lows, values, swings, nearest, farthest)
    latest = latest_swing_low(lows, strength, farthest)
    found = np.where(latest < 0, -1, earlier[latest])
    return np.where(found < 0, np.nan, np.arange(lows.size) - found)
