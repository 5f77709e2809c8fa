"""Write the tables of docs/honesty.md: ``python benchmarks/gate_tables.py``.

They are made of docs/gate.json, which `gate_calibration.py --record` measured, and of docs/gate_cost.json,
which `gate_cost.py --json` printed. No number in them is typed by hand; a test compares page and files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from figures import Figures, number, table, written, yes

from quantlab.validation.statistics import binomial_interval

ROOT = Path(__file__).resolve().parents[1]
RECORD, COST, PAGE = (ROOT / "docs" / name for name in ("gate.json", "gate_cost.json", "honesty.md"))


def load() -> Figures:
    """What was measured."""
    found: Figures = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    return found


def save(found: Figures) -> None:
    """Keep what was measured, and write the tables of the page."""
    RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


def page(found: Figures) -> str:
    """The page with its tables as they were measured."""
    tables = (false_approvals, power, refusals, measured, cost)
    return written(PAGE.read_text(encoding="utf-8"), tables, found)


def share(count: int, of: int) -> str:
    """A count with its exact interval."""
    low, high = binomial_interval(count, of)
    return f"{count} of {of} = {count / of:.1%} ({low:.1%} to {high:.1%})".replace("%", " %")


def claim(found: Figures) -> str:
    """What the README says of it."""
    noise = [f for f in found.values() if not f["edge"]]
    markets, approved = (sum(f[name] for f in noise) for name in ("markets", "approved"))
    low, high = binomial_interval(approved, markets)
    return (
        (
            f"On {markets:,} markets without an edge it approved {approved}: {approved / markets:.1%} "
            f"(95 % interval {low * 100:.1f} to {high:.1%})"
        )
        .replace("%)", " %)")
        .replace("% (", " % (")
    )


def false_approvals(found: Figures) -> str:
    rows = [_noise(f) for f in found.values() if not f["edge"]]
    markets, approved, naive = (
        sum(f[name] for f in found.values() if not f["edge"])
        for name in ("markets", "approved", "best_sharpe_above_1")
    )
    head = ("markets without an edge", "searched", "approved", "best Sharpe above 1")
    if not markets:
        return table(head)
    return table(head, *rows, ("all", "", f"**{share(approved, markets)}**", f"{naive / markets:.0%}"))


def _noise(f: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{f['about']} (`{f['family']}`)",
        f"`{f['strategy']}`, {f['cells']} cells",
        share(f["approved"], f["markets"]),
        f"{f['best_sharpe_above_1'] / f['markets']:.0%}",
    )


def power(found: Figures) -> str:
    rows = [
        (
            f"{f['about']} (`{f['family']}`)",
            f"`{f['strategy']}`, {f['cells']} cells",
            f"{f['true']['sharpe']:.2f}",
            share(f["approved"], f["markets"]),
        )
        for f in found.values()
        if f["edge"]
    ]
    return table(("markets with an edge", "searched", "true Sharpe", "approved"), *rows)


def refusals(found: Figures) -> str:
    """What refused, alone and in all, over noise and over edges."""
    groups = [[f for f in found.values() if f["edge"] is edge] for edge in (False, True)]
    names = list(dict.fromkeys(name for f in found.values() for name in f["refused"]))
    rows = [(f"`{name}`", *(cell for group in groups for cell in _refused(group, name))) for name in names]
    head = ("test", "refused, no edge", "alone", "refused, edge", "alone")
    return table(head, *rows)


def _refused(group: list[dict[str, Any]], name: str) -> tuple[str, str]:
    markets = sum(f["markets"] for f in group)
    if not markets:
        return "", ""
    counts = (sum(f[key].get(name, 0) for f in group) for key in ("refused", "refused_alone"))
    every, alone = (f"{count / markets:.1%}" for count in counts)
    return every, alone


def measured(found: Figures) -> str:
    if not found:
        return "Nothing is measured yet."
    commits = sorted({f["commit"] for f in found.values()})
    cpu = sum(f["cpu_seconds"] for f in found.values())
    markets = sum(f["markets"] for f in found.values())
    return (
        f"{markets:,} markets, measured at {', '.join(f'`{commit}`' for commit in commits)} in "
        f"{cpu:,.0f} seconds of one processor ({cpu / markets:.1f} a market)."
    )


def cost(_: Figures) -> str:
    """What the statistics of a whole search cost, against what was aimed at."""
    found: dict[str, Any] = json.loads(COST.read_text(encoding="utf-8"))
    edge, noise, whole = (found[name] for name in ("edge", "noise", "reference"))
    aims = [
        (f"rerun, {_grid(edge)}, to the end", "edge_seconds", 10, "s", edge),
        (f"the same without an edge: ended after {noise['markets']}", "noise_seconds", 3, "s", noise),
        (f"rerun, {_grid(whole)}, to the end", "reference_seconds", 120, "s", whole),
        ("overfitting: 12,870 splits x 10,000 cells", "pbo_seconds", 2, "s", {}),
        ("superior ability: 208 blocks x 100,000 cells", "spa_seconds", 2, "s", {}),
        ("its peak memory", "spa_peak_mib", 200, "MiB", {}),
    ]
    rows = []
    for what, key, mark, unit, run in aims:
        value, cpu = f"{number(found[key])} {unit}", number(run.get("cpu_seconds"))
        rows.append((what, f"{mark} {unit}", value, cpu, yes(found[key] < mark)))
    load = ("load average", "", number(found["load_average"]), "", "")
    return table(("", "mark, below", "measured", "CPU, s", "reached"), *rows, load)


def _grid(run: dict[str, Any]) -> str:
    return f"{run['cells']:,} cells x {run['bars']:,} bars x {run['markets']} markets"


if __name__ == "__main__":
    save(load())
