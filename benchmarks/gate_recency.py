"""What holding is the last 30 % compared with: the exposure of that window, or the one known before it?

    python benchmarks/gate_recency.py --family plateau_1.9 --json
    python benchmarks/gate_recency.py --family plateau_1.9.ensemble --markets 200 --json

As the gate does it, what it would choose on the first 70 % (the plateau, or the ensemble) trades the last
30 %. Its plain t says what it earned there; `before`, which the gate takes, what it earned beyond the mean
exposure that it had before; `within`, beyond its mean exposure in that very window. Without an edge 30 %
should pass at p = 0.3. A rule that follows trends is long in a window that rises, so the exposure of the
window takes away a part of what it earned, and from a rule of reversion less than nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
from gate_families import FAMILIES, Family

from quantlab.backtest.engine import run_cell
from quantlab.validation.ensemble import chosen
from quantlab.validation.gate import windows
from quantlab.validation.statistics import binomial_interval, timing_alpha_t, upper_p
from quantlab.validation.thresholds import Gate
from quantlab.validation.walkforward import at_rate, trade_together

FIRST = 1_000
"""Seeds that no table of the gate is measured on."""


def recent(family: Family, seed: int) -> tuple[float, float, float] | None:
    """Plain t, t beyond the earlier exposure and t beyond the window's; None where nothing was traded."""
    gate, candles = Gate(choice=family.choice), family.make(seed)
    split = windows(candles, replace(gate, folds=1, first=1.0 - gate.recent))[0]
    known = candles[split.train]
    found = family.searched(known)
    cells = chosen(found, gate, at_rate(gate.min_trades, len(known), len(candles)))
    if not cells:
        return None
    params = [cell.params for cell in cells]
    window = trade_together(found.strategy, candles, params, family.execution, split.test)
    if not window.daily.std(ddof=1) > 0.0:
        return None
    first = split.test.start
    runs = [run_cell(found.strategy, candles, each, family.execution, start=first) for each in params]
    exposure = float(np.mean([run.exposure[first:].mean() for run in runs]))
    plain, within = (timing_alpha_t(window.daily, held, window.market) for held in (0.0, exposure))
    return plain, window.timing_t, within


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=list(FAMILIES), default="plateau_1.9")
    parser.add_argument("--markets", type=int, default=60)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    family, seeds = FAMILIES[options.family], range(options.first, options.first + options.markets)
    rows = np.array([row for seed in seeds if (row := recent(family, seed)) is not None])
    found: dict[str, object] = {"family": options.family, "markets": options.markets, "traded": len(rows)}
    for name, values in zip(("plain", "before", "within"), rows.T, strict=True):
        passed = sum(upper_p(t) <= Gate().recency_p for t in values.tolist())
        low, high = binomial_interval(passed, len(rows))
        found[name] = {"t": float(values.mean()), "sd": float(values.std(ddof=1)), "pass": passed}
        found[name] |= {"low": low, "high": high}  # type: ignore[operator]
    print(json.dumps(found, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
