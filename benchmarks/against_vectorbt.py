"""This engine beside vectorbt: the same cells, the same fills, the same metrics, one process.

    python benchmarks/against_vectorbt.py --bars 20000 --cells 400 --json

**Ours** is the whole sweep, candles to surface: indicators, signals, fills and all metrics of every cell.
**Theirs** is `Portfolio.from_orders` on the fills of the same cells, then total return, Sharpe ratio, maximum
drawdown, number of closed trades and win rate. vectorbt is handed the orders as finished matrices: finding
them and laying them out is not counted. `from_signals`, the usual way in, is timed beside it from finished
signals under vectorbt's own rules (fill at the close, stops from the next bar, no holding limit); its trades
are others, so it is no part of `ratio` and `max_abs_diff`.

vectorbt takes one order per row. A bar has one row, and two where some cell of the chunk enters at its open
and leaves inside it; the first of the two is valued so that no equity changes. An order that reverses a
position is one order. Columns go in chunks (`--columns`), for memory, which also suits vectorbt's caches.

Both sides are warm: compilation is not counted. Where vectorbt-rust is not installed, its ratio is null.
`max_abs_diff` is over final equity, maximum drawdown, trades, win rate and the Sharpe ratio of daily returns
of every cell, and over the profit of every trade; the initial equity is 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import vectorbt
from reference_grid import Peak, candles
from vectorbt._engine import is_rust_available

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.inspect import reserve
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.backtest.trades import closed
from quantlab.market.candles import Candles
from quantlab.signals import AllOf
from quantlab.space import Grid

CAPITAL = 100.0
FEE, SLIPPAGE_BPS = 0.001, 2.0
EXECUTION = ql.Execution(costs=ql.Costs(taker=FEE, maker=FEE, slippage_bps=SLIPPAGE_BPS))
ENGINES = ("numba", "rust")


@dataclass(frozen=True)
class Book:
    """Orders of some cells, a column each; no order where the size is NaN."""

    close: pd.DataFrame
    size: np.ndarray
    price: np.ndarray


def sub_grid(strategy: str, cells: int) -> Grid:
    """A grid of exactly `cells` cells, all of them allowed.

    `liquidity_sweep`: the reference grid with thinned axes; the prime factors of `cells`, largest first, go
    to the axis that has most values per value taken. `sma_cross`: windows of 5 to 60 and of 80 to 400 bars.
    """
    found = strategies.get(strategy)
    reference = {name: np.asarray(values) for name, values in found.reference.items()}
    if strategy == "sma_cross":
        reference = {"fast": np.arange(5, 61), "slow": np.arange(80, 401)}
    taken = dict.fromkeys(reference, 1)
    for factor in prime_factors(cells):
        room = {n: len(v) / taken[n] for n, v in reference.items() if len(v) >= taken[n] * factor}
        if not room:
            raise SystemExit(f"no sub-grid of {strategy} has {cells} cells: choose smaller prime factors.")
        taken[max(room, key=lambda n: room[n])] *= factor
    thinned = {n: v[np.linspace(0, len(v) - 1, taken[n]).round().astype(int)] for n, v in reference.items()}
    return found.grid(**thinned)


def prime_factors(number: int) -> list[int]:
    """Prime factors in descending order."""
    factors, k = [], 2
    while number > 1:
        while number % k == 0:
            factors.append(k)
            number //= k
        k += 1
    return factors[::-1]


def book(trades: list[np.ndarray], market: Candles) -> Book:
    """The order matrices of some cells."""
    n = len(market)
    twice = np.zeros(n, bool)
    for done in map(closed, trades):
        twice[done["entry_bar"][done["entry_bar"] == done["exit_bar"]]] = True
    last = np.arange(n) + np.cumsum(twice)
    rows = n + int(twice.sum())
    mark = pd.Series(market.close).ffill().bfill().to_numpy()
    close = np.empty((rows, len(trades)))
    close[last] = mark[:, None]
    close[last[twice] - 1] = mark[np.flatnonzero(twice) - 1][:, None]
    size, price = np.zeros(close.shape), np.full(close.shape, np.nan)
    for column, cell in enumerate(trades):
        done = closed(cell)
        same = (cell["entry_bar"] == cell["exit_bar"]) & (cell["reason"] > 0)
        opened, left = last[cell["entry_bar"]] - same, last[done["exit_bar"]]
        size[opened, column] += cell["side"] * cell["units"] * CAPITAL
        size[left, column] -= done["side"] * done["units"] * CAPITAL
        price[opened, column], price[left, column] = cell["entry_price"], done["exit_price"]
        neutral = cell["entry_price"] * (1.0 + cell["side"] * FEE)
        close[opened[same], column] = neutral[same]
    size[np.isnan(price)] = np.nan
    stamps = np.empty(rows, np.int64)
    stamps[last[twice] - 1] = market.timestamps[twice]
    stamps[last] = market.timestamps + twice
    index = pd.DatetimeIndex(stamps.astype("datetime64[ms]"))
    return Book(pd.DataFrame(close, index), size, price)


def from_orders(orders: Book, engine: str, market: Candles) -> vectorbt.Portfolio:
    """Their books of our fills; a fill that vectorbt would refuse or shrink is an error."""
    return vectorbt.Portfolio.from_orders(
        orders.close,
        size=orders.size,
        price=orders.price,
        direction="both",
        fees=FEE,
        min_size=0.0,
        allow_partial=False,
        raise_reject=True,
        init_cash=CAPITAL,
        max_orders=int(np.isfinite(orders.size).sum()) + 1,
        freq=pd.Timedelta(market.step_ms, unit="ms"),
        engine=engine,
    )


def their_metrics(portfolio: vectorbt.Portfolio) -> dict[str, np.ndarray]:
    """The five metrics that are timed; Sharpe over bars, as vectorbt has it."""
    done = portfolio.trades.closed
    found = {
        "net_profit": portfolio.total_return(),
        "sharpe": portfolio.sharpe_ratio(),
        "max_drawdown": portfolio.max_drawdown(),
        "trades": done.count(),
        "win_rate": done.win_rate(),
    }
    return {name: np.atleast_1d(np.asarray(values, float)) for name, values in found.items()}


def daily_sharpe(portfolio: vectorbt.Portfolio) -> np.ndarray:
    """vectorbt's Sharpe ratio of its own equity at the end of each UTC day; NaN where nothing moved."""
    marks = portfolio.value().resample("1D").last()
    returns = marks / marks.shift(1, fill_value=CAPITAL) - 1.0
    sharpe = np.asarray(returns.vbt.returns(freq="1D", year_freq="365D").sharpe_ratio(), float)
    return np.where(np.isinf(sharpe), np.nan, sharpe)


