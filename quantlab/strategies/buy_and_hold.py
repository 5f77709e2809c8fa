"""Buy and hold: the benchmark that every long strategy has to beat.

1. *Entry* at the open of the second bar, long, and never out again.

Known at: the close of the first bar. Warm-up: 1 bar. No parameters. It pays one entry; what is open at
the end is marked at the last close. Left out: rebalancing and staking.
Source: W. Sharpe, "The arithmetic of active management", Financial Analysts J. 47 (1991).
"""

from __future__ import annotations

import numpy as np

from quantlab.signals import Columns, Signals, strategy
from quantlab.space import Params, Space


@strategy("buy_and_hold", Space(), lambda p: 1)
def signals(candles: Columns, p: Params) -> Signals:
    """Long on every bar: the first one that can be filled opens the position."""
    return Signals(long=~np.isnan(candles.close))
