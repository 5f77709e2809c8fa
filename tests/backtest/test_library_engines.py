"""Every strategy of the library in both engines: random cells in one sweep, and each replayed bar by bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_kernel_equals_replay import assert_same_metrics, assert_same_run, has_ties

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.replay import replay
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import COLUMNS, Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.space import Choice, Int, Space

LIBRARY = [
    name for name in strategies.names() if strategies.get(name).signals.__module__.startswith("quantlab.")
]
RARE = ("capitulation_reversal", "divergence_capitulation", "failed_breakdown")
CELLS = 14
MORE = {("capitulation_reversal", "synthetic"): 60}  # a GARCH market hardly ever panics


def random_cells(space: Space, seed: int, count: int = CELLS) -> list[dict[str, Any]]:
    """The default cell and random ones, half of them near it."""
    rng, cells = np.random.default_rng(seed), [space.defaults]
    while len(cells) < count and len(space):
        cell: dict[str, Any] = {}
        for p in space.parameters:
            if isinstance(p, Choice):
                cell[p.name] = str(rng.choice(p.options))
            else:
                anywhere = rng.uniform(p.low, p.high)
                drawn = anywhere if len(cells) % 2 else 0.9 * p.default + 0.1 * anywhere
                cell[p.name] = round(drawn) if isinstance(p, Int) else float(drawn)
        if space.points([cell]).allowed[0]:
            cells.append(cell)
    return cells


def with_lost_bars(candles: Candles) -> Candles:
    lost = np.random.default_rng(5).random(len(candles)) < 0.01
    columns = [np.where(lost, np.nan, getattr(candles, name)) for name in COLUMNS]
    return Candles.from_arrays("test", "BTC/USD", candles.timeframe, candles.timestamps, *columns)


def market(name: str, kind: str) -> Candles:
    n = 9_000 if name in RARE else 2_500
    return sample_candles()[5_000 : 5_000 + n] if kind == "real" else with_lost_bars(garch(n, seed=9))


@pytest.mark.parametrize("kind", ["real", "synthetic"])
@pytest.mark.parametrize("name", LIBRARY)
def test_the_sweep_and_the_replay_agree_on_every_strategy(name: str, kind: str) -> None:
    candles, strategy, execution = market(name, kind), strategies.get(name), Execution()
    cells = random_cells(strategy.space, len(name), MORE.get((name, kind), CELLS))
    points = strategy.space.points(cells)
    surface = sweep(strategy, candles, points, execution, progress=False)
    trades = 0
    for i in range(points.size):
        plain = replay(strategy, candles, points.cell((i,)), execution)
        if i < 3:
            assert_same_run(run_cell(strategy, candles, points.cell((i,)), execution), plain, candles)
        cell = {metric: surface.metrics[metric][i] for metric in METRICS}
        assert_same_metrics(cell, plain.metrics, has_ties(plain, candles))
        trades += len(plain.trades)
    assert trades >= {"flat": 0, "buy_and_hold": 1}.get(name, 20)
    assert (trades == 0) == (name == "flat")


@pytest.mark.parametrize("name", [n for n in LIBRARY if n != "flat"])
def test_an_entry_is_filled_at_the_open_after_its_signal(name: str) -> None:
    """At the raw open, where there is no slippage; never at the close that made the signal."""
    candles, strategy = market(name, "real"), strategies.get(name)
    execution = replace(Execution(), costs=replace(Execution().costs, slippage_bps=0.0))
    points = strategy.space.points(random_cells(strategy.space, 2))
    signals, checked = strategy.signals(candles, points.params()), 0
    long, short = (None if s is None else np.asarray(s) for s in (signals.long, signals.short))
    for i in range(points.size):
        run = run_cell(strategy, candles, points.cell((i,)), execution)
        for trade in run.trades:
            side = long if trade["side"] > 0 else short
            row = side if side.ndim == 1 else side[min(i, len(side) - 1)]
            assert row[trade["entry_bar"] - 1]
            assert trade["entry_price"] == candles.open[trade["entry_bar"]]
            checked += 1
    assert checked > 0
