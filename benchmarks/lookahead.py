"""How many planted leaks does the look-ahead detector catch, how often is it wrong, and at what cost?

The leaks and the clean strategies are those of tests/strategies/leaks, chosen before the detector was run on
them. Markets are seeds, GARCH and iid in turn. A leak counts as planted on a market where it changes any
decision, and as caught only if the field that leaks is named and no other.

    python benchmarks/lookahead.py --markets 4 --json
    python benchmarks/lookahead.py --only one_bar when_rsi_is_below_5 --bars 20000 --markets 20
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch, iid
from quantlab.signals import Strategy
from quantlab.validation.lookahead import REPLAYS, LookaheadReport, find_lookahead

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "strategies"))

from leaks import CLEAN, HUNGRY, LEAKS


def market(bars: int, seed: int) -> Candles:
    """The candles of a seed."""
    return (garch if seed % 2 == 0 else iid)(bars, seed=seed)


def cpu(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call (all threads), and what it returns."""
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def one_evaluation(strategy: Strategy, candles: Candles) -> float:
    """CPU seconds of the fastest of five evaluations of the grid, conjunctions evaluated."""
    params = strategy.grid().params()
    return min(cpu(lambda: np.asarray(strategy.signals(candles, params).long))[0] for _ in range(5))


def looked(
    strategy: Strategy, markets: list[Candles], replays: int
) -> tuple[list[LookaheadReport], dict[str, Any]]:
    """Reports on all markets by the cuts alone and with the replay, and what they cost."""
    alone = [cpu(lambda c=c: find_lookahead(strategy, c, replays=0)) for c in markets]
    full = [cpu(lambda c=c: find_lookahead(strategy, c, replays=replays)) for c in markets]
    once = float(np.mean([one_evaluation(strategy, candles) for candles in markets]))
    seconds, seconds_of_cuts = (float(np.mean([took for took, _ in runs])) for runs in (full, alone))
    reports = [report for _, report in full]
    figures = {
        "cpu_seconds": seconds,
        "cpu_seconds_of_cuts": seconds_of_cuts,
        "multiple_of_one_evaluation": seconds / once,
        "multiple_of_cuts": seconds_of_cuts / once,
        "replayed": float(np.mean([report.replayed for report in reports])),
        "changes": float(np.mean([report.changes for report in reports])),
        "changes_replayed": float(np.mean([report.changes_replayed for report in reports])),
    }
    return [report for _, report in (*alone, *full)], figures


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every strategy on every market."""
    markets = [
        market(options.bars, seed) for seed in range(options.first_seed, options.first_seed + options.markets)
    ]
    table: dict[str, dict[str, Any]] = {}
    for name, planted in LEAKS.items():
        if options.only and name not in options.only:
            continue
        reports, figures = looked(planted.strategy, markets, options.replays)
        fires = [planted.fires(candles) for candles in markets]
        right = [{leak.field for leak in report.leaks} == set(planted.fields) for report in reports]
        cuts, full = (
            sum(fired and caught for fired, caught in zip(fires, some, strict=True))
            for some in (right[: len(markets)], right[len(markets) :])
        )
        table[name] = {
            "kind": "leak",
            "planted": sum(fires),
            "caught_by_cuts": cuts,
            "caught": full,
            **figures,
        }
        shown(name, f"caught {full} of {sum(fires)}, {cuts} by the cuts alone", figures, options)
    for kind, strategies in (("clean", CLEAN), ("hungry", HUNGRY)):
        for name, strategy in strategies.items():
            if options.only and name not in options.only:
                continue
            reports, figures = looked(strategy, markets, options.replays)
            full = reports[len(markets) :]
            alarms = sum(bool(report.leaks) if kind == "hungry" else not report.ok for report in full)
            table[name] = {"kind": kind, "false_alarms": alarms, **figures}
            if kind == "hungry":
                table[name]["named"] = sum(
                    any(f.kind == "warmup" for f in report.findings) for report in full
                )
            shown(name, f"{kind}, {alarms} false alarms", figures, options)
    return totals(table, options)


def totals(table: dict[str, dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """The sums, and the table itself."""
    of = {
        kind: [row for row in table.values() if row["kind"] == kind] for kind in ("leak", "clean", "hungry")
    }
    return {
        "bars": options.bars,
        "markets": options.markets,
        "replays": options.replays,
        "leaks": len(of["leak"]),
        "planted": sum(row["planted"] for row in of["leak"]),
        "caught": sum(row["caught"] for row in of["leak"]),
        "caught_by_cuts": sum(row["caught_by_cuts"] for row in of["leak"]),
        "clean": len(of["clean"]) * options.markets,
        "false_alarms": sum(row["false_alarms"] for row in of["clean"] + of["hungry"]),
        "short_warmups": len(of["hungry"]) * options.markets,
        "short_warmups_named": sum(row["named"] for row in of["hungry"]),
        "seconds_per_strategy": median(of["clean"], "cpu_seconds"),
        "seconds_of_cuts": median(of["clean"], "cpu_seconds_of_cuts"),
        "multiple_of_one_evaluation": median(of["clean"], "multiple_of_one_evaluation"),
        "multiple_of_cuts": median(of["clean"], "multiple_of_cuts"),
        "strategies": table,
    }


def median(rows: list[dict[str, Any]], name: str) -> float | None:
    """Of the clean strategies, where nothing is located; None if there is none."""
    return float(np.median([row[name] for row in rows])) if rows else None


def shown(name: str, result: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print a row as it is measured."""
    if not options.json:
        cost = f"{figures['cpu_seconds']:.2f} s, the cuts {figures['cpu_seconds_of_cuts']:.2f} s"
        print(f"{name:<36} {result:<44} {cost}", flush=True)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--markets", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--bars", type=int, default=3_000)
    parser.add_argument("--replays", type=int, default=REPLAYS)
    parser.add_argument("--only", nargs="*", choices=[*LEAKS, *CLEAN, *HUNGRY], metavar="NAME")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = parse()
    found = measure(options)
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['caught']} of {found['planted']} leaks caught, {found['caught_by_cuts']} by the cuts alone; "
        f"{found['false_alarms']} false alarms on {found['clean'] + found['short_warmups']} clean ones; "
        f"{found['short_warmups_named']} of {found['short_warmups']} short warm-ups named"
    )
    if found["clean"]:
        print(
            f"CPU seconds of a clean strategy (median): {found['seconds_per_strategy']:.2f}, the cuts alone "
            f"{found['seconds_of_cuts']:.2f}, {found['multiple_of_cuts']:.0f} times one evaluation"
        )


if __name__ == "__main__":
    main()
