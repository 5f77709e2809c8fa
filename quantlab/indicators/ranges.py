"""Ranges and volatility over windows: true range, ATR, extremes, deviation, channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantlab.indicators.averages import sma, wilder
from quantlab.indicators.window_kernels import moving_moments
from quantlab.indicators.windows import LEAST_PRESENT, per_window, shift, well_covered
from quantlab.threads import share

_BLOCK_BARS = 1_536
_LEAST_ADDITIONS = 400_000


def true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """True range of each bar, in price units; known at the close of its bar.

    ``max(high, previous close) - min(low, previous close)``, NaN on the first bar and next to lost bars.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 21.
    """
    before = shift(close, 1)
    return np.asarray(np.maximum(high, before) - np.minimum(low, before))


def mean_true_range(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, window: np.ndarray | int = 14
) -> np.ndarray:
    """Simple mean of the true range over `window` bars: the ATR in the form that forgets.

    Unlike Wilder's recursive average it depends on the last ``window + 1`` bars only, so that a bot that
    starts with that much history computes the very same number.
    """
    return sma(true_range(high, low, close), window)


def average_true_range(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, window: np.ndarray | int = 14
) -> np.ndarray:
    """Average true range as Wilder smooths it, in price units; known at the close of its bar.

    Depends on the last ``wilder_memory(window) + 1`` bars (`quantlab.indicators.wilder`), NaN before.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 21.
    """
    return wilder(true_range(high, low, close), window)


def rolling_max(x: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """Highest of the last `window` values; known at the close of its bar.

    Parameters
    ----------
    x : float array (n_bars,)
    window : int or int array (..., 1)
        Bars. Each distinct window is computed once.

    Returns
    -------
    float array (..., n_bars)
        NaN before the window is full and where fewer than 80 % of it are present.
    """
    column = np.array(x, dtype=np.float64)
    return per_window(window, lambda windows: _extremes(column, windows, np.fmax))


def rolling_min(x: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """Lowest of the last `window` values; otherwise as `rolling_max`."""
    column = np.array(x, dtype=np.float64)
    return per_window(window, lambda windows: _extremes(column, windows, np.fmin))


def _extremes(x: np.ndarray, windows: np.ndarray, best: Callable[..., np.ndarray]) -> np.ndarray:
    """Two overlapping spans of a power of two make any window."""
    span, bars = x.copy(), 1
    out = np.empty((len(windows), x.size))
    for row, window in zip(out, windows.tolist(), strict=True):
        while 2 * bars <= window:
            span = best(span, shift(span, bars))
            bars *= 2
        row[:] = best(span, shift(span, window - bars))
        row[~well_covered(x, window)] = np.nan
    return out


def donchian(high: np.ndarray, low: np.ndarray, window: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Highest high and lowest low of the last `window` bars, this one included: Donchian's channel.

    Known at the close of its bar; a break of the channel is a break of the one before: shift it by a bar.

    Returns
    -------
    (float array (..., n_bars), float array (..., n_bars))
        Upper and lower bound, NaN as in `rolling_max`.
    """
    return rolling_max(high, window), rolling_min(low, window)


def rolling_std(x: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """Standard deviation of the last `window` values (ddof 0); known at the close of its bar.

    Parameters
    ----------
    x : float array (n_bars,)
    window : int or int array (..., 1)
        Bars. Each distinct window is computed once; all of them cost as much as the longest.

    Returns
    -------
    float array (..., n_bars)
        Exactly 0 where all values are the same; NaN before the window is full and where fewer than 80 % of
        it are present.
    """
    column = np.array(x, dtype=np.float64)
    return per_window(window, lambda windows: _moments(column, windows)[1])


def zscore(x: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """Distance of `x` from its mean over `window` bars, in standard deviations (ddof 0) of these bars.

    Known at the close of its bar.

    Returns
    -------
    float array (..., n_bars)
        NaN as in `rolling_std`, on a lost bar, and where the deviation is zero.
    """
    column = np.array(x, dtype=np.float64)

    def rows(windows: np.ndarray) -> np.ndarray:
        mean, deviation = _moments(column, windows)
        scored = -mean / np.where(deviation > 0, deviation, np.nan)
        scored[:, np.isnan(column)] = np.nan
        return scored

    return per_window(window, rows)


def bollinger(
    x: np.ndarray, window: np.ndarray | int = 20, width: np.ndarray | float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bollinger's bands: the mean over `window` bars, `width` standard deviations (ddof 0) around it.

    Known at the close of its bar; NaN as in `rolling_std`.

    Returns
    -------
    (float array, float array, float array), each (..., n_bars)
        Lower band, middle, upper band.

    References
    ----------
    J. Bollinger, Bollinger on Bollinger Bands (2001), ch. 7.
    """
    middle, away = sma(x, window), width * rolling_std(x, window)
    return middle - away, middle, middle + away


def _moments(x: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean minus the latest known value, and standard deviation, each ``(len(windows), n_bars)``."""
    known, padding = ~np.isnan(x), np.zeros(int(windows[-1]))
    bars = np.maximum.accumulate(np.where(known, np.arange(x.size), 0))
    values, present = np.concatenate((padding, np.where(known, x, 0.0))), np.concatenate((padding, known))
    nearest = np.where(np.isnan(x[bars]), 0.0, x[bars])
    mean, squares = np.empty((len(windows), x.size)), np.empty((len(windows), x.size))

    def block(first: int, last: int) -> None:
        moving_moments(values, present, nearest, windows, first, last, mean, squares)

    share(block, x.size, max(_BLOCK_BARS, _LEAST_ADDITIONS // int(windows[-1])))
    count = np.concatenate(([0], np.cumsum(known)))
    for row, square, window in zip(mean, squares, windows.tolist(), strict=True):
        there = count[window:] - count[:-window]
        enough = np.where(there >= LEAST_PRESENT * window, there, np.nan)
        for moment in (row, square):
            moment[: window - 1] = np.nan
            moment[window - 1 :] /= enough
    return mean, np.sqrt(np.maximum(squares - mean**2, 0.0))
