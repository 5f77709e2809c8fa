"""Every row that a sweep may be asked for, cell by cell from single runs: slow, plain, the tests' oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantlab.backtest.engine import run_cell
from quantlab.backtest.local import Job
from quantlab.backtest.trades import OPEN, Run
from quantlab.space import Cells


def rows(job: Job, cells: Cells) -> np.ndarray:
    """Matrix ``(rows, cells)``; NaN where a constraint is broken."""
    allowed = cells.allowed.ravel()
    out = np.full((job.request.rows, cells.size), np.nan)
    for i, place in enumerate(np.ndindex(cells.shape)):
        if allowed[i]:
            out[:, i] = column(job, cells.cell(place))
    return out


def column(job: Job, params: dict) -> list[float]:
    request, execution = job.request, job.execution
    run = run_cell(job.strategy, job.candles, params, execution)
    found = list(run.metrics.values())
    for assumption in request.assumptions:
        other = replace(execution, assumption=assumption)
        found += run_cell(job.strategy, job.candles, params, other).metrics.values()
    for regime in range(request.n_regimes):
        found += of_regime(run, request.regimes == regime)
    for block in range(request.blocks):
        days = len(run.days)
        found += of_block(run, job, block * days // request.blocks, (block + 1) * days // request.blocks)
    return found


def of_regime(run: Run, inside: np.ndarray) -> list[float]:
    trades = run.trades[inside[run.trades["decision_bar"]]]
    closed = [trade for trade in trades if trade["reason"] != OPEN]
    wealth = 1.0
    for trade in trades:
        wealth *= 1.0 + trade["trade_return"]
    won = sum(trade["profit"] for trade in closed if trade["profit"] > 0)
    lost = -sum(trade["profit"] for trade in closed if trade["profit"] < 0)
    count = len(closed)
    return [
        float(count),
        wealth - 1.0,
        sum(trade["trade_return"] > 0 for trade in closed) / count if count else np.nan,
        won / lost if lost > 0 else np.nan,
        sum(trade["trade_return"] for trade in closed) / count if count else np.nan,
        sum(int(trade["bars_held"]) for trade in trades) / len(run.equity),
    ]


def of_block(run: Run, job: Job, first: int, stop: int) -> list[float]:
    day = job.candles.timestamps // 86_400_000
    inside = (day >= run.days[first]) & (day <= run.days[stop - 1])
    daily = run.daily[first:stop]
    return [float(daily.sum()), float((daily**2).sum()), float(run.exposure[inside].sum())]