def difference(
    portfolio: vectorbt.Portfolio,
    theirs: Mapping[str, np.ndarray],
    ours: Mapping[str, np.ndarray],
    trades: list[np.ndarray],
) -> float:
    """Largest absolute difference; infinite where only one side is defined."""
    records = np.sort(portfolio.trades.values, order=["col", "entry_idx"])
    profits = np.concatenate([cell["profit"] for cell in trades])
    if len(records) != len(profits):
        raise SystemExit(f"vectorbt books {len(records)} trades of {len(profits)}: the fills differ.")
    pairs = [(theirs[name], ours[name]) for name in theirs if name != "sharpe"]
    pairs += [(daily_sharpe(portfolio), ours["sharpe"]), (records["pnl"] / CAPITAL, profits)]
    largest = 0.0
    for a, b in pairs:
        apart = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b))
        largest = max(largest, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))
    return largest


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


def measure_theirs(
    engine: str, surface: Surface, market: Candles, trades: list[np.ndarray], columns: int
) -> dict[str, float]:
    """Seconds, peak memory and difference of one pass over all cells."""
    seconds = largest = peak = 0.0
    for place, _ in chunks(surface, columns):
        orders = book(trades[place], market)
        gc.collect()
        with Peak() as memory:
            began = time.perf_counter()
            portfolio = from_orders(orders, engine, market)
            theirs = their_metrics(portfolio)
            seconds += time.perf_counter() - began
        ours = {name: surface[name].ravel()[place] for name in theirs}
        largest = max(largest, difference(portfolio, theirs, ours, trades[place]))
        peak = max(peak, memory.mib)
    return {"seconds": seconds, "max_abs_diff": largest, "peak_mib": peak}


def measure_signals(engine: str, surface: Surface, market: Candles, columns: int) -> float:
    """Seconds of the usual way in, with the same five metrics."""
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
            engine=engine,
        )
        their_metrics(portfolio)
        seconds += time.perf_counter() - began
    return seconds


