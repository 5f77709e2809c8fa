"""The strategy library: one file each; importing this package registers them all."""

from __future__ import annotations

from typing import Any

from quantlab.signals import REGISTRY, Strategy, find_strategy
from quantlab.space import Grid
from quantlab.strategies import liquidity_sweep as _liquidity_sweep
from quantlab.strategies import sma_cross as _sma_cross

_LIBRARY = (_liquidity_sweep, _sma_cross)


def get(name: str | Strategy) -> Strategy:
    """The strategy called `name`; an unknown name is an error with a suggestion."""
    return find_strategy(name)


def names() -> list[str]:
    """Names of all registered strategies, sorted."""
    return sorted(REGISTRY)


def reference_grid(name: str | Strategy, **values: Any) -> Grid:
    """The reference grid of a strategy, with `values` in place of single axes."""
    found = find_strategy(name)
    return found.space.grid(**{**found.reference, **values})
