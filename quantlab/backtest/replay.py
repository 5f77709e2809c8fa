"""The plain replay: the second engine and the oracle of the first.

It feeds a `Trader` (`quantlab.backtest.law`) one bar at a time, in ordinary Python. A configuration is
replayed here before it is exported, and the tests hold the kernel against it trade by trade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from typing import Any

import numpy as np

from quantlab.backtest import daily, metrics
from quantlab.backtest.execution import Execution, Risk
from quantlab.backtest.intrabar import check_intrabar
from quantlab.backtest.law import Trader
from quantlab.backtest.position import Bar, Decision, ExitRules
from quantlab.backtest.trades import TRADE_DTYPE, Run, exposure_by_bar
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.signals import Clause, Signals, Strategy, find_strategy
from quantlab.space import Params

_RULES = ("stop", "target", "trail", "break_even", "partial_target", "partial_fraction")


def replay(
    strategy: str | Strategy,
    candles: Candles,
    params: Mapping[str, Any],
    execution: Execution | None = None,
    *,
    start: int = 0,
    live_window: int | None = None,
    intrabar: Candles | None = None,
) -> Run:
    """Backtest one cell, bar by bar.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles
    params : mapping
        Parameters of the cell; those not named stay at their default.
    execution : Execution, optional
        Default: `Execution()`.
    start : int
        Entries decided before this bar are not taken; the strategy still sees every bar (warm-up).
    live_window : int, optional
        Recompute the signals at every bar from the last `live_window` bars up to it, as live trading would,
        and use only their last column. Equality with the default proves that the strategy neither looks
        ahead nor needs a longer warm-up; ``len(candles)`` is the whole past. Slow: one evaluation a bar.
    intrabar : Candles, optional
        The same market in a lower timeframe. Where stop and targets lie inside the same bar, its lower bars
        decide which was touched first; the fill assumption, where they cannot tell.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        An unknown or impossible parameter, a cell that breaks a constraint, `Risk` sizing without a stop,
        a holding limit below a bar or changing over time, `start` or `live_window` out of range, or
        `intrabar` of another market, of a timeframe that does not fit, or of another time.
    """
    strategy, execution = find_strategy(strategy), execution or Execution()
    _check_range("start", start, 0, len(candles))
    cell, point = _single_point(strategy, params)
    signals = strategy.signals(candles, point)
    _check_signals(signals, strategy.name, execution)
    decide = _decider(signals, len(candles))
    if live_window is not None:
        _check_range("live_window", live_window, 1, len(candles))
        decide = _live_decider(strategy, candles, point, live_window)
    trader = Trader(execution, signals.on_opposite, _holding_limit(signals, strategy.name), start)
    equity = np.empty(len(candles))
    for bar in bars(candles, intrabar):
        trader.on_bar(bar)
        trader.on_close(bar, decide(bar.index))
        equity[bar.index] = trader.value
    return _run(strategy, cell, execution, candles, trader, equity, _first_stops(signals, len(candles)))


def bars(candles: Candles, intrabar: Candles | None = None) -> Iterator[Bar]:
    """The candles one at a time, each with the bars of `intrabar` that lie in it.

    Raises
    ------
    InputError
        `intrabar` is of another market, of a timeframe that does not fit, or of another time.
    """
    if intrabar is not None:
        check_intrabar(candles, intrabar)
    lower = iter(()) if intrabar is None else bars(intrabar)
    waiting = next(lower, None)
    columns = (candles.timestamps, candles.open, candles.high, candles.low, candles.close, candles.missing)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for index, (time_ms, open_, high, low, close, missing) in enumerate(rows):
        inner: list[Bar] = []
        while waiting is not None and waiting.time_ms < time_ms + candles.step_ms:
            if waiting.time_ms >= time_ms:
                inner.append(waiting)
            waiting = next(lower, None)
        yield Bar(index, time_ms, candles.step_ms, open_, high, low, close, missing, tuple(inner))


def _single_point(strategy: Strategy, params: Mapping[str, Any]) -> tuple[dict[str, Any], Params]:
    grid = strategy.space.grid(**params)
    if grid.axes:
        raise InputError(f"replay takes one cell, got several values of {', '.join(grid.axes)}: use a sweep.")
    strategy.space.demand(grid.fixed)
    return dict(grid.fixed), grid.params()


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"`{name}` must be in [{low}, {high}] bars, got {value}.")


def _check_signals(signals: Signals, name: str, execution: Execution) -> None:
    if isinstance(execution.sizing, Risk) and signals.stop is None and signals.trail is None:
        raise InputError(
            f"Risk sizing needs a stop distance, but {name} has neither stop nor trail: use AllIn, or add "
            "one of them."
        )


def _holding_limit(signals: Signals, name: str) -> int | None:
    if signals.max_holding is None:
        return None
    limits = np.unique(np.asarray(signals.max_holding))
    if limits.size != 1:
        raise InputError(
            f"`max_holding` of {name} must not change over time, got {limits[:5].tolist()} bars."
        )
    if not limits[0] >= 1:
        raise InputError(f"`max_holding` of {name} must be at least 1 bar, got {limits[0]:g}.")
    return int(limits[0])


def _row(array: np.ndarray | Clause | None, n_bars: int) -> list[Any] | None:
    if array is None:
        return None
    return np.broadcast_to(np.asarray(array).reshape(-1), (n_bars,)).tolist()


def _decider(signals: Signals, n_bars: int) -> Callable[[int], Decision]:
    """The decision of each bar out of whole arrays; `on_close` takes the delay from there."""
    flags = [_row(a, n_bars) for a in (signals.long, signals.short, signals.exit_long, signals.exit_short)]
    rules = {name: row for name in _RULES if (row := _row(getattr(signals, name), n_bars)) is not None}

    def decide(bar: int) -> Decision:
        long, short, exit_long, exit_short = (row is not None and bool(row[bar]) for row in flags)
        here = ExitRules(**{name: float(row[bar]) for name, row in rules.items()})
        return Decision(long, short, exit_long, exit_short, here)

    return decide


def _live_decider(
    strategy: Strategy, candles: Candles, point: Params, live_window: int
) -> Callable[[int], Decision]:
    """The decision of each bar from a strategy that was shown nothing after it."""

    def decide(bar: int) -> Decision:
        seen = candles[max(0, bar + 1 - live_window) : bar + 1]
        return _decider(strategy.signals(seen, point), len(seen))(len(seen) - 1)

    return decide


def _first_stops(signals: Signals, n_bars: int) -> np.ndarray | None:
    """Distance of the stop at entry, by decision bar: the tighter of `stop` and `trail`."""
    rows = [row for a in (signals.stop, signals.trail) if (row := _row(a, n_bars)) is not None]
    return np.min(np.asarray(rows, np.float64), axis=0) if rows else None


def _run(
    strategy: Strategy,
    cell: Mapping[str, Any],
    execution: Execution,
    candles: Candles,
    trader: Trader,
    equity: np.ndarray,
    stops: np.ndarray | None,
) -> Run:
    still_open = trader.open_trade(len(candles) - 1)
    finished = trader.trades if still_open is None else [*trader.trades, still_open]
    trades = np.array([astuple(trade) for trade in finished], TRADE_DTYPE)
    distances = None if stops is None else stops[trades["decision_bar"] - execution.delay_bars]
    return Run(
        strategy=strategy.name,
        params=cell,
        execution=execution,
        trades=trades,
        equity=equity,
        exposure=exposure_by_bar(trades, equity, candles),
        daily=daily.daily_returns(daily.daily_marks(equity, candles.timestamps)),
        market_daily=daily.market_returns(candles.open, candles.close, candles.timestamps),
        days=daily.day_numbers(candles.timestamps),
        metrics=metrics.compute(trades, equity, candles, execution, distances),
    )
