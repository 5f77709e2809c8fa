"""One cell under several fill assumptions at once against one run for each of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.engine import run_cell, run_under
from quantlab.backtest.execution import ASSUMPTIONS
from quantlab.market.synthetic import garch


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    "execution", [ql.Execution(), ql.Execution(sizing=ql.Risk(0.02), delay_bars=1, assumption="pessimistic")]
)
def test_each_run_is_the_one_that_its_assumption_makes_alone(execution: ql.Execution, known: bool) -> None:
    candles = garch(n_bars=4_000, timeframe="1h", seed=11)
    strategy, params = strategies.get("liquidity_sweep"), {"stop_atr": 0.5, "reward_risk": 2.0}
    signals = strategy.signals(candles, strategy.space.points([params]).params()) if known else None
    found = run_under(strategy, candles, params, execution, ASSUMPTIONS, signals=signals)
    assert list(found) == list(ASSUMPTIONS)
    for name, run in found.items():
        how: dict[str, Any] = {"assumption": name}
        alone = run_cell(strategy, candles, params, replace(execution, **how))
        assert run.execution == alone.execution
        assert run.params == alone.params
        assert run.trades.tobytes() == alone.trades.tobytes()  # NaN for NaN
        np.testing.assert_array_equal(run.equity, alone.equity)
        np.testing.assert_equal(run.metrics, alone.metrics)
    assert len(found["neutral"].trades) > 20
    assert (found["optimistic"].equity != found["pessimistic"].equity).any()
