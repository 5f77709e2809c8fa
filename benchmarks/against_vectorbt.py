"""This engine beside vectorbt: the same cells, the same fills, the same metrics, one process.

    python benchmarks/against_vectorbt.py --bars 20000 --cells 400 --json

**Ours** is the whole sweep, candles to surface: indicators, signals, fills and all 21 metrics of every cell.
**Theirs** is `Portfolio.from_orders` on the fills of the same cells, then the 17 of these metrics that
vectorbt has, each by its cheapest call (`vectorbt_books.py`; the four that it has not are no part of its
time, but of ours). vectorbt is handed the orders as finished matrices: finding them and laying them out is
not counted. `from_signals`, the usual way in, is timed beside it from finished signals, with the same
metrics, under vectorbt's own rules (fill at the close, stops from the next bar, no holding limit); its trades
are others, so it is no part of `ratio` and `max_abs_diff`.

vectorbt takes one order per row. A bar has one row, and two where some cell of the chunk enters at its open
and leaves inside it; the first of the two is valued so that no equity changes. An order that reverses a
position is one order. Columns go in chunks (`--columns`), for memory, which also suits vectorbt's caches.

Both sides are warm: compilation is not counted. vectorbt has two engines; `ratio` is against the faster of
them, and `ratio_rust` is null where vectorbt-rust is not installed. vectorbt runs in one thread, ours in as
many as there are; `ratio_one_thread` holds ours to one, and `ratio_cpu` is of the CPU seconds of these two,
which other work on the machine disturbs least.

`max_abs_diff` is over all 17 metrics of every cell and over the profit of every trade, initial equity 1.
Where vectorbt defines a metric otherwise (bars for days, money for returns), what is compared is our
definition on vectorbt's own value and records, computed outside the timed section.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import vectorbt
from common import Peak, candles, sub_grid, timed
from vectorbt._engine import is_rust_available
from vectorbt_books import (
    CAPITAL,
    ENGINES,
    FEE,
    SLIPPAGE_BPS,
    book,
    differences,
    from_orders,
    timed_metrics,
    use,
)

import quantlab as ql
from quantlab.backtest.engine import run_cell
from quantlab.backtest.inspect import reserve
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.market.candles import Candles
from quantlab.signals import AllOf
from quantlab.space import Grid

EXECUTION = ql.Execution(costs=ql.Costs(taker=FEE, maker=FEE, slippage_bps=SLIPPAGE_BPS))


def signal_arguments(found: Any, market: Candles, params: list[dict[str, Any]]) -> dict[str, Any]:
    """The same cells for `from_signals`: entries, and stop and target as fractions of the close."""
    signals = found.signals(market, found.space.points(params).params())
    shape = (len(params), len(market))

    def matrix(value: Any) -> np.ndarray:
        array = value.to_array() if isinstance(value, AllOf) else np.asarray(value)
        return np.ascontiguousarray(np.broadcast_to(array, shape).T)

    columns = {name: pd.Series(getattr(market, name)).ffill().bfill() for name in ("open", "high", "low")}
    close = pd.Series(market.close).ffill().bfill().to_numpy()
    index = pd.DatetimeIndex(market.timestamps.astype("datetime64[ms]"))
    frame = pd.DataFrame(np.repeat(close[:, None], len(params), axis=1), index)
    arguments = {name: column.to_numpy()[:, None] for name, column in columns.items()}
    arguments |= {"close": frame, "entries": matrix(signals.long), "short_entries": matrix(signals.short)}
    if signals.stop is not None:
        arguments["sl_stop"] = matrix(signals.stop) / close[:, None]
    if signals.target is not None:
        arguments["tp_stop"] = matrix(signals.target) / close[:, None]
    return {**arguments, "upon_opposite_entry": signals.on_opposite}


def chunks(surface: Surface, columns: int) -> Iterator[tuple[slice, list[dict[str, Any]]]]:
    """Cells in the order of the raveled surface."""
    for first in range(0, surface.size, columns):
        place = slice(first, min(first + columns, surface.size))
        where = np.unravel_index(np.arange(place.start, place.stop), surface.shape)
        yield place, [surface.cells.cell(tuple(map(int, index))) for index in zip(*where, strict=True)]


def measure_orders(
    engine: str, surface: Surface, market: Candles, trades: list[np.ndarray], columns: int
) -> dict[str, Any]:
    """Seconds, peak memory and differences of one pass over all cells."""
    seconds = cpu = peak = 0.0
    apart: dict[str, float] = {}
    for place, _ in chunks(surface, columns):
        orders = book(trades[place], market)
        gc.collect()
        with Peak() as memory:
            began, cpu_began = time.perf_counter(), time.process_time()
            portfolio = from_orders(orders, engine, market)
            timed_metrics(portfolio)
            seconds += time.perf_counter() - began
            cpu += time.process_time() - cpu_began
        peak = max(peak, memory.mib)
        ours = {name: surface[name].ravel()[place] for name in METRICS}
        for name, value in differences(portfolio, orders, ours, trades[place], market).items():
            apart[name] = max(apart.get(name, 0.0), value)
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak, "differences": apart}


def measure_signals(surface: Surface, market: Candles, columns: int) -> float:
    """Seconds of the usual way in, with the same metrics."""
    seconds = 0.0
    for _, params in chunks(surface, columns):
        arguments = signal_arguments(surface.strategy, market, params)
        gc.collect()
        began = time.perf_counter()
        portfolio = vectorbt.Portfolio.from_signals(
            **arguments,
            fees=FEE,
            slippage=SLIPPAGE_BPS / 1e4,
            init_cash=CAPITAL,
            freq=pd.Timedelta(market.step_ms, unit="ms"),
        )
        timed_metrics(portfolio)
        seconds += time.perf_counter() - began
    return seconds


def measure_ours(
    strategy: str, market: Candles, grid: Grid, threads: int | None = None
) -> tuple[float, float]:
    """Median seconds of seven sweeps, on the wall and of the CPU."""
    took = timed(lambda: sweep(strategy, market, grid, EXECUTION, progress=False, threads=threads), 7)
    return took["seconds"], took["cpu_seconds"]


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides in turns."""
    market, grid = candles(options.bars), sub_grid(options.strategy, options.cells)
    few = sub_grid(options.strategy, 2)
    warm = sweep(options.strategy, market, few, EXECUTION, progress=False)
    with Peak() as memory:  # before vectorbt leaves freed memory behind that would hide it
        surface = sweep(options.strategy, market, grid, EXECUTION, progress=False)
    trades = [our_trades(options.strategy, market, p) for _, ps in chunks(warm, 2) for p in ps]
    engines = [name for name in ENGINES if name == "numba" or is_rust_available()]
    for engine in engines:
        use(engine)
        measure_orders(engine, warm, market, trades, 2)
        measure_signals(warm, market, 2)
    trades = [our_trades(options.strategy, market, p) for _, ps in chunks(surface, 1000) for p in ps]
    ours: list[tuple[float, float]] = []
    one_thread: list[tuple[float, float]] = []
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    usual: dict[str, float] = {}
    for _ in range(options.repeats):
        ours.append(measure_ours(options.strategy, market, grid))
        one_thread.append(measure_ours(options.strategy, market, grid, threads=1))
        for engine in engines:
            use(engine)
            rounds[engine].append(measure_orders(engine, surface, market, trades, options.columns))
    for engine in engines:
        use(engine)
        usual[engine] = measure_signals(surface, market, options.columns)
    return report(options, surface, memory.mib, (ours, one_thread), rounds, usual)


