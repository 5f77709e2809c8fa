"""Every strategy of the library keeps every rule of the contract, on a synthetic and on a real market."""

from __future__ import annotations

import functools

import pytest

from quantlab import strategies
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.testing import CHECKS, Case

# Other tests register strategies too, some of which fail on purpose.
LIBRARY = [
    name for name in strategies.names() if strategies.get(name).signals.__module__.startswith("quantlab.")
]


@functools.cache
def case(name: str, market: str) -> Case:
    candles = garch(4_000, seed=7) if market == "synthetic" else sample_candles()[9_000:11_500]
    return Case(strategies.get(name), candles)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("market", ["synthetic", "real"])
@pytest.mark.parametrize("name", LIBRARY)
def test_contract(name: str, market: str, check: str) -> None:
    CHECKS[check](case(name, market))


@pytest.mark.parametrize("name", LIBRARY)
def test_the_checks_have_something_to_look_at(name: str) -> None:
    whole = case(name, "synthetic").whole
    assert min(whole["long"].sum(), whole["short"].sum()) > 400
    assert case(name, "synthetic").cells.size >= 5


@pytest.mark.parametrize("name", LIBRARY)
def test_every_parameter_has_a_meaning_and_the_reference_grid_is_valid(name: str) -> None:
    strategy = strategies.get(name)
    assert all(p.meaning and p.unit for p in strategy.space.parameters)
    assert set(strategy.reference) <= set(strategy.space.names)
    assert strategies.reference_grid(name).size == strategy.grid().size
    assert strategy.grid().allowed.any()


def test_reference_grid_of_liquidity_sweep() -> None:
    grid = strategies.reference_grid("liquidity_sweep")
    assert grid.size == 201_600
    entry = [len(v) for n, v in grid.axes.items() if grid.space[n].role == "entry"]
    assert entry == [6, 5, 8, 7, 5]
    assert strategies.reference_grid("liquidity_sweep", min_touches=[1, 2]).size == 403_200
