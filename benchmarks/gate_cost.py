"""What the statistics of a whole search cost: rerun on null markets, overfitting, superior ability.

    python benchmarks/gate_cost.py --json

`edge_seconds`: a search of 1,560 cells on 26,280 hours, again on mirrored and on shuffled markets as the gate
does it at a level of 5 %, which ends as soon as the answer is clear; `edge_all_seconds`: the same on all of
199 markets of each kind; `noise_seconds`: the same search on a market without an edge; `reference_seconds`:
the reference grid of liquidity_sweep, 201,600 cells on 5,000 hours, on all of 199 markets of each kind.
`pbo_seconds`: all 12,870 splits of 16 blocks at 10,000 cells.
`spa_seconds` and `spa_peak_mib`: 1,000 draws over 208 blocks at 100,000 cells.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import numpy as np
from common import Peak

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.extras import Blocks
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.validation.again import SameCells, SideBySide
from quantlab.validation.overfitting import overfitting
from quantlab.validation.rerun import rerun
from quantlab.validation.snooping import null_draws, winner_timing_t
from quantlab.validation.spa import superior_ability
from quantlab.validation.thresholds import Gate


def blocks(count: int, cells: int) -> Blocks:
    """Sums over blocks of ten days, of noise."""
    rng = np.random.default_rng(0)
    sums = rng.normal(0.0, 0.03, (count, cells))
    squares = np.full_like(sums, 0.001) + sums**2 / 10
    return Blocks(
        np.arange(count + 1) * 10, sums, squares, np.full_like(sums, 120.0), rng.normal(0, 0.1, count)
    )


def crossover() -> SameCells:
    """The crossover over 1,560 pairs of windows, all of them allowed."""
    cross = strategies.get("sma_cross")
    grid = cross.grid(fast=list(range(2, 41)), slow=list(range(42, 400, 9)))
    return SameCells(cross, grid, Execution())


def reference() -> SameCells:
    """The whole reference grid of liquidity_sweep."""
    strategy = strategies.get("liquidity_sweep")
    return SameCells(strategy, strategy.grid(), Execution())


def searched(
    search: SameCells, candles: Candles, draws: int, *, alpha: float | None = None
) -> dict[str, float]:
    """Seconds and markets of a rerun as the gate makes it at a level; without one, of all its draws."""
    score = winner_timing_t(Gate())

    def earned(market: Candles) -> float:
        found = score(search.timing(market))
        return np.inf if alpha is None and market is candles else found

    earned(candles)
    began, cpu = time.perf_counter(), time.process_time()
    found = rerun(SideBySide(earned), candles, score=float, draws=draws, alpha=alpha, progress=False)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "p": found.p,
        "markets": sum(len(null.scores) for null in found.nulls),
        "cells": int(search.cells.allowed.sum()),
        "bars": len(candles),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bars", type=int, default=26_280)
    parser.add_argument("--reference-bars", type=int, default=5_000)
    parser.add_argument("--draws", type=int, default=199)
    parser.add_argument(
        "--cells", type=int, default=100_000, help="of superior ability; a tenth of overfitting"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    planted = planted_momentum(options.bars, seed=1, true_sharpe=6.0, timeframe="1h")
    gate = Gate(draws=options.draws)
    as_the_gate = {"draws": null_draws(gate, gate.alpha), "alpha": gate.alpha}
    edge = searched(crossover(), planted, **as_the_gate)
    edge_all = searched(crossover(), planted, options.draws)
    noise = searched(crossover(), garch(options.bars, seed=1), **as_the_gate)
    whole = searched(reference(), ql.sample_candles()[: options.reference_bars], options.draws)
    few, many = blocks(16, options.cells // 10), blocks(208, options.cells)
    overfitting(blocks(4, 3))
    began = time.perf_counter()
    splits = len(overfitting(few).ranks)
    pbo_seconds = time.perf_counter() - began
    with Peak() as memory:
        began = time.perf_counter()
        superior_ability(many, 10 * 208 * 24)
        spa_seconds = time.perf_counter() - began
    found = {
        "edge_seconds": edge["seconds"],
        "edge_all_seconds": edge_all["seconds"],
        "noise_seconds": noise["seconds"],
        "reference_seconds": whole["seconds"],
        "pbo_seconds": pbo_seconds,
        "spa_seconds": spa_seconds,
        "spa_peak_mib": round(memory.mib, 1),
        "edge": edge,
        "edge_all": edge_all,
        "noise": noise,
        "reference": whole,
        "pbo_splits": splits,
        "load_average": round(os.getloadavg()[0], 2),
    }
    if options.json:
        print(json.dumps(found))
        return
    runs = (("edge", edge), ("all of it", edge_all), ("noise", noise), ("reference grid", whole))
    for name, one in runs:
        print(
            f"{name}: {one['markets']} null markets of {one['bars']:,} bars x {one['cells']:,} cells in "
            f"{one['seconds']:.1f} s (CPU {one['cpu_seconds']:.1f}), p = {one['p']:.3f}"
        )
    print(
        f"overfitting: {splits:,} splits x {options.cells // 10:,} cells in {pbo_seconds:.2f} s; superior "
        f"ability: {options.cells:,} cells in {spa_seconds:.2f} s, peak {memory.mib:.0f} MiB; "
        f"load average {found['load_average']}"
    )


if __name__ == "__main__":
    main()
