"""What a sweep and a single run share: candles, rules and signals in the form that the kernels read."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from quantlab.backtest import kernels, path_kernels, record
from quantlab.backtest.daily import (
    DAY_MS,
    daily_marks,
    daily_returns,
    day_numbers,
    last_bars,
    market_returns,
    returns_of,
)
from quantlab.backtest.execution import ASSUMPTIONS, AllIn, Assumption, Execution, Risk
from quantlab.backtest.exits import find_exits
from quantlab.backtest.intrabar import check_intrabar
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.request import Request
from quantlab.backtest.rows import Entries, find_entries, own
from quantlab.backtest.trades import TRADE_DTYPE, Run
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.signals import Signals, Strategy, find_strategy
from quantlab.space import Cells
from quantlab.threads import beside

FUNDING_MS = 8 * 3_600_000
_DECISIVE = (
    *("kernels", "trade_kernels", "path_kernels", "compose_kernels", "metric_kernels", "extra_kernels"),
    *("exposure_kernels", "row_kernels", "record", "rows", "exits", "engine", "daily", "execution"),
)
_OPPOSITE = {"ignore": record.IGNORE, "close": record.CLOSE_OUT, "reverse": record.REVERSE}


@dataclass(frozen=True)
class Prepared:
    """The cells of one strategy on one market, ready to simulate.

    Attributes
    ----------
    market : record.Market
    span : record.Span
    rules : float array (assumptions, 12)
        The execution's own fill assumption first, then the others that the request names.
    entries : Entries
    exits : record.Exits
    exit_shape : tuple of int
        Exit axes, ones where exits do not vary.
    extra : record.Extra
    allowed : boolean array, shape of the cells
    """

    market: record.Market
    span: record.Span
    rules: np.ndarray
    entries: Entries
    exits: record.Exits
    exit_shape: tuple[int, ...]
    extra: record.Extra
    allowed: np.ndarray

    def run_pairs(
        self,
        pair_row: np.ndarray,
        pair_exit: np.ndarray,
        first: int,
        last: int,
        out: np.ndarray,
        done: np.ndarray,
        cancel: np.ndarray,
    ) -> tuple[record.Memo, np.ndarray]:
        """Measure pairs of (entry row, exit rule); see `kernels.run_pairs`.

        Returns
        -------
        memo, taken : record.Memo, uint64 array
            The records under the execution's own fill assumption, and those of the last pair's trades.
        """
        rows, days = self.entries.rows, self.span.days
        trades = max(1, int(np.diff(rows.start)[pair_row[first:last]].max(initial=0)))
        slots = [rows.bar.size if v < len(self.rules) else 0 for v in range(3)]
        alone = self.rules[0, record.ON_OPPOSITE] == record.IGNORE
        memos = tuple(record.new_memo(size, days, trades, alone) for size in slots)
        shared = (self.market, self.rules, rows, self.exits, self.extra, self.span)
        where, work = (pair_row, pair_exit, first, last), record.new_work(days, trades)
        kernels.run_pairs(*shared, where, memos, work, out, done, cancel)
        return memos[0], work.taken[: done[1]]


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


def lay_out(candles: Candles, funding_8h: float, intrabar: Candles | None = None) -> record.Market:
    """The columns that the kernels read, with the extremes of their blocks."""
    n, timestamps, step = len(candles), candles.timestamps, candles.step_ms
    day = timestamps // DAY_MS - timestamps[0] // DAY_MS
    points, inside = record.new_points(n + 1), np.empty((2, 0))
    points[:, record.INSIDE_FROM] = 0.0
    if intrabar is not None:
        edges = np.append(timestamps, timestamps[-1] + step)
        points[:, record.INSIDE_FROM] = np.searchsorted(intrabar.timestamps, edges)
        inside = np.stack([intrabar.low, intrabar.high])
    at_open, due = np.zeros(n, bool), np.zeros(n, np.int64)
    if funding_8h:
        at_open = timestamps % FUNDING_MS == 0
        due = (timestamps + step - 1) // FUNDING_MS - (timestamps - 1) // FUNDING_MS - at_open
    open_, high, low, close, missing = map(
        own, (candles.open, candles.high, candles.low, candles.close, candles.missing)
    )
    daily = np.empty((int(day[-1]) + 1, 3))
    path_kernels.lay_out(open_, high, low, close, missing, day, at_open, due, funding_8h, points, daily)
    adjusted, n_blocks = points[:n, record.ADJUSTED].copy(), -(-n // record.BLOCK)
    blocks, great = np.empty((4, n_blocks)), np.empty((4, -(-n_blocks // record.BLOCK)))
    path_kernels.summarise(low, high, adjusted, points, blocks, great)
    return record.Market(points, low, high, adjusted, blocks, great, daily, inside)


def span(candles: Candles, execution: Execution, market: record.Market) -> record.Span:
    """What annualises and normalises the metrics of these candles, laid out as `market`."""
    marks = market.points[last_bars(candles.timestamps), record.LAST]
    known = int(market.points[0, record.KNOWN_FROM])
    first = candles.open[known] if known < len(candles) else np.nan
    return record.Span(
        bars=len(candles),
        days=len(marks),
        years=len(candles) * candles.step_ms / (execution.days_per_year * DAY_MS),
        days_per_year=float(execution.days_per_year),
        market_mean=float(returns_of(marks, first).mean()),
    )


def rules(execution: Execution, on_opposite: str, assumption: str | None = None) -> np.ndarray:
    """The numbers of an `Execution`, in the order of `record`; by default under its own fill assumption."""
    sizing, costs = execution.sizing, execution.costs
    return np.array(
        [
            costs.taker,
            costs.maker,
            costs.slippage_bps / 1e4,
            costs.funding_8h,
            sizing.fraction if isinstance(sizing, AllIn) else 1.0,
            sizing.risk if isinstance(sizing, Risk) else 0.0,
            sizing.leverage if isinstance(sizing, Risk) else 1.0,
            ASSUMPTIONS.index(assumption or execution.assumption),
            _OPPOSITE[on_opposite],
            execution.direction != "short",
            execution.direction != "long",
            execution.fill == "close",
        ],
        np.float64,
    )


def prepare(
    strategy: Strategy,
    candles: Candles,
    cells: Cells,
    execution: Execution,
    start: int = 0,
    *,
    request: Request | None = None,
    intrabar: Candles | None = None,
    signals: Signals | None = None,
) -> Prepared:
    """Evaluate the strategy on all cells at once and find its distinct entry rows and exit rules."""
    request = request or Request()
    laid_out = beside(lambda: lay_out(candles, execution.costs.funding_8h, intrabar))
    if signals is None:
        signals = strategy.signals(candles, cells.params())
    if isinstance(execution.sizing, Risk) and signals.stop is None and signals.trail is None:
        raise InputError(f"Risk sizing needs a stop distance and {strategy.name} has no stop: use AllIn.")
    n, delay, k = len(candles), execution.delay_bars, len(cells.shape)
    usable = ~candles.missing
    usable[: max(start, 0)] = False
    exits, exit_shape = find_exits(signals, n, k, delay)
    views, market = (execution.assumption, *request.assumptions), laid_out()
    return Prepared(
        market=market,
        span=span(candles, execution, market),
        rules=np.stack([rules(execution, signals.on_opposite, view) for view in views]),
        entries=find_entries(signals, usable, cells.allowed, delay),
        exits=exits,
        exit_shape=exit_shape,
        extra=_extra(request, candles),
        allowed=cells.allowed,
    )


def _extra(request: Request, candles: Candles) -> record.Extra:
    none = np.zeros(0, np.int64)
    labels = none if request.regimes is None else own(request.regimes)
    assumptions = np.array([ASSUMPTIONS.index(name) for name in request.assumptions], np.float64)
    if not request.blocks:
        return record.Extra(assumptions, labels, request.n_regimes, none)
    days = request.bounds(len(last_bars(candles.timestamps)))
    return record.Extra(assumptions, labels, request.n_regimes, days)


def run_cell(
    strategy: str | Strategy,
    candles: Candles,
    params: Mapping[str, Any],
    execution: Execution | None = None,
    *,
    start: int = 0,
    intrabar: Candles | None = None,
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
    intrabar : Candles, optional
        Candles of a lower timeframe that decide whether stop or target came first inside a bar.
    """
    if intrabar is not None:
        check_intrabar(candles, intrabar)
    found, execution = find_strategy(strategy), execution or Execution()
    cells = found.space.points([params])
    found.space.demand(cells.cell((0,)))
    p = prepare(found, candles, cells, execution, start, intrabar=intrabar)
    return _run(p, found, cells, candles, execution)


