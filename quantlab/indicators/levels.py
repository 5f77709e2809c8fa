"""Support and resistance from confirmed swings, known only after their confirmation bars."""

from __future__ import annotations

import numpy as np

from quantlab.indicators.kernels import latest_level, swing_lows, touched_levels


def support(
    low: np.ndarray,
    lookback: np.ndarray,
    min_touches: np.ndarray,
    tolerance: np.ndarray,
    strength: int = 2,
) -> np.ndarray:
    """Price of the latest support level; known at the close of its bar.

    A swing low is the lowest of ``2 * strength + 1`` lows and **confirmed `strength` bars after it**. A
    level is a confirmed swing low together with its latest ``min_touches - 1`` earlier swing lows within
    `tolerance` of it, all at most `lookback` bars old; its price is the lowest of them.

    Parameters
    ----------
    low : float array (n_bars,)
    lookback, min_touches : int array (..., 1)
        Bars; swings that make a level.
    tolerance : float array (..., 1)
        Greatest distance between two touches, as a fraction of the price.
    strength : int
        Bars on either side of a swing.

    Returns
    -------
    float array (..., n_bars)
        NaN where there is no level. Each distinct combination is computed once.
    """
    lows = np.ascontiguousarray(low, dtype=np.float64)
    arrays = np.broadcast_arrays(*(np.atleast_1d(a)[..., 0] for a in (lookback, min_touches, tolerance)))
    combinations, place = np.unique(np.stack([a.ravel() for a in arrays]), axis=1, return_inverse=True)
    swings = swing_lows(lows, strength)
    longest = int(combinations[0].max())
    out = np.empty((combinations.shape[1], lows.size))
    touched: dict[tuple[int, float], tuple[np.ndarray, np.ndarray]] = {}
    for i, (bars, touches, near) in enumerate(combinations.T):
        if (touches, near) not in touched:
            touched[touches, near] = touched_levels(lows, swings, int(touches), float(near), longest)
        out[i] = latest_level(lows.size, swings, *touched[touches, near], strength, int(bars))
    return out[place.reshape(arrays[0].shape)]


def resistance(
    high: np.ndarray,
    lookback: np.ndarray,
    min_touches: np.ndarray,
    tolerance: np.ndarray,
    strength: int = 2,
) -> np.ndarray:
    """Price of the latest resistance level, `support` mirrored; known at the close of its bar."""
    return -support(-np.asarray(high), lookback, min_touches, tolerance, strength)
