"""Moving-average cross: hold the side on which the fast average lies; the baseline every library documents.

Long rule (the short side is its mirror image):

1. *Averages*: simple means of the close over `fast` and `slow` bars, `fast` < `slow`.
2. *Cross*: the fast average was at or below the slow one a bar ago and lies above it now.
3. *Entry* at the next open; an opposite cross closes the position and, where that side may be traded,
   reverses it. With ``direction="long"`` the strategy is long or flat.

Known at: both averages at the close of their bar. Warm-up: `slow` + 1 bars. Left out: nothing.
Source: the crossover example of every backtesting library, for cross-checks between them; W. Brock,
J. Lakonishok, B. LeBaron, "Simple technical trading rules and the stochastic properties of stock
returns", J. Finance 47 (1992).
"""

from __future__ import annotations

from quantlab.indicators import sma
from quantlab.signals import Columns, Signals, crossed_above, crossed_below, strategy
from quantlab.space import Int, Params, Space

SPACE = Space(
    Int("fast", 2, 200, 20, "bars", "window of the fast average", "entry"),
    Int("slow", 5, 400, 100, "bars", "window of the slow average", "entry"),
    constraints=("fast < slow",),
)

REFERENCE = {
    "fast": [5, 8, 10, 12, 15, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 96, 120, 144],
    "slow": [20, 24, 30, 36, 42, 48, 56, 64, 72, 84, 96, 110, 125, 140, 160, 180, 200, 240, 300, 400],
}


@strategy("sma_cross", SPACE, lambda p: p["slow"] + 1, REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries of the rule above for every cell of `p`."""
    fast, slow = sma(candles.close, p.fast), sma(candles.close, p.slow)
    return Signals(long=crossed_above(fast, slow), short=crossed_below(fast, slow), on_opposite="reverse")
