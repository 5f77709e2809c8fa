"""A whole grid, candles to surface: seconds, CPU seconds, ns per bar and cell, peak memory.

    python benchmarks/reference_grid.py --bars 5000 --json
    python benchmarks/reference_grid.py --bars 20000
    python benchmarks/reference_grid.py --bars 120000 --timeframe 5m
    python benchmarks/reference_grid.py --strategy sma_cross
    python benchmarks/reference_grid.py --strategy htf_sweep --real
    python benchmarks/reference_grid.py --assumptions

Any strategy of the library over its reference grid, 20,000 bars by default. `liquidity_sweep` (201,600 cells)
takes 5,000 by default; `sma_cross`, which is always in the market, is swept over windows of 5 to 60 times 80
to 400 bars, 17,976 cells.
`--cells` thins the grid. Hours up to the length of the shipped sample are real; otherwise the market is
synthetic (GARCH), or real with `--real`, where a file is (`common.candles`).

Kernels are warm: the first sweep, on a few bars, is not counted. `seconds` is the median of the repeats. The
peak is resident memory during one more sweep above what the warm process held. `--assumptions` asks every
sweep for all three fill assumptions; `cost_of_three` is then what that costs over one assumption alone.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from common import Peak, candles, sub_grid, timed

from quantlab import strategies
from quantlab.backtest.execution import ASSUMPTIONS
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles

BARS = 20_000


def measure(options: argparse.Namespace) -> dict[str, Any]:
    bars = options.bars or (5_000 if options.strategy == "liquidity_sweep" else BARS)
    market = candles(bars, options.timeframe, options.real)
    grid = sub_grid(options.strategy, options.cells)
    wanted = ASSUMPTIONS if options.assumptions else ()

    def run(candles: Candles, assumptions: tuple[str, ...]) -> None:
        sweep(options.strategy, candles, grid, progress=False, assumptions=assumptions)

    run(market[: min(2_000, len(market))], wanted)
    with Peak() as peak:  # a sweep of its own: watching costs time
        run(market, wanted)
    took = timed(lambda: run(market, wanted), options.repeats)
    work, costs = len(market) * grid.size, {}
    if wanted:
        run(market, ())
        alone = timed(lambda: run(market, ()), options.repeats)
        for clock in ("seconds", "cpu_seconds"):
            costs[clock.replace("seconds", "cost_of_three")] = round(took[clock] / alone[clock], 3)
    return {
        **costs,
        **{name: round(seconds, 6) for name, seconds in took.items()},
        "strategy": options.strategy,
        "data": f"{market.family} {market.timeframe}",
        "bars": len(market),
        "cells": grid.size,
        "ns_per_bar_cell": round(took["seconds"] / work * 1e9, 4),
        "min_ns_per_bar_cell": round(took["min_seconds"] / work * 1e9, 4),
        "cpu_ns_per_bar_cell": round(took["cpu_seconds"] / work * 1e9, 4),
        "peak_mib": round(peak.mib, 1),
        "threads": os.cpu_count(),
        "repeats": options.repeats,
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--strategy", choices=strategies.names(), default="liquidity_sweep")
    parser.add_argument("--bars", type=int, help="5,000 for liquidity_sweep, else 20,000")
    parser.add_argument("--timeframe", default="1h")
    parser.add_argument("--real", action="store_true", help="real candles beyond the sample, where a file is")
    parser.add_argument("--cells", type=int, help="thin the grid to this many cells")
    parser.add_argument("--assumptions", action="store_true", help="all three fill assumptions")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options)
    if options.json:
        print(json.dumps(found))
        return
    if "cost_of_three" in found:
        print(
            f"three fill assumptions cost {found['cost_of_three']} times one (CPU "
            f"{found['cpu_cost_of_three']} times)"
        )
    print(
        f"{found['strategy']}, {found['cells']:,} cells x {found['bars']:,} bars of {found['data']}: "
        f"{found['seconds']:.3f} s (median of {found['repeats']}; least {found['min_seconds']:.3f}; CPU "
        f"{found['cpu_seconds']:.3f}; {found['threads']} threads), {found['ns_per_bar_cell']} ns per bar and "
        f"cell, peak {found['peak_mib']:.0f} MiB; load average {found['load_average']}"
    )


if __name__ == "__main__":
    main()
