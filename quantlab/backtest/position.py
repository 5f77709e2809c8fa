"""What the law of fills speaks of: a bar, a decision, an order, a position and the trade it leaves behind.

Written for the plain replay (`quantlab.backtest.law`), which alone reads it: one bar and one position at a
time, in ordinary Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, nan

from quantlab.backtest.execution import AllIn, Risk
from quantlab.errors import InputError

FUNDING_MS = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its place, its span of time (epoch ms, UTC) and its prices (NaN when lost).

    `inner` are the bars of a lower timeframe that lie in it, in order of time, as far as they are known.
    """

    index: int
    time_ms: int
    step_ms: int
    open: float
    high: float
    low: float
    close: float
    missing: bool = False
    inner: tuple[Bar, ...] = ()

    @property
    def settles_at_open(self) -> bool:
        """Whether funding is due at the open."""
        return self.time_ms % FUNDING_MS == 0

    @property
    def settlements_inside(self) -> int:
        """How often funding is due strictly between the open and the close."""
        return (self.time_ms + self.step_ms - 1) // FUNDING_MS - self.time_ms // FUNDING_MS


@dataclass(frozen=True)
class ExitRules:
    """When to leave besides a signal; distances in price units, as in `quantlab.signals.Signals`.

    None means that the strategy has no such rule; NaN that it has one but not here: then no entry.
    """

    stop: float | None = None
    target: float | None = None
    trail: float | None = None
    break_even: float | None = None
    partial_target: float | None = None
    partial_fraction: float = nan

    @property
    def valid(self) -> bool:
        """Whether every distance that the strategy uses is finite and positive."""
        used = (self.stop, self.target, self.trail, self.break_even, self.partial_target)
        return all(d is None or (isfinite(d) and d > 0) for d in used)

    @property
    def first_stop(self) -> float | None:
        """Distance of the stop at entry: the tighter of `stop` and `trail`."""
        given = [d for d in (self.stop, self.trail) if d is not None]
        return min(given) if given else None

    @property
    def first_target(self) -> float | None:
        """Distance of the partial target, if it is the nearer one."""
        if self.partial_target is None or (self.target is not None and self.partial_target >= self.target):
            return None
        return self.partial_target


@dataclass(frozen=True)
class Decision:
    """What a strategy says at the close of one bar."""

    long: bool = False
    short: bool = False
    exit_long: bool = False
    exit_short: bool = False
    rules: ExitRules = field(default_factory=ExitRules)

    @property
    def side(self) -> int:
        """+1 enter long, -1 enter short, 0 neither; both at once cancel each other."""
        return int(self.long) - int(self.short)


@dataclass(frozen=True)
class Order:
    """An entry decided at the close of `decision_bar`."""

    decision_bar: int
    side: int
    rules: ExitRules


@dataclass(frozen=True)
class Part:
    """The fill of the partial target."""

    bar: int
    price: float
    units: float


