"""Run the benchmarks, keep what they measured in docs/speed.json, write the tables of two pages from it.

    python benchmarks/figures.py                  # everything, one after the other, and the plot
    python benchmarks/figures.py vectorbt startup # only runs whose name begins so
    python benchmarks/figures.py --tables         # only the tables, from what was measured before

No table on docs/speed.md and docs/scale.md is typed by hand: each lies between ``<!-- name -->`` and
``<!-- end -->``, and a test compares it with the file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import scale_tables

ROOT = Path(__file__).resolve().parents[1]
RECORD, PLOT = (ROOT / "docs" / name for name in ("speed.json", "scaling.svg"))
RUNS = {
    "grid 5,000": "reference_grid.py --bars 5000",
    "grid 20,000": "reference_grid.py --bars 20000",
    "grid 120,000": "reference_grid.py --bars 120000 --timeframe 5m",
    "grid always in": "reference_grid.py --strategy sma_cross",
    "grid assumptions": "reference_grid.py --assumptions",
    "vectorbt liquidity_sweep": "against_vectorbt.py --bars 20000 --cells 400",
    "vectorbt sma_cross": "against_vectorbt.py --bars 20000 --cells 400 --strategy sma_cross",
    "vectorbt more cells": "against_vectorbt.py --bars 20000 --cells 4000 --repeats 1",
    "backtesting goog": "against_backtesting.py",
    "backtesting sample": "against_backtesting.py --data sample --bars 5000",
    "startup": "startup.py",
    "scaling": "scaling.py --stages",
    "cluster": "cluster_overhead.py",
    "scale": "scale.py --budgets 1024 2048 --sample 4",
}
Figures = dict[str, dict[str, Any]]


def run(name: str) -> dict[str, Any]:
    """What a benchmark prints as JSON, with the last commit that changed what it measured."""
    command = [sys.executable, str(ROOT / "benchmarks" / RUNS[name].split()[0]), *RUNS[name].split()[1:]]
    command += ["--json", *(["--svg", str(PLOT)] if name == "scaling" else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    last = ["git", "-C", str(ROOT), "log", "-1", "--format=%h", "--", "quantlab"]
    commit = subprocess.run(last, capture_output=True, text=True, check=True)
    return {"commit": commit.stdout.strip(), **json.loads(done.stdout)}


def table(*rows: tuple[Any, ...]) -> str:
    """Markdown; the first row is the head."""
    lines = [[str(cell) for cell in row] for row in rows]
    lines.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three significant digits, as a plain number."""
    if value is None:
        return "-"
    if value == 0 or 1e-4 < abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.0e}"


def marks(found: Figures) -> str:
    """What was aimed at, what was measured on the wall, and the same of the CPU where it was measured."""
    aims: list[tuple[str, str, str, float, str]] = [
        ("reference grid, 5,000 hours", "grid 5,000", "seconds", 0.15, "s"),
        ("reference grid, 20,000 hours", "grid 20,000", "seconds", 0.4, "s"),
        ("reference grid, 120,000 times five minutes", "grid 120,000", "seconds", 2.0, "s"),
        ("its peak memory", "grid 120,000", "peak_mib", 512, "MiB"),
        ("always in the market, per bar and cell", "grid always in", "ns_per_bar_cell", 0.25, "ns"),
        ("its peak memory", "grid always in", "peak_mib", 512, "MiB"),
        ("three fill assumptions over one", "grid assumptions", "cost_of_three", 2.5, "times"),
        ("faster than vectorbt", "vectorbt liquidity_sweep", "ratio", 1_000, "times"),
        ("largest difference from vectorbt", "vectorbt liquidity_sweep", "max_abs_diff", 1e-9, ""),
        ("cost of ten times the bars, same trades", "scaling", "ten_times_the_bars", 3, "times"),
        ("`import quantlab`", "startup import", "seconds", 1, "s"),
        ("first sweep of a process", "startup first_sweep", "seconds", 3, "s"),
    ]
    rows = []
    for what, name, key, limit, unit in aims:
        run_name, _, step = name.partition(" ") if name.startswith("startup") else (name, "", "")
        if run_name not in found:
            continue
        figures = found[run_name][step] if step else found[run_name]
        least = what.startswith("faster")
        reached = figures[key] >= limit if least else figures[key] <= limit
        aim, value = (f"{number(v)} {unit}".rstrip() for v in (limit, figures[key]))
        cpu = next((figures[n] for n in (f"cpu_{key}", f"{key}_cpu") if n in figures), None)
        rows.append((what, f"at {'least' if least else 'most'} {aim}", value, number(cpu), yes(reached)))
    return table(("", "mark", "measured", "of the CPU", "reached"), *rows)