def measure_ours(strategy: str, market: Candles, grid: Grid, threads: int | None = None) -> float:
    """Median seconds of seven sweeps."""
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        sweep(strategy, market, grid, EXECUTION, progress=False, threads=threads)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides in turns."""
    market, grid = candles(options.bars), sub_grid(options.strategy, options.cells)
    few = sub_grid(options.strategy, 2)
    warm = sweep(options.strategy, market, few, EXECUTION, progress=False)
    with Peak() as memory:  # before vectorbt leaves freed memory behind that would hide it
        surface = sweep(options.strategy, market, grid, EXECUTION, progress=False)
    trades = [run_cell(options.strategy, market, p, EXECUTION) for _, ps in chunks(warm, 2) for p in ps]
    engines = [name for name in ENGINES if name == "numba" or is_rust_available()]
    for engine in engines:
        vectorbt.settings["engine"] = engine_setting(engine)
        measure_theirs(engine, warm, market, [run.trades for run in trades], 2)
        measure_signals(engine, warm, market, 2)
    trades = [our_trades(options.strategy, market, p) for _, ps in chunks(surface, 1000) for p in ps]
    ours, one_thread, theirs = [], [], {name: [] for name in engines}
    for _ in range(options.repeats):
        ours.append(measure_ours(options.strategy, market, grid))
        one_thread.append(measure_ours(options.strategy, market, grid, threads=1))
        for engine in engines:
            vectorbt.settings["engine"] = engine_setting(engine)
            theirs[engine].append(measure_theirs(engine, surface, market, trades, options.columns))
    usual = {}
    for engine in engines:
        vectorbt.settings["engine"] = engine_setting(engine)
        usual[engine] = measure_signals(engine, surface, market, options.columns)
    return report(options, surface, memory.mib, (ours, one_thread), theirs, usual)


def engine_setting(engine: str) -> str:
    """The global setting: with "auto" vectorbt takes Rust wherever it has it, with "numba" nowhere."""
    return "numba" if engine == "numba" else "auto"


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
    ours: tuple[list[float], list[float]],
    theirs: Mapping[str, list[dict[str, float]]],
    usual: Mapping[str, float],
) -> dict[str, Any]:
    """Medians over the rounds; ratios are their seconds over ours."""
    work = options.bars * surface.size
    our_seconds, one_thread = (float(np.median(seconds)) for seconds in ours)
    seconds = {name: float(np.median([r["seconds"] for r in rounds])) for name, rounds in theirs.items()}
    best = min(seconds, key=lambda name: seconds[name])
    ratios = {name: round(seconds[name] / our_seconds, 1) if name in seconds else None for name in ENGINES}
    return {
        "ratio": ratios[best],
        "ratios": ratios,
        "ratio_one_thread": round(seconds[best] / one_thread, 1),
        "max_abs_diff": max(r["max_abs_diff"] for rounds in theirs.values() for r in rounds),
        "strategy": options.strategy,
        "bars": options.bars,
        "cells": surface.size,
        "shape": list(surface.shape),
        "trades": int(np.nansum(surface["trades"])),
        "seconds": our_seconds,
        "ns_per_bar_cell": our_seconds / work * 1e9,
        "metrics": len(METRICS),
        "peak_mib": round(peak_mib, 1),
        "threads": os.cpu_count(),
        "vectorbt": {
            "version": vectorbt.__version__,
            "best_engine": best,
            "seconds": seconds,
            "ns_per_bar_cell": {name: value / work * 1e9 for name, value in seconds.items()},
            "metrics": 5,
            "peak_mib": {n: round(max(r["peak_mib"] for r in rounds), 1) for n, rounds in theirs.items()},
            "columns_per_chunk": min(options.columns, surface.size),
            "from_signals_ns_per_bar_cell": {name: value / work * 1e9 for name, value in usual.items()},
        },
        "load_average": round(os.getloadavg()[0], 2),
    }


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
    them = found["vectorbt"]
    print(
        f"{found['strategy']}, {found['cells']:,} cells x {found['bars']:,} bars, "
        f"{found['trades']:,} trades\n"
        f"quantlab: {found['ns_per_bar_cell']:.3g} ns per bar and cell ({found['metrics']} metrics, signals "
        f"included, {found['threads']} threads), peak {found['peak_mib']:.0f} MiB"
    )
    for engine in ENGINES:
        if engine not in them["seconds"]:
            print(f"vectorbt {engine}: not installed (pip install vectorbt-rust=={them['version']})")
            continue
        print(
            f"vectorbt {engine}: {them['ns_per_bar_cell'][engine]:.3g} ns (from_orders, 5 metrics), peak "
            f"{them['peak_mib'][engine]:.0f} MiB at {them['columns_per_chunk']} columns: "
            f"ratio {found['ratios'][engine]}; from_signals "
            f"{them['from_signals_ns_per_bar_cell'][engine]:.3g} ns"
        )
    print(f"largest difference {found['max_abs_diff']:.1e}; load average {found['load_average']}")


if __name__ == "__main__":
    main()
