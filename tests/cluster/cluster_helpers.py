"""What tests of sweeps on a cluster share: markets, grids, a checkpoint, workers under watch."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import distributed
import numpy as np

from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import DEFAULT_BUDGET, plan
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch

MARKETS = [garch(1_500, seed=1), garch(2_000, seed=2)]
HOURS = MARKETS[0]
SWEEP = strategies.get("liquidity_sweep")
GRID = SWEEP.space.grid(
    pierce_depth=[0.0005, 0.002],
    volume_spike=[1.5, 2.0, 3.0],
    level_lookback=[20, 100, 200],
    min_touches=[1, 2],
    stop_atr=[0.5, 1.5],
    reward_risk=[1.5, 3.0],
)
CROSSES = strategies.get("sma_cross").space.grid(fast=[5, 20, 60, 150], slow=[10, 40, 100, 300])
POINTS = GRID.space.points([GRID.cell(place) for place in list(np.ndindex(GRID.shape))[::5]])
WINDOWS = [2, 3, 5, 7, 9, 14, 20, 30]


@contextlib.contextmanager
def operated(workers: distributed.LocalCluster) -> Iterator[None]:
    """Start new workers whenever there are none: one killed while it is started is not started again."""
    over = threading.Event()

    def watch() -> None:
        missing = 0
        while not over.wait(0.5):
            missing = 0 if workers.scheduler.workers else missing + 1
            if missing % 8 == 7:
                workers.scale(0)
                workers.scale(2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.parts: dict[int, np.ndarray] = {}
        self.saved: list[int] = []

    def load(self) -> dict[int, np.ndarray]:
        return self.parts

    def save(self, part: int, values: np.ndarray) -> None:
        self.parts[part] = values.copy()
        self.saved.append(part)


def same(a: Surface, b: Surface) -> bool:
    return a.key == b.key and all(a[name].tobytes() == b[name].tobytes() for name in METRICS)


def swept(strategy: Any, cells: Any = None, execution: Execution | None = None, **how: Any) -> Surface:
    return sweep(strategy, HOURS, cells, execution, progress=False, **how)


def pids(client: distributed.Client) -> list[int]:
    return list(client.run(os.getpid).values())


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def parts(candles: Candles, least: int) -> Iterator[Any]:
    return plan(SWEEP, candles, GRID, DEFAULT_BUDGET, least=least)
