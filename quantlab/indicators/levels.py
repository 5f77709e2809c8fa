"""Support and resistance from confirmed swings, known only after their confirmation bars."""

from __future__ import annotations

import numpy as np

from quantlab.clauses import Bits, Clause, row_of, words_of
from quantlab.indicators.kernels import latest_level, reclaiming, reclaims, swing_lows, touched_levels
from quantlab.threads import share

_LEAST_WORDS = 400_000


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
    lows = np.array(low, dtype=np.float64)
    given = [np.atleast_1d(a)[..., 0] for a in (lookback, min_touches, tolerance)]
    axes = np.broadcast_shapes(*(a.shape for a in given))
    rows = list(zip(*(np.broadcast_to(a, axes).ravel().tolist() for a in given), strict=True))
    combinations = {combination: place for place, combination in enumerate(dict.fromkeys(rows))}
    swings, longest = swing_lows(lows, strength), max(int(bars) for bars, _, _ in combinations)
    out = np.empty((len(combinations), lows.size))
    touched: dict[tuple[int, float], tuple[np.ndarray, np.ndarray]] = {}
    for (bars, touches, near), place in combinations.items():
        if (touches, near) not in touched:
            touched[touches, near] = touched_levels(lows, swings, int(touches), float(near), longest)
        latest_level(swings, *touched[touches, near], strength, int(bars), out[place])
    if len(combinations) == len(rows):
        return out.reshape(*axes, lows.size)
    return out[[combinations[row] for row in rows]].reshape(*axes, lows.size)


def resistance(
    high: np.ndarray,
    lookback: np.ndarray,
    min_touches: np.ndarray,
    tolerance: np.ndarray,
    strength: int = 2,
) -> np.ndarray:
    """Price of the latest resistance level, `support` mirrored; known at the close of its bar."""
    return -support(-np.asarray(high), lookback, min_touches, tolerance, strength)


def reclaimed(pierced: np.ndarray | Clause, close: np.ndarray, level: np.ndarray, bars: np.ndarray) -> Clause:
    """Whether a bar closes back above a level that was pierced within the last `bars` bars.

    Each piercing bar is judged by its own level. Known at the close of the bar; pass negative prices for
    the mirrored question.

    Parameters
    ----------
    pierced : boolean array or clause (..., n_bars)
        Bars that went below `level`.
    close : float array (n_bars,)
    level : float array (..., n_bars)
        Level at the piercing bar.
    bars : int array (..., 1)
        Greatest age of the piercing bar, itself counting as the first.

    Returns
    -------
    Clause (..., n_bars)
        Over the broadcast axes of all three; ``np.asarray`` of it is the boolean array.
    """
    n = close.size
    axes = np.broadcast_shapes(pierced.shape[:-1], level.shape[:-1], bars.shape[:-1])
    ages = np.broadcast_to(bars[..., 0], axes).ravel().astype(np.int64)
    levels = np.array(level, dtype=np.float64).reshape(-1, n)
    words = -(-n // 64)
    closes = np.empty((min(int(ages.max()), n), len(levels), words), np.uint64)
    reclaiming(np.array(close, dtype=np.float64), levels, closes)
    events, out = words_of(pierced, n), np.empty((ages.size, words), np.uint64)
    rows = row_of(pierced.shape[:-1], axes), row_of(level.shape[:-1], axes)
    ages = np.minimum(ages, n)

    def block(first: int, last: int) -> None:
        reclaims(events, rows[0], closes, rows[1], ages, first, last, out)

    share(block, ages.size, max(1, _LEAST_WORDS // words))
    return Bits(out, axes, n)
