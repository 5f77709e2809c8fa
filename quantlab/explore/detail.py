"""What is shown of one cell: curves, fills and figures, small enough to travel at every click."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.backtest.daily import DAY_MS
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.surface import Surface
from quantlab.backtest.trades import OPEN, REASONS, Run, last_fill
from quantlab.explore.planes import Searched
from quantlab.explore.tables import param_text
from quantlab.figures.labels import metric_style, metric_text
from quantlab.figures.thin import group_candles, thin
from quantlab.market.candles import Candles

POINTS, FEWER = 4_000, 1_200
"""Points of the equity curve, and of those under other fills; highs and lows of every stretch are kept."""
BARS = 60_000
"""Bars of the price; beyond that neighbours are merged."""
TRADES = 4_000
"""Trades that travel: the last ones."""

Payload = tuple[dict[str, Any], list[bytes]]


def market(candles: Candles) -> Payload:
    """The candles, sent once: open times follow from the first one and the step."""
    columns = (candles.timestamps, candles.open, candles.high, candles.low, candles.close)
    (_, *prices), merged = group_candles(columns, BARS)
    told = {
        "first": candles.first_ms,
        "step": candles.step_ms * merged,
        "merged": merged,
        "bars": len(candles),
        "fingerprint": candles.fingerprint,
    }
    return told, [np.ascontiguousarray(p, "<f4").tobytes() for p in prices]


def cell_detail(
    searched: Searched,
    index: tuple[int, ...],
    runs: Mapping[str, Run],
    stops: np.ndarray | None,
) -> Payload:
    """A cell under every fill assumption.

    Parameters
    ----------
    searched : Searched
    index : tuple of int
        Where the cell lies.
    runs : mapping of str to Run
        Fill assumption to the backtest of the whole history, the execution's own first.
    stops : float array (trades,), optional
        Price of the stop at entry of each trade of the first run.

    Returns
    -------
    dict, list of bytes
        Buffers in the order of the names in ``buffers``.
    """
    own = next(iter(runs.values()))
    buffers: dict[str, np.ndarray] = {}
    for name, run in runs.items():
        below = run.equity / np.maximum.accumulate(np.maximum(run.equity, 1.0)) - 1.0
        keep = thin((run.equity, below), POINTS if run is own else FEWER)
        buffers |= {
            f"bars:{name}": keep.astype("<i4"),
            f"equity:{name}": run.equity[keep].astype("<f4"),
            f"drawdown:{name}": below[keep].astype("<f4"),
        }
    buffers |= _fills(own.trades[-TRADES:], None if stops is None else stops[-TRADES:])
    told = {
        "index": list(index),
        "params": _params(searched.whole, index),
        "columns": ["figure", *(["in-sample", "out-of-sample"] if searched.parts else []), *runs],
        "figures": _figures(searched, index, runs),
        "own": own.execution.assumption,
        "trades": len(own.trades),
        "reasons": list(REASONS),
        "months": monthly(own.daily, own.days),
        "split": searched.split_ms,
        "buffers": list(buffers),
    }
    return told, [np.ascontiguousarray(array).tobytes() for array in buffers.values()]


def monthly(daily: np.ndarray, days: np.ndarray) -> list[list[float]]:
    """``[year, month, return]`` of every calendar month (UTC) that has a day, in order."""
    if not len(days):
        return []
    month = (days * DAY_MS).astype("datetime64[ms]").astype("datetime64[M]").astype(int)
    starts = np.flatnonzero(np.diff(month, prepend=month[0] - 1))
    grown = (np.multiply.reduceat(1.0 + daily, starts) - 1.0).tolist()
    return [
        [1970 + int(m) // 12, int(m) % 12 + 1, float(r)] for m, r in zip(month[starts], grown, strict=True)
    ]


def _fills(trades: np.ndarray, stops: np.ndarray | None) -> dict[str, np.ndarray]:
    level = np.full(len(trades), np.nan) if stops is None else stops
    return {
        "entry_bar": trades["entry_bar"].astype("<i4"),
        "exit_bar": np.where(trades["reason"] == OPEN, -1, trades["exit_bar"]).astype("<i4"),
        "last_bar": trades["exit_bar"].astype("<i4"),
        "side": trades["side"].astype("<i4"),
        "reason": trades["reason"].astype("<i4"),
        "entry": trades["entry_price"].astype("<f4"),
        "exit": last_fill(trades).astype("<f4"),
        "stop": level.astype("<f4"),
        "return": trades["trade_return"].astype("<f4"),
        "held": trades["bars_held"].astype("<i4"),
    }


def _params(surface: Surface, index: tuple[int, ...]) -> list[list[str]]:
    cell, space = surface.cells.cell(index), surface.cells.space
    return [[name, param_text(value), space[name].unit] for name, value in cell.items()]


def _figures(searched: Searched, index: tuple[int, ...], runs: Mapping[str, Run]) -> list[list[str]]:
    rows = []
    for name in METRICS:
        parts = [part.metrics.get(name) for part in searched.parts or ()]
        seen = [math.nan if part is None else float(part[index]) for part in parts]
        values = [*seen, *(run.metrics[name] for run in runs.values())]
        texts = [metric_text(name, value) for value in values]
        rows.append([metric_style(name).label, *texts])
    return rows


def figures_in(rows: Sequence[Sequence[str]], label: str) -> Sequence[str]:
    """The row of a figure by its label: what tests and callers without a browser read."""
    return next(row[1:] for row in rows if row[0] == label)