def yes(reached: bool) -> str:
    return "yes" if reached else "**no**"


def grids(found: Figures) -> str:
    head = (
        "`benchmarks/`",
        "market",
        "cells",
        "median (least), s",
        "CPU, s",
        "ns per bar and cell",
        "peak, MiB",
    )
    rows = []
    for name, command in RUNS.items():
        if name.startswith("grid") and name in found:
            f = found[name]
            rows.append(
                (
                    f"`{command}`",
                    f"{f['bars']:,} x {f['data'].split()[-1]}, {f['data'].split(':')[0]}",
                    f"{f['cells']:,}",
                    f"{number(f['seconds'])} ({number(f['min_seconds'])})",
                    number(f["cpu_seconds"]),
                    number(f["ns_per_bar_cell"]),
                    number(f["peak_mib"]),
                )
            )
    return table(head, *rows)


def columns(found: Figures, names: list[str], rows: list[tuple[str, Callable[[dict[str, Any]], Any]]]) -> str:
    """One column for each run."""
    head = ("", *(f"`{RUNS[name]}`" for name in names))
    return table(head, *((what, *(value(found[name]) for name in names)) for what, value in rows))


def vectorbt(found: Figures) -> str:
    def engines(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda f: "; ".join(number(engine[name]) for engine in f["engines"].values())

    rows: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("trades", lambda f: f"{f['trades']:,}"),
        ("quantlab, 21 metrics, ns per bar and cell", lambda f: number(f["ns_per_bar_cell"])),
        ("vectorbt numba; Rust, `from_orders` and 17 metrics", engines("ns_per_bar_cell")),
        ("**ratio**, to the faster engine", lambda f: f"**{number(f['ratio'])}**"),
        ("ratio to numba; to Rust", lambda f: f"{number(f['ratio_numba'])}; {number(f['ratio_rust'])}"),
        ("ratio with one thread of ours", lambda f: number(f["ratio_one_thread"])),
        ("the same in CPU seconds", lambda f: number(f["ratio_cpu"])),
        ("vectorbt `from_signals` and 17 metrics", engines("from_signals_ns_per_bar_cell")),
        ("peak memory, quantlab, MiB", lambda f: number(f["peak_mib"])),
        ("peak memory, vectorbt, 100 columns at a time", engines("peak_mib")),
        ("largest difference of a metric or a profit", lambda f: number(f["max_abs_diff"])),
        ("load average", lambda f: number(f["load_average"])),
    ]
    return columns(found, [name for name in RUNS if name.startswith("vectorbt")], rows)


def backtesting(found: Figures) -> str:
    rows: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
        ("bars, cells", lambda f: f"{f['bars']:,}, {f['cells']}"),
        ("quantlab, ms per cell", lambda f: number(f["ms_per_cell"])),
        ("backtesting.py, the faster way, ms per cell", lambda f: number(f["backtesting"]["ms_per_cell"])),
        ("ratio to `run`, one process", lambda f: number(f["ratios"]["run"])),
        ("ratio to `optimize`, all processors", lambda f: number(f["ratios"]["optimize"])),
        ("cells with the same trades", lambda f: f"{f['cells_with_the_same_trades']} of {f['cells']}"),
        ("trades", lambda f: f"{f['trades']:,}"),
        ("load average", lambda f: number(f["load_average"])),
    ]
    return columns(found, [name for name in RUNS if name.startswith("backtesting")], rows)