def _run(p: Prepared, found: Strategy, cells: Cells, candles: Candles, execution: Execution) -> Run:
    """The only cell that was prepared."""
    n, out, pair = len(candles), np.empty((1, len(METRICS))), np.zeros(1, np.int64)
    memo, taken = p.run_pairs(pair, pair, 0, 1, out, np.zeros(2, np.int64), np.zeros(1, np.int64))
    equity, exposure, worth = np.empty(n), np.empty(n), np.empty(len(taken) + 1)
    kernels.trace(p.market, p.rules[0], memo, taken, np.empty(n), equity, exposure, worth)
    return Run(
        strategy=found.name,
        params=cells.cell((0,)),
        execution=execution,
        trades=_trades(memo.f[taken], memo.cold[taken], memo.g[taken], worth[:-1]),
        equity=equity,
        exposure=exposure,
        daily=daily_returns(daily_marks(equity, candles.timestamps)),
        market_daily=market_returns(candles.open, candles.close, candles.timestamps),
        days=day_numbers(candles.timestamps),
        metrics=dict(zip(METRICS, out[0].tolist(), strict=True)),
    )


def run_under(
    strategy: Strategy,
    candles: Candles,
    params: Mapping[str, Any],
    execution: Execution,
    assumptions: Sequence[str],
    *,
    intrabar: Candles | None = None,
    signals: Signals | None = None,
) -> dict[str, Run]:
    """`run_cell` under several fill assumptions: the strategy is evaluated and the market laid out once.

    Parameters
    ----------
    strategy, candles, params, execution, intrabar
        As of `run_cell`.
    assumptions : sequence of str
        Of `quantlab.backtest.execution.ASSUMPTIONS`.
    signals : Signals, optional
        What the strategy says of these parameters, if that is known already.

    Returns
    -------
    dict
        Assumption to run, in the order asked for.
    """
    if intrabar is not None:
        check_intrabar(candles, intrabar)
    cells = strategy.space.points([params])
    strategy.space.demand(cells.cell((0,)))
    p = prepare(strategy, candles, cells, execution, intrabar=intrabar, signals=signals)
    found = {}
    for name in assumptions:
        own = p.rules[:1].copy()
        own[0, record.ASSUMPTION] = ASSUMPTIONS.index(name)
        under = replace(execution, assumption=cast(Assumption, name))
        found[name] = _run(replace(p, rules=own), strategy, cells, candles, under)
    return found


def _trades(f: np.ndarray, cold: np.ndarray, g: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Trade records from what `kernels.trace` returned."""
    trades = np.zeros(len(f), TRADE_DTYPE)
    trades["decision_bar"], trades["entry_bar"] = g[:, record.DECISION], g[:, record.ENTRY_BAR]
    trades["exit_bar"], trades["bars_held"] = g[:, record.EXIT_BAR], g[:, record.BARS]
    trades["side"], trades["reason"] = g[:, record.SIDE], g[:, record.REASON]
    trades["entry_price"], trades["exit_price"] = cold[:, record.ENTRY], cold[:, record.EXIT]
    trades["units"], trades["equity_before"] = cold[:, record.UNITS] * worth, worth
    trades["trade_return"] = f[:, record.M] - 1.0
    trades["profit"] = worth * trades["trade_return"]
    trades["gross_return"] = cold[:, record.GROSS]
    trades["fees"] = f[:, record.FEES] * worth
    trades["partial_bar"] = g[:, record.PART_BAR]
    trades["partial_price"] = cold[:, record.PART_PRICE]
    trades["partial_units"] = cold[:, record.PART_UNITS] * worth
    return trades
