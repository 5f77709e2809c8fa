"""Numba kernel of divergence between swings."""

from __future__ import annotations

import numpy as np

from quantlab.jit import kernel


@kernel
def diverging(low, oscillator, swings, nearest, farthest):
    """Bar of the latest earlier swing with a higher low and a lower oscillator, for each swing; -1 if none.

    Parameters
    ----------
    low, oscillator : float64 array (n,)
    swings : int64 array (m,)
        Ascending bars.
    nearest, farthest : int
        Bars between the two swings.
    """
    found = np.full(swings.size, -1)
    for i in range(swings.size):
        own, j = swings[i], i - 1
        while j >= 0 and own - swings[j] <= farthest:
            other = swings[j]
            apart = own - other >= nearest
            if apart and low[other] > low[own] and oscillator[other] < oscillator[own]:
                found[i] = other
                break
            j -= 1
    return found
