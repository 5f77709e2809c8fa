"""Mean reversion: price far below its own average is bought and sold again near the average.

Long rule (the short side is its mirror image):

1. *Score*: z = (close - mean) / standard deviation of the last `window` closes, this one included (ddof 0).
2. *Entry* at the next open when z < -`deviation`.
3. *Exit* at the next open when z >= `exit_z`.

Known at: the close of the bar. Warm-up: `window` bars. Left out: a stop; what falls and keeps falling is
held, which is the risk of the idea and is not hidden.
Source: J. Bollinger, Bollinger on Bollinger Bands (2001); J. Poterba, L. Summers, "Mean reversion in stock
prices", J. Financial Economics 22 (1988).
"""

from __future__ import annotations

from quantlab.indicators import zscore
from quantlab.signals import Columns, Signals, above, below, strategy
from quantlab.space import Float, Int, Params, Space

SPACE = Space(
    Int("window", 10, 200, 50, "bars", "bars of mean and deviation", "entry"),
    Float("deviation", 1.0, 3.5, 2.0, "standard deviations", "score that opens a position", "entry"),
    Float("exit_z", -0.5, 0.5, 0.0, "standard deviations", "score that closes it", "exit"),
)

REFERENCE = {
    "window": list(range(10, 201, 10)),
    "deviation": [1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5],
    "exit_z": [-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
}


@strategy("mean_reversion", SPACE, lambda p: p["window"], REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    z = zscore(candles.close, p.window)
    return Signals(
        long=below(z, -p.deviation),
        short=above(z, p.deviation),
        exit_long=z >= p.exit_z,
        exit_short=z <= -p.exit_z,
    )
