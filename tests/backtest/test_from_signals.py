"""vectorbt's own engines find the same trades from the same signals, where its rules and ours coincide.

The books of vectorbt are checked in `test_inspect.py`; here it also decides what is filled when. Both of its
engines (numba, and rust where installed) must give our trades, our equity at every bar and our metrics to
1e-9.

**Fills at the close** (``fill="close"``; vectorbt's default price) with stops, targets and signals that
collide:

* Stops and targets start on the bar after the entry, count from its close (``stop_entry_price="close"``) and
  fill at their level or at an open beyond it; such an exit suppresses every signal of its bar, in both.
* Distances are binary fractions of whole prices (close * 1/32), so that a level computed as
  ``close - distance`` and one computed as ``close * (1 - fraction)`` is the same number, and ties on the tick
  are real ties.
* All of equity (``size=inf``) or a fraction of it (``size_type="percent"``, which vectorbt cannot reverse).
* Signals for and against the same side on one bar: our law leaves when in and enters when out, vectorbt wants
  one rule for both (``upon_long_conflict``), so our strategy resolves them as that rule says; vectorbt is
  handed the collision.
* Slippage: a target of ours has none, a stop has; vectorbt has it on both (``stopmarket``) or on none
  (``stoplimit``). So it is zero where both exits are in play, and matched where one is.
* A bar that opens beyond the target and then reaches the stop is a target to us and a stop to vectorbt, which
  looks at the stop first. The market has none: its bars gap, or are wide, but not both.

**Fills at the open** (``fill="open"``): the signals shifted by one bar, with the open as price and without
stops (vectorbt's would not be live on the entry bar, as ours are).

Not comparable, see docs/engine.md: lost bars, holding limits, sizing by risk, funding, trailing stops (a
fraction of the best price there, a distance here), break-even stops, partial targets, fill assumptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vectorbt
from generated_markets import Script
from vectorbt._engine import is_rust_available

from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import AllIn, Costs, Execution
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import OPEN, SIGNAL, STOP, TARGET, Run
from quantlab.market.candles import TIMEFRAMES, Candles
from quantlab.market.synthetic import garch
from quantlab.strategies import get

Engine = Callable[..., Run]
ENGINES: dict[str, Engine] = {"replay": replay, "kernel": run_cell}
THEIRS = ["numba", *(["rust"] if is_rust_available() else [])]
CAPITAL = 1e6
BARS = 2_000
FLAGS = ("entries", "exits", "short_entries", "short_exits")
FRACTIONS = (1 / 32, 1 / 16, 1 / 8)


def market(seed: int, bars: int = BARS) -> Candles:
    """Whole prices by the day: gaps, wide bars and flat ones, and no gap on a wide bar.

    Closes lie between 128 and 224: no short is ruined, which vectorbt does not know.
    """
    rng = np.random.default_rng(seed)
    prices, last = np.empty((bars, 4)), 176
    for row in range(bars):
        kind = rng.choice(["gap", "wide", "flat"], p=[0.75, 0.2, 0.05])
        reach = {"gap": 3, "wide": 15, "flat": 0}[str(kind)]
        open_ = last + (int(rng.integers(-9, 10)) if kind == "gap" else 0)
        open_ = min(max(open_, 128), 224)
        body, up, down = (
            rng.integers(-reach, reach + 1),
            rng.integers(0, reach + 1),
            rng.integers(0, reach + 1),
        )
        close = min(max(open_ + int(body), 128), 224)
        prices[row] = open_, max(open_, close) + int(up), min(open_, close) - int(down), close
        last = close
    step = TIMEFRAMES["1d"]
    timestamps = step * (20_000 + np.arange(bars))
    return Candles.from_arrays("test", "BTC/USD", "1d", timestamps, *prices.T, np.ones(bars))


def flags(rng: np.random.Generator, share: float) -> np.ndarray:
    found = rng.random((1, BARS)) < share
    found[0, 0] = False  # vectorbt's drawdowns start from the first bar's equity, ours from the initial one
    return found


def scripted(candles: Candles, seed: int, exits: str, conflict: str, **options: Any) -> tuple[Script, dict]:
    """Our strategy, and the same as arguments of `from_signals`."""
    rng = np.random.default_rng(seed)
    long, short, leave_long, leave_short = (flags(rng, share) for share in (0.3, 0.3, 0.2, 0.2))
    theirs: dict[str, Any] = {
        "entries": long[0],
        "short_entries": short[0],
        "exits": leave_long[0],
        "short_exits": leave_short[0],
        "upon_long_conflict": conflict,
        "upon_short_conflict": conflict,
        "upon_dir_conflict": "ignore",
        "upon_opposite_entry": options["on_opposite"],
    }
    ours = {"long": long, "short": short, "exit_long": leave_long, "exit_short": leave_short}
    for entry, leave in (("long", "exit_long"), ("short", "exit_short")):
        both = ours[entry] & ours[leave]
        loser = leave if conflict == "entry" else entry
        ours[loser] = ours[loser] & ~both
    for name, argument in (("stop", "sl_stop"), ("target", "tp_stop")):
        theirs[argument] = rng.choice(FRACTIONS, BARS) if name in exits else np.full(BARS, np.nan)
        if name in exits:
            ours[name] = (candles.close * theirs[argument])[None]
    return Script(candles.timestamps, **ours, **options), theirs


def from_signals(
    candles: Candles, execution: Execution, engine: str, signals: Mapping[str, Any]
) -> vectorbt.Portfolio:
    index = pd.DatetimeIndex(candles.timestamps.astype("datetime64[ms]"))
    sizing = execution.sizing
    assert isinstance(sizing, AllIn)
    size = (np.inf, "amount") if sizing.fraction == 1.0 else (sizing.fraction, "percent")
    return vectorbt.Portfolio.from_signals(
        pd.Series(candles.close, index),
        open=candles.open,
        high=candles.high,
        low=candles.low,
        price=candles.open if execution.fill == "open" else candles.close,
        fees=execution.costs.taker,
        slippage=execution.costs.slippage_bps / 1e4,
        size=size[0],
        size_type=size[1],
        min_size=0.0,
        stop_entry_price="close",
        init_cash=CAPITAL,
        freq=pd.Timedelta(candles.step_ms, unit="ms"),
        engine=engine,
        **signals,
    )


def their_metrics(portfolio: vectorbt.Portfolio) -> dict[str, float]:
    """The metrics that vectorbt defines as we do, on daily candles."""
    closed, returns = portfolio.trades.closed, portfolio.returns().vbt.returns(freq="1D", year_freq="365D")
    return {
        "net_profit": portfolio.total_return(),
        "sharpe": portfolio.sharpe_ratio(),
        "sortino": portfolio.sortino_ratio(),
        "calmar": portfolio.calmar_ratio(),
        "max_drawdown": portfolio.max_drawdown(),
        "trades": closed.count(),
        "win_rate": closed.win_rate(),
        "profit_factor": closed.profit_factor(),
        "fees_paid": portfolio.orders.fees.sum() / CAPITAL,
        "var_95": -returns.value_at_risk(),
    }


def assert_same(portfolio: vectorbt.Portfolio, run: Run) -> None:
    trades, records = run.trades, np.sort(portfolio.trades.values, order="entry_idx")
    assert len(records) == len(trades) > 0
    assert records["entry_idx"].tolist() == trades["entry_bar"].tolist()
    assert records["exit_idx"].tolist() == trades["exit_bar"].tolist()
    assert np.where(records["direction"] == 0, 1, -1).tolist() == trades["side"].tolist()
    assert (records["status"] == 0).tolist() == (trades["reason"] == OPEN).tolist()
    pairs = {
        "entry_price": (records["entry_price"], trades["entry_price"]),
        "exit_price": (records["exit_price"], trades["exit_price"]),
        "units": (records["size"] / CAPITAL, trades["units"]),
        "fees": ((records["entry_fees"] + records["exit_fees"]) / CAPITAL, trades["fees"]),
        "profit": (records["pnl"] / CAPITAL, trades["profit"]),
        "equity": (portfolio.value().to_numpy() / CAPITAL, run.equity),
    }
    for name, (theirs, ours) in pairs.items():
        np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-15, err_msg=name)
    for name, value in their_metrics(portfolio).items():
        np.testing.assert_allclose(value, run.metrics[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("ours", ENGINES)
@pytest.mark.parametrize("engine", THEIRS)
@pytest.mark.parametrize("conflict", ["entry", "exit"])
@pytest.mark.parametrize("on_opposite", ["ignore", "close", "reverse"])
@pytest.mark.parametrize(
    ("exits", "slippage_bps", "stop_exit_price"),
    [
        ("stop, target", 0.0, "stoplimit"),
        ("stop", 20.0, "stopmarket"),
        ("target", 20.0, "stoplimit"),
        ("", 20.0, "stopmarket"),
    ],
)
def test_fills_at_the_close(
    exits: str,
    slippage_bps: float,
    stop_exit_price: str,
    on_opposite: str,
    conflict: str,
    engine: str,
    ours: str,
) -> None:
    candles = market(seed=1)
    script, theirs = scripted(candles, 2, exits, conflict, on_opposite=on_opposite)
    theirs["stop_exit_price"] = stop_exit_price
    execution = Execution(Costs(0.0005, 0.0005, slippage_bps), fill="close")
    run = ENGINES[ours](script.strategy, candles, {}, execution)
    assert {"stop": STOP, "target": TARGET, "": SIGNAL}[exits.split(",")[0]] in run.trades["reason"]
    assert_same(from_signals(candles, execution, engine, theirs), run)


@pytest.mark.parametrize("ours", ENGINES)
@pytest.mark.parametrize("engine", THEIRS)
@pytest.mark.parametrize("on_opposite", ["ignore", "close"])
def test_a_fraction_of_equity(on_opposite: str, engine: str, ours: str) -> None:
    candles = market(seed=3)
    script, theirs = scripted(candles, 4, "stop, target", "exit", on_opposite=on_opposite)
    execution = Execution(Costs(0.001, 0.001, 0.0), sizing=AllIn(0.3), fill="close")
    run = ENGINES[ours](script.strategy, candles, {}, execution)
    assert_same(from_signals(candles, execution, engine, theirs), run)


def shifted(signals: Mapping[str, Any], bars: int) -> dict[str, Any]:
    """Signals that many bars later; the rest as it is."""
    return {
        name: np.concatenate([np.zeros(bars, bool), value[:-bars]]) if name in FLAGS else value
        for name, value in signals.items()
    }


@pytest.mark.parametrize("ours", ENGINES)
@pytest.mark.parametrize("engine", THEIRS)
@pytest.mark.parametrize("conflict", ["entry", "exit"])
@pytest.mark.parametrize("on_opposite", ["ignore", "close", "reverse"])
@pytest.mark.parametrize("delay_bars", [0, 2])
def test_fills_at_the_open(delay_bars: int, on_opposite: str, conflict: str, engine: str, ours: str) -> None:
    candles = market(seed=5)
    script, theirs = scripted(candles, 6, "", conflict, on_opposite=on_opposite)
    execution = Execution(Costs(0.0005, 0.0005, 20.0), delay_bars=delay_bars)
    run = ENGINES[ours](script.strategy, candles, {}, execution)
    assert_same(from_signals(candles, execution, engine, shifted(theirs, 1 + delay_bars)), run)


@pytest.mark.parametrize("ours", ENGINES)
@pytest.mark.parametrize("engine", THEIRS)
@pytest.mark.parametrize(("fast", "slow"), [(3, 12), (10, 50)])
def test_sma_cross(fast: int, slow: int, engine: str, ours: str) -> None:
    candles, cross = garch(BARS, timeframe="1d", seed=11), get("sma_cross")
    params = {"fast": fast, "slow": slow}
    signals = cross.signals(candles, cross.space.points([params]).params())
    execution = Execution(Costs(0.001, 0.001, 2.0))
    run = ENGINES[ours](cross, candles, params, execution)
    assert len(run.trades) > 20
    never, none = np.zeros(BARS, bool), np.full(BARS, np.nan)
    theirs = {
        "entries": signals.long.to_array()[0],
        "short_entries": signals.short.to_array()[0],
        "exits": never,
        "short_exits": never,
        "sl_stop": none,
        "tp_stop": none,
        "upon_opposite_entry": signals.on_opposite,
    }
    assert_same(from_signals(candles, execution, engine, shifted(theirs, 1)), run)
