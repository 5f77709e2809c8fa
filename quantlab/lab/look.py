"""One look at a hold-out: an approved candidate traded on bars that no search has seen."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.errors import InputError
from quantlab.market.candles import Candles, iso
from quantlab.signals import Strategy
from quantlab.store.holdouts import HoldOut
from quantlab.validation.statistics import sharpe, upper_p
from quantlab.validation.walkforward import trade_together


@dataclass(frozen=True)
class Look:
    """What a candidate did on the bars of a hold-out.

    Attributes
    ----------
    family, timeframe, strategy : str
    params : mapping
    first_ms, last_ms : int
        Open times of the first and last bar that was traded [epoch ms].
    value : float
        Timing t, of what it earned beyond holding its own average position; NaN if nothing was traded.
    p : float
        One-sided p-value of `value`; NaN with it.
    threshold : float
        Highest p that passes: the hold-out's alpha divided by its looks.
    net_return : float
        After costs, a fraction.
    sharpe : float
        Annualised.
    days, trades : int
    number, looks : int
        Which look this was, of how many.
    members : int
        Cells that were traded together; `params` are those of the first.
    """

    family: str
    timeframe: str
    strategy: str
    params: Mapping[str, Any]
    first_ms: int
    last_ms: int
    value: float
    p: float
    threshold: float
    net_return: float
    sharpe: float
    days: int
    trades: int
    number: int
    looks: int
    members: int = 1

    @property
    def passed(self) -> bool:
        """Whether the timing held: p is at most the threshold. What was not traded has not passed."""
        return self.p <= self.threshold

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN is null."""
        plain = asdict(self) | {"params": dict(self.params), "passed": self.passed}
        return {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in plain.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Look:
        """The look that `to_json` wrote."""
        figures: tuple[str, ...] = ("value", "p", "net_return", "sharpe")
        names: tuple[str, ...] = cls.__match_args__
        given: dict[str, Any] = {name: document[name] for name in names}
        return cls(**given | {name: math.nan for name in figures if given[name] is None})

    def __str__(self) -> str:
        word = "passed" if self.passed else "failed"
        return (
            f"{self.strategy} on {self.family} {self.timeframe}, {iso(self.first_ms)[:10]} to "
            f"{iso(self.last_ms)[:10]}: {word}. Timing t {self.value:.2f}, p {self.p:.3g} (at most "
            f"{self.threshold:.3g} passes), net {self.net_return:+.1%}, Sharpe {self.sharpe:.2f}, "
            f"{self.trades:,} trades on {self.days:,} days. Look {self.number} of {self.looks}."
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>"


def candidate_key(
    strategy: Strategy,
    params: Sequence[Mapping[str, Any]],
    market: Mapping[str, Any],
    execution: Execution,
) -> str:
    """SHA-256 (hex) of what is traded and how; whatever search it came from, it is one candidate."""
    where = [market[name] for name in ("exchange", "symbol", "timeframe")]
    what = [strategy.name, strategy.code_hash, [dict(one) for one in params], where, execution.to_json()]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def first_held_bar(candles: Candles, held: HoldOut) -> int:
    """Number of the first bar of a hold-out; InputError if there is none yet, or nothing before it."""
    first = int(np.searchsorted(candles.timestamps, held.start_ms))
    if not 0 < first < len(candles):
        raise InputError(
            f"the hold-out of {held.family} begins on {held.start} and its {candles.timeframe} candles "
            f"reach from {iso(candles.first_ms)} to {iso(candles.last_ms)}: nothing can be traded on it."
        )
    return first


def check_same_past(candles: Candles, judged: Mapping[str, Any]) -> None:
    """Raise InputError unless these candles begin with those that were judged."""
    bars = int(np.searchsorted(candles.timestamps, judged["last_ms"], side="right"))
    if candles[:bars].fingerprint != judged["fingerprint"]:
        raise InputError(
            f"the stored candles of {candles.family} {candles.timeframe} are not those that were judged: "
            "sweep and validate again."
        )


def trade(
    strategy: Strategy,
    candles: Candles,
    params: Sequence[Mapping[str, Any]],
    execution: Execution,
    held: HoldOut,
    number: int,
) -> Look:
    """Trade cells together on the bars of a hold-out, entered flat; its signals may look back before them.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
        The history and the bars of the hold-out.
    params : sequence of mapping
        Of the cell, or of each member of an ensemble.
    execution : Execution
    held : HoldOut
    number : int
        Which look this is.
    """
    first = first_held_bar(candles, held)
    window = trade_together(strategy, candles, params, execution, slice(first, len(candles)))
    return Look(
        family=candles.family,
        timeframe=candles.timeframe,
        strategy=strategy.name,
        params=dict(params[0]),
        first_ms=int(candles.timestamps[first]),
        last_ms=candles.last_ms,
        value=window.timing_t,
        p=upper_p(window.timing_t),
        threshold=held.threshold,
        net_return=float(np.prod(1.0 + window.daily) - 1.0),
        sharpe=sharpe(window.daily, execution.days_per_year),
        days=len(window.days),
        trades=window.trades,
        number=number,
        looks=held.looks,
        members=len(params),
    )
