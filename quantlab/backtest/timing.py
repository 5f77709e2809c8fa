"""Timing t and trades of every cell, and nothing else: the sweep behind a rerun on null markets."""

from __future__ import annotations

import numpy as np

from quantlab.backtest import record
from quantlab.backtest.engine import Prepared, prepare
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import distinct_pairs
from quantlab.backtest.parts import plan
from quantlab.backtest.score_kernels import score_pairs
from quantlab.backtest.surface import CandlesIdentity, Surface
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.threads import at_most

TIMING = ("timing_t", "trades")
"""The metrics that are measured."""

_NEAR_TRADES = 1 << 10
"""Trades that are remembered where neighbours alone share them; more would not stay near."""


def timing_surface(
    strategy: Strategy,
    candles: Candles,
    cells: Cells,
    execution: Execution,
) -> Surface:
    """Sweep the cells on this thread alone for `timing_t` and `trades`, to the last bit as `sweep` has them.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    cells : Grid or Points
    execution : Execution

    Returns
    -------
    Surface
        Of these two metrics only. It has no key and its identity no fingerprint, because nobody keeps it.
    """
    found = np.full((2, *cells.shape), np.nan)
    with at_most(1):
        for place, part in plan(strategy, candles, cells, None, threads=1):
            _fill(prepare(strategy, candles, part, execution), found[(slice(None), *place)])
    where = CandlesIdentity(
        exchange=candles.exchange,
        symbol=candles.symbol,
        timeframe=candles.timeframe,
        fingerprint="",
        family=candles.family,
        first_ms=candles.first_ms,
        last_ms=candles.last_ms,
        bars=len(candles),
    )
    return Surface(strategy, cells, dict(zip(TIMING, found, strict=True)), execution, where, "")


def _fill(p: Prepared, found: np.ndarray) -> None:
    """Write timing t and trades of the allowed cells."""
    pair_row, pair_exit, position, _ = distinct_pairs(p)
    decisions, pairs = max(1, p.entries.rows.bar.size), len(pair_row)
    alone = p.rules[0, record.ON_OPPOSITE] == record.IGNORE
    slots = decisions if alone else min(decisions, _NEAR_TRADES)
    memo, out = (np.full((slots, 4), -1), np.empty((slots, 8))), np.empty((2, pairs))
    shared = (p.market, p.rules[0], p.entries.rows, p.exits, p.span)
    score_pairs(*shared, pair_row, pair_exit, 0, pairs, *memo, out)
    cell, values = np.flatnonzero(p.allowed), np.full((2, p.allowed.size), np.nan)
    for row, scores in zip(values, out, strict=True):
        row[cell] = scores[position]
    found[...] = values.reshape(found.shape)
