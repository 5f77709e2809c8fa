"""Averages and ranges over windows, broadcast over the parameter axes."""

from __future__ import annotations

import numpy as np

from quantlab.errors import InputError
from quantlab.indicators.kernels import moving_means, present_values
from quantlab.threads import share

_BLOCK_BARS = 1_536
_LEAST_ADDITIONS = 400_000
LEAST_PRESENT = 0.8
"""Share of a window that must be present for an indicator over it to be defined."""


def shift(x: np.ndarray, bars: int) -> np.ndarray:
    """`x` moved `bars` later along time; the first bars become NaN (False for booleans).

    Parameters
    ----------
    x : float or boolean array (..., n_bars)
    bars : int
        Not negative: a negative shift would show the future.
    """
    if bars < 0:
        raise InputError(f"`bars` of shift must not be negative, got {bars}: that would show the future.")
    if x.dtype.kind not in "fb":
        raise InputError(
            f"shift moves float or boolean arrays, got {x.dtype}: whole numbers cannot be undefined."
        )
    out = np.empty_like(x)
    out[..., bars:] = x[..., : max(x.shape[-1] - bars, 0)]
    out[..., :bars] = False if x.dtype == np.bool_ else np.nan
    return out


def sma(x: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """Simple moving average over the last `window` bars; known at the close of its bar.

    Parameters
    ----------
    x : float array (n_bars,)
    window : int or int array (..., 1)
        Bars. Each distinct window is computed once; all of them cost as much as the longest.

    Returns
    -------
    float array (..., n_bars)
        Mean of the values present; NaN before the window is full and where fewer than 80 % of it are
        present.
    """
    windows = np.atleast_1d(np.asarray(window, dtype=np.int64))
    if windows.shape[-1] != 1:
        raise InputError(f"`window` must end in a time axis of length one, got shape {windows.shape}.")
    distinct, place = windows.ravel(), np.zeros(1, np.int64)
    if windows.size > 1:
        distinct, place = np.unique(windows[..., 0], return_inverse=True)
    if distinct[0] < 1:
        raise InputError(f"`window` must be at least 1 bar, got {distinct[0]}.")
    means = _means(np.array(x, dtype=np.float64), distinct)
    if len(distinct) == place.size and (place.ravel() == np.arange(place.size)).all():
        return means.reshape(*windows.shape[:-1], means.shape[1])
    return means[place.reshape(windows.shape[:-1])]


def _means(x: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Moving means over ascending windows, shape ``(len(windows), n_bars)``."""
    values, counts = present_values(x, int(windows[-1]))
    out = np.empty((len(windows), x.size))

    def block(first: int, last: int) -> None:
        moving_means(values, counts, windows, LEAST_PRESENT, first, last, out)

    share(block, x.size, max(_BLOCK_BARS, _LEAST_ADDITIONS // int(windows[-1])))
    return out


def true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """True range of each bar, in price units; known at the close of its bar.

    ``max(high, previous close) - min(low, previous close)``, NaN on the first bar and next to lost bars.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 21.
    """
    before = shift(close, 1)
    return np.asarray(np.maximum(high, before) - np.minimum(low, before))


def mean_true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray, window: int = 14) -> np.ndarray:
    """Simple mean of the true range over `window` bars: the ATR in the form that forgets.

    Unlike Wilder's recursive average it depends on the last ``window + 1`` bars only, so that a bot that
    starts with that much history computes the very same number.
    """
    return sma(true_range(high, low, close), window)
