"""The reference grid of liquidity_sweep, candles to surface: seconds, ns per bar and cell, peak memory.

    python benchmarks/reference_grid.py --bars 5000 --json

Bars beyond the shipped sample are synthetic (GARCH, hourly). Kernels are warm: the first sweep, on a few
bars, is not counted. The peak is resident memory during the sweep above what the warm process held.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time

import numpy as np
import psutil

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.space import Grid

MIB = 2**20


class Peak:
    """Samples the resident memory of this process until it is left."""

    def __enter__(self) -> Peak:
        self._process = psutil.Process()
        self._base = self.top = self._process.memory_info().rss
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.top = max(self.top, self._process.memory_info().rss)

    @property
    def mib(self) -> float:
        """Peak above the start [MiB]."""
        return (self.top - self._base) / MIB


def candles(bars: int) -> Candles:
    sample = ql.sample_candles()
    return sample[-bars:] if bars <= len(sample) else garch(n_bars=bars, timeframe="1h", seed=0)


def sub_grid(strategy: str, cells: int) -> Grid:
    """A grid of exactly `cells` cells, all of them allowed.

    `liquidity_sweep`: the reference grid with thinned axes; the prime factors of `cells`, largest first, go
    to the axis that has most values per value taken. `sma_cross`: windows of 5 to 60 and of 80 to 400 bars.
    """
    found = strategies.get(strategy)
    reference = {name: np.asarray(values) for name, values in found.reference.items()}
    if strategy == "sma_cross":
        reference = {"fast": np.arange(5, 61), "slow": np.arange(80, 401)}
    taken = dict.fromkeys(reference, 1)
    for factor in prime_factors(cells):
        room = {n: len(v) / taken[n] for n, v in reference.items() if len(v) >= taken[n] * factor}
        if not room:
            raise SystemExit(f"no sub-grid of {strategy} has {cells} cells: choose smaller prime factors.")
        taken[max(room, key=lambda n: room[n])] *= factor
    thinned = {n: v[np.linspace(0, len(v) - 1, taken[n]).round().astype(int)] for n, v in reference.items()}
    return found.grid(**thinned)


def prime_factors(number: int) -> list[int]:
    """Prime factors in descending order."""
    factors, k = [], 2
    while number > 1:
        while number % k == 0:
            factors.append(k)
            number //= k
        k += 1
    return factors[::-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    market, grid = candles(args.bars), ql.reference_grid("liquidity_sweep")
    sweep("liquidity_sweep", market[: min(2_000, args.bars)], grid, progress=False)
    seconds = []
    with Peak() as peak:
        for _ in range(args.repeats):
            began = time.perf_counter()
            surface = sweep("liquidity_sweep", market, grid, progress=False)
            seconds.append(time.perf_counter() - began)
            cells = surface.size
            del surface
    best = sorted(seconds)[len(seconds) // 2]
    result = {
        "seconds": round(best, 4),
        "bars": args.bars,
        "cells": cells,
        "ns_per_bar_cell": round(best / args.bars / cells * 1e9, 4),
        "peak_mib": round(peak.mib, 1),
        "threads": os.cpu_count(),
        "repeats": args.repeats,
    }
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"{cells:,} cells x {args.bars:,} bars: {best:.3f} s (median of {args.repeats}, {os.cpu_count()} "
        f"threads), {result['ns_per_bar_cell']} ns per bar and cell, peak {peak.mib:.0f} MiB"
    )


if __name__ == "__main__":
    main()
