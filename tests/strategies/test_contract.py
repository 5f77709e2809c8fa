"""Every strategy of the library keeps every rule of the contract, on a synthetic and on a real market."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace

import pytest

from quantlab import strategies
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import garch
from quantlab.space import Choice, Space
from quantlab.testing import CHECKS, Case, check_strategy
from quantlab.testing.case import entered, sides

# Other tests register strategies too, some of which fail on purpose.
LIBRARY = [
    name for name in strategies.names() if strategies.get(name).signals.__module__.startswith("quantlab.")
]
RARE = {"divergence_capitulation": 200, "failed_breakdown": 400}
"""Entries that must be found of strategies that need years of hours to show themselves."""
NEVER = {"flat"}
MIRRORED = [name for name in LIBRARY if strategies.get(name).mirrored]


@functools.cache
def case(name: str, market: str) -> Case:
    if name == "divergence_capitulation":
        candles = garch(16_000, seed=7) if market == "synthetic" else sample_candles()
    elif market == "synthetic":
        candles = garch(4_000, seed=7)
    else:
        candles = sample_candles() if name in RARE else sample_candles()[9_000:11_500]
    return Case(strategies.get(name), candles)


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "mirror"])
@pytest.mark.parametrize("market", ["synthetic", "real"])
@pytest.mark.parametrize("name", LIBRARY)
def test_contract(name: str, market: str, check: str) -> None:
    CHECKS[check](case(name, market))


@pytest.mark.parametrize("market", ["synthetic", "real"])
@pytest.mark.parametrize("name", MIRRORED)
def test_the_short_side_is_the_mirror_image(name: str, market: str) -> None:
    CHECKS["mirror"](case(name, market))


def test_only_two_strategies_have_no_mirror_image() -> None:
    """One is asked for shorts by a parameter, the other tosses a coin."""
    assert sorted(set(LIBRARY) - set(MIRRORED)) == ["random_entry", "volume_breakout"]


@pytest.mark.parametrize("market", ["synthetic", "real"])
def test_volume_breakout_of_both_sides_is_mirrored(market: str) -> None:
    found = case("volume_breakout", market)
    both = [
        Choice("sides", ("both",), "both") if p.name == "sides" else p
        for p in found.strategy.space.parameters
    ]
    strategy = replace(found.strategy, space=Space(*both, owner="volume_breakout"), mirrored=True)
    CHECKS["mirror"](Case(strategy, found.candles))


def test_check_strategy_asks_for_a_mirror_image_where_one_is_declared() -> None:
    check_strategy("volume_breakout")
    with pytest.raises(AssertionError, match="must become"):
        check_strategy("volume_breakout", mirrored=True)


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in NEVER])
def test_the_checks_have_something_to_look_at(name: str) -> None:
    found = case(name, "real" if name in RARE else "synthetic")
    assert min(found.whole[side].sum() for side in sides(found.whole)) > RARE.get(name, 400)
    assert found.cells.size >= 5 or len(found.strategy.space) == 0


@pytest.mark.parametrize("market", ["synthetic", "real"])
def test_flat_is_the_only_strategy_that_never_enters(market: str) -> None:
    assert not entered(case("flat", market).whole).any()


@pytest.mark.parametrize("name", LIBRARY)
def test_both_sides_are_traded(name: str) -> None:
    one_sided = {"buy_and_hold": ["long"], "flat": ["long"]}
    assert sides(case(name, "synthetic").whole) == one_sided.get(name, ["long", "short"])


@pytest.mark.parametrize("name", LIBRARY)
def test_every_parameter_has_a_meaning_and_the_reference_grid_is_valid(name: str) -> None:
    strategy = strategies.get(name)
    assert all(p.meaning and p.unit for p in strategy.space.parameters)
    assert set(strategy.reference) <= set(strategy.space.names)
    assert strategies.reference_grid(name).size == strategy.grid().size
    assert strategy.grid().allowed.any()


@pytest.mark.parametrize("name", LIBRARY)
def test_the_docstring_states_rule_warmup_source_and_what_was_left_out(name: str) -> None:
    text = " ".join((sys.modules[strategies.get(name).signals.__module__].__doc__ or "").split())
    for words in ("1. *", "Known at:", "Warm-up:", "Source:", "Left out:"):
        assert words in text, words
    for p in strategies.get(name).space.names:
        assert f"`{p}`" in text, p


def test_reference_grid_of_liquidity_sweep() -> None:
    grid = strategies.reference_grid("liquidity_sweep")
    assert grid.size == 201_600
    entry = [len(v) for n, v in grid.axes.items() if grid.space[n].role == "entry"]
    assert entry == [6, 5, 8, 7, 5]
    assert strategies.reference_grid("liquidity_sweep", min_touches=[1, 2]).size == 403_200
