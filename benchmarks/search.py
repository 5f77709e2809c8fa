"""What a search costs beside its sweeps: cells per second through each sampler, and the share of overhead.

    python benchmarks/search.py --json

`overhead` is the CPU time of a search outside its sweep calls over that inside them, in the same run: what
sampler, checks and scores add, a fraction; `overhead_us_per_cell` is what they add. `grid_overhead` compares
a grid of `--cells` cells, searched, with one sweep of that grid. Figures are of CPU seconds, all threads;
wall seconds stand beside them. Samplers that fit a model are asked for as many cells as they are meant for
(`--learners`: another number). `evolution_cpu_seconds` is 100 generations of 1,000 cells without any
evaluation.

    python benchmarks/search.py --interrupts 20     # Ctrl-C at random moments: seconds until the search ends
    python benchmarks/search.py --markets 36        # a campaign: jobs, workers, its estimate, its wall time
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import candles, sub_grid

from quantlab.backtest.sweep import sweep
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.search import loop
from quantlab.search.choose import SAMPLERS
from quantlab.search.evolution import EvolutionSampler
from quantlab.search.run import search
from quantlab.settings import Settings
from quantlab.space import Choice, Float, Int, Space

LEARNERS = {"tpe": 300, "gp": 60, "rf": 60, "et": 60, "cmaes": 1_000, "nsga2": 1_000}
"""Cells of the samplers that fit a model: as many as each is meant for."""


def sampler_cost(name: str, market: Candles, cells: int, repeats: int) -> dict[str, float]:
    """One sampler's searches of `sma_cross`, and the share of them spent inside the sweep."""
    inside = [0.0]

    def watched(*args: Any, **how: Any) -> Any:
        began = time.process_time()
        try:
            return sweep(*args, **how)
        finally:
            inside[0] += time.process_time() - began

    loop.sweep = watched
    took = []
    for _ in range(repeats + 1):
        inside[0], began, cpu = 0.0, time.perf_counter(), time.process_time()
        study = search("sma_cross", market, sampler=name, trials=cells, min_trades=5, progress=False)
        took.append((time.perf_counter() - began, time.process_time() - cpu, inside[0]))
    loop.sweep = sweep
    seconds, whole, bare = np.median(np.array(took[1:]), axis=0)
    return {
        "cells": study.n_trials,
        "batches": len(study.parts),
        "cells_per_cpu_second": study.n_trials / whole,
        "seconds": seconds,
        "cpu_seconds": whole,
        "sweep_cpu_seconds": bare,
        "overhead": whole / bare - 1,
        "overhead_us_per_cell": 1e6 * (whole - bare) / study.n_trials,
    }


def grid_cost(market: Candles, cells: int, repeats: int) -> dict[str, float]:
    """A grid searched beside the same grid swept, one after the other so that both meet the same machine."""
    grid = sub_grid("liquidity_sweep", cells)
    took: list[list[float]] = []
    for _ in range(20 * repeats + 1):  # a pair takes some 30 ms
        pair = []
        for call in (
            lambda: sweep("liquidity_sweep", market, grid, progress=False),
            lambda: search("liquidity_sweep", market, sampler=grid, trials=cells, progress=False),
        ):
            began = time.process_time()
            call()
            pair.append(time.process_time() - began)
        took.append(pair)
    bare, searched = np.median(np.array(took[1:]), axis=0)
    return {
        "cells": cells,
        "bare_cpu_seconds": bare,
        "cpu_seconds": searched,
        "overhead": searched / bare - 1,
    }


