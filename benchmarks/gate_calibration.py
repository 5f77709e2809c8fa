"""How often does the whole lab approve? On markets without an edge: false approvals. With one: power.

Market i of a family is a fixed seed: search, choose the plateau, judge it. The rate comes with its exact 95 %
interval (Clopper-Pearson). Nothing here may be used to choose a threshold.

    python benchmarks/gate_calibration.py --family garch --markets 200 --json
    python benchmarks/gate_calibration.py --record     # every family, docs/gate.json and its tables

With `--out` every market is kept as it is finished, and the same call goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("QUANTLAB_THREADS", "1")  # the markets are side by side, each on one thread

import gate_tables
from gate_families import FAMILIES, Family

from quantlab.backtest.engine import engine_hash
from quantlab.backtest.sweep import sweep
from quantlab.validation.gate import code_hash, validate
from quantlab.validation.statistics import binomial_interval
from quantlab.validation.thresholds import Gate

ROOT = Path(__file__).resolve().parents[1]

RECORDED = 4_000
"""First seed of what is recorded: on lower ones the gate was looked at while it was made."""


def judge(name: str, seed: int) -> dict[str, Any]:
    """What the gate says of one market."""
    began, cpu, family = time.perf_counter(), time.process_time(), FAMILIES[name]
    candles = family.make(seed)
    surface = family.searched(candles)
    search, gate = family.searched if family.sampler else None, Gate(choice=family.choice)
    verdict = validate(surface, candles, gate=gate, search=search, progress=False)
    tests = verdict.evidence.tests
    return {
        "family": name,
        "seed": seed,
        "approved": verdict.approved,
        "refused_by": [test.name for test in tests if test.passed is False],
        "values": {test.name: _plain(test.value) for test in tests},
        "best_sharpe": _plain(np.nanmax(surface["sharpe"], initial=-np.inf)),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
    }


def _plain(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def code() -> str:
    """What the verdicts follow from: markets, engine and gate (12 hex digits each)."""
    return f"{engine_hash()[:12]} {code_hash()[:12]}"


def kept(path: Path | None, name: str) -> dict[int, dict[str, Any]]:
    """Markets of the family that an earlier call finished."""
    if path is None or not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    if any(row["code"] != code() for row in rows):
        raise SystemExit(f"{path} was measured with other code: give another file.")
    return {row["seed"]: row for row in rows if row["family"] == name}


def judged(name: str, seeds: list[int], processes: int) -> Iterator[dict[str, Any]]:
    """Judge markets in several processes, in the order in which they are finished."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        futures = [pool.submit(judge, name, seed) for seed in seeds]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Judge the markets that are not kept yet, and count."""
    seeds = list(range(options.first_seed, options.first_seed + options.markets))
    found = {seed: row for seed, row in kept(options.out, options.family).items() if seed in seeds}
    todo = [seed for seed in seeds if seed not in found]
    for row in judged(options.family, todo, options.processes) if todo else ():
        found[row["seed"]] = row
        if options.out is not None:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"code": code(), **row}) + "\n")
    rows = [found[seed] for seed in seeds]
    return {**counted(rows), **about(options)}


def counted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many were approved, and what refused the others: by itself, and alone."""
    approved = sum(row["approved"] for row in rows)
    low, high = binomial_interval(approved, len(rows))
    refused = Counter(test for row in rows for test in row["refused_by"])
    alone = Counter(row["refused_by"][0] for row in rows if len(row["refused_by"]) == 1)
    return {
        "markets": len(rows),
        "approved": approved,
        "low": low,
        "high": high,
        "refused": dict(refused.most_common()),
        "refused_alone": dict(alone.most_common()),
        "best_sharpe_above_1": sum((row["best_sharpe"] or 0.0) > 1.0 for row in rows),
        "cpu_seconds": sum(row["cpu_seconds"] for row in rows),
    }


def about(options: argparse.Namespace) -> dict[str, Any]:
    """How it was measured."""
    family = FAMILIES[options.family]
    last = ["git", "-C", str(ROOT), "log", "-1", "--format=%h", "--", "quantlab"]
    commit = subprocess.run(last, capture_output=True, text=True, check=False).stdout.strip()
    found: dict[str, Any] = {
        "family": options.family,
        "about": family.about,
        "choice": family.choice,
        "edge": family.edge,
        "strategy": family.strategy,
        "cells": int(family.grid.allowed.sum()),
        "first_seed": options.first_seed,
        "command": f"gate_calibration.py --family {options.family} --markets {options.markets} "
        f"--first-seed {options.first_seed}",
        "commit": commit,
        "code": code(),
    }
    if family.long_run is not None:
        found["true"] = true_sharpe(family)
    return found


def true_sharpe(family: Family) -> dict[str, float]:
    """Sharpe ratio of the best cell over a thousand years, after the default costs; its standard error."""
    assert family.long_run is not None
    candles = family.long_run(0)
    surface = sweep(family.strategy, candles, family.grid, family.execution, progress=False)
    years = len(candles) / 365.0
    return {"sharpe": float(np.nanmax(surface["sharpe"])), "years": years, "standard_error": years**-0.5}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=FAMILIES, default="garch")
    parser.add_argument("--markets", type=int, help="by default as many as the family is measured on")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a file of JSON lines, one for each market")
    parser.add_argument("--record", action="store_true", help="measure all families and write the page")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.markets is None:
        options.markets = FAMILIES[options.family].markets
    return options


def record(options: argparse.Namespace) -> None:
    """Measure every family, keep what was found, and write the tables of the page."""
    options.out = options.out or ROOT / "data" / "gate.jsonl"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found = gate_tables.load()
    for name, family in FAMILIES.items():
        if not family.markets:
            continue
        options.family, options.markets, options.first_seed = name, family.markets, RECORDED
        found[name] = measure(options)
        print(_said(found[name]), flush=True)
        gate_tables.save(found)


def _said(found: dict[str, Any]) -> str:
    return (
        f"{found['family']}: {found['approved']} of {found['markets']} approved, "
        f"{found['approved'] / found['markets']:.1%} [{found['low']:.1%}, {found['high']:.1%}], "
        f"{found['cpu_seconds']:.0f} CPU s"
    )


def main() -> None:
    options = parse()
    try:
        if options.record:
            record(options)
            return
        found = measure(options)
    except KeyboardInterrupt:
        raise SystemExit("interrupted: what was finished is in --out, if that was given.") from None
    print(json.dumps(found) if options.json else f"{_said(found)}; refused by {found['refused']}")


if __name__ == "__main__":
    main()
