"""The signals of sma_cross against its docstring in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantlab import strategies
from quantlab.market.sample import sample_candles
from quantlab.testing.case import arrays

CROSS = strategies.get("sma_cross")
BTC = sample_candles()[6_000:6_600]


def mean(close: list[float], t: int, window: int) -> float:
    return math.fsum(close[t - window + 1 : t + 1]) / window


def decide(close: list[float], fast: int, slow: int, *, sign: int) -> list[int]:
    """Bars on which the fast average comes to lie above (sign 1) or below (sign -1) the slow one."""
    gap = {t: sign * (mean(close, t, fast) - mean(close, t, slow)) for t in range(slow - 1, len(close))}
    return [t for t in range(slow, len(close)) if gap[t] > 0 >= gap[t - 1]]


def test_the_crosses_of_a_grid_by_the_plain_rule() -> None:
    grid = CROSS.grid(fast=[3, 10, 18], slow=[20, 50])
    found = arrays(CROSS.signals(BTC, grid.params()), 2)
    entries = 0
    for i, j in np.ndindex(grid.shape):
        cell = grid.cell((i, j))
        for side, sign in (("long", 1), ("short", -1)):
            bars = decide(BTC.close.tolist(), cell["fast"], cell["slow"], sign=sign)
            assert np.flatnonzero(found[side][i, j]).tolist() == bars
            entries += len(bars)
    assert entries > 100


@pytest.mark.parametrize("level", [0.0, 1e-12])
def test_equal_averages_are_no_cross_until_one_leaves_the_other(level: float) -> None:
    close = np.r_[np.full(30, 100.0), np.full(5, 101.0), np.full(40, 100.0 + level)]

    class Columns:
        pass

    columns = Columns()
    columns.close = close
    found = arrays(CROSS.signals(columns, CROSS.grid(fast=2, slow=5).params()), 0)
    assert np.flatnonzero(found["long"])[0] == 30
    assert np.flatnonzero(found["short"])[0] == 35
