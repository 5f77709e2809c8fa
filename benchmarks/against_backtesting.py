"""This engine beside backtesting.py: a grid of SMA crossovers, time per cell, and are the trades the same?

    python -m pip install backtesting
    python benchmarks/against_backtesting.py --cells 50 --json
    python benchmarks/against_backtesting.py --data sample --bars 5000

The strategy is `SmaCross` of backtesting.py's documentation (always in the market, reversed by
``exclusive_orders``), on the daily GOOG candles that it ships, commission 0.2 %. **Ours** is `sweep`,
candles to surface; **theirs** is `Backtest.run` cell after cell in one process, and `Backtest.optimize`,
which spreads the cells over processes. Both sides are warm.

Rules that coincide: signals at the close, fills at the next open, reversal, no closing at the end. So entry
and exit bars, sides and prices of every closed trade are compared. Rules that don't: backtesting.py buys
whole shares for 99.99 % of equity and annualises over trading days, so equity and its ratios are not. GOOG's
sessions are laid on consecutive days here, since a bar of ours is a place on a regular grid.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import candles

import quantlab as ql
from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.sweep import sweep
from quantlab.backtest.trades import closed
from quantlab.market.candles import Candles
from quantlab.space import Grid

try:
    import backtesting
    import backtesting.backtesting as engine_room
    from backtesting.lib import crossover
    from backtesting.test import GOOG, SMA
except ModuleNotFoundError as missing:
    raise ImportError(
        f"{missing.name} is needed for this comparison: python -m pip install backtesting"
    ) from None

COMMISSION = 0.002
EXECUTION = ql.Execution(costs=ql.Costs(taker=COMMISSION, maker=COMMISSION, slippage_bps=0.0))
DAY_MS = 86_400_000


class SmaCross(backtesting.Strategy):
    """The strategy of backtesting.py's quick start."""

    fast = 10
    slow = 20

    def init(self) -> None:
        self.sma1 = self.I(SMA, self.data.Close, self.fast)
        self.sma2 = self.I(SMA, self.data.Close, self.slow)

    def next(self) -> None:
        if crossover(self.sma1, self.sma2):
            self.buy()
        elif crossover(self.sma2, self.sma1):
            self.sell()


def goog(bars: int) -> Candles:
    """The first `bars` sessions of GOOG on consecutive days."""
    frame = GOOG.iloc[:bars]
    first = int(pd.Timestamp(frame.index[0]).timestamp() * 1000) // DAY_MS * DAY_MS
    columns = [frame[name].to_numpy(float) for name in ("Open", "High", "Low", "Close", "Volume")]
    return Candles.from_arrays("nasdaq", "GOOG/USD", "1d", first + DAY_MS * np.arange(len(frame)), *columns)


def their_frame(market: Candles) -> pd.DataFrame:
    """The same candles as backtesting.py wants them; lost bars would be another market."""
    if market.missing.any():
        raise SystemExit("backtesting.py cannot hold lost bars: choose other candles.")
    columns = {name.title(): getattr(market, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, pd.DatetimeIndex(market.timestamps.astype("datetime64[ms]")))


def sma_grid(cells: int) -> Grid:
    """Fast windows of 5 to 25 bars times slow ones of 30 to 120."""
    fast = next(k for k in range(int(cells**0.5), 0, -1) if cells % k == 0)
    windows = {"fast": np.linspace(5, 25, fast), "slow": np.linspace(30, 120, cells // fast)}
    return strategies.get("sma_cross").grid(**{n: v.round().astype(int) for n, v in windows.items()})


def same_trades(market: Candles, params: dict[str, Any], stats: pd.Series) -> bool:
    """Whether both sides made the same closed trades: bars, sides, prices to 1e-9 of the price."""
    ours = closed(run_cell("sma_cross", market, params, EXECUTION).trades)
    theirs = stats["_trades"]
    if len(ours) != len(theirs):
        return False
    return all(
        np.allclose(ours[mine], np.asarray(values, float), rtol=1e-9, atol=0.0)
        for mine, values in (
            ("entry_bar", theirs["EntryBar"]),
            ("exit_bar", theirs["ExitBar"]),
            ("side", np.sign(theirs["Size"])),
            ("entry_price", theirs["EntryPrice"]),
            ("exit_price", theirs["ExitPrice"]),
        )
    )


def compare(options: argparse.Namespace) -> dict[str, Any]:
    market = goog(options.bars) if options.data == "goog" else candles(options.bars)
    grid, frame = sma_grid(options.cells), their_frame(market)
    test = backtesting.Backtest(frame, SmaCross, cash=1e9, commission=COMMISSION, exclusive_orders=True)
    cells = [grid.cell(index) for index in np.ndindex(grid.shape)]
    test.run(**cells[0])
    sweep("sma_cross", market, grid, EXECUTION, progress=False)

    began = time.perf_counter()
    theirs = [test.run(**params) for params in cells]
    run_seconds = time.perf_counter() - began
    began = time.perf_counter()
    test.optimize(**{name: values.tolist() for name, values in grid.axes.items()}, return_heatmap=True)
    optimize_seconds = time.perf_counter() - began
    ours = []
    for _ in range(15):
        began = time.perf_counter()
        surface = sweep("sma_cross", market, grid, EXECUTION, progress=False)
        ours.append(time.perf_counter() - began)
    our_seconds, best = float(np.median(ours)), min(run_seconds, optimize_seconds)
    same = [same_trades(market, p, s) for p, s in zip(cells, theirs, strict=True)]
    trades = np.array([s["# Trades"] for s in theirs], float)
    work = len(market) * surface.size
    return {
        "ratio": round(best / our_seconds, 1),
        "ratios": {
            "run": round(run_seconds / our_seconds, 1),
            "optimize": round(optimize_seconds / our_seconds, 1),
        },
        "data": options.data,
        "bars": len(market),
        "cells": surface.size,
        "seconds": our_seconds,
        "ms_per_cell": our_seconds / surface.size * 1e3,
        "ns_per_bar_cell": our_seconds / work * 1e9,
        "threads": os.cpu_count(),
        "backtesting": {
            "version": backtesting.__version__,
            "seconds": {"run": run_seconds, "optimize": optimize_seconds},
            "ms_per_cell": best / surface.size * 1e3,
            "ns_per_bar_cell": best / work * 1e9,
        },
        "trades": int(trades.sum()),
        "cells_with_the_same_trades": int(sum(same)),
        "max_trade_count_diff": float(np.abs(trades - surface["trades"].ravel()).max()),
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", choices=("goog", "sample"), default="goog")
    parser.add_argument("--bars", type=int, default=2_148)
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*trades remain open.*")
    engine_room._tqdm = lambda items, **_: items  # as without tqdm: no progress bar to pay for
    found = compare(options)
    if options.json:
        print(json.dumps(found))
        return
    them = found["backtesting"]
    print(
        f"SMA crossover, {found['cells']} cells x {found['bars']:,} bars of {found['data']}, "
        f"{found['trades']:,} trades\n"
        f"quantlab: {found['ms_per_cell']:.3g} ms per cell ({found['ns_per_bar_cell']:.3g} ns per bar and "
        f"cell, {found['threads']} threads)\n"
        f"backtesting.py {them['version']}: {them['ms_per_cell']:.3g} ms per cell "
        f"({them['ns_per_bar_cell']:,.0f} ns); ratios {found['ratios']}\n"
        f"same trades in {found['cells_with_the_same_trades']} of {found['cells']} cells, largest difference "
        f"in their number {found['max_trade_count_diff']:.0f}; load average {found['load_average']}"
    )


if __name__ == "__main__":
    main()
