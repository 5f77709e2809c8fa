"""What the benchmarks share: candles, grids, clocks and the memory of this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import quantlab as ql
from quantlab import strategies
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.space import Grid

MIB = 2**20
SHARED = Path(os.environ.get("QUANTLAB_SHARED") or Path(__file__).resolve().parents[2] / "shared" / "data")
REAL = "binance_BTC-USDT_{}.parquet"
ALWAYS_IN = {"fast": np.arange(5, 61), "slow": np.arange(80, 401)}


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


def timed(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median and least seconds of some calls, and the median of their CPU seconds (all threads)."""
    took = []
    for _ in range(repeats):
        began, cpu_began = time.perf_counter(), time.process_time()
        call()
        took.append((time.perf_counter() - began, time.process_time() - cpu_began))
    seconds, cpu = zip(*took, strict=True)
    return {
        "seconds": float(np.median(seconds)),
        "min_seconds": min(seconds),
        "cpu_seconds": float(np.median(cpu)),
        "min_cpu_seconds": min(cpu),
    }


def candles(bars: int, timeframe: str = "1h", real: bool = False) -> Candles:
    """The last `bars` hours of the shipped sample; beyond it and in other timeframes a GARCH market.

    With `real`, a file of Binance's BTC/USDT, under QUANTLAB_SHARED or ../shared/data beside the checkout, is
    preferred to GARCH; it is used whole where it is up to 1 % shorter.
    """
    sample = ql.sample_candles()
    if timeframe == "1h" and bars <= len(sample):
        return sample[-bars:]
    path = SHARED / REAL.format(timeframe)
    if real and path.is_file():
        import pandas as pd

        frame = pd.read_parquet(path)
        market = Candles.from_frame(frame, exchange="binance", symbol="BTC/USDT", timeframe=timeframe)
        if len(market) >= 0.99 * bars:
            return market[-bars:] if bars < len(market) else market
    return garch(n_bars=bars, timeframe=timeframe, seed=0)


def sub_grid(strategy: str, cells: int | None = None) -> Grid:
    """A grid of exactly `cells` cells, all of them allowed; every cell if None.

    `liquidity_sweep`: the reference grid with thinned axes; the prime factors of `cells`, largest first, go
    to the axis that has most values per value taken. `sma_cross`: windows of 5 to 60 and of 80 to 400 bars.
    """
    found = strategies.get(strategy)
    axes = ALWAYS_IN if strategy == "sma_cross" else found.reference
    reference = {name: np.asarray(values) for name, values in axes.items()}
    if cells is None:
        return found.grid(**reference)
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
