"""Random entry: trades as often and as long as a strategy does, at moments that mean nothing.

What a strategy earns beyond many seeds of this one is what its choice of moments is worth; the rest is
exposure, costs and the market. Take `trades_per_year` and `holding` from the strategy's own trades.

1. *Draw*: a number in [0, 1) per bar, a hash of the bar's open time and `seed` (SplitMix64).
2. *Entry* at the next open where the draw is below 1 / (bars per year / `trades_per_year` - `holding`):
   that many bars pass on average between two trades of `holding` bars each. Where they do not fit into
   a year, every bar enters.
3. *Side* by `sides`: "long", "short", or for "both" a coin from another hash of the same.
4. *Exit* after `holding` bars.

Known at: before the bar opens, since only its time counts. So the draws of a history's part are the part
of its draws. Warm-up: 2 bars, whose distance is the length of a bar. Left out: the strategy's own stops.
Source: A. Lo, H. Mamaysky, J. Wang, "Foundations of technical analysis", J. Finance 55 (2000), compare with
random moments; G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (2014).
"""

from __future__ import annotations

import numpy as np

from quantlab.signals import Columns, Signals, all_of, below, strategy
from quantlab.space import Choice, Float, Int, Params, Space

YEAR_MS = 365 * 86_400_000

SPACE = Space(
    Float("trades_per_year", 1.0, 5000.0, 100.0, "trades", "how often", "entry"),
    Int("holding", 1, 5000, 24, "bars", "how long", "entry"),
    Int("seed", 0, 1_000_000, 0, "number", "which moments", "entry"),
    Choice("sides", ("long", "short", "both"), "long", "name", "which sides", "entry"),
)

REFERENCE = {"trades_per_year": [25.0, 50.0, 100.0, 200.0, 400.0], "seed": list(range(100))}


def mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: uint64 in, uint64 out, every bit of it hangs on all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@strategy("random_entry", SPACE, lambda p: 2, REFERENCE, mirrored=False)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and holding limit of the rule above for every cell of `p`."""
    step = int(np.ptp(candles.timestamps[:2]))
    gap = YEAR_MS / max(step, 1) / p.trades_per_year - p.holding

    hashed = mixed(mixed(p.seed.astype(np.uint64)) + candles.timestamps.astype(np.uint64))
    draw = (hashed >> np.uint64(11)) * 2.0**-53
    heads = mixed(hashed + np.uint64(1)) >> np.uint64(63) == 1
    drawn = below(draw, 1 / np.maximum(gap, 1.0))
    return Signals(
        long=all_of(drawn, (p.sides == "long") | ((p.sides == "both") & heads)),
        short=all_of(drawn, (p.sides == "short") | ((p.sides == "both") & ~heads)),
        max_holding=p.holding,
    )
