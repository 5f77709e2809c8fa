"""What does a candidate earn once it trades? The Sharpe ratio that is expected of it beside the true one.

On markets of fixed seeds: sweep the grid, choose the cell as the gate does, and ask `expected_sharpe`, once
told what the search finds where there is no edge and once not. The truth is the same cell on another, ten
times as long path of the same process, costs included.

    python benchmarks/expected_sharpe.py --true-sharpe 1.5 --markets 40 --json
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.sweep import sweep
from quantlab.market import synthetic
from quantlab.market.candles import Candles
from quantlab.validation.evidence import Candidate
from quantlab.validation.expected import expected_sharpe
from quantlab.validation.gate import Gate, candidate
from quantlab.validation.rerun import rerun
from quantlab.validation.snooping import winner_timing_t
from quantlab.validation.trials import trial_blocks

GRID = {
    "fast": [3, 5, 8, 10, 12, 16, 20, 25, 30, 36, 44, 52],
    "slow": [15, 20, 26, 32, 40, 50, 60, 72, 85, 100, 120, 145],
}
BARS, LONGER, ELSEWHERE = 2_000, 10, 900_000
_HAIRCUTS = re.compile(r"(-?[\d.]+) \((Bonferroni|Holm|Benjamini)")


def judge(make: Callable[..., Candles], seed: int, draws: int) -> dict[str, float]:
    """The true Sharpe ratio of the chosen cell, and what was said of it."""
    strategy, execution, gate = strategies.get("sma_cross"), Execution(), Gate()
    candles, grid = make(BARS, timeframe="1d", seed=seed), strategy.grid(**GRID)
    surface = sweep(strategy, candles, grid, execution, progress=False)
    one = Candidate(strategy, candles, candidate(surface, gate).params, execution)
    run = one.run()
    long = Candidate(
        strategy, make(LONGER * BARS, timeframe="1d", seed=ELSEWHERE + seed), one.params, execution
    )
    nulls = rerun(
        lambda market: sweep(strategy, market, grid, execution, progress=False),
        candles,
        score=winner_timing_t(gate),
        draws=draws,
        progress=False,
    )
    trials = trial_blocks(surface, candles)
    told = expected_sharpe(run, surface, trials, nulls)
    halves = expected_sharpe(run, surface, trials)
    found = {
        "true": float(long.run().metrics["sharpe"]),
        "in sample": float(run.metrics["sharpe"]),
        "expected, less luck": math.nan if told.value is None else told.value,
        "expected, from halves": math.nan if halves.value is None else halves.value,
    }
    return found | {f"haircut, {name}": float(value) for value, name in _HAIRCUTS.findall(told.detail)}


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Mean, bias and root mean square error of every figure."""
    planted = partial(synthetic.planted_momentum, true_sharpe=options.true_sharpe)
    make = planted if options.true_sharpe > 0.0 else synthetic.garch
    begin = time.perf_counter()
    seeds = range(options.first_seed, options.first_seed + options.markets)
    rows = [judge(make, seed, options.draws) for seed in seeds]
    true = np.array([row["true"] for row in rows])
    found = {}
    for name in rows[0]:
        off = np.array([row[name] for row in rows]) - true
        found[name] = {
            "mean": float(np.nanmean(true + off)),
            "bias": float(np.nanmean(off)),
            "bias_error": float(np.nanstd(off, ddof=1) / math.sqrt(len(off))),
            "rmse": float(math.sqrt(np.nanmean(off**2))),
        }
    return {
        "true_sharpe": options.true_sharpe,
        "markets": options.markets,
        "first_seed": options.first_seed,
        "draws": options.draws,
        "figures": found,
        "seconds": time.perf_counter() - begin,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--true-sharpe", type=float, default=1.5, help="planted, before costs; 0: GARCH")
    parser.add_argument("--markets", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=1_000)
    parser.add_argument("--draws", type=int, default=39)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
        return
    print(f"planted {options.true_sharpe:g}, {options.markets} markets, {result['seconds']:.0f} s")
    for name, figure in result["figures"].items():  # type: ignore[attr-defined]
        bias = f"{figure['bias']:+.2f} ({figure['bias_error']:.2f})"
        print(f"  {name:24s} mean {figure['mean']:6.2f}  bias {bias}  rmse {figure['rmse']:.2f}")


if __name__ == "__main__":
    main()
