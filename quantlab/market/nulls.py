"""Markets without an edge, made of a real one: what a search finds on them, it finds by luck.

Two transforms, each blind to something, so a gate wants both:

- `sign_flip` keeps the path of volatility, ranges, volume and calendar, and destroys direction. Valid when
  returns are symmetric given the past.
- `permute` keeps the distribution of bars, skew included, and the end price, and destroys every order in
  time, the clustering of volatility too.

In both, lost bars and bars without a trade stay where they are; the latter lie flat at the last close.
Sources: T. Masters, "Permutation and Randomization Tests for Trading System Development" (2020), for
`permute`; the sign-flip is the randomisation test of symmetry (R. A. Fisher, 1935) applied to whole bars.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab.market.candles import MISSING, NO_TRADE, SUSPICIOUS, Candles
from quantlab.market.carry import carried
from quantlab.market.checks import flags_of

Floats = npt.NDArray[np.float64]


class _Shapes(NamedTuple):
    """The bars that traded: gaps to the traded close before, and shapes about their own open."""

    traded: npt.NDArray[np.intp]
    start: float  # log of the first open
    gap: Floats  # log, the first is 0
    body: Floats  # log close / open
    up: Floats  # high / open
    down: Floats  # low / open
    volume: Floats
    flags: npt.NDArray[np.uint8]


def sign_flip(candles: Candles, rng: np.random.Generator) -> Candles:
    """Mirror a random half of the bars about their open, in logs, and keep the mean return.

    A mirrored bar has gap, body and wicks of opposite sign; twice the mean return is added to its gap, so
    that every bar keeps the mean return of the market in expectation and the same range exactly.

    Parameters
    ----------
    candles : Candles
    rng : numpy.random.Generator
        One sign is drawn for every bar of the grid, so markets on one grid that are given generators of one
        seed are mirrored together and keep their correlation.

    Returns
    -------
    Candles
        Same grid, first open, volume and flags.
    """
    bars = _shapes(candles)
    mirrored = rng.integers(0, 2, len(candles), dtype=np.int8).astype(bool)[bars.traded]
    if bars.traded.size == 0:
        return candles
    sign = 1.0 - 2.0 * mirrored
    drift = 2.0 * float(np.mean(bars.gap) + np.mean(bars.body))
    gap = sign * bars.gap + drift * mirrored
    gap[0] = 0.0
    return _rebuilt(
        candles,
        bars._replace(
            gap=gap,
            body=sign * bars.body,
            up=np.where(mirrored, 1.0 / bars.down, bars.up),
            down=np.where(mirrored, 1.0 / bars.up, bars.down),
        ),
    )


def permute(candles: Candles, rng: np.random.Generator) -> Candles:
    """Shuffle the shapes of bars with their volume, and the gaps between bars apart from them.

    Parameters
    ----------
    candles : Candles
    rng : numpy.random.Generator

    Returns
    -------
    Candles
        Same grid, first open and last close (to rounding); the flags of a bar move with its shape.
    """
    bars = _shapes(candles)
    if bars.traded.size == 0:
        return candles
    order = rng.permutation(bars.traded.size)
    gap = bars.gap.copy()
    gap[1:] = rng.permutation(bars.gap[1:])
    return _rebuilt(
        candles,
        bars._replace(
            gap=gap,
            body=bars.body[order],
            up=bars.up[order],
            down=bars.down[order],
            volume=bars.volume[order],
            flags=bars.flags[order],
        ),
    )


@lru_cache(maxsize=2)
def _shapes(candles: Candles) -> _Shapes:
    """Take a market apart; remembered, because a gate draws hundreds of nulls of one market."""
    traded = np.flatnonzero((candles.flags & (MISSING | NO_TRADE)) == 0)
    open, close = candles.open[traded], candles.close[traded]
    log_open, log_close = np.log(open), np.log(close)
    gap = np.zeros(traded.size)
    gap[1:] = log_open[1:] - log_close[:-1]
    volume = candles.volume[traded]
    volume.flags.writeable = False
    return _Shapes(
        traded=traded,
        start=float(log_open[0]) if traded.size else 0.0,
        gap=gap,
        body=log_close - log_open,
        up=candles.high[traded] / open,
        down=candles.low[traded] / open,
        volume=volume,
        flags=candles.flags[traded],
    )


def _rebuilt(candles: Candles, bars: _Shapes) -> Candles:
    """Chain gaps and bodies into prices; open and close are points of one chain, so a gap of 0 stays 0."""
    chain = np.empty(2 * bars.traded.size)
    chain[0::2], chain[1::2] = bars.gap, bars.body
    chain[0] += bars.start
    np.exp(np.cumsum(chain, out=chain), out=chain)
    prices = np.empty((4, bars.traded.size))
    open, high, low, close = prices
    open[:], close[:] = chain[0::2], chain[1::2]
    np.maximum(open, close, out=high)
    np.maximum(high, open * bars.up, out=high)
    np.minimum(open, close, out=low)
    np.minimum(low, open * bars.down, out=low)
    volume = bars.volume
    if bars.traded.size < len(candles):
        prices, volume = _with_quiet(candles, bars, prices)
    open, high, low, close = prices
    flags = flags_of(open, high, low, close, volume)
    flags[bars.traded] |= bars.flags & np.uint8(SUSPICIOUS)
    for array in (prices, open, high, low, close, volume, flags):
        array.flags.writeable = False  # ours alone: spares Candles the copies
    return candles._with(
        {"open": open, "high": high, "low": low, "close": close, "volume": volume, "flags": flags}
    )


def _with_quiet(candles: Candles, bars: _Shapes, prices: Floats) -> tuple[Floats, Floats]:
    """Put traded bars back in place; bars without a trade lie flat at the close before them."""
    close = np.full(len(candles), np.nan)
    close[bars.traded] = prices[3]
    close = carried(close)
    close[: bars.traded[0]] = prices[0, 0]  # quiet before the first trade: at its open
    close[candles.missing] = np.nan
    placed = np.tile(close, (4, 1))
    placed[:, bars.traded] = prices
    volume = candles.volume.copy()
    volume[bars.traded] = bars.volume
    return placed, volume