@dataclass
class Position:
    """An open position. Everything but `equity_before` is per unit of equity at entry.

    `units` is what was entered with, `left` what is still held.
    """

    order: Order
    entry_bar: int
    raw_price: float
    price: float
    units: float
    equity_before: float
    cash: float
    fees: float
    mark: float
    left: float = field(init=False)
    stop_level: float | None = field(init=False)
    part: Part | None = None

    def __post_init__(self) -> None:
        distance = self.order.rules.first_stop
        self.left = self.units
        self.stop_level = None if distance is None else self.raw_price - self.side * distance

    @property
    def side(self) -> int:
        """+1 long, -1 short."""
        return self.order.side

    @property
    def target_level(self) -> float | None:
        """Raw price of the target."""
        distance = self.order.rules.target
        return None if distance is None else self.raw_price + self.side * distance

    @property
    def partial_level(self) -> float | None:
        """Raw price of the partial target while it waits."""
        distance = self.order.rules.first_target
        return None if distance is None or self.part is not None else self.raw_price + self.side * distance

    @property
    def multiplier(self) -> float:
        """Equity over equity at entry, marked at the last known close."""
        return self.cash + self.side * self.left * self.mark

    def stopped_by(self, price: float) -> bool:
        """Whether `price` is at the stop or beyond it."""
        return self.stop_level is not None and self.side * (price - self.stop_level) <= 0

    def rewarded_by(self, price: float, level: float | None) -> bool:
        """Whether `price` is at the limit order at `level` or beyond it."""
        return level is not None and self.side * (price - level) >= 0

    def touched_by(self, bar: Bar) -> list[str]:
        """Which of "stop", "partial" and "target" the range of the bar reaches, in this order."""
        worst, best = (bar.low, bar.high) if self.side > 0 else (bar.high, bar.low)
        reached = {
            "stop": self.stopped_by(worst),
            "partial": self.rewarded_by(best, self.partial_level),
            "target": self.rewarded_by(best, self.target_level),
        }
        return [name for name, yes in reached.items() if yes]

    def pay_funding(self, rate: float, price: float) -> None:
        """Settle funding once on the notional at `price`: longs pay a positive rate, shorts receive it."""
        self.cash -= self.side * rate * self.left * price

    def fill_part(self, bar: int, price: float, maker: float) -> None:
        """Close the partial fraction at `price`, once."""
        units = self.units * self.order.rules.partial_fraction
        fees = units * price * maker
        self.part, self.left = Part(bar, price, units), self.units - units
        self.cash += self.side * units * price - fees
        self.fees += fees

    def follow(self, bar: Bar) -> None:
        """Raise the stop after a completed bar: behind its best price, to break even, and never back."""
        rules = self.order.rules
        top = bar.high if self.side > 0 else bar.low
        if rules.trail is not None:
            self._raise_to(top - self.side * rules.trail)
        if rules.break_even is not None and self.rewarded_by(
            top, self.raw_price + self.side * rules.break_even
        ):
            self._raise_to(self.raw_price)

    def mean_exit(self, price: float) -> float:
        """Mean price of all units if what is left goes at `price`."""
        if self.part is None:
            return price
        fraction = self.order.rules.partial_fraction
        return fraction * self.part.price + (1 - fraction) * price

    def _raise_to(self, level: float) -> None:
        if self.stop_level is None or self.side * (level - self.stop_level) > 0:
            self.stop_level = level


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
    partial_bar: int
    partial_price: float
    partial_units: float

    @classmethod
    def of(
        cls,
        held: Position,
        bar: int,
        reason: int,
        raw_price: float,
        price: float,
        multiplier: float,
        exit_fees: float,
        bars_held: int,
    ) -> Trade:
        """The trade of a position whose rest goes at `price` (`raw_price` before slippage) on `bar`."""
        part, worth = held.part or Part(-1, nan, 0.0), held.equity_before
        return cls(
            decision_bar=held.order.decision_bar,
            entry_bar=held.entry_bar,
            exit_bar=bar,
            side=held.side,
            reason=reason,
            entry_price=held.price,
            exit_price=held.mean_exit(price),
            units=held.units * worth,
            equity_before=worth,
            profit=worth * (multiplier - 1),
            trade_return=multiplier - 1,
            gross_return=held.side * (held.mean_exit(raw_price) / held.raw_price - 1),
            fees=worth * (held.fees + exit_fees),
            bars_held=bars_held,
            partial_bar=part.bar,
            partial_price=part.price,
            partial_units=part.units * worth,
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
        Distance of the stop at entry in price units.

    Raises
    ------
    InputError
        `Risk` sizing without a stop.
    """
    if isinstance(sizing, AllIn):
        return sizing.fraction / (price * (1 + taker))
    if stop is None:
        raise InputError(
            "Risk sizing needs a stop distance, got a strategy without `stop` or `trail`: use AllIn, or add "
            "one of them."
        )
    return min(sizing.risk / stop, sizing.leverage / (price * (1 + taker)))
