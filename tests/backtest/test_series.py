"""Daily returns of chosen cells against the runs of the same cells."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.replay import replay
from quantlab.backtest.series import daily_returns_of
from quantlab.errors import InputError
from quantlab.market.sample import sample_candles

BTC = sample_candles()[2_000:3_500]
CROSS = strategies.get("sma_cross")


@pytest.mark.parametrize("execution", [Execution(), Execution(direction="long", fill="close")])
def test_they_are_the_returns_of_single_runs(execution: Execution) -> None:
    points = [{"fast": 5, "slow": 30}, {"fast": 20, "slow": 100}]
    found = daily_returns_of(CROSS, BTC, CROSS.space.points(points), execution, progress=False)
    for row, params in zip(found, points, strict=True):
        for engine in (run_cell, replay):
            np.testing.assert_allclose(
                row, engine(CROSS, BTC, params, execution).daily, rtol=1e-9, atol=1e-12
            )
    assert (found != 0).any(axis=1).all()


def test_forbidden_cells_are_nan() -> None:
    grid = CROSS.grid(fast=[5, 40], slow=[30, 100])
    found = daily_returns_of(CROSS, BTC, grid, progress=False)
    assert found.shape[:2] == grid.shape
    assert np.array_equal(np.isnan(found).all(axis=-1), ~grid.allowed)


def test_a_day_is_not_enough() -> None:
    with pytest.raises(InputError, match="`blocks` must be in"):
        daily_returns_of(CROSS, BTC[:10], CROSS.space.points([{}]), progress=False)
