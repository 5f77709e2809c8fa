"""The law of fills in plain Python: a `Trader` who meets one bar at a time and knows only earlier ones.

Written to be read, and independently of the kernel that the sweep runs. A bar comes in two halves:

* `Trader.on_bar`: the bar meets what was decided before it, in the order of time: funding due at its open,
  exit orders at its open (holding limit, then a decided exit), a stop or target that the open has already
  passed, a new entry at its open, stop and targets inside it, then funding due inside it, the mark at its
  close and the stop that follows.
* `Trader.on_close`: the decision made at its close, which can only act on later bars.

With ``fill="close"`` the second half also fills what was just decided, at the close of that same bar: holding
limit, exit, entry. A bar's close comes before the next bar's open, so funding due there is paid by a position
entered at the close, and not by one left there.

On a lost bar nothing is filled; an open position is carried at the last known close and still pays funding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from quantlab.backtest.execution import Execution
from quantlab.backtest.position import Bar, Decision, Order, Position, Trade, units_per_equity
from quantlab.backtest.trades import OPEN, RUIN, SIGNAL, STOP, TARGET, TIME
from quantlab.signals import OnOpposite


class Trader:
    """One account that trades one market by the law of fills.

    Parameters
    ----------
    execution : Execution
        Costs, sizing, sides, fill assumption, and whether orders fill at the next open or at the close.
    on_opposite : {"ignore", "close", "reverse"}
        What an opposite entry signal does while a position is open.
    max_holding_bars : int or None
        A position is closed at the open (with ``fill="close"`` at the close) of the bar this many bars
        after its entry.
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
        self._left_on = -1  # bar of the last exit
        self._slippage = execution.costs.slippage_bps / 1e4
        self._at_close = execution.fill == "close"

    @property
    def value(self) -> float:
        """Equity marked at the last known close."""
        return self.equity if self.position is None else self.equity * self.position.multiplier

    def on_bar(self, bar: Bar) -> None:
        """Let `bar` meet the orders decided before it."""
        held = self.position
        if held is not None and bar.settles_at_open:
            held.pay_funding(self.execution.costs.funding_8h, held.mark if bar.missing else bar.open)
        if not self._at_close:
            self._fill_decided(bar, bar.open)
        if held is not None and held is self.position and not bar.missing:
            self._meet_open(held, bar)
        if self.position is not None and not bar.missing:
            self._meet_range(self.position, bar)
        if not self._at_close:
            self._come_through(bar)
            self._check_ruin(bar)

    def on_close(self, bar: Bar, decision: Decision) -> None:
        """Take note of the decision made at the close of `bar`; with ``fill="close"``, also fill it."""
        self._delayed.append(decision)
        self._decide(bar, self._delayed.popleft())
        if self._at_close:
            self._come_through(bar)
            self._fill_decided(bar, bar.close)
            self._check_ruin(bar)

    def open_trade(self, last_bar: int) -> Trade | None:
        """The position still open at the end of the data, marked at the last known close."""
        held = self.position
        if held is None:
            return None
        bars_held = self._bars_held(held, last_bar, at_open=False)
        return Trade.of(held, last_bar, OPEN, held.mark, held.mark, held.multiplier, 0.0, bars_held)

    def _decide(self, bar: Bar, decision: Decision) -> None:
        held = self.position
        if held is None:
            if not (self._at_close and self._left_on == bar.index):
                self._consider(bar, decision)
            return
        if decision.exit_long if held.side > 0 else decision.exit_short:
            self._exit_decided = True
        if decision.side == -held.side and self._on_opposite != "ignore" and not bar.missing:
            self._exit_decided = True
            if self._on_opposite == "reverse":
                self._consider(bar, decision)

    def _consider(self, bar: Bar, decision: Decision) -> None:
        allowed = {"both": (1, -1), "long": (1,), "short": (-1,)}[self.execution.direction]
        if bar.missing or bar.index < self._start or decision.side not in allowed or not decision.rules.valid:
            return
        self._entry = Order(bar.index, decision.side, decision.rules)

    def _fill_decided(self, bar: Bar, price: float) -> None:
        """Fill what was decided, at `price`: holding limit, exit, entry; the entry now or never."""
        entry, self._entry = self._entry, None
        if bar.missing:
            return
        held, reason = self.position, None
        if held is not None:
            limit = self._max_holding_bars
            if limit is not None and bar.index - held.entry_bar >= limit:
                reason = TIME
            elif self._exit_decided:
                reason = SIGNAL
            if reason is not None:
                self._exit(bar, price, reason, at_open=not self._at_close)
        # An order that waits while a position is open is the second half of a reversal.
        may_enter = held is None or reason == SIGNAL
        if entry is not None and may_enter and self.equity > 0:
            self._enter(entry, bar, price)

    def _enter(self, order: Order, bar: Bar, raw_price: float) -> None:
        taker = self.execution.costs.taker
        price = raw_price * (1 + order.side * self._slippage)
        units = units_per_equity(self.execution.sizing, price, taker, order.rules.first_stop)
        fees = units * price * taker
        cash = 1 - order.side * units * price - fees
        self.position = Position(
            order, bar.index, raw_price, price, units, self.equity, cash, fees, mark=raw_price
        )
        self._exit_decided = False

    def _meet_open(self, held: Position, bar: Bar) -> None:
        """Fill the stop or the targets that the open has already passed."""
        if held.stopped_by(bar.open):
            self._exit(bar, bar.open, STOP, at_open=True)
            return
        pessimistic = self.execution.assumption == "pessimistic"
        if (level := held.partial_level) is not None and held.rewarded_by(bar.open, level):
            held.fill_part(bar.index, level if pessimistic else bar.open, self.execution.costs.maker)
        if (level := held.target_level) is not None and held.rewarded_by(bar.open, level):
            self._exit(bar, level if pessimistic else bar.open, TARGET, at_open=True)

    def _meet_range(self, held: Position, bar: Bar) -> None:
        """Fill the stop and the targets that lie inside the bar."""
        for name in self._in_order(held, bar):
            if name == "partial":
                assert held.partial_level is not None
                held.fill_part(bar.index, held.partial_level, self.execution.costs.maker)
                continue
            level, reason = (held.stop_level, STOP) if name == "stop" else (held.target_level, TARGET)
            assert level is not None
            self._exit(bar, level, reason, at_open=False)
            return

    def _in_order(self, held: Position, bar: Bar) -> Iterator[str]:
        """What the bar touches, in the order in which it is taken to have touched it.

        Bars of a lower timeframe know the order as long as no single one of them touches both sides.
        """
        touched = held.touched_by(bar)
        if len(touched) > 1 and touched[0] == "stop":
            for lower in bar.inner:
                if not lower.missing:
                    first = [name for name in held.touched_by(lower) if name in touched]
                    yield from self._assumed(first)
                    touched = [name for name in touched if name not in first]
        yield from self._assumed(touched)

    def _assumed(self, touched: list[str]) -> list[str]:
        """The stop comes first, or last where the assumption is optimistic."""
        if self.execution.assumption == "optimistic":
            return sorted(touched, key=["partial", "target", "stop"].index)
        return touched

    def _come_through(self, bar: Bar) -> None:
        """Carry the position through the bar: mark, funding due inside it, the stop that follows."""
        held = self.position
        if held is None:
            return
        if not bar.missing:
            held.mark = bar.close
            held.follow(bar)
        for _ in range(bar.settlements_inside):
            held.pay_funding(self.execution.costs.funding_8h, held.mark)

    def _check_ruin(self, bar: Bar) -> None:
        if self.position is not None and not bar.missing and self.position.multiplier <= 0:
            self._exit(bar, bar.close, RUIN, at_open=False)

    def _exit(self, bar: Bar, raw_price: float, reason: int, at_open: bool) -> None:
        held, costs = self.position, self.execution.costs
        assert held is not None
        rests = reason == TARGET
        price = raw_price if rests else raw_price * (1 - held.side * self._slippage)
        fees = held.left * price * (costs.maker if rests else costs.taker)
        multiplier = held.cash + held.side * held.left * price - fees
        bars_held = self._bars_held(held, bar.index, at_open)
        self.trades.append(Trade.of(held, bar.index, reason, raw_price, price, multiplier, fees, bars_held))
        self.equity = held.equity_before * multiplier
        self.position, self._left_on = None, bar.index

    def _bars_held(self, held: Position, bar: int, at_open: bool) -> int:
        """Bars of exposure: not the entry bar if it was entered at its close, nor one left at its open."""
        return bar - held.entry_bar + (0 if at_open or self._at_close else 1)
