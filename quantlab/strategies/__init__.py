"""The strategy library: one file each; importing this package registers them all."""

from __future__ import annotations

from typing import Any

from quantlab.signals import REGISTRY, Strategy, find_strategy
from quantlab.space import Grid
from quantlab.strategies import breakout as _breakout
from quantlab.strategies import buy_and_hold as _buy_and_hold
from quantlab.strategies import capitulation_reversal as _capitulation_reversal
from quantlab.strategies import divergence_capitulation as _divergence_capitulation
from quantlab.strategies import failed_breakdown as _failed_breakdown
from quantlab.strategies import flat as _flat
from quantlab.strategies import htf_sweep as _htf_sweep
from quantlab.strategies import liquidity_sweep as _liquidity_sweep
from quantlab.strategies import mean_reversion as _mean_reversion
from quantlab.strategies import momentum as _momentum
from quantlab.strategies import random_entry as _random_entry
from quantlab.strategies import sma_cross as _sma_cross
from quantlab.strategies import volume_breakout as _volume_breakout

_LIBRARY = (
    _breakout,
    _buy_and_hold,
    _capitulation_reversal,
    _divergence_capitulation,
    _failed_breakdown,
    _flat,
    _htf_sweep,
    _liquidity_sweep,
    _mean_reversion,
    _momentum,
    _random_entry,
    _sma_cross,
    _volume_breakout,
)


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