def our_trades(strategy: str, market: Candles, params: dict[str, Any]) -> np.ndarray:
    """Trades of one cell; vectorbt must be able to book them without borrowing."""
    run = run_cell(strategy, market, params, EXECUTION)
    if reserve(run, EXECUTION.costs):
        raise SystemExit(f"{params} needs more cash than there is: compare other cells.")
    return run.trades


def report(
    options: argparse.Namespace,
    surface: Surface,
    peak_mib: float,
    ours: tuple[list[tuple[float, float]], list[tuple[float, float]]],
    rounds: dict[str, list[dict[str, Any]]],
    usual: dict[str, float],
) -> dict[str, Any]:
    """Medians over the rounds; ratios are their seconds over ours."""
    work = options.bars * surface.size
    engines: dict[str, dict[str, float]] = {}
    for name, measured in rounds.items():
        seconds, cpu = np.median([(r["seconds"], r["cpu_seconds"]) for r in measured], axis=0)
        engines[name] = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "ns_per_bar_cell": seconds / work * 1e9,
            "peak_mib": round(max(r["peak_mib"] for r in measured), 1),
            "from_signals_seconds": usual[name],
            "from_signals_ns_per_bar_cell": usual[name] / work * 1e9,
        }
    best = min(engines, key=lambda name: engines[name]["seconds"])
    (seconds, cpu), (one_thread, one_thread_cpu) = (np.median(took, axis=0) for took in ours)
    apart = {n: max(r["differences"][n] for m in rounds.values() for r in m) for n in apart_of(rounds)}
    return {
        "ratio": round(engines[best]["seconds"] / seconds, 1),
        "ratio_numba": round(engines["numba"]["seconds"] / seconds, 1),
        "ratio_rust": round(engines["rust"]["seconds"] / seconds, 1) if "rust" in engines else None,
        "ratio_one_thread": round(engines[best]["seconds"] / one_thread, 1),
        "ratio_cpu": round(engines[best]["cpu_seconds"] / one_thread_cpu, 1),
        "ratio_from_signals": round(min(usual.values()) / seconds, 1),
        "max_abs_diff": max(apart.values()),
        "differences": apart,
        "strategy": options.strategy,
        "bars": options.bars,
        "cells": surface.size,
        "shape": list(surface.shape),
        "trades": int(np.nansum(surface["trades"])),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "ns_per_bar_cell": seconds / work * 1e9,
        "metrics": len(METRICS),
        "metrics_of_both": len(apart) - 1,
        "peak_mib": round(peak_mib, 1),
        "threads": os.cpu_count(),
        "engines": engines,
        "faster_engine": best,
        "vectorbt": vectorbt.__version__,
        "columns_per_chunk": min(options.columns, surface.size),
        "repeats": options.repeats,
        "load_average": round(os.getloadavg()[0], 2),
    }


