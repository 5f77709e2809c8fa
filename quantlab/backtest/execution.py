"""How orders are filled, sized and charged: one value object that a whole sweep shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from quantlab.errors import InputError, UnknownNameError

Direction = Literal["both", "long", "short"]
Assumption = Literal["neutral", "pessimistic", "optimistic"]
FillAt = Literal["open", "close"]
DIRECTIONS = ("both", "long", "short")
ASSUMPTIONS = ("neutral", "pessimistic", "optimistic")
FILLS = ("open", "close")


@dataclass(frozen=True)
class Costs:
    """What trading costs.

    Parameters
    ----------
    taker : float
        Fee as a fraction of notional for market orders (entry, stop, time and signal exits).
    maker : float
        Fee as a fraction of notional for resting orders (targets). May be negative (a rebate).
    slippage_bps : float
        Basis points against you on every market order; a target fills at its price.
    funding_8h : float
        Rate a long pays (a short receives) on its notional at 00:00, 08:00 and 16:00 UTC; perpetuals only.
    """

    taker: float = 0.001
    maker: float = 0.001
    slippage_bps: float = 2.0
    funding_8h: float = 0.0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("taker", self.taker, 0.0, 0.05),
            ("maker", self.maker, -0.01, 0.05),
            ("funding_8h", self.funding_8h, -0.05, 0.05),
        ):
            if not low <= value <= high:
                raise InputError(
                    f"`{name}` must be in [{low:g}, {high:g}], got {value:g}: a fraction, not percent."
                )
        if not 0.0 <= self.slippage_bps <= 1000.0:
            raise InputError(f"`slippage_bps` must be in [0, 1000] basis points, got {self.slippage_bps:g}.")

    def times(self, factor: float) -> Costs:
        """The same costs, fees and slippage multiplied by `factor`; funding is left as it is."""
        return Costs(self.taker * factor, self.maker * factor, self.slippage_bps * factor, self.funding_8h)


@dataclass(frozen=True)
class AllIn:
    """Commit a fixed `fraction` of equity, fee included, to every position."""

    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction <= 1.0:
            raise InputError(f"`fraction` must be in (0, 1], got {self.fraction:g}.")


@dataclass(frozen=True)
class Risk:
    """Lose the fraction `risk` of equity when the stop is hit; notional at most `leverage` times equity."""

    risk: float = 0.01
    leverage: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.risk <= 0.5:
            raise InputError(f"`risk` must be in (0, 0.5], got {self.risk:g}: it is a fraction, not percent.")
        if not 0.0 < self.leverage <= 125.0:
            raise InputError(f"`leverage` must be in (0, 125], got {self.leverage:g}.")


@dataclass(frozen=True)
class Execution:
    """Everything that decides what a signal earns, besides the candles.

    Parameters
    ----------
    costs : Costs
    direction : {"both", "long", "short"}
        Sides that may be opened. With ``on_opposite`` other than "ignore" a signal of the closed side
        still closes the open one.
    assumption : {"neutral", "pessimistic", "optimistic"}
        Fill assumption: neutral fills a gap beyond the target at the open and lets the stop come first
        when both lie inside one bar; pessimistic fills that gap at the target; optimistic lets the
        target come first.
    delay_bars : int
        Decisions become known this many bars later (a stress test; 0 is the time rule).
    sizing : AllIn or Risk
    days_per_year : float
        Calendar of the annualisation: 365 for crypto.
    fill : {"open", "close"}
        Where market orders fill: at the next open, or at the close of the very bar they were decided on.
        The latter is **optimistic** (nobody trades at a price that is known only when it is gone) and
        exists to compare with libraries that do so; the gate refuses to judge it.
    """

    costs: Costs = field(default_factory=Costs)
    direction: Direction = "both"
    assumption: Assumption = "neutral"
    delay_bars: int = 0
    sizing: AllIn | Risk = field(default_factory=AllIn)
    days_per_year: float = 365.0
    fill: FillAt = "open"

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise UnknownNameError("direction", self.direction, DIRECTIONS)
        if self.assumption not in ASSUMPTIONS:
            raise UnknownNameError("fill assumption", self.assumption, ASSUMPTIONS)
        if self.fill not in FILLS:
            raise UnknownNameError("fill", self.fill, FILLS)
        if not 0 <= self.delay_bars <= 1000:
            raise InputError(f"`delay_bars` must be in [0, 1000], got {self.delay_bars}.")
        if not 1.0 <= self.days_per_year <= 366.0:
            raise InputError(f"`days_per_year` must be in [1, 366], got {self.days_per_year:g}.")

    @property
    def caveat(self) -> str:
        """What must be said wherever figures made by these rules are shown; empty if nothing must."""
        return "optimistic: filled at the close that decided" if self.fill == "close" else ""

    def to_json(self) -> dict[str, Any]:
        """Plain values that identify these rules."""
        sizing = {"kind": type(self.sizing).__name__, **vars(self.sizing)}
        return {**vars(self), "costs": dict(vars(self.costs)), "sizing": sizing}
