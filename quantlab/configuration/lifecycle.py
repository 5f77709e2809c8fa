"""The stages of a configuration: which one its figures put it in, and which step may follow.

The rule, tested in this order (the first that holds decides):

1. **PAPER**: net profit below 0, or Sharpe below 0.5 (or undefined although there are trades enough).
2. **DISCOVERY**: fewer than 30 closed trades.
3. **MATURE**: more than 100 closed trades, Sharpe above 1.5, and every decisive test of the gate held.
4. **VALIDATION**: everything else.

DECAY is never a first stage: later monitoring sets it. A stage says how much is known; whether the
configuration may trade is decided by the gate and an approval, and whether it does trade by its activation.
"""

from __future__ import annotations

import math
from typing import Literal

from quantlab.errors import ConfigurationError, UnknownNameError

Stage = Literal["DISCOVERY", "VALIDATION", "MATURE", "DECAY", "PAPER"]
STAGES: tuple[Stage, ...] = ("DISCOVERY", "VALIDATION", "MATURE", "DECAY", "PAPER")
TRADABLE: tuple[Stage, ...] = ("VALIDATION", "MATURE")
"""Stages in which an approved configuration may trade real money."""

TRANSITIONS: dict[Stage, tuple[Stage, ...]] = {
    "DISCOVERY": ("VALIDATION", "PAPER"),
    "VALIDATION": ("MATURE", "PAPER"),
    "MATURE": ("DECAY", "PAPER"),
    "DECAY": ("PAPER",),
    "PAPER": ("DISCOVERY",),
}
"""The stages that may follow each stage."""

LEAST_SHARPE, MATURE_SHARPE = 0.5, 1.5
LEAST_TRADES, MATURE_TRADES = 30, 100


def stage(net_profit: float | None, sharpe: float | None, trades: int, approved: bool) -> Stage:
    """The stage of a configuration by the rule above.

    Parameters
    ----------
    net_profit : float or None
        Fraction of the initial equity, after costs.
    sharpe : float or None
        Annualised, from daily returns; None or NaN where it is undefined.
    trades : int
        Closed trades.
    approved : bool
        Whether every decisive test of the gate held.

    Raises
    ------
    ConfigurationError
        The net profit is undefined, or there is a negative number of trades.
    """
    if net_profit is None or math.isnan(net_profit) or trades < 0:
        raise ConfigurationError(
            f"a stage needs a net profit and a count of trades, got {net_profit} and {trades}: "
            "the cell was not run."
        )
    known = sharpe is not None and not math.isnan(sharpe)
    value = sharpe if sharpe is not None and known else -math.inf
    if net_profit < 0 or (known and value < LEAST_SHARPE):
        return "PAPER"
    if trades < LEAST_TRADES:
        return "DISCOVERY"
    if not known:
        return "PAPER"
    return "MATURE" if trades > MATURE_TRADES and value > MATURE_SHARPE and approved else "VALIDATION"


def check_transition(old: str, new: str) -> None:
    """Raise unless a configuration in stage `old` may pass to stage `new`.

    Raises
    ------
    UnknownNameError
        A stage that does not exist.
    ConfigurationError
        A step that ``TRANSITIONS`` does not have; a stage is no successor of itself.
    """
    for name in (old, new):
        if name not in STAGES:
            raise UnknownNameError("stage", name, STAGES)
    followers = TRANSITIONS[old]  # type: ignore[index]
    if new not in followers:
        raise ConfigurationError(
            f"a configuration cannot pass from {old} to {new}: "
            f"from {old} it may pass to {' or '.join(followers)}."
        )
