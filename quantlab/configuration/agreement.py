"""Replay on the second engine: a configuration is exported only if two engines tell the same story."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.backtest.trades import Run
from quantlab.errors import IntegrityError

TOLERANCE = 1e-9
"""Greatest difference: of prices and units relative to themselves, of returns and equity as they stand."""

ENGINES = ("sweep kernel", "plain replay")

_EXACT = ("decision_bar", "entry_bar", "exit_bar", "side", "reason", "bars_held")
_RELATIVE = ("entry_price", "exit_price", "units")


def compare(kernel: Run, replay: Run) -> dict[str, Any]:
    """Compare one cell's run on both engines, trade by trade and bar by bar.

    Parameters
    ----------
    kernel, replay : Run
        Of the same strategy, parameters, execution and candles.

    Returns
    -------
    dict
        The section ``validation.replay``: engines, trades, max_difference, tolerance, agreed.

    Raises
    ------
    IntegrityError
        The runs are of different cells, or they differ; names the first trade (or bar) at fault.
    """
    if (kernel.strategy, dict(kernel.params), kernel.execution) != (
        replay.strategy,
        dict(replay.params),
        replay.execution,
    ):
        raise IntegrityError(
            f"two engines can only agree on one cell, got {kernel.strategy} {dict(kernel.params)} and "
            f"{replay.strategy} {dict(replay.params)}, or other execution rules."
        )
    a, b = kernel.trades, replay.trades
    if len(a) != len(b) or len(kernel.equity) != len(replay.equity):
        raise IntegrityError(
            f"the {ENGINES[0]} made {len(a)} trades on {len(kernel.equity)} bars, the {ENGINES[1]} {len(b)} "
            f"on {len(replay.equity)}: do not trade this; report the cell {dict(kernel.params)}."
        )
    for name in a.dtype.names or ():
        apart = _apart(name, a[name], b[name])
        _refuse(apart > (0.0 if name in _EXACT else TOLERANCE), "trade", name, a[name], b[name])
    equity = np.abs(kernel.equity - replay.equity)
    _refuse(~(equity <= TOLERANCE), "bar", "equity", kernel.equity, replay.equity)
    differences = [_apart(name, a[name], b[name]) for name in a.dtype.names or ()]
    largest = max((float(d.max()) for d in (*differences, equity) if d.size), default=0.0)
    return {
        "engines": list(ENGINES),
        "trades": len(a),
        "max_difference": largest,
        "tolerance": TOLERANCE,
        "agreed": True,
    }


def _apart(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Difference of one field, infinite where just one value is NaN."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    scale = np.maximum(np.abs(x), np.abs(y)) if name in _RELATIVE else np.ones(len(x))
    apart = np.abs(x - y) / np.where(scale > 0.0, scale, 1.0)
    apart[np.isnan(x) & np.isnan(y)] = 0.0
    return np.nan_to_num(apart, nan=np.inf)


def _refuse(differs: np.ndarray, kind: str, name: str, a: np.ndarray, b: np.ndarray) -> None:
    if differs.any():
        i = int(np.argmax(differs))
        raise IntegrityError(
            f"the two engines differ in {name} of {kind} {i}: {a[i]} and {b[i]}; "
            "do not trade this and report the cell."
        )
