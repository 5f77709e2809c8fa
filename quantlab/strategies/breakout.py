"""Channel breakout: a close beyond the highest high of the last bars, by a share of the usual range.

Long rule (the short side is its mirror image):

1. *Channel*: highest high and lowest low of the `period` bars before this one (Donchian).
2. *Entry* at the next open when close - channel high > `multiplier` x 0.1 x ATR.
3. *Exit* at the next open when close < channel low.

Known at: the channel at the close of the bar before, close and ATR at the close of the bar. Warm-up:
`period` + 1 bars, at least 15. ATR is the simple mean of 14 true ranges. Left out: the Turtles' pyramiding;
a cell holds one position.
Source: R. Donchian, "Donchian's 5- and 20-day moving averages", Commodities (1974), and the channel that
bears his name; C. Faith, Way of the Turtle (2007).
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators import donchian, mean_true_range, shift
from quantlab.signals import Columns, Signals, above, strategy
from quantlab.space import Float, Int, Params, Space

SPACE = Space(
    Int("period", 10, 100, 14, "bars", "bars of the channel", "entry"),
    Float("multiplier", 0.0, 2.0, 1.5, "tenths of ATR", "how far beyond the channel", "entry"),
)

REFERENCE = {
    "period": list(range(10, 101, 2)),
    "multiplier": [k / 8 for k in range(17)],
}


@strategy("breakout", SPACE, lambda p: np.maximum(p["period"] + 1, 15), REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    high, low, close = candles.high, candles.low, candles.close
    top, bottom = (shift(bound, 1) for bound in donchian(high, low, p.period))
    beyond = p.multiplier * 0.1 * mean_true_range(high, low, close, 14)
    return Signals(
        long=above(close - top, beyond),
        short=above(bottom - close, beyond),
        exit_long=close < bottom,
        exit_short=close > top,
    )