def apart_of(rounds: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Names of what was compared: the metrics and the profit of trades."""
    return list(next(iter(rounds.values()))[0]["differences"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--strategy", choices=("liquidity_sweep", "sma_cross"), default="liquidity_sweep")
    parser.add_argument("--bars", type=int, default=20_000)
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--columns", type=int, default=100, help="columns that vectorbt gets at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = compare(options)
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['strategy']}, {found['cells']:,} cells x {found['bars']:,} bars, "
        f"{found['trades']:,} trades\n"
        f"quantlab: {found['ns_per_bar_cell']:.3g} ns per bar and cell ({found['metrics']} metrics, signals "
        f"included, {found['threads']} threads), peak {found['peak_mib']:.0f} MiB"
    )
    for name in ENGINES:
        if name not in found["engines"]:
            print(f"vectorbt {name}: not installed (pip install vectorbt-rust=={found['vectorbt']})")
            continue
        them = found["engines"][name]
        print(
            f"vectorbt {found['vectorbt']} {name}: {them['ns_per_bar_cell']:.3g} ns (from_orders, "
            f"{found['metrics_of_both']} metrics), peak {them['peak_mib']:.0f} MiB at "
            f"{found['columns_per_chunk']} columns: ratio {found[f'ratio_{name}']}; from_signals "
            f"{them['from_signals_ns_per_bar_cell']:.3g} ns"
        )
    print(
        f"ratio {found['ratio']} (to {found['faster_engine']}; one thread of ours "
        f"{found['ratio_one_thread']}), largest difference {found['max_abs_diff']:.1e}; "
        f"load average {found['load_average']}"
    )


if __name__ == "__main__":
    main()
