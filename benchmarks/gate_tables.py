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
    noise = chosen(found, edge=False)
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


def chosen(found: Figures, *, edge: bool, choice: str = "plateau") -> list[dict[str, Any]]:
    """The families with or without an edge on which a choice was judged."""
    return [f for f in found.values() if f["edge"] is edge and f["choice"] == choice]


def false_approvals(found: Figures) -> str:
    rows = [_noise(f, found) for f in chosen(found, edge=False)]
    head = ("markets without an edge", "searched", "approved", "an ensemble approved", "best Sharpe above 1")
    if not rows:
        return table(head)
    totals = [
        [sum(f[name] for f in chosen(found, edge=False, choice=choice)) for name in ("approved", "markets")]
        for choice in ("plateau", "ensemble")
    ]
    naive = sum(f["best_sharpe_above_1"] for f in chosen(found, edge=False)) / totals[0][1]
    bold = (f"**{share(*total)}**" if total[1] else "" for total in totals)
    return table(head, *rows, ("all", "", *bold, f"{naive:.0%}"))


def _noise(f: dict[str, Any], found: Figures) -> tuple[str, ...]:
    return (*_family(f), *_approved(f, found), f"{f['best_sharpe_above_1'] / f['markets']:.0%}")


def _family(f: dict[str, Any]) -> tuple[str, str]:
    return f"{f['about']} (`{f['family']}`)", f"`{f['strategy']}`, {f['cells']} cells"


def _approved(f: dict[str, Any], found: Figures) -> tuple[str, str]:
    """How many were approved, of the plateau and of the ensemble."""
    other = found.get(f"{f['family']}.ensemble")
    return share(f["approved"], f["markets"]), share(other["approved"], other["markets"]) if other else ""


def power(found: Figures) -> str:
    families = chosen(found, edge=True)
    rows = [(*_family(f), f"{f['true']['sharpe']:.2f}", *_approved(f, found)) for f in families]
    head = ("markets with an edge", "searched", "true Sharpe", "approved", "an ensemble approved")
    return table(head, *rows)


def refusals(found: Figures) -> str:
    """What refused, alone and in all, over noise and over edges."""
    groups = [chosen(found, edge=edge) for edge in (False, True)]
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
    edge, every, noise, whole = (found[name] for name in ("edge", "edge_all", "noise", "reference"))
    aims = [
        (f"rerun, {_grid(edge)}: a clear yes", "edge_seconds", 10, "s", edge),
        (f"the same on all of {every['markets']} markets", "edge_all_seconds", 10, "s", every),
        (f"the same without an edge: ended after {noise['markets']}", "noise_seconds", 3, "s", noise),
        (f"rerun, {_grid(whole)}, all of them", "reference_seconds", 120, "s", whole),
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
