"""Bars that look wrong: each detector returns a mask and the reason it stands for.

The detectors look at both sides of a bar (a spike is one only because the next bar takes it back), so
their results describe data and must never reach a strategy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab.market.carry import carried

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

SPIKE_SCALES = 20.0
"""A move is extreme when it exceeds this many times the robust scale of moves around it."""
_BLOCK_BARS = 256
_RUN_BARS = 3
_HOLE_BARS = 24
_RARE = 0.01


class _Bars(NamedTuple):
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    moves: Floats  # log close / previous close, NaN where unknown
    limit: Floats  # an extreme move [log]; infinite if nothing ever moves


def suspicious(open: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> dict[str, Mask]:
    """Find bars that look wrong.

    Parameters
    ----------
    open, high, low, close, volume : ndarray of float64, shape (n_bars,)
        NaN in lost bars, which are never suspicious.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_bars,)
        By reason, in the order of ``REASONS``.
    """
    moves = np.diff(np.log(close), prepend=np.nan)
    scale = robust_scale(moves)
    limit = np.where(scale > 0, SPIKE_SCALES * scale, np.inf)
    bars = _Bars(open, high, low, close, volume, moves, limit)
    return {reason: detect(bars) for reason, detect in REASONS.items()}


def robust_scale(moves: Floats) -> Floats:
    """Return the scale of moves around each bar: 1.4826 x the median of their sizes in blocks of 256 bars.

    The largest of a bar's own block and the two beside it, and at least half the scale of the whole
    series, so that a quiet stretch does not make a spike of every trade.

    Parameters
    ----------
    moves : ndarray of float64, shape (n_bars,)
        NaN where unknown.

    Returns
    -------
    ndarray of float64, shape (n_bars,)
        0 if nothing ever moves.
    """
    sizes = np.abs(moves)
    known = sizes[~np.isnan(sizes)]
    overall = 1.4826 * float(np.median(known)) if known.size else 0.0
    n_blocks = -(-sizes.size // _BLOCK_BARS)
    padded = np.full(n_blocks * _BLOCK_BARS, np.nan)
    padded[: sizes.size] = sizes
    blocks = np.sort(padded.reshape(n_blocks, _BLOCK_BARS), axis=1)  # NaN sort last
    counts = np.sum(~np.isnan(blocks), axis=1)
    middle = 1.4826 * blocks[np.arange(n_blocks), np.maximum(counts - 1, 0) // 2]
    middle = np.where(counts > 0, middle, overall)
    edged = np.concatenate((middle[:1], middle, middle[-1:]))
    widest = np.maximum(np.maximum(edged[:-2], edged[1:-1]), edged[2:])
    return np.maximum(np.repeat(widest, _BLOCK_BARS)[: sizes.size], 0.5 * overall)


def _spike(bars: _Bars) -> Mask:
    """A close that leaps away and is back at once."""
    found = np.zeros(bars.close.size, bool)
    away, back = bars.moves[1:-1], bars.moves[2:]
    size = np.minimum(np.abs(away), np.abs(back))
    found[1:-1] = (size > bars.limit[1:-1]) & (np.abs(away + back) < 0.25 * size)
    return found


def _wick(bars: _Bars) -> Mask:
    """A high or low far outside the bar's own body."""
    above = bars.high / np.maximum(bars.open, bars.close)
    below = np.minimum(bars.open, bars.close) / bars.low
    return np.maximum(above, below) > np.exp(bars.limit)


def _end(bars: _Bars) -> Mask:
    """A first or last bar far from its neighbour in price or with an extreme range, or cut off by a hole."""
    found = np.zeros(bars.close.size, bool)
    known = np.flatnonzero(~np.isnan(bars.close))
    if known.size < 3:
        return found
    for end, neighbour in ((known[0], known[1]), (known[-1], known[-2])):
        jump = abs(np.log(bars.close[end] / bars.close[neighbour]))
        leap = max(jump, np.log(bars.high[end] / bars.low[end])) > bars.limit[end]
        found[end] = leap or abs(end - neighbour) > _HOLE_BARS
    return found


def _repeated(bars: _Bars) -> Mask:
    """A traded bar that equals the one before it in every column."""
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in bars[:5]])
    return np.concatenate(([False], same & (bars.volume[1:] > 0)))


def _moved_without_volume(bars: _Bars) -> Mask:
    """Volume 0, but the four prices differ."""
    return (bars.volume == 0) & (bars.high > bars.low)


def _quiet_elsewhere(bars: _Bars) -> Mask:
    """Nothing traded, but the price is not the last close."""
    before = np.concatenate(([np.nan], carried(bars.close)[:-1]))
    quiet = (bars.volume == 0) & (bars.high == bars.low)
    return quiet & (bars.close != before) & ~np.isnan(before)


def _filled_outage(bars: _Bars) -> Mask:
    """Three or more bars in a row without a trade in a market that otherwise trades in every bar."""
    quiet = (bars.volume == 0) & (bars.high == bars.low)
    found = np.zeros(quiet.size, bool)
    if quiet.mean() > _RARE:
        return found
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        found[start:stop] = stop - start >= _RUN_BARS
    return found


REASONS: dict[str, Callable[[_Bars], Mask]] = {
    "spike": _spike,
    "wick": _wick,
    "end": _end,
    "repeated": _repeated,
    "moved without volume": _moved_without_volume,
    "quiet elsewhere": _quiet_elsewhere,
    "filled outage": _filled_outage,
}
"""The detectors by the reason they report; each one's docstring says what it means."""
