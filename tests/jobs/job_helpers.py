"""Jobs of a slow strategy on made-up markets, workers as processes, and what must hold in the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.backtest.metrics import METRICS
from quantlab.lab import Lab
from quantlab.lab.jobs import Job
from quantlab.market.candles import Candles
from quantlab.market.synthetic import iid

HERE = Path(__file__).parent
GRID = {"window": list(range(10, 90, 2)), "distance": [0.0, 0.01, 0.02]}
SEARCH: dict[str, Any] = {"sampler": "random", "trials": 200, "batch": 5, "seed": 3}
BUDGET = 400_000


def market(lab: Lab, seed: int, bars: int = 1_500) -> Candles:
    made = iid(n_bars=bars, timeframe="4h", seed=seed)
    lab.put_candles(made)
    return lab.candles(made.exchange, made.symbol, "4h")


def submitted(lab: Lab, candles: Candles, what: str) -> Job:
    if what == "sweep":
        return lab.submit("slow_average", candles, GRID)
    return lab.submit("slow_average", candles, **SEARCH)


def worker(lab: Lab, slow_s: float = 0.0, lease_s: float = 2.0) -> subprocess.Popen[str]:
    command = [sys.executable, HERE / "run_worker.py", lab.settings.home, BUDGET, lease_s]
    path = os.pathsep.join([str(HERE), *sys.path])
    environment = dict(os.environ) | {"PYTHONPATH": path, "SLOW_S": str(slow_s)}
    return subprocess.Popen(list(map(str, command)), env=environment, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def check(lab: Lab, job: Job, candles: Candles, expected: dict[str, np.ndarray]) -> None:
    """The result is that of an uninterrupted run, counted once, and nothing is left behind."""
    assert job.status == "completed", job.row.error_message
    surface = job.surface()
    for name in METRICS:
        assert surface[name].tobytes() == expected[name].tobytes(), name
    ledger = lab.ledger(candles)
    assert (len(ledger.searches), ledger.trials) == (1, surface.size)
    with lab.store._connections.transaction() as connection:
        query = "select count(*) from strategy_training_results where surface_key = %s"
        assert connection.execute(query, [surface.key]).fetchone() == (1,)
        assert connection.execute("select count(*) from sweep_checkpoint").fetchone() == (0,)
