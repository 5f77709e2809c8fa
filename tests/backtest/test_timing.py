"""The sweep for timing t alone has, to the last bit, the timing t and the trades of the whole sweep."""

from __future__ import annotations

import numpy as np
import pytest
from generated_markets import RULES as ANY
from generated_markets import Case, cases
from hypothesis import given, settings
from test_library_engines import LIBRARY, market, random_cells

from quantlab import strategies
from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.backtest.timing import timing_surface
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.signals import Strategy
from quantlab.space import Cells

RULES = {
    "plain": Execution(),
    "funded and late": Execution(costs=Costs(funding_8h=3e-4), delay_bars=2),
    "at the close, short": Execution(fill="close", direction="short"),
    "a fraction, pessimistic": Execution(sizing=AllIn(0.4), assumption="pessimistic", direction="long"),
    "risk": Execution(sizing=Risk(0.02, leverage=3.0), assumption="optimistic"),
}


def assert_same(strategy: Strategy, candles: Candles, cells: Cells, execution: Execution) -> Surface:
    whole = sweep(strategy, candles, cells, execution, progress=False)
    found = timing_surface(strategy, candles, cells, execution)
    for name in ("timing_t", "trades"):
        assert found[name].tobytes() == whole[name].tobytes(), name
    return whole


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", LIBRARY)
def test_every_strategy_of_the_library(name: str, rules: str) -> None:
    strategy = strategies.get(name)
    cells = strategy.space.points(random_cells(strategy.space, seed=3, count=40))
    candles, execution = market(name, "synthetic"), RULES[rules]
    signals = strategy.signals(candles, cells.params())
    if rules == "risk" and signals.stop is None and signals.trail is None:
        with pytest.raises(InputError, match=f"{name} has no stop"):
            timing_surface(strategy, candles, cells, execution)
        return
    whole = assert_same(strategy, candles, cells, execution)
    assert name in ("flat", "buy_and_hold") or np.nanmax(whole["trades"]) > 1


@settings(max_examples=300, deadline=None)
@given(cases([rule for rule in ANY if rule != "intrabar"], entry_rows=3, exit_rows=2))
def test_generated_markets_and_rules(case: Case) -> None:
    strategy, script = case.script.strategy, case.script
    grid = strategy.space.grid(entry_row=range(script.entry_rows), exit_row=range(script.exit_rows))
    assert_same(strategy, case.candles, grid, case.execution)


def test_a_ruinous_short() -> None:
    candles, cross = garch(3_000, timeframe="1d", seed=4, annual_vol=3.0), strategies.get("sma_cross")
    grid = cross.grid(fast=[3, 8, 20, 50], slow=[60, 120, 240, 360])
    whole = assert_same(cross, candles, grid, Execution(direction="short"))
    assert np.nanmin(whole["net_profit"]) <= -1.0


def test_whole_grids_cut_into_parts() -> None:
    sweeps = strategies.get("liquidity_sweep")
    assert_same(sweeps, sample_candles()[:1_200], sweeps.grid(), Execution())
    cross, candles = strategies.get("sma_cross"), sample_candles()[:6_000]
    grid = cross.grid(fast=np.arange(2, 42), slow=np.arange(30, 70))
    assert_same(cross, candles, grid, Execution())
    found = timing_surface(cross, candles, grid, Execution())
    assert set(found.metrics) == {"timing_t", "trades"}
    assert (found.key, found.identity.fingerprint) == ("", "")
    assert np.array_equal(np.isnan(found["trades"]), ~grid.allowed)
    assert_same(cross, candles, cross.space.grid(), Execution())
