"""Does a sampler beat random search? Best value found, sampler by sampler, over seeds, with intervals.

    python benchmarks/samplers.py --seeds 100
    python benchmarks/samplers.py --samplers tpe gp --trials 60 --json

What is searched is described in `sampler_tasks.py`: two functions, two real surfaces, and two functions by
which no setting was chosen. Of each sampler: `wins`, the share of seeds in which it finds a better cell
than random search with the same seed (equally good: half); `regret_ratio`, its mean regret (what its best
cell lacks to the best there is) over that of random search; `gain`, the difference of the two mean regrets.
Intervals are 95 %, by bootstrap over seeds. A sampler `beats` random search where that of the gain, `low`
to `high`, lies above zero.

Halving is compared on the surfaces alone, where there is a history, with a random search of the same cost:
the number of whole histories that its trials come to.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from sampler_tasks import HELD_OUT, TASKS, Task

from quantlab.search.choose import SAMPLERS


def best_of(name: str, task: Task, seed: int, trials: int) -> tuple[float, int]:
    """The regret of the best cell that a sampler finds, and the whole histories that its trials come to."""
    sampler, best, done, cost = SAMPLERS[name](task.space, seed), np.inf, 0, 0.0
    worst = 0.0
    while done < trials:
        cells: Any = sampler.ask(min(sampler.batch, trials - done))
        share = getattr(sampler, "history", 1.0)
        values = task.value(cells.columns, share)
        sampler.tell(cells, -values)
        done, cost = done + cells.size, cost + share * cells.size
        if share == 1.0 and not np.isnan(values).all():
            best, worst = min(best, float(np.nanmin(values))), max(worst, float(np.nanmax(values)))
    return (best if np.isfinite(best) else worst) - task.least, round(cost)


def compared(regrets: np.ndarray, chance: np.ndarray) -> dict[str, Any]:
    """Wins, regret ratio and gain over random search, with their intervals."""
    drawn = np.random.default_rng(0).integers(len(chance), size=(10_000, len(chance)))
    won = np.where(regrets == chance, 0.5, regrets < chance)
    mine, theirs = regrets[drawn].mean(axis=1), chance[drawn].mean(axis=1)
    wins = np.quantile(won[drawn].mean(axis=1), [0.025, 0.975])
    ratio = np.quantile(mine / theirs, [0.025, 0.975])
    gain = np.quantile(theirs - mine, [0.025, 0.975])
    return {
        "median_regret": float(np.median(regrets)),
        "wins": float(won.mean()),
        "wins_interval": wins.tolist(),
        "regret_ratio": float(regrets.mean() / chance.mean()),
        "regret_ratio_interval": ratio.tolist(),
        "gain": float(chance.mean() - regrets.mean()),
        "low": float(gain[0]),
        "high": float(gain[1]),
        "beats": bool(gain[0] > 0),
    }


def measured(task: Task, samplers: list[str], seeds: int, trials: int) -> dict[str, Any]:
    """One task: random search, and each sampler beside it."""
    chance: dict[int, np.ndarray] = {}

    def by_chance(cells: int) -> np.ndarray:
        if cells not in chance:
            chance[cells] = np.array([best_of("random", task, seed, cells)[0] for seed in range(seeds)])
        return chance[cells]

    found: dict[str, Any] = {"random": {"median_regret": float(np.median(by_chance(trials)))}}
    for name in samplers:
        if name == "random" or (name == "halving" and not task.history):
            continue
        regrets, costs = np.array([best_of(name, task, seed, trials) for seed in range(seeds)]).T
        found[name] = compared(regrets, by_chance(int(costs[0])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--samplers", nargs="*", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {"seeds": options.seeds, "trials": options.trials, "held_out": list(HELD_OUT)}
    for name in options.tasks:
        found[name] = measured(TASKS[name](), options.samplers, options.seeds, options.trials)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.seeds} seeds, {options.trials} trials each, beside random search, 95 % intervals")
    for task in options.tasks:
        for name, row in found[task].items():
            if name == "random":
                print(f"{task:16s}{name:10s} median regret {row['median_regret']:.4f}")
                continue
            wins, ratio = row["wins_interval"], row["regret_ratio_interval"]
            print(
                f"{task:16s}{name:10s} wins {row['wins']:.0%} [{wins[0]:.0%}, {wins[1]:.0%}]"
                f"  regret ratio {row['regret_ratio']:.2f} [{ratio[0]:.2f}, {ratio[1]:.2f}]"
                f"  {'beats' if row['beats'] else ''}"
            )


if __name__ == "__main__":
    main()
