"""What a Dask cluster adds to a sweep: time per part, bytes, memory of a worker; what a second worker gains.

    python benchmarks/cluster_overhead.py --json

The cluster runs on this machine, workers of one thread each, scheduler and client in this process. `ratio`
is how many times faster two workers are than one on the same parts; two are as fast as the idle cores of
this machine let them. `added_ms_per_part` is what the cluster adds to the wall time of parts of one cell on
few bars, on one worker; `central_ms_per_part` the CPU time that client and scheduler spend on each, which
bounds how many parts a second any number of workers can finish. `cut_cpu_ratio` is what cutting costs by
itself: the CPU seconds of all parts, computed here one after the other, over those of the grid in one part.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from typing import Any

import distributed
import numpy as np
import psutil
from common import MIB, candles, sub_grid, timed
from distributed.protocol import serialize

from quantlab.backtest.cluster import Workers
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job, run_part
from quantlab.backtest.parts import DEFAULT_BUDGET, plan
from quantlab.backtest.remote import Parcel
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.signals import find_strategy
from quantlab.space import Grid


class WorkerPeak:
    """Samples the resident memory of the workers until it is left."""

    def __init__(self, client: distributed.Client) -> None:
        self._processes = [psutil.Process(pid) for pid in client.run(os.getpid).values()]

    def __enter__(self) -> WorkerPeak:
        self._base = self._held()
        self._top, self._over = np.array(self._base), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _held(self) -> np.ndarray:
        return np.array([process.memory_info().rss for process in self._processes])

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self._top = np.maximum(self._top, self._held())

    @property
    def mib(self) -> float:
        """The largest peak of a worker above its start [MiB]."""
        return float((self._top - self._base).max() / MIB)


def cluster(workers: int) -> distributed.LocalCluster:
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
    )


def swept(client: distributed.Client, market: Candles, grid: Grid, repeats: int) -> dict[str, float]:
    """Seconds of the sweep on a cluster, and what a worker held at most."""
    strategy = grid.space.owner
    sweep(strategy, market[:2_000], grid, progress=False, cluster=client)
    with WorkerPeak(client) as peak:
        sweep(strategy, market, grid, progress=False, cluster=client)
    took = timed(lambda: sweep(strategy, market, grid, progress=False, cluster=client), repeats)
    return {
        "seconds": took["seconds"],
        "min_seconds": took["min_seconds"],
        "worker_peak_mib": round(peak.mib, 1),
    }


def per_part(client: distributed.Client, count: int) -> dict[str, float]:
    """What a part costs that is next to nothing."""
    found, market = find_strategy("sma_cross"), garch(300, seed=0)
    cells = found.space.points([{"fast": 5 + i % 50, "slow": 100 + i // 50} for i in range(count)])
    parts = list(plan(found, market, cells, DEFAULT_BUDGET, least=count))
    job, team = Job(found, market, Execution(), threads=1), Workers(client)
    here = timed(lambda: [run_part(job, part) for _, part in parts], 3)
    there = timed(lambda: list(team.run_markets([(job, parts)], lambda _: None)), 3)
    return {
        "parts": len(parts),
        "added_ms_per_part": (there["min_seconds"] - here["min_seconds"]) / len(parts) * 1e3,
        "central_ms_per_part": there["min_cpu_seconds"] / len(parts) * 1e3,
    }


def cut(market: Candles, grid: Grid, least: int) -> dict[str, float]:
    """CPU seconds of the grid in one part and in `least`, one thread."""
    found = find_strategy(grid.space.owner)
    job = Job(found, market, Execution(), threads=1)
    seconds = []
    for parts in (1, least):
        cells = [part for _, part in plan(found, market, grid, DEFAULT_BUDGET, least=parts)]
        seconds.append(
            timed(lambda cells=cells: [run_part(job, part) for part in cells], 3)["min_cpu_seconds"]
        )
    return {"whole_cpu_seconds": seconds[0], "parts_cpu_seconds": seconds[1]}


def network(client: distributed.Client, bars: int) -> dict[str, float]:
    """Bytes of a market as it is sent, and how long it takes to reach all workers."""
    market = garch(bars, timeframe="1m", seed=0)
    parcel = Parcel.of(Job(find_strategy("liquidity_sweep"), market, Execution()))
    size = sum(memoryview(frame).nbytes for frame in serialize(parcel)[1])
    began = time.perf_counter()
    held = client.scatter(parcel, broadcast=True, hash=False)
    took = time.perf_counter() - began
    del held
    return {"bars": bars, "bytes_per_bar": size / bars, "seconds_to_all_workers": took}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    market, grid = candles(options.bars), sub_grid("liquidity_sweep", options.cells)
    local = timed(lambda: sweep("liquidity_sweep", market, grid, progress=False, threads=1), options.repeats)
    found: dict[str, Any] = {"bars": len(market), "cells": grid.size, "local_one_thread": local}
    for workers in (1, 2):
        with cluster(workers) as here, distributed.Client(here, set_as_default=False) as client:
            client.wait_for_workers(workers)
            found[f"workers_{workers}"] = swept(client, market, grid, options.repeats)
            if workers == 1:
                found["per_part"] = per_part(client, options.parts)
            else:
                found["network"] = network(client, options.scatter_bars)
    found["cut"] = cut(market, grid, 8)
    cut_ratio = found["cut"]["parts_cpu_seconds"] / found["cut"]["whole_cpu_seconds"]
    return {
        "ratio": round(found["workers_1"]["min_seconds"] / found["workers_2"]["min_seconds"], 3),
        "one_worker_over_local": round(found["workers_1"]["min_seconds"] / local["min_seconds"], 3),
        "cut_cpu_ratio": round(cut_ratio, 3),
        "peak_mib": found["workers_2"]["worker_peak_mib"],
        **found,
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bars", type=int, default=20_000)
    parser.add_argument(
        "--cells", type=int, help="thin the reference grid of liquidity_sweep to this many cells"
    )
    parser.add_argument("--parts", type=int, default=300, help="parts that are next to nothing")
    parser.add_argument("--scatter-bars", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options)
    if options.json:
        print(json.dumps(found))
        return
    one, two, part, sent = (found[name] for name in ("workers_1", "workers_2", "per_part", "network"))
    print(
        f"{found['cells']:,} cells x {found['bars']:,} bars: one worker {one['min_seconds']:.2f} s, two "
        f"{two['min_seconds']:.2f} s: {found['ratio']:.2f} times as fast; here on one thread "
        f"{found['local_one_thread']['min_seconds']:.2f} s; peak of a worker {found['peak_mib']:.0f} MiB\n"
        f"a part: {part['added_ms_per_part']:.1f} ms, {part['central_ms_per_part']:.1f} ms of CPU at client "
        f"and scheduler; cutting into parts takes {found['cut_cpu_ratio']:.2f} times the CPU of one\n"
        f"a market of {sent['bars']:,} bars: {sent['bytes_per_bar']:.1f} bytes per bar, at both workers "
        f"after {sent['seconds_to_all_workers']:.2f} s; load average {found['load_average']}"
    )


if __name__ == "__main__":
    main()
