"""The gate on markets whose truth is known: it hardly ever approves noise and mostly approves a strong edge.

Every seed is fixed, so the counts are too; the bounds are what chance allows. The rates themselves are
measured by ``benchmarks/gate_calibration.py`` on far more markets.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quantlab import strategies
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.validation.gate import validate

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[3, 5, 8, 12, 18, 27, 40], slow=[15, 25, 40, 60, 90, 130])


def approved(make: Callable[[int], Candles], markets: int) -> int:
    count = 0
    for seed in range(markets):
        candles = make(seed)
        surface = sweep(CROSS, candles, GRID, progress=False)
        count += validate(surface, candles, progress=False).approved
    return count


@pytest.mark.slow
def test_noise_is_hardly_ever_approved() -> None:
    """8 or more of 60 have a chance of 1.0 % at a true rate of 5 %."""
    assert approved(lambda seed: garch(2_000, timeframe="1d", seed=500_000 + seed), 60) < 8


@pytest.mark.slow
def test_a_strong_edge_is_mostly_approved() -> None:
    assert approved(lambda seed: planted_momentum(seed=510_000 + seed, true_sharpe=2.0), 20) >= 15
