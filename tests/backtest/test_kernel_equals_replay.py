"""The kernel of the sweep against the plain replay: every trade, every equity mark, every metric.

The two were written independently from the law of fills. Whole numbers must be equal, floats to 1e-9.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated_markets import RULES, Case, Script, backtests, cases, executions
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import ASSUMPTIONS, AllIn, Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.replay import replay
from quantlab.backtest.sweep import sweep
from quantlab.backtest.trades import RUIN, TRADE_DTYPE, Run
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.strategies import get

GENERATED = settings(max_examples=300, deadline=None, derandomize=True)
LAWS = settings(max_examples=80, deadline=None, derandomize=True)
GRIDS = settings(max_examples=60, deadline=None, derandomize=True)

TIE = 1e-12
"""Below this a difference is rounding, and which side of zero it falls on is nobody's law."""

CONTINUOUS = {
    "net_profit",
    "max_drawdown",
    "trades",
    "expectancy",
    "exposure",
    "turnover",
    "fees_paid",
    "var_95",
    "break_even_cost_bps",
}
"""Metrics that rounding cannot make jump: the only ones compared where a return is zero but for rounding."""


def has_ties(run: Run, candles: Candles) -> bool:
    """Whether a trade, a day in the market or a return to the peak is zero but for rounding, or two of the
    worst days are equal but for it.
    """
    returns = np.concatenate([run.closed["trade_return"], run.closed["gross_return"]])
    per_day = np.flatnonzero(np.append(np.diff(candles.timestamps // 86_400_000) != 0, True))
    marks = run.equity[per_day]
    peaks = np.maximum.accumulate(np.concatenate(([1.0], marks)))[:-1]
    before = np.concatenate(([1.0], marks[:-1]))
    active = marks != before
    at_peak = active & (np.abs(marks - peaks) < TIE)
    idle = (run.daily != 0) & (np.abs(run.daily) < TIE)
    exposed = run.exposure != 0
    exposed[run.trades["entry_bar"]] = True  # entered at the close it is marked, though not exposed
    held = np.add.reduceat(exposed, np.concatenate(([0], per_day[:-1] + 1))) > 0
    still = held & (np.abs(run.daily) < TIE)
    at_quantile = np.abs(run.daily - np.quantile(run.daily, 0.05)) < TIE
    tied = (np.abs(returns) < TIE).any() or at_peak.any() or idle.any() or still.any()
    return bool(tied or at_quantile.sum() > 1)


def assert_same_trades(kernel: np.ndarray, plain: np.ndarray) -> None:
    assert kernel.dtype == plain.dtype == TRADE_DTYPE
    assert len(kernel) == len(plain)
    for name in TRADE_DTYPE.names:
        if TRADE_DTYPE[name].kind == "i":
            assert kernel[name].tolist() == plain[name].tolist(), name
        else:
            np.testing.assert_allclose(kernel[name], plain[name], rtol=1e-9, atol=TIE, err_msg=name)


def assert_same_metrics(kernel: Any, plain: Any, ties: bool) -> None:
    for name in METRICS:
        if name in CONTINUOUS or not ties:
            np.testing.assert_allclose(kernel[name], plain[name], rtol=1e-9, atol=1e-9, err_msg=name)


def assert_same_run(kernel: Run, plain: Run, candles: Candles) -> None:
    assert_same_trades(kernel.trades, plain.trades)
    for name in ("equity", "exposure", "daily", "market_daily"):
        np.testing.assert_allclose(
            getattr(kernel, name), getattr(plain, name), rtol=1e-9, atol=TIE, err_msg=name
        )
    assert kernel.days.tolist() == plain.days.tolist()
    assert tuple(kernel.metrics) == METRICS
    assert_same_metrics(kernel.metrics, plain.metrics, has_ties(plain, candles))


@GENERATED
@given(backtests(), st.data())
def test_one_cell(backtest: Any, data: st.DataObject) -> None:
    candles, script, execution = backtest
    start = data.draw(st.sampled_from([0, 0, 0, len(candles) // 2]))
    kernel = run_cell(script.strategy, candles, {}, execution, start=start)
    plain = replay(script.strategy, candles, {}, execution, start=start)
    assert_same_run(kernel, plain, candles)
    assert dict(kernel.params) == dict(plain.params)
    assert kernel.strategy == plain.strategy


@pytest.mark.parametrize("rule", [*RULES, "together"])
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_one_cell_under_every_rule(rule: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases() if rule == "together" else cases(rules=(), always=(rule,)))
    kernel = run_cell(
        case.script.strategy, case.candles, {}, case.execution, start=case.start, intrabar=case.intrabar
    )
    assert_same_run(kernel, case.replay(), case.candles)


@GRIDS
@given(cases(entry_rows=3, exit_rows=3))
def test_every_cell_of_a_grid_under_every_rule_and_assumption(case: Case) -> None:
    script, execution = case.script, case.execution
    surface = sweep(
        script.strategy,
        case.candles,
        grid_of(script),
        execution,
        progress=False,
        intrabar=case.intrabar,
        assumptions=ASSUMPTIONS,
    )
    for assumption in ASSUMPTIONS:
        seen = surface.under(assumption)
        for index in np.ndindex(surface.shape):
            rules = replace(execution, assumption=assumption)
            params = surface.cells.cell(index)
            plain = replay(script.strategy, case.candles, params, rules, intrabar=case.intrabar)
            cell = {name: seen.metrics[name][index] for name in METRICS}
            assert_same_metrics(cell, plain.metrics, has_ties(plain, case.candles))


def grid_of(script: Script) -> Any:
    return script.strategy.grid(entry_row=range(script.entry_rows), exit_row=range(script.exit_rows))


@GRIDS
@given(backtests(entry_rows=3, exit_rows=4))
def test_every_cell_of_a_grid(backtest: Any) -> None:
    candles, script, execution = backtest
    surface = sweep(script.strategy, candles, grid_of(script), execution, progress=False)
    for index in np.ndindex(surface.shape):
        plain = replay(script.strategy, candles, surface.cells.cell(index), execution)
        cell = {name: surface.metrics[name][index] for name in METRICS}
        assert_same_metrics(cell, plain.metrics, has_ties(plain, candles))


@GRIDS
@given(backtests(entry_rows=3, exit_rows=4))
def test_points_and_chunks_change_no_bit(backtest: Any) -> None:
    candles, script, execution = backtest
    grid = grid_of(script)
    whole = sweep(script.strategy, candles, grid, execution, progress=False)
    cut = sweep(script.strategy, candles, grid, execution, progress=False, budget=1, threads=1)
    cells = [grid.cell(index) for index in np.ndindex(grid.shape)]
    points = sweep(script.strategy, candles, script.strategy.space.points(cells), execution, progress=False)
    for name in METRICS:
        assert whole.metrics[name].tobytes() == cut.metrics[name].tobytes(), name
        assert whole.metrics[name].tobytes() == points.metrics[name].tobytes(), name


@LAWS
@given(backtests())
def test_profits_of_the_kernel_sum_to_the_change_in_equity(backtest: Any) -> None:
    candles, script, execution = backtest
    run = run_cell(script.strategy, candles, {}, execution)
    assert run.trades["profit"].sum() == pytest.approx(run.equity[-1] - 1, rel=1e-9, abs=1e-9)


@LAWS
@given(backtests(), executions(risk=False))
def test_more_costs_never_mean_more_profit_of_the_kernel(backtest: Any, execution: Execution) -> None:
    candles, script, _ = backtest
    costs = replace(execution.costs, funding_8h=0.0, maker=abs(execution.costs.maker))
    execution = replace(execution, costs=costs, sizing=AllIn())
    cheap = run_cell(script.strategy, candles, {}, execution)
    dear = run_cell(script.strategy, candles, {}, replace(execution, costs=costs.times(2)))
    if (dear.equity <= 0).any() or (dear.trades["reason"] == RUIN).any():
        return  # costs may bring ruin forward, and with it other fills
    assert cheap.trades["exit_bar"].tolist() == dear.trades["exit_bar"].tolist()
    assert (dear.trades["trade_return"] <= cheap.trades["trade_return"] + TIE).all()
    assert dear.equity[-1] <= cheap.equity[-1] + TIE


@pytest.mark.parametrize("on_bars", [slice(0, 2500), slice(9000, 11500)])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sma_cross", {"fast": [5, 20], "slow": [30, 120]}),
        (
            "liquidity_sweep",
            {
                "pierce_depth": [0.0005, 0.002],
                "volume_spike": [1.5, 2.0],
                "stop_atr": [1.0, 2.0],
                "min_touches": [1],
            },
        ),
    ],
)
@pytest.mark.parametrize("sizing", [AllIn(), AllIn(0.5)])
def test_real_strategies_on_real_candles(name: str, values: Any, on_bars: slice, sizing: AllIn) -> None:
    candles, strategy, execution = sample_candles()[on_bars], get(name), Execution(sizing=sizing)
    surface = sweep(strategy, candles, strategy.grid(**values), execution, progress=False)
    assert surface.metrics["trades"].max() > 10
    for index in np.ndindex(surface.shape):
        params = surface.cells.cell(index)
        plain = replay(strategy, candles, params, execution)
        assert_same_run(run_cell(strategy, candles, params, execution), plain, candles)
        cell = {metric: surface.metrics[metric][index] for metric in METRICS}
        assert_same_metrics(cell, plain.metrics, has_ties(plain, candles))


def test_the_kernels_mean_the_same_without_compilation() -> None:
    script = Path(__file__).with_name("uncompiled.py")
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal without compilation", done.stderr[-3000:]
