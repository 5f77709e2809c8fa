"""How often does the whole search with its gate approve? On noise: false approvals. On planted edges: power.

Every market is a fixed seed: sweep the grid, choose the plateau, judge it. The rate comes with its exact
95 % interval (Clopper-Pearson). Nothing here may be used to choose a threshold.

    python benchmarks/gate_noise.py --markets 200 --family garch --json
    python benchmarks/gate_noise.py --markets 40 --family momentum --true-sharpe 1.9 --json
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from quantlab import strategies
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.sweep import sweep
from quantlab.market import synthetic
from quantlab.market.candles import Candles
from quantlab.space import Grid
from quantlab.validation.gate import Gate, validate
from quantlab.validation.statistics import binomial_interval
from quantlab.validation.verdict import Verdict

NOISE: dict[str, Callable[..., Candles]] = {
    "iid": synthetic.iid,
    "garch": synthetic.garch,
    "garch_drift": partial(synthetic.garch, annual_drift=0.6),
}
PLANTED: dict[str, Callable[..., Candles]] = {
    "momentum": synthetic.planted_momentum,
    "reversion": synthetic.planted_reversion,
}
GRIDS: dict[str, dict[str, list[float]]] = {
    "sma_cross": {
        "fast": [3, 5, 8, 10, 12, 16, 20, 25, 30, 36, 44, 52],
        "slow": [15, 20, 26, 32, 40, 50, 60, 72, 85, 100, 120, 145],
    },
    "liquidity_sweep": {
        "pierce_depth": [0.0005, 0.001, 0.002, 0.003],
        "volume_spike": [1.5, 2.0, 2.5, 3.0],
        "level_lookback": [50, 100, 200],
        "stop_atr": [1.0, 1.5, 2.0],
        "reward_risk": [1.5, 2.0, 3.0],
    },
}


def judge(make: Callable[..., Candles], options: argparse.Namespace, seed: int) -> tuple[Verdict, float]:
    """The verdict on one market, and the best Sharpe that its search saw."""
    candles = make(options.bars, timeframe=options.timeframe, seed=seed)
    strategy = strategies.get(options.strategy)
    execution = Execution(costs=Costs(), direction=options.direction)
    surface = sweep(strategy, candles, grid(options.strategy), execution, progress=False)
    peak = float(np.nanmax(surface["sharpe"], initial=-np.inf))
    return validate(surface, candles, gate=Gate(), progress=False), peak


def grid(strategy: str) -> Grid:
    """A grid of some hundred cells."""
    return strategies.get(strategy).grid(**GRIDS[strategy])


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Judge every market and count."""
    make = NOISE.get(options.family) or partial(PLANTED[options.family], true_sharpe=options.true_sharpe)
    begin, approved, naive = time.perf_counter(), 0, 0
    passed: Counter[str] = Counter()
    for seed in range(options.first_seed, options.first_seed + options.markets):
        verdict, peak = judge(make, options, seed)
        approved += verdict.approved
        naive += peak > 1.0
        passed.update(test.name for test in verdict.evidence.tests if test.passed)
    low, high = binomial_interval(approved, options.markets)
    return {
        "family": options.family,
        "true_sharpe": options.true_sharpe if options.family in PLANTED else None,
        "strategy": options.strategy,
        "direction": options.direction,
        "cells": int(np.count_nonzero(grid(options.strategy).allowed)),
        "bars": options.bars,
        "timeframe": options.timeframe,
        "first_seed": options.first_seed,
        "markets": options.markets,
        "approved": approved,
        "low": low,
        "high": high,
        "best_sharpe_above_1": naive,
        "passed": dict(passed),
        "seconds": time.perf_counter() - begin,
    }


def parse() -> argparse.Namespace:
    """The command line; drift is judged long or flat, as only then it tempts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--markets", type=int, default=100)
    parser.add_argument("--family", choices=[*NOISE, *PLANTED], default="garch")
    parser.add_argument(
        "--true-sharpe", type=float, default=1.5, help="of planted families, annual, before costs"
    )
    parser.add_argument("--strategy", choices=GRIDS, default="sma_cross")
    parser.add_argument("--direction", choices=["both", "long", "short"])
    parser.add_argument("--bars", type=int, default=2_000)
    parser.add_argument("--timeframe", default="1d")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.direction = options.direction or ("long" if options.family == "garch_drift" else "both")
    return options


def main() -> None:
    options = parse()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
        return
    share = result["approved"] / result["markets"]
    print(
        f"{result['approved']} of {result['markets']} {options.family} markets approved: {share:.1%} "
        f"[{result['low']:.1%}, {result['high']:.1%}] in {result['seconds']:.0f} s"
    )
    print(f"best Sharpe above 1 in {result['best_sharpe_above_1']}; passed by test: {result['passed']}")


if __name__ == "__main__":
    main()
