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

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab.market.candles import MISSING, NO_TRADE, SUSPICIOUS, Candles
from quantlab.market.carry import carried
from quantlab.market.checks import flags_of

Floats = npt.NDArray[np.float64]


class _Shapes(NamedTuple):
    """The bars that traded, in logs: start, gaps to the traded close before, and shapes about the open."""

    traded: npt.NDArray[np.intp]
    start: float
    gap: Floats  # first is 0
    high: Floats
    low: Floats
    body: Floats
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
    sign = np.where(mirrored, -1.0, 1.0)
    drift = 2.0 * float(np.mean(bars.gap + bars.body))
    gap = sign * bars.gap + np.where(mirrored, drift, 0.0)
    gap[0] = 0.0
    return _rebuilt(
        candles,
        bars._replace(
            gap=gap,
            body=sign * bars.body,
            high=np.where(mirrored, -bars.low, bars.high),
            low=np.where(mirrored, -bars.high, bars.low),
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
            high=bars.high[order],
            low=bars.low[order],
            volume=bars.volume[order],
            flags=bars.flags[order],
        ),
    )


def _shapes(candles: Candles) -> _Shapes:
    traded = np.flatnonzero((candles.flags & (MISSING | NO_TRADE)) == 0)
    open, high, low, close = (
        np.log(column[traded]) for column in (candles.open, candles.high, candles.low, candles.close)
    )
    gap = np.zeros(traded.size)
    gap[1:] = open[1:] - close[:-1]
    start = float(open[0]) if traded.size else 0.0
    return _Shapes(
        traded,
        start,
        gap,
        high - open,
        low - open,
        close - open,
        candles.volume[traded],
        candles.flags[traded],
    )


def _rebuilt(candles: Candles, bars: _Shapes) -> Candles:
    """Chain gaps and bodies into prices; open and close are sums of one chain, so a gap of 0 stays 0."""
    steps = np.empty(2 * bars.traded.size)
    steps[0::2], steps[1::2] = bars.gap, bars.body
    steps[0] += bars.start
    chain = np.cumsum(steps)
    open, close = np.exp(chain[0::2]), np.exp(chain[1::2])
    high = np.maximum(np.exp(chain[0::2] + bars.high), np.maximum(open, close))
    low = np.minimum(np.exp(chain[0::2] + bars.low), np.minimum(open, close))
    if bars.traded.size == len(candles):
        columns = [open, high, low, close, bars.volume.copy()]
    else:
        columns = _with_quiet(candles, bars, (open, high, low, close))
    flags = flags_of(*columns)
    flags[bars.traded] |= bars.flags & np.uint8(SUSPICIOUS)
    names = ("open", "high", "low", "close", "volume")
    return candles._with(dict(zip(names, columns, strict=True)) | {"flags": flags})


def _with_quiet(candles: Candles, bars: _Shapes, prices: tuple[Floats, ...]) -> list[Floats]:
    """Put traded bars back in place; bars without a trade lie flat at the close before them."""
    close = np.full(len(candles), np.nan)
    close[bars.traded] = prices[3]
    close = carried(close)
    close[: bars.traded[0]] = prices[0][0]  # quiet before the first trade: at its open
    close[candles.missing] = np.nan
    columns = []
    for values in prices:
        column = close.copy()
        column[bars.traded] = values
        columns.append(column)
    volume = candles.volume.copy()
    volume[bars.traded] = bars.volume
    return [*columns, volume]