def startup(found: Figures) -> str:
    f = found["startup"]
    steps = {
        "import": "`import quantlab`",
        "names": "every public name as well",
        "first_sweep": "first sweep: import, candles, 201,600 cells on 5,000 bars",
        "sweep": "its last step alone",
        "again": "the same sweep once more",
    }
    rows = [(what, number(f[n]["seconds"]), number(f[n]["cpu_seconds"])) for n, what in steps.items()]
    kernels = ("kernels compiled; from the cache", f"{f['compiled']}; {f['cached']}", "")
    return table(("", "seconds", "CPU seconds"), *rows, kernels)


def scaling(found: Figures) -> str:
    what = {
        "bars, longer history": "bars, longer history, same trades",
        "bars, finer bars": "bars, the same history in finer bars",
        "entry cells": "entry cells",
        "exit cells": "exit cells",
        "marked bars": "bars on which a cell may enter",
    }
    rows = []
    for name, points in found["scaling"]["series"].items():
        first, last, grown = points[0], points[-1], found["scaling"]["growth"][name]
        milliseconds = f"{number(first['seconds'] * 1e3)} to {number(last['seconds'] * 1e3)}"
        rows.append(
            (
                what[name],
                f"{first['x']:,} to {last['x']:,}",
                f"x {number(grown['times'])}",
                milliseconds,
                f"x {number(grown['cost'])}",
                f"x {number(grown['trades'])}",
            )
        )
    return table(("grows", "from, to", "", "ms", "cost", "trades of all cells"), *rows)


def stages(found: Figures) -> str:
    rows = []
    for name, f in found["scaling"]["stages"].items():
        took = (number(f[s] * 1e3) for s in ("seconds", "signals", "rows", "trades_and_metrics"))
        distinct = f"{f['distinct_entry_rows']:,}"
        rows.append((f"{name}, {f['cells']:,} cells", *took, f"{f['trades']:,}", distinct))
    head = ("reference grid", "total, ms", "signals", "rows", "trades and metrics", "trades")
    return table((*head, "distinct entry rows"), *rows)


def measured(found: Figures) -> str:
    commits = sorted({f["commit"] for f in found.values()})
    loads = [f.get("measured", f)["load_average"] for f in found.values()]
    return (
        f"Measured at {', '.join(f'`{c}`' for c in commits)} on {found['scaling']['threads']} processors; "
        f"load average {min(loads):g} to {max(loads):g}."
    )


PAGES = {
    ROOT / "docs" / "speed.md": (marks, grids, vectorbt, backtesting, startup, scaling, stages, measured),
    ROOT / "docs" / "scale.md": scale_tables.TABLES,
}


def written(page: str, tables: Iterable[Callable[[Figures], str]], found: Figures) -> str:
    """The page with its tables as they were measured."""
    for make in tables:
        name = make.__name__
        text = f"<!-- {name} -->\n{make(found)}\n<!-- end -->"
        pattern = rf"<!-- {name} -->\n[^<]*?<!-- end -->"
        page, count = re.subn(pattern, lambda _, t=text: t, page)
        if count != 1:
            raise SystemExit(f"the page must have one place for {name}, not {count}: add <!-- {name} -->.")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="runs, by the beginning of their names")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    options = parser.parse_args()
    found = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    for name in () if options.tables else RUNS:
        if not options.names or any(name.startswith(chosen) for chosen in options.names):
            print(name, flush=True)
            found[name] = run(name)
            RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for page, tables in PAGES.items():
        page.write_text(written(page.read_text(encoding="utf-8"), tables, found), encoding="utf-8")


if __name__ == "__main__":
    main()
