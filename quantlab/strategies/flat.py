"""Flat: the benchmark that never trades; what loses to it should not be traded at all.

1. *Entry*: none.

Known at: the close of the bar. Warm-up: 1 bar. No parameters. Idle capital earns nothing here. Left out:
interest.
Source: none is needed.
"""

from __future__ import annotations

import numpy as np

from quantlab.signals import Columns, Signals, strategy
from quantlab.space import Params, Space


@strategy("flat", Space(), lambda p: 1)
def signals(candles: Columns, p: Params) -> Signals:
    """No entry on any bar."""
    return Signals(long=np.zeros(candles.close.size, bool))
