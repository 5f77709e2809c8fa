"""What 1,000 markets of 1-minute candles over 5 years cost with the reference grid: measured, then derived.

    python benchmarks/scale.py --budgets 256 1024 4096 --json
    python benchmarks/scale.py --markets 100 --cores 64 --usd-per-core-hour 0.04

One market of that length is cut as a sweep would cut it under each budget [MiB]; some of its parts, drawn
at random, are computed on one thread. Measured are their CPU seconds and their peak memory, the bytes that
a cell takes in the database (packed as the store packs it) and those of a stored candle, index included.
`derived` says what follows and how. What a part costs client and scheduler is measured by
`benchmarks/cluster_overhead.py` and given as `--central-ms`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import MIB, Peak

import quantlab as ql
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job, run_part
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import plan
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.settings import Settings
from quantlab.signals import find_strategy
from quantlab.store.arrow import pack
from quantlab.store.store import Store

YEAR_MINUTES = 365.25 * 24 * 60
BYTES_PER_BAR = 49
"""Timestamp, five columns and flags, as they are held and sent."""


def sample(market: Candles, budget_mib: int, count: int) -> dict[str, float]:
    """What parts of the reference grid cost under a budget, from `count` of them drawn at random."""
    found, grid = find_strategy("liquidity_sweep"), ql.reference_grid("liquidity_sweep")
    parts = [part for _, part in plan(found, market, grid, budget_mib * MIB, threads=1)]
    job = Job(found, market, Execution(), threads=1)
    drawn = np.random.default_rng(0).choice(len(parts), min(count, len(parts)), replace=False)
    run_part(job, parts[int(drawn[0])])  # what the first one finds cold is no part of the cost
    cpu, trades, packed, cells, peak_mib = [], 0.0, 0, 0, 0.0
    for i in drawn:
        with Peak() as peak:
            began = time.process_time()
            values = run_part(job, parts[int(i)])
            cpu.append((time.process_time() - began) / parts[int(i)].size)
        peak_mib = max(peak_mib, peak.mib)
        packed += sum(len(pack(row)) for row in values)
        trades += float(np.nansum(values[METRICS.index("trades")]))
        cells += parts[int(i)].size
    spread = float(np.std(cpu, ddof=1) / np.sqrt(len(cpu)) / np.mean(cpu)) if len(cpu) > 1 else float("nan")
    return {
        "budget_mib": budget_mib,
        "parts_per_market": len(parts),
        "parts_measured": len(cpu),
        "cpu_seconds_per_market": float(np.mean(cpu)) * grid.size,
        "relative_error": spread,
        "part_peak_mib": peak_mib,
        "trades_per_cell": trades / cells,
        "stored_bytes_per_cell": packed / cells,
    }


def stored(market: Candles) -> float:
    """Bytes per candle in an embedded PostgreSQL, index included."""
    with tempfile.TemporaryDirectory(prefix="quantlab-scale-") as home, Store(Settings(Path(home))) as store:
        store.put_candles(market)
        with store._connections.transaction() as connection:
            (size,) = connection.execute("select pg_total_relation_size('candle')").fetchone()
    return size / len(market)


def derived(measured: dict[str, Any], sampled: dict[str, float], a: argparse.Namespace) -> dict[str, float]:
    """What follows for all markets; every line is one formula over named inputs."""
    bars, cells = measured["bars"], measured["cells"]
    cpu_hours = a.markets * sampled["cpu_seconds_per_market"] / 3600
    parts = a.markets * sampled["parts_per_market"]
    return {
        "budget_mib": sampled["budget_mib"],
        "cpu_hours": cpu_hours,
        "parts": parts,
        "wall_hours": cpu_hours / a.cores / a.efficiency,
        "central_cpu_hours": parts * a.central_ms / 3.6e6,
        "memory_per_thread_gib": (sampled["part_peak_mib"] + 2 * bars * BYTES_PER_BAR / MIB) / 1024,
        "network_candles_tb": a.markets * bars * BYTES_PER_BAR * a.workers / 1e12,
        "network_results_gb": a.markets * cells * len(METRICS) * 8 / 1e9,
        "client_gb_per_market": cells * len(METRICS) * 8 / 1e9,
        "database_surfaces_gb": a.markets * cells * sampled["stored_bytes_per_cell"] / 1e9,
        "database_candles_gb": a.markets * bars * measured["stored_bytes_per_candle"] / 1e9,
        "usd": cpu_hours / a.efficiency * a.usd_per_core_hour,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--years", type=float, default=5.0)
    parser.add_argument("--budgets", type=int, nargs="+", default=[256, 1024, 4096], help="MiB per part")
    parser.add_argument("--sample", type=int, default=4, help="parts to measure under each budget")
    parser.add_argument("--markets", type=int, default=1_000)
    parser.add_argument("--cores", type=int, default=256, help="one part per core")
    parser.add_argument("--workers", type=int, default=16, help="processes that the cores are shared by")
    parser.add_argument(
        "--efficiency", type=float, default=0.8, help="an assumption: busy share of core time"
    )
    parser.add_argument("--central-ms", type=float, default=8.0, help="from benchmarks/cluster_overhead.py")
    parser.add_argument("--usd-per-core-hour", type=float, default=0.04, help="an assumption")
    parser.add_argument("--no-database", action="store_true", help="assume 120 bytes per stored candle")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    market = garch(n_bars=int(options.years * YEAR_MINUTES), timeframe="1m", seed=0)
    measured = {
        "bars": len(market),
        "cells": ql.reference_grid("liquidity_sweep").size,
        "stored_bytes_per_candle": 120.0 if options.no_database else stored(market[:200_000]),
        "budgets": [sample(market, budget, options.sample) for budget in options.budgets],
        "load_average": round(os.getloadavg()[0], 2),
    }
    found = [derived(measured, sampled, options) for sampled in measured["budgets"]]
    assumed = {
        name: getattr(options, name)
        for name in ("markets", "cores", "workers", "efficiency", "central_ms", "usd_per_core_hour")
    }
    if options.json:
        print(json.dumps({"measured": measured, "assumed": assumed, "derived": found}))
        return
    print("assumed:", ", ".join(f"{name} {value}" for name, value in assumed.items()))
    for title, rows in (("measured", measured["budgets"]), ("derived", found)):
        print(title)
        for name in rows[0]:
            print(f"  {name:26s}", *(f"{row[name]:14,.4g}" for row in rows))
    print({name: value for name, value in measured.items() if name != "budgets"})


if __name__ == "__main__":
    main()
