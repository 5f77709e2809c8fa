"""Indicators of volume: on-balance volume over a window, volume-weighted average prices."""

from __future__ import annotations

import numpy as np

from quantlab.indicators.averages import sma
from quantlab.indicators.window_kernels import running_vwap
from quantlab.indicators.windows import shift

DAY_MS = 86_400_000


def obv(close: np.ndarray, volume: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """On-balance volume gained over the last `window` bars: volume of rising minus that of falling bars.

    Known at the close of its bar. Granville's running total starts at an arbitrary bar; this is what it
    has gained since `window` bars ago, and depends on ``window + 1`` bars only.

    Parameters
    ----------
    close, volume : float array (n_bars,)
    window : int or int array (..., 1)
        Bars. Each distinct window is computed once.

    Returns
    -------
    float array (..., n_bars)
        In units of `volume`; lost bars count as the mean of those present. NaN as in `sma`.

    References
    ----------
    J. Granville, Granville's New Key to Stock Market Profits (1963).
    """
    return sma(np.sign(close - shift(close, 1)) * volume, window) * window


def vwap(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray, window: np.ndarray | int
) -> np.ndarray:
    """Volume-weighted mean of the typical price ``(high + low + close) / 3`` over the last `window` bars.

    Known at the close of its bar.

    Returns
    -------
    float array (..., n_bars)
        NaN as in `sma`, and where nothing was traded in the window.
    """
    traded = sma(volume, window)
    return sma((high + low + close) / 3 * volume, window) / np.where(traded > 0, traded, np.nan)


def daily_vwap(
    timestamps: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    """Volume-weighted mean of the typical price since 00:00 UTC, this bar included.

    Known at the close of its bar.

    Parameters
    ----------
    timestamps : int64 array (n_bars,)
        Open times [epoch ms].
    high, low, close, volume : float array (n_bars,)

    Returns
    -------
    float array (n_bars,)
        NaN before the first midnight (the day in which the series starts is not known whole) and until
        something was traded; lost bars add nothing.
    """
    price = (np.asarray(high) + low + close) / 3
    out = np.empty(price.size)
    running_vwap(timestamps % DAY_MS == 0, price, np.array(volume, dtype=np.float64), out)
    return out
