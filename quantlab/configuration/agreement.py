"""Replay on the second engine: a configuration may be traded only if two engines tell the same story."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.backtest.trades import Run
from quantlab.configuration.nulls import stated
from quantlab.errors import IntegrityError

TOLERANCE = 1e-9
"""Greatest difference: of prices and units relative to themselves, of returns and equity as they stand."""

ENGINES = ("sweep kernel", "plain replay")

_EXACT = ("decision_bar", "entry_bar", "exit_bar", "side", "reason", "bars_held", "partial_bar")
_RELATIVE = ("entry_price", "exit_price", "units", "partial_price", "partial_units")


def compare(kernel: Run, replay: Run) -> dict[str, Any]:
    """Compare one cell's run on both engines, trade by trade and bar by bar.

    Parameters
    ----------
    kernel, replay : Run
        Of the same strategy, parameters, execution and candles.

    Returns
    -------
    dict
        The section ``validation.replay``. ``agreed`` is False at the first difference, which is named in
        ``first_difference``; the reader then refuses the document.

    Raises
    ------
    IntegrityError
        The runs are of different cells, rules or candles.
    """
    cells = [(run.strategy, dict(run.params), run.execution, len(run.equity)) for run in (kernel, replay)]
    if cells[0] != cells[1]:
        raise IntegrityError(f"two engines can only agree on one cell, got {cells[0]} and {cells[1]}.")
    fault, largest = _difference(kernel, replay)
    return stated(
        {
            "engines": list(ENGINES),
            "trades": len(kernel.trades),
            "max_difference": None if fault else largest,
            "tolerance": TOLERANCE,
            "agreed": fault is None,
            "first_difference": fault,
        },
        {"first_difference": "none was found", "max_difference": "the engines disagree"},
    )


def _difference(kernel: Run, replay: Run) -> tuple[str | None, float]:
    """The first fault, if any, and the largest difference."""
    a, b = kernel.trades, replay.trades
    if len(a) != len(b):
        return f"{len(a)} trades on the {ENGINES[0]}, {len(b)} on the {ENGINES[1]}", np.inf
    largest = 0.0
    columns = [("trade", name, a[name], b[name]) for name in a.dtype.names or ()]
    for kind, name, x, y in [*columns, ("bar", "equity", kernel.equity, replay.equity)]:
        apart = _apart(name, x, y)
        differs = apart > (0.0 if name in _EXACT else TOLERANCE)
        if differs.any():
            i = int(np.argmax(differs))
            return f"{name} of {kind} {i}: {x[i]} on the {ENGINES[0]}, {y[i]} on the {ENGINES[1]}", np.inf
        largest = max(largest, float(apart.max(initial=0.0)))
    return None, largest


def _apart(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Difference of one field, infinite where just one value is NaN."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    scale = np.maximum(np.abs(x), np.abs(y)) if name in _RELATIVE else np.ones(len(x))
    apart = np.abs(x - y) / np.where(scale > 0.0, scale, 1.0)
    apart[np.isnan(x) & np.isnan(y)] = 0.0
    return np.nan_to_num(apart, nan=np.inf)
