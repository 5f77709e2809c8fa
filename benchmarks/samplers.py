"""Does a sampler beat random search? Best value found, sampler by sampler, over seeds, with intervals.

    python benchmarks/samplers.py --seeds 8
    python benchmarks/samplers.py --samplers tpe gp --trials 120 --json

Branin (2 real parameters) and Hartmann-6 (6 real ones) are minimised; `surface` is the Sharpe ratio of
`sma_cross` on the shipped BTC/USD hours (two whole-number parameters, a constraint). Halving is compared on
the surface alone, where it has a history to share: at the same number of trials, most of which cost it a
fraction. `gain` is the mean over seeds of the best of random search minus that of the sampler with the same
seed, so that above zero is better; `low` and `high` are its 95 % interval by bootstrap over seeds. A sampler
`beats` random search where `low` is above zero. Sources of the functions: Surjanovic and Bingham,
sfu.ca/~ssurjano (branin.html, hart6.html).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np

import quantlab as ql
from quantlab.backtest.sweep import sweep
from quantlab.search.choose import SAMPLERS
from quantlab.search.run import search
from quantlab.space import Float, Space

BRANIN = Space(Float("x", -5.0, 10.0, 0.0), Float("y", 0.0, 15.0, 0.0), owner="branin")
HARTMANN = Space(*[Float(f"x{i}", 0.0, 1.0, 0.5) for i in range(6)], owner="hartmann6")
_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(cells: dict[str, np.ndarray]) -> np.ndarray:
    """Minimum 0.397887."""
    x, y = cells["x"], cells["y"]
    b, c, t = 5.1 / (4 * np.pi**2), 5 / np.pi, 1 / (8 * np.pi)
    return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * np.cos(x) + 10


def hartmann6(cells: dict[str, np.ndarray]) -> np.ndarray:
    """Minimum -3.32237."""
    x = np.stack([cells[f"x{i}"] for i in range(6)], axis=-1)
    return -np.exp(-(_A * (x[:, None] - _P) ** 2).sum(axis=-1)) @ _ALPHA


def best_of(name: str, space: Space, value: Callable[..., np.ndarray], seed: int, trials: int) -> float:
    """The least value that a sampler finds."""
    sampler, best, done = SAMPLERS[name](space, seed), np.inf, 0
    batch = min(sampler.batch, 25)
    while done < trials:
        cells: Any = sampler.ask(min(batch, trials - done))
        values = value(cells.columns)
        sampler.tell(cells, -values)
        best, done = min(best, float(values.min())), done + cells.size
    return best


def surface_best(name: str, seed: int, trials: int) -> float:
    """The highest Sharpe ratio that a sampler finds, negated; it has 30 trades at least."""
    market = ql.sample_candles()
    how = {"trials": max(trials, 117), "batch": 25, "min_trades": 30, "seed": seed, "progress": False}
    return -float(np.atleast_1d(search("sma_cross", market, sampler=name, **how).convergence)[-1])


def compared(values: np.ndarray, chance: np.ndarray) -> dict[str, Any]:
    """Gain over random search with its interval."""
    gain = chance - values
    drawn = np.random.default_rng(0).integers(len(gain), size=(10_000, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return {
        "median_best": float(np.median(values)),
        "gain": float(gain.mean()),
        "low": float(low),
        "high": float(high),
        "beats": bool(low > 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seeds, trials = range(options.seeds), options.trials
    tasks: dict[str, Callable[[str, int], float]] = {
        "branin": lambda name, seed: best_of(name, BRANIN, branin, seed, trials),
        "hartmann6": lambda name, seed: best_of(name, HARTMANN, hartmann6, seed, trials),
        "surface": lambda name, seed: surface_best(name, seed, trials),
    }
    sweep("sma_cross", ql.sample_candles()[:1_000], progress=False)
    found: dict[str, Any] = {"seeds": options.seeds, "trials": trials}
    for task, one in tasks.items():
        chance = np.array([one("random", seed) for seed in seeds])
        found[task] = {"random": {"median_best": float(np.median(chance))}}
        for name in options.samplers:
            if name == "random" or (name == "halving" and task != "surface"):
                continue
            found[task][name] = compared(np.array([one(name, seed) for seed in seeds]), chance)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.seeds} seeds, {trials} trials each; gain over random search, 95 % interval")
    for task in tasks:
        for name, row in found[task].items():
            gain = f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]" if "gain" in row else ""
            verdict = "beats" if row.get("beats") else ""
            print(f"{task:10s} {name:10s} {row['median_best']:10.4f}  {gain} {verdict}")


if __name__ == "__main__":
    main()