def interrupt_cost(name: str, market: Candles, repeats: int) -> dict[str, float]:
    """Seconds from Ctrl-C to the end of a search, at random moments of its first two seconds."""
    rng, took = np.random.default_rng(0), []
    how: dict[str, Any] = {"sampler": name, "min_trades": 5, "progress": False}
    search("sma_cross", market, trials=60, **how)  # imports and compiles
    for wait in rng.uniform(0.1, 2.0, repeats):
        sent = [0.0]

        def interrupt(sent: list[float] = sent) -> None:
            sent[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(wait, interrupt)
        with contextlib.suppress(KeyboardInterrupt):  # before the first batch
            timer.start()
            search("sma_cross", market, trials=10**6, **how)
        took.append(time.perf_counter() - sent[0])
        timer.join()
    p50, p95, most = np.quantile(took, [0.5, 0.95, 1.0])
    return {"repeats": repeats, "p50": p50, "p95": p95, "max": most}


def evolution_cost() -> float:
    """CPU seconds of 100 generations of 1,000 cells of a mixed space, evaluation left out."""
    numbers = [Int(f"n{i}", 1, 200, 5) for i in range(3)] + [Float(f"x{i}", 0, 1, 0.5) for i in range(3)]
    space = Space(*numbers, Choice("a", ("x", "y", "z"), "x"), Choice("b", ("u", "v"), "u"), owner="mixed")
    sampler, spent = EvolutionSampler(space, 0, population=1_000), 0.0
    for _ in range(100):
        began = time.process_time()
        cells = sampler.ask(1_000)
        spent += time.process_time() - began
        values = -sum((cells.columns[f"x{i}"] - 0.3) ** 2 for i in range(3))
        began = time.process_time()
        sampler.tell(cells, values)
        spent += time.process_time() - began
    return spent


def many_markets(count: int, bars: int, workers: int, cells: int | None) -> dict[str, Any]:
    """A campaign of liquidity_sweep on `count` made-up markets: jobs of one lab, done by worker processes."""
    with tempfile.TemporaryDirectory() as folder, Lab(Settings(home=Path(folder))) as lab:
        for seed in range(count):
            lab.put_candles(replace(garch(n_bars=bars, timeframe="1h", seed=seed), symbol=f"M{seed}/USD"))
        markets = lab.markets()
        began = time.perf_counter()
        grid = sub_grid("liquidity_sweep", cells)
        campaign = lab.train(
            "liquidity_sweep",
            markets["exchange"][0],
            list(markets["symbol"]),
            "1h",
            workers=workers,
            grid=grid,
        )
        queued = time.perf_counter()
        command = [sys.executable, "-m", "quantlab.cli", "worker", "--drain"]
        environment = os.environ | {"QUANTLAB_HOME": folder}
        crew = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(workers)]
        for one in crew:
            one.wait()
        seconds = time.perf_counter() - began
        frame = campaign.wait(1.0).to_frame()
    return {
        "markets": count,
        "bars": bars,
        "workers": workers,
        "cells": count * grid.size,
        "completed": int((frame["status"] == "completed").sum()),
        "seconds": seconds,
        "seconds_to_queue": queued - began,
        "estimated_seconds": campaign.estimate.seconds,
        "cells_per_second": count * grid.size / seconds,
        "best_sharpe": float(frame["sharpe"].astype(float).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument(
        "--learners", type=int, help="cells of samplers that fit a model; by default 60 to 1,000"
    )
    parser.add_argument("--bars", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--markets", type=int, default=0, help="only this: a campaign on so many markets")
    parser.add_argument("--workers", type=int, default=2, help="processes of the campaign")
    parser.add_argument("--market-cells", type=int, help="of its grid; by default the reference grid")
    parser.add_argument("--interrupts", type=int, default=0, help="only this: so many of each sampler")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    market = candles(options.bars)
    found: dict[str, Any] = {"bars": len(market), "load_average": round(os.getloadavg()[0], 2)}
    if options.markets:
        found |= many_markets(options.markets, options.bars, options.workers, options.market_cells)
    elif options.interrupts:
        names = [name for name in options.samplers if name != "halving"]
        found["interrupts"] = {name: interrupt_cost(name, market, options.interrupts) for name in names}
    else:
        grid = grid_cost(market, options.cells, options.repeats)
        found |= {"grid": grid, "grid_overhead": grid["overhead"], "samplers": {}}
        for name in options.samplers:
            cells = (options.learners or LEARNERS[name]) if name in LEARNERS else options.cells
            found["samplers"][name] = sampler_cost(name, market, cells, options.repeats)
            found[f"{name}_overhead"] = found["samplers"][name]["overhead"]
        found["evolution_cpu_seconds"] = evolution_cost()
    if options.json:
        print(json.dumps(found))
        return
    tables = {**found.pop("samplers", {}), **found.pop("interrupts", {})}
    for name, one in {"grid": found.pop("grid", None), **tables}.items():
        if one:
            print(f"{name:10s}", *(f"{key} {value:,.4g}" for key, value in one.items()))
    print(*(f"{key} {value:,.4g}" for key, value in found.items()), sep="\n")


if __name__ == "__main__":
    main()
