"""Time-series momentum: what has risen by more than a threshold is held while it keeps rising.

Long rule (the short side is its mirror image):

1. *Change*: close / close `lookback` bars ago - 1.
2. *Entry* at the next open when the change is above `threshold`.
3. *Exit* at the next open when the change is below 0, or after `max_holding` bars. While the change stays
   above the threshold, a position closed by the holding limit is opened again.

Known at: the close of the bar. Warm-up: `lookback` + 1 bars. Left out: sizing by volatility.
Source: T. Moskowitz, Y. H. Ooi, L. H. Pedersen, "Time series momentum", J. Financial Economics 104 (2012).
"""

from __future__ import annotations

from quantlab.indicators import lag
from quantlab.signals import Columns, Signals, above, below, strategy
from quantlab.space import Float, Int, Params, Space

SPACE = Space(
    Int("lookback", 5, 200, 20, "bars", "bars over which the change counts", "entry"),
    Float("threshold", 0.005, 0.10, 0.02, "fraction", "change that opens a position", "entry"),
    Int("max_holding", 5, 500, 100, "bars", "longest time in the market", "exit"),
)

REFERENCE = {
    "lookback": [5, 8, 10, 12, 15, 20, 25, 30, 36, 42, 48, 60, 72, 84, 96, 120, 144, 168, 184, 200],
    "threshold": [0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10],
    "max_holding": [5, 10, 20, 50, 100, 200, 350, 500],
}


@strategy("momentum", SPACE, lambda p: p["lookback"] + 1, REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    change = candles.close / lag(candles.close, p.lookback) - 1
    return Signals(
        long=above(change, p.threshold),
        short=below(change, -p.threshold),
        exit_long=change < 0,
        exit_short=change > 0,
        max_holding=p.max_holding,
    )
