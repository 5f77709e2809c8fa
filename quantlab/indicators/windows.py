"""What all indicators over windows share: distinct windows computed once, values moved along time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantlab.errors import InputError

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


def lag(x: np.ndarray, bars: np.ndarray | int) -> np.ndarray:
    """`x` as it was `bars` bars ago, a shift that may differ from cell to cell; known when `x` was.

    Parameters
    ----------
    x : float or boolean array (..., n_bars)
    bars : int or int array (..., 1)
        Not negative. Its axes broadcast with those of `x`.

    Returns
    -------
    array (..., n_bars)
        NaN (False for booleans) on the first bars.
    """
    back = np.atleast_1d(np.asarray(bars, dtype=np.int64))
    if (back < 0).any():
        raise InputError(f"`bars` of lag must not be negative, got {back.min()}: that would show the future.")
    if x.dtype.kind not in "fb":
        raise InputError(f"lag moves float or boolean arrays, got {x.dtype}: convert it first.")
    place = np.arange(x.shape[-1]) - back
    return value_at(x, place)


def value_at(x: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Value of `x` at the bars `place`; known at the bar that asks, if `place` is not after it.

    Parameters
    ----------
    x : float or boolean array (..., n_bars)
    place : int array (..., n_bars)
        Bars, negative where there is none. Its axes broadcast with those of `x`.

    Returns
    -------
    array (..., n_bars)
        NaN (False for booleans) where `place` is negative.
    """
    there = np.maximum(place, 0)
    if x.ndim == 1:
        found = x[there]
    else:
        axes = np.broadcast_shapes(x.shape[:-1], place.shape[:-1])
        whole = np.broadcast_to(x, (*axes, x.shape[-1]))
        found = np.take_along_axis(whole, np.broadcast_to(there, (*axes, place.shape[-1])), axis=-1)
    found[np.broadcast_to(place < 0, found.shape)] = False if x.dtype == np.bool_ else np.nan
    return found


def bars_since(flag: np.ndarray) -> np.ndarray:
    """Bars since `flag` was last true, 0 on such a bar; known at the close of the bar.

    Parameters
    ----------
    flag : boolean array (..., n_bars)

    Returns
    -------
    float array (..., n_bars)
        NaN before the first one.
    """
    bars = np.arange(flag.shape[-1])
    last = np.maximum.accumulate(np.where(flag, bars, -1), axis=-1)
    return np.where(last < 0, np.nan, bars - last)


def hold(x: np.ndarray, at: np.ndarray, most_bars: np.ndarray | int) -> np.ndarray:
    """Value of `x` on the latest bar where `at` is true, if that is at most `most_bars` bars ago.

    Parameters
    ----------
    x : float array (..., n_bars)
    at : boolean array (..., n_bars)
    most_bars : int or int array (..., 1)
        Greatest age, so that a value depends on a known number of bars.

    Returns
    -------
    float array (..., n_bars)
        Known at the close of its bar; NaN where there is none so young.
    """
    bars = np.arange(at.shape[-1])
    last = np.maximum.accumulate(np.where(at, bars, -1), axis=-1)
    return value_at(x, np.where(bars - last <= most_bars, last, -1))


def per_window(
    window: np.ndarray | int, compute: Callable[[np.ndarray], np.ndarray], name: str = "window"
) -> np.ndarray:
    """Compute every distinct window once and lay the rows on the axes of `window`.

    Parameters
    ----------
    window : int or int array (..., 1)
        At least 1 bar.
    compute : callable
        From ascending distinct windows, shape ``(k,)``, to rows of shape ``(k, n_bars)``.
    name : str
        What to call the windows in an error.

    Returns
    -------
    float array (..., n_bars)

    Raises
    ------
    InputError
        A window is below 1 bar, or its last axis is not the time axis of length one.
    """
    windows = np.atleast_1d(np.asarray(window, dtype=np.int64))
    if windows.shape[-1] != 1:
        raise InputError(f"`{name}` must end in a time axis of length one, got shape {windows.shape}.")
    distinct, place = windows.ravel(), np.zeros(1, np.int64)
    if windows.size > 1:
        distinct, place = np.unique(windows[..., 0], return_inverse=True)
    if distinct[0] < 1:
        raise InputError(f"`{name}` must be at least 1 bar, got {distinct[0]}.")
    rows = compute(distinct)
    if len(distinct) == place.size and (place.ravel() == np.arange(place.size)).all():
        return rows.reshape(*windows.shape[:-1], rows.shape[1])
    return rows[place.reshape(windows.shape[:-1])]


def well_covered(x: np.ndarray, window: int) -> np.ndarray:
    """Bars on which a window is full and at least 80 % of it is present: boolean array (n_bars,)."""
    known = np.zeros(x.size + 1, np.int64)
    np.cumsum(~np.isnan(x), out=known[1:])
    there = np.zeros(x.size, bool)
    there[window - 1 :] = known[window:] - known[:-window] >= LEAST_PRESENT * window
    return there
