"""The law of fills in plain Python: a `Trader` who meets one bar at a time and knows only earlier ones.

Written to be read, and independently of the kernel that the sweep runs. A bar comes in two halves:

* `Trader.on_bar`: the bar meets what was decided before it, in the order of time: funding due at its open,
  exit orders at its open (holding limit, then a decided exit), a stop or target that the open has already
  passed, a new entry at its open, stop and target inside it, funding due inside it, the mark at its close.
* `Trader.on_close`: the decision made at its close, which can only act on later bars.

On a lost bar nothing is filled; an open position is carried at the last known close and still pays funding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, nan

from quantlab.backtest.execution import AllIn, Execution, Risk
from quantlab.backtest.trades import OPEN, RUIN, SIGNAL, STOP, TARGET, TIME
from quantlab.errors import InputError
from quantlab.signals import OnOpposite

FUNDING_MS = 8 * 3_600_000
Fill = tuple[float, int]  # raw price, reason


@dataclass(frozen=True)
class Bar:
    """One bar: its place, its span of time (epoch ms, UTC) and its prices (NaN when lost)."""

    index: int
    time_ms: int
    step_ms: int
    open: float
    high: float
    low: float
    close: float
    missing: bool = False

    @property
    def settles_at_open(self) -> bool:
        """Whether funding is due at the open."""
        return self.time_ms % FUNDING_MS == 0

    @property
    def settlements_inside(self) -> int:
        """How often funding is due strictly between the open and the close."""
        return (self.time_ms + self.step_ms - 1) // FUNDING_MS - self.time_ms // FUNDING_MS


@dataclass(frozen=True)
class Decision:
    """What a strategy says at the close of one bar; `stop` and `target` are distances in price units.

    None means that the strategy has no stop (target); NaN that it has one but not here: then no entry.
    """

    long: bool = False
    short: bool = False
    exit_long: bool = False
    exit_short: bool = False
    stop: float | None = None
    target: float | None = None

    @property
    def side(self) -> int:
        """+1 enter long, -1 enter short, 0 neither; both at once cancel each other."""
        return int(self.long) - int(self.short)

    @property
    def distances_valid(self) -> bool:
        """Whether every distance that the strategy uses is finite and positive."""
        return all(d is None or (isfinite(d) and d > 0) for d in (self.stop, self.target))


@dataclass(frozen=True)
class Order:
    """An entry decided at the close of `decision_bar`, good for the next open only."""

    decision_bar: int
    side: int
    stop: float | None
    target: float | None


@dataclass
class Position:
    """An open position. Everything but `equity_before` is per unit of equity at entry."""

    order: Order
    entry_bar: int
    raw_price: float
    price: float
    units: float
    equity_before: float
    cash: float
    fees: float
    mark: float

    @property
    def side(self) -> int:
        """+1 long, -1 short."""
        return self.order.side

    @property
    def stop_level(self) -> float | None:
        """Raw price of the stop."""
        return None if self.order.stop is None else self.raw_price - self.side * self.order.stop

    @property
    def target_level(self) -> float | None:
        """Raw price of the target."""
        return None if self.order.target is None else self.raw_price + self.side * self.order.target

    @property
    def multiplier(self) -> float:
        """Equity over equity at entry, marked at the last known close."""
        return self.cash + self.side * self.units * self.mark

    def stopped_by(self, price: float) -> bool:
        """Whether `price` is at the stop or beyond it."""
        level = self.stop_level
        return level is not None and (price <= level if self.side > 0 else price >= level)

    def rewarded_by(self, price: float) -> bool:
        """Whether `price` is at the target or beyond it."""
        level = self.target_level
        return level is not None and (price >= level if self.side > 0 else price <= level)

    def pay_funding(self, rate: float, price: float) -> None:
        """Settle funding once on the notional at `price`: longs pay a positive rate, shorts receive it."""
        self.cash -= self.side * rate * self.units * price


@dataclass(frozen=True)
class Trade:
    """A finished trade, or the open one at the end; fields as in `TRADE_DTYPE`."""

    decision_bar: int
    entry_bar: int
    exit_bar: int
    side: int
    reason: int
    entry_price: float
    exit_price: float
    units: float
    equity_before: float
    profit: float
    trade_return: float
    gross_return: float
    fees: float
    bars_held: int
    partial_bar: int = -1
    partial_price: float = nan
    partial_units: float = 0.0


class Trader:
    """One account that trades one market by the law of fills.

    Parameters
    ----------
    execution : Execution
        Costs, sizing, sides and fill assumption.
    on_opposite : {"ignore", "close", "reverse"}
        What an opposite entry signal does while a position is open.
    max_holding_bars : int or None
        A position is closed at the open of the bar this many bars after its entry.
    start : int
        Entries decided before this bar are not taken.

    Attributes
    ----------
    equity : float
        Initial equity = 1; while a position is open, its equity at entry.
    position : Position or None
    trades : list of Trade
        Finished trades.
    """

    def __init__(
        self,
        execution: Execution,
        on_opposite: OnOpposite = "ignore",
        max_holding_bars: int | None = None,
        start: int = 0,
    ) -> None:
        self.execution = execution
        self.equity = 1.0
        self.position: Position | None = None
        self.trades: list[Trade] = []
        self._on_opposite = on_opposite
        self._max_holding_bars = max_holding_bars
        self._start = start
        self._delayed = deque([Decision()] * execution.delay_bars)
        self._entry: Order | None = None
        self._exit_decided = False
        self._slippage = execution.costs.slippage_bps / 1e4

    @property
    def value(self) -> float:
        """Equity marked at the last known close."""
        return self.equity if self.position is None else self.equity * self.position.multiplier

    def on_bar(self, bar: Bar) -> None:
        """Let `bar` meet the orders decided before it."""
        entry, self._entry = self._entry, None
        held = self.position
        exit_reason = None
        if held is not None:
            if bar.settles_at_open:
                held.pay_funding(self.execution.costs.funding_8h, held.mark if bar.missing else bar.open)
            if not bar.missing:
                exit_reason = self._exit_first(bar, self._fills_at_open(held, bar), at_open=True)
        # An order that waits while a position is open is the second half of a reversal.
        may_enter = self.position is None and (held is None or exit_reason == SIGNAL)
        if entry is not None and may_enter and not bar.missing and self.equity > 0:
            self._enter(entry, bar)
        if self.position is not None:
            if not bar.missing:
                self._exit_first(bar, self._fills_inside(self.position, bar), at_open=False)
            self._close_of(bar)

    def on_close(self, bar: Bar, decision: Decision) -> None:
        """Take note of the decision made at the close of `bar`; it acts on later bars."""
        self._delayed.append(decision)
        decision = self._delayed.popleft()
        held = self.position
        if held is None:
            self._consider(decision, bar)
            return
        if decision.exit_long if held.side > 0 else decision.exit_short:
            self._exit_decided = True
        if decision.side == -held.side and self._on_opposite != "ignore" and not bar.missing:
            self._exit_decided = True
            if self._on_opposite == "reverse":
                self._consider(decision, bar)

    def open_trade(self, last_bar: int) -> Trade | None:
        """The position still open at the end of the data, marked at the last known close."""
        if self.position is None:
            return None
        bars_held = last_bar - self.position.entry_bar + 1
        multiplier, price = self.position.multiplier, self.position.mark
        return self._trade(self.position, last_bar, OPEN, price, price, multiplier, 0.0, bars_held)

    def _consider(self, decision: Decision, bar: Bar) -> None:
        allowed = {"both": (1, -1), "long": (1,), "short": (-1,)}[self.execution.direction]
        if (
            bar.missing
            or bar.index < self._start
            or decision.side not in allowed
            or not decision.distances_valid
        ):
            return
        self._entry = Order(bar.index, decision.side, decision.stop, decision.target)

    def _enter(self, order: Order, bar: Bar) -> None:
        taker = self.execution.costs.taker
        price = bar.open * (1 + order.side * self._slippage)
        units = units_per_equity(self.execution.sizing, price, taker, order.stop)
        fees = units * price * taker
        cash = 1 - order.side * units * price - fees
        self.position = Position(order, bar.index, bar.open, price, units, self.equity, cash, fees, bar.open)
        self._exit_decided = False

    def _fills_at_open(self, held: Position, bar: Bar) -> Iterator[Fill]:
        if self._max_holding_bars is not None and bar.index - held.entry_bar >= self._max_holding_bars:
            yield bar.open, TIME
        if self._exit_decided:
            yield bar.open, SIGNAL
        if held.stopped_by(bar.open):
            yield bar.open, STOP
        if held.rewarded_by(bar.open):
            assert held.target_level is not None
            yield (held.target_level if self.execution.assumption == "pessimistic" else bar.open), TARGET

    def _fills_inside(self, held: Position, bar: Bar) -> Iterator[Fill]:
        worst, best = (bar.low, bar.high) if held.side > 0 else (bar.high, bar.low)
        fills: list[Fill] = []
        if held.stop_level is not None and held.stopped_by(worst):
            fills.append((held.stop_level, STOP))
        if held.target_level is not None and held.rewarded_by(best):
            fills.append((held.target_level, TARGET))
        return reversed(fills) if self.execution.assumption == "optimistic" else iter(fills)

    def _exit_first(self, bar: Bar, fills: Iterator[Fill], at_open: bool) -> int | None:
        for raw_price, reason in fills:
            self._exit(bar, raw_price, reason, at_open)
            return reason
        return None

    def _close_of(self, bar: Bar) -> None:
        held = self.position
        if held is None:
            return
        if not bar.missing:
            held.mark = bar.close
        for _ in range(bar.settlements_inside):
            held.pay_funding(self.execution.costs.funding_8h, held.mark)
        if not bar.missing and held.multiplier <= 0:
            self._exit(bar, bar.close, RUIN, at_open=False)

    def _exit(self, bar: Bar, raw_price: float, reason: int, at_open: bool) -> None:
        held, costs = self.position, self.execution.costs
        assert held is not None
        rests = reason == TARGET
        price = raw_price if rests else raw_price * (1 - held.side * self._slippage)
        fees = held.units * price * (costs.maker if rests else costs.taker)
        multiplier = held.cash + held.side * held.units * price - fees
        bars_held = bar.index - held.entry_bar + (0 if at_open else 1)
        trade = self._trade(held, bar.index, reason, raw_price, price, multiplier, fees, bars_held)
        self.trades.append(trade)
        self.equity = held.equity_before * multiplier
        self.position = None

    @staticmethod
    def _trade(
        held: Position,
        bar: int,
        reason: int,
        raw_price: float,
        price: float,
        multiplier: float,
        exit_fees: float,
        bars_held: int,
    ) -> Trade:
        return Trade(
            decision_bar=held.order.decision_bar,
            entry_bar=held.entry_bar,
            exit_bar=bar,
            side=held.side,
            reason=reason,
            entry_price=held.price,
            exit_price=price,
            units=held.units * held.equity_before,
            equity_before=held.equity_before,
            profit=held.equity_before * (multiplier - 1),
            trade_return=multiplier - 1,
            gross_return=held.side * (raw_price / held.raw_price - 1),
            fees=held.equity_before * (held.fees + exit_fees),
            bars_held=bars_held,
        )


def units_per_equity(sizing: AllIn | Risk, price: float, taker: float, stop: float | None) -> float:
    """Units to trade at `price` (slippage included) per unit of equity.

    Parameters
    ----------
    sizing : AllIn or Risk
    price : float
    taker : float
        Entry fee as a fraction of notional; it is paid out of the same equity.
    stop : float or None
        Distance of the stop in price units.

    Raises
    ------
    InputError
        `Risk` sizing without a stop.
    """
    if isinstance(sizing, AllIn):
        return sizing.fraction / (price * (1 + taker))
    if stop is None:
        raise InputError(
            "Risk sizing needs a stop distance, got a strategy without `stop`: use AllIn, or add one."
        )
    return min(sizing.risk / stop, sizing.leverage / (price * (1 + taker)))
