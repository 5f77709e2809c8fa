"""Why the recency test refuses true edges: the t of the last 30 % with and without matching for exposure.

    python benchmarks/gate_recency.py --family plateau_1.9 --json

As the gate does it, the plateau of the first 70 % trades the last 30 %. Its plain t says whether the edge was
there; its timing t is what remains after holding its own mean exposure of that window.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
from gate_families import FAMILIES, Family

from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.validation.gate import windows
from quantlab.validation.statistics import upper_p
from quantlab.validation.thresholds import Gate
from quantlab.validation.walkforward import at_rate, choose, trade_window


def recent(family: Family, seed: int, truth: Surface) -> tuple[float, float, float] | None:
    """Plain, timing and expected t of the window; None where nothing was chosen or nothing traded."""
    gate, candles = Gate(), family.make(seed)
    split = windows(candles, replace(gate, folds=1, first=1.0 - gate.recent))[0]
    known = candles[split.train]
    cell = choose(family.searched(known), gate.metric, at_rate(gate.min_trades, len(known), len(candles)))
    if cell is None:
        return None
    window = trade_window(truth.strategy, candles, cell.params, family.execution, split.test)
    spread = window.daily.std(ddof=1)
    if not spread > 0:
        return None
    days = len(window.daily)
    expected = float(truth["sharpe"][cell.index]) * np.sqrt(days / family.execution.days_per_year)
    return float(np.sqrt(days) * window.daily.mean() / spread), window.timing_t, expected


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    edges = [name for name, family in FAMILIES.items() if family.long_run is not None]
    parser.add_argument("--family", choices=edges, default="plateau_1.9")
    parser.add_argument("--markets", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    family = FAMILIES[options.family]
    assert family.long_run is not None
    truth = sweep(family.strategy, family.long_run(0), family.grid, family.execution, progress=False)
    rows = [row for seed in range(options.markets) if (row := recent(family, seed, truth)) is not None]
    plain, timing, expected = np.array(rows).T
    allowed = Gate().recency_p
    found = {
        "family": options.family,
        "markets": len(rows),
        "expected_t": float(expected.mean()),
        "plain_t": float(plain.mean()),
        "timing_t": float(timing.mean()),
        "would_pass_by_plain_t": sum(upper_p(t) <= allowed for t in plain.tolist()),
        "pass": sum(upper_p(t) <= allowed for t in timing.tolist()),
    }
    print(json.dumps(found) if options.json else found)


if __name__ == "__main__":
    main()
