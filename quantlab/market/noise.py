"""The same market, measured a little wrongly: prices disturbed by a part of their usual range.

A rule that lives by a pattern of the last digit, one tick above a level or below it, decides otherwise once
every price is off by a little. Nothing else is changed: this is a market **with** whatever edge it had, so
it is no null.
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators.ranges import mean_true_range
from quantlab.market.candles import MISSING, NO_TRADE, SUSPICIOUS, Candles
from quantlab.market.carry import carried
from quantlab.market.checks import flags_of

WINDOW = 14
"""Bars of the average true range that says how much a price is disturbed."""


def disturbed(candles: Candles, rng: np.random.Generator, share: float = 0.1) -> Candles:
    """Move highs, lows and closes by normal noise whose standard deviation is a share of the ATR.

    Opens move with the close before them, so that a gap keeps its size.

    Parameters
    ----------
    candles : Candles
    rng : numpy.random.Generator
    share : float
        Standard deviation of the noise as a fraction of the average true range of `WINDOW` bars.

    Returns
    -------
    Candles
        Same grid, volume and lost bars; bars without a trade lie flat at the last close.

    Notes
    -----
    **The trap**: noise on a price is gone on the next bar, so whoever buys what looks cheap earns it back.
    Decide on disturbed candles, but let the orders fill on the real ones, or every rule that buys dips looks
    robust.
    """
    spread = mean_true_range(candles.high, candles.low, candles.close, WINDOW)
    spread = np.where(np.isnan(spread), candles.high - candles.low, spread) / candles.close
    above, below, last = np.exp(share * spread * rng.standard_normal((3, len(candles))))
    quiet = (candles.flags & NO_TRADE).astype(bool)
    last = carried(np.where(quiet, np.nan, last))
    last[np.isnan(last)] = 1.0
    close = candles.close * last
    open, high, low = (
        np.where(quiet, close, prices * factor)
        for prices, factor in (
            (candles.open, np.append(1.0, last[:-1])),
            (candles.high, above),
            (candles.low, below),
        )
    )
    high = np.maximum.reduce([open, high, low, close])
    low = np.minimum.reduce([open, high, low, close])
    flags = flags_of(open, high, low, close, candles.volume)
    flags |= candles.flags & np.uint8(SUSPICIOUS | MISSING)
    columns = {"open": open, "high": high, "low": low, "close": close, "flags": flags}
    for array in columns.values():
        array.flags.writeable = False
    return candles._with(columns)
