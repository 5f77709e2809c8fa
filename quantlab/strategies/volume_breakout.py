"""Volume breakout: quiet bars, then a close beyond all of them on a surge of volume.

Quiet bars show that buyers and sellers agree; volume that leaves their range shows that they no longer do.

Long rule (the mirror image short where `sides` is "both"):

1. *Consolidation*: each of the `consolidation_bars` bars before has high - low < `range_atr` x its ATR20.
2. *Breakout*: close > highest high of these bars.
3. *Volume* >= `volume_multiple` x mean volume of the 20 bars before.
4. *Entry* at the next open. Stop at the middle of the consolidation's range, target `reward_risk` x that
   distance.

Known at: the consolidation at the close of the bar before, breakout and volume at the close of their own
bar. Warm-up: `consolidation_bars` + 21 bars.

ATR is the simple mean of 20 true ranges. Distances are from the close of the breakout, kept from the open
that fills it. Left out: nothing.
Source: breakout patterns of public price-action literature; the filter on volume after L. Blume, D. Easley,
M. O'Hara, "Market statistics and technical analysis: the role of volume", J. Finance 49 (1994).
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators import donchian, mean_true_range, rolling_max, shift, sma
from quantlab.signals import Columns, Signals, above, all_of, below, strategy
from quantlab.space import Choice, Float, Int, Params, Space

SPACE = Space(
    Int("consolidation_bars", 8, 24, 10, "bars", "quiet bars before the breakout", "entry"),
    Float("range_atr", 1.2, 2.0, 1.5, "ATR", "range of a quiet bar, below this", "entry"),
    Float("volume_multiple", 1.5, 3.5, 2.5, "x mean of 20", "volume of the breakout", "entry"),
    Choice(
        "sides", ("long", "both"), "long", "name", "long only, or shorts of the mirrored rule too", "entry"
    ),
    Float("reward_risk", 1.5, 4.0, 2.5, "x stop", "target distance", "exit"),
)

REFERENCE = {
    "consolidation_bars": [8, 10, 12, 14, 16, 18, 20, 22, 24],
    "range_atr": [1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0],
    "volume_multiple": [1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5],
    "sides": ["long", "both"],
    "reward_risk": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
}


@strategy("volume_breakout", SPACE, lambda p: p["consolidation_bars"] + 21, REFERENCE, mirrored=False)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    high, low, close = candles.high, candles.low, candles.close
    atr = mean_true_range(high, low, close, 20)
    widths = (high - low) / np.where(atr > 0, atr, np.nan)

    quiet = shift(rolling_max(widths, p.consolidation_bars), 1) < p.range_atr
    top, bottom = (shift(bound, 1) for bound in donchian(high, low, p.consolidation_bars))
    surge = candles.volume >= p.volume_multiple * shift(sma(candles.volume, 20), 1)

    stop = np.abs(close - (top + bottom) / 2)
    return Signals(
        long=all_of(quiet, surge, above(close, top)),
        short=all_of(quiet & (p.sides == "both"), surge, below(close, bottom)),
        stop=stop,
        target=p.reward_risk * stop,
    )
