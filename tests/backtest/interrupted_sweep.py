"""A sweep in a process of its own, to be interrupted: prints "ready", then when it noticed the interrupt."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from quantlab import strategies
from quantlab.backtest.sweep import sweep
from quantlab.market.synthetic import garch

CANDLES = garch(3_000, seed=2)
GRID = strategies.reference_grid("liquidity_sweep")
BUDGET = 8 * 2**20
WHOLE = 2**40


class Folder:
    """Finished parts as files; counts what it is asked to keep."""

    def __init__(self, path: Path) -> None:
        self.path, self.saved = path, []

    def load(self) -> dict[int, np.ndarray]:
        return {int(file.stem): np.load(file) for file in self.path.glob("*.npy")}

    def save(self, part: int, values: np.ndarray) -> None:
        unfinished = self.path / f"{part}.unfinished"
        with unfinished.open("wb") as file:
            np.save(file, values)
        unfinished.rename(self.path / f"{part}.npy")
        self.saved.append(part)


def main() -> int:
    folder, budget = Path(sys.argv[1]), int(sys.argv[2])
    small = {"volume_spike": 2.0, "reversal_size": 1.0, "rejection_bars": 2}
    sweep("liquidity_sweep", CANDLES, strategies.reference_grid("liquidity_sweep", **small), progress=False)
    print("ready", flush=True)
    try:
        while budget == WHOLE:  # one part, over and over: the interrupt falls somewhere inside
            sweep("liquidity_sweep", CANDLES, GRID, progress=False, budget=budget, threads=2)
        keep = Folder(folder)
        sweep("liquidity_sweep", CANDLES, GRID, progress=False, checkpoint=keep, budget=budget, threads=2)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
