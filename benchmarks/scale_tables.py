"""The tables of docs/scale.md, from what `scale.py` and `cluster_overhead.py` measured."""

from __future__ import annotations

from typing import Any

Figures = dict[str, dict[str, Any]]

MEASURED = {
    "budget_mib": "budget of a part, MiB",
    "parts_per_market": "parts of a market",
    "cpu_seconds_per_market": "CPU seconds of a market",
    "relative_error": "their standard error, of the mean",
    "part_peak_mib": "peak memory of a part, MiB",
    "trades_per_cell": "trades of a cell",
    "stored_bytes_per_cell": "bytes of a cell in the database",
}
DERIVED = {
    "budget_mib": "budget of a part, MiB",
    "cpu_hours": "CPU hours",
    "wall_hours": "hours on all cores",
    "parts": "parts",
    "central_cpu_hours": "CPU hours of client and scheduler",
    "memory_per_thread_gib": "memory per core, GiB",
    "network_candles_tb": "candles sent to the workers, TB",
    "network_results_gb": "results sent back, GB",
    "database_surfaces_gb": "surfaces in the database, GB",
    "database_candles_gb": "candles in the database, GB",
    "usd": "US dollars",
}
ASSUMED = {
    "markets": "markets",
    "cores": "cores",
    "workers": "worker processes that share them",
    "efficiency": "busy share of core time",
    "central_ms": "client and scheduler, ms per part",
    "usd_per_core_hour": "US dollars per core and hour",
}


def lines(rows: list[list[str]]) -> str:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "| " + " | ".join(["---"] * len(rows[0])) + " |", *rest])


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rows_of(names: dict[str, str], found: list[dict[str, float]]) -> str:
    """One column for each budget, the first row its head."""
    rows = [[what, *(number(one[name]) for one in found)] for name, what in names.items()]
    return lines(rows)


def scale(found: Figures) -> str:
    return rows_of(MEASURED, found["scale"]["measured"]["budgets"])


def derived(found: Figures) -> str:
    return rows_of(DERIVED, found["scale"]["derived"])


def assumed(found: Figures) -> str:
    rows = [[what, number(found["scale"]["assumed"][name])] for name, what in ASSUMED.items()]
    return lines([["assumed", ""], *rows])


def cluster(found: Figures) -> str:
    f = found["cluster"]
    rows = {
        "sweep here on one thread, s": f["local_one_thread"]["min_seconds"],
        "on one worker, s": f["workers_1"]["min_seconds"],
        "on two workers, s": f["workers_2"]["min_seconds"],
        "added to the wall time of a part, ms": f["per_part"]["added_ms_per_part"],
        "CPU of client and scheduler for a part, ms": f["per_part"]["central_ms_per_part"],
        "CPU of eight parts over that of one": f["cut_cpu_ratio"],
        "peak memory of a worker above its start, MiB": f["peak_mib"],
        "bytes sent per candle": f["network"]["bytes_per_bar"],
        "a million candles to both workers, s": f["network"]["seconds_to_all_workers"],
        "load average": f["load_average"],
    }
    head = [f"{f['cells']:,} cells on {f['bars']:,} bars", "`cluster_overhead.py`"]
    return lines([head, *([what, number(value)] for what, value in rows.items())])


TABLES = (scale, derived, assumed, cluster)
