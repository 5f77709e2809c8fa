"""What a sweep and a single run share: candles, rules and signals in the form that the kernels read."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.backtest import kernels, record
from quantlab.backtest.daily import DAY_MS, daily_marks, daily_returns, day_numbers, market_returns
from quantlab.backtest.execution import ASSUMPTIONS, AllIn, Execution, Risk
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.rows import Entries, find_entries, find_exits, own
from quantlab.backtest.trades import TRADE_DTYPE, Run
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.signals import Signals, Strategy, find_strategy
from quantlab.space import Cells

FUNDING_MS = 8 * 3_600_000
_DECISIVE = (
    *("kernels", "compose_kernels", "metric_kernels", "row_kernels", "record"),
    *("rows", "engine", "daily", "execution"),
)
_NOT_YET = ("trail", "break_even", "partial_target")
_OPPOSITE = {"ignore": record.IGNORE, "close": record.CLOSE, "reverse": record.REVERSE}


@dataclass(frozen=True)
class Prepared:
    """The cells of one strategy on one market, ready to simulate.

    Attributes
    ----------
    entries : Entries
    exits : record.Exits
    exit_shape : tuple of int
        Exit axes, ones where exits do not vary.
    allowed : boolean array, shape of the cells
    """

    bars: record.Bars
    span: record.Span
    rules: record.Rules
    entries: Entries
    exits: record.Exits
    exit_shape: tuple[int, ...]
    allowed: np.ndarray


@functools.cache
def engine_hash() -> str:
    """SHA-256 (hex) over the sources that decide what a cell earns: engine, indicators, contract."""
    package = Path(__file__).resolve().parents[1]
    files = [package / "backtest" / f"{name}.py" for name in _DECISIVE]
    files += [*sorted((package / "indicators").glob("*.py")), *sorted((package / "clauses").glob("*.py"))]
    files += [package / "signals.py", package / "space.py"]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def columns(candles: Candles) -> record.Bars:
    """The columns that the kernels read."""
    timestamps, step = candles.timestamps, candles.step_ms
    at_open = timestamps % FUNDING_MS == 0
    settlements = (timestamps + step - 1) // FUNDING_MS - (timestamps - 1) // FUNDING_MS
    return record.Bars(
        open=own(candles.open),
        high=own(candles.high),
        low=own(candles.low),
        close=own(candles.close),
        day=timestamps // DAY_MS - timestamps[0] // DAY_MS,
        missing=own(candles.missing),
        settles_at_open=at_open,
        settles_inside=settlements - at_open,
    )


def span(candles: Candles, execution: Execution, rules: record.Rules) -> record.Span:
    """What annualises and normalises the metrics of these candles."""
    return record.Span(
        bars=len(candles),
        days=len(day_numbers(candles.timestamps)),
        years=len(candles) * candles.step_ms / (execution.days_per_year * DAY_MS),
        days_per_year=float(execution.days_per_year),
        market_mean=float(market_returns(candles.open, candles.close, candles.timestamps).mean()),
        fraction=rules.fraction,
        risk=rules.risk,
        leverage=rules.leverage,
    )


def rules(execution: Execution, on_opposite: str) -> record.Rules:
    """The numbers of an `Execution`."""
    sizing, costs = execution.sizing, execution.costs
    return record.Rules(
        taker=float(costs.taker),
        maker=float(costs.maker),
        slippage=costs.slippage_bps / 1e4,
        funding=float(costs.funding_8h),
        fraction=float(sizing.fraction) if isinstance(sizing, AllIn) else 1.0,
        risk=float(sizing.risk) if isinstance(sizing, Risk) else 0.0,
        leverage=float(sizing.leverage) if isinstance(sizing, Risk) else 1.0,
        assumption=ASSUMPTIONS.index(execution.assumption),
        on_opposite=_OPPOSITE[on_opposite],
        may_long=execution.direction != "short",
        may_short=execution.direction != "long",
    )


def prepare(
    strategy: Strategy, candles: Candles, cells: Cells, execution: Execution, start: int = 0
) -> Prepared:
    """Evaluate the strategy on all cells at once and find its distinct entry rows and exit rules."""
    signals = strategy.signals(candles, cells.params())
    _check_known(signals, execution)
    if isinstance(execution.sizing, Risk) and signals.stop is None:
        raise InputError(f"Risk sizing needs a stop distance and {strategy.name} has no stop: use AllIn.")
    n, delay, k = len(candles), execution.delay_bars, len(cells.shape)
    usable = ~candles.missing
    usable[: max(start, 0)] = False
    exits, exit_shape = find_exits(signals, n, k, delay)
    numbers = rules(execution, signals.on_opposite)
    return Prepared(
        bars=columns(candles),
        span=span(candles, execution, numbers),
        rules=numbers,
        entries=find_entries(signals, usable, cells.allowed, delay),
        exits=exits,
        exit_shape=exit_shape,
        allowed=cells.allowed,
    )


def _check_known(signals: Signals, execution: Execution) -> None:
    rules = [name for name in _NOT_YET if getattr(signals, name) is not None]
    rules += ['fill="close"'] if execution.fill == "close" else []
    if rules:
        raise InputError(f"the sweep kernel does not know {', '.join(rules)} yet: use `replay`.")


def run_cell(
    strategy: str | Strategy,
    candles: Candles,
    params: Mapping[str, Any],
    execution: Execution | None = None,
    *,
    start: int = 0,
) -> Run:
    """Backtest one cell with the sweep's kernels and return its trades, equity and metrics.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles
    params : mapping
        Parameters of the cell; those not named stay at their default.
    execution : Execution, optional
    start : int
        Entry decisions on bars before it are ignored; indicators still see them.
    """
    found, execution = find_strategy(strategy), execution or Execution()
    cells = found.space.points([params])
    if not cells.allowed.all():
        raise InputError(
            f"{cells.cell((0,))} breaks a constraint of {found.name}: {', '.join(found.space.constraints)}."
        )
    p = prepare(found, candles, cells, execution, start)
    n, rows = len(candles), p.entries.rows
    path, equity, exposure = np.empty(n), np.empty(n), np.zeros(n)
    f, i, worth = kernels.trace(p.bars, p.rules, rows, p.exits, path, equity, exposure)
    out, pair = np.empty((1, len(METRICS))), np.zeros(1, np.int64)
    kernels.run_pairs(p.bars, p.rules, rows, p.exits, pair, pair, 0, 1, p.span, out, np.zeros(1, np.int64))
    return Run(
        strategy=found.name,
        params=cells.cell((0,)),
        execution=execution,
        trades=_trades(f, i, worth),
        equity=equity,
        exposure=exposure,
        daily=daily_returns(daily_marks(equity, candles.timestamps)),
        market_daily=market_returns(candles.open, candles.close, candles.timestamps),
        days=day_numbers(candles.timestamps),
        metrics=dict(zip(METRICS, out[0].tolist(), strict=True)),
    )


def _trades(f: np.ndarray, i: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Trade records from what `kernels.trace` returned."""
    trades = np.zeros(len(f), TRADE_DTYPE)
    trades["decision_bar"], trades["entry_bar"] = i[:, record.DECISION], i[:, record.DECISION] + 1
    trades["exit_bar"], trades["bars_held"] = i[:, record.EXIT_BAR], i[:, record.HELD]
    trades["side"], trades["reason"] = i[:, record.SIDE], i[:, record.REASON]
    trades["entry_price"], trades["exit_price"] = f[:, record.ENTRY], f[:, record.EXIT]
    trades["units"], trades["equity_before"] = f[:, record.UNITS] * worth, worth
    trades["trade_return"] = f[:, record.M] - 1.0
    trades["profit"] = worth * trades["trade_return"]
    trades["gross_return"] = i[:, record.SIDE] * (f[:, record.RATIO] - 1.0)
    trades["fees"] = f[:, record.FEES] * worth
    trades["partial_bar"], trades["partial_price"] = -1, np.nan
    return trades
