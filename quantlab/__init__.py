"""quantlab: a strategy research lab for crypto.

>>> import quantlab as ql
>>> lab = ql.open()
>>> btc = lab.candles("coinbase", "BTC/USD", "1h")
>>> surface = lab.sweep("liquidity_sweep", btc)

Everything public is reachable from here; modules are imported when a name is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AllIn": "quantlab.backtest.execution",
    "Candles": "quantlab.market.candles",
    "Choice": "quantlab.space",
    "Costs": "quantlab.backtest.execution",
    "Execution": "quantlab.backtest.execution",
    "Float": "quantlab.space",
    "Gate": "quantlab.validation.thresholds",
    "Int": "quantlab.space",
    "Lab": "quantlab.lab",
    "MarketSurface": "quantlab.backtest.markets",
    "Params": "quantlab.space",
    "QuantlabError": "quantlab.errors",
    "Risk": "quantlab.backtest.execution",
    "Signals": "quantlab.signals",
    "Space": "quantlab.space",
    "Surface": "quantlab.backtest.surface",
    "above": "quantlab.signals",
    "all_of": "quantlab.signals",
    "below": "quantlab.signals",
    "crossed_above": "quantlab.signals",
    "crossed_below": "quantlab.signals",
    "open": "quantlab.lab",
    "reference_grid": "quantlab.strategies",
    "resample": "quantlab.market.resample",
    "sample_candles": "quantlab.market.sample",
    "strategy": "quantlab.signals",
    "sweep": "quantlab.backtest.sweep",
}


_ROOMS = ("regimes",)

__all__ = sorted([*_HOME, *_ROOMS, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"quantlab.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'quantlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
