"""The contract of a strategy as a set of checks, for the library's strategies and for yours.

>>> from quantlab.testing import check_strategy
>>> check_strategy("liquidity_sweep")

Each check evaluates the strategy on a moderate grid over its whole space, so that a fault in any corner
has a chance to show; the message names strategy, parameter, cell and bar. What this cannot show: that
there is no fault. A leak that fires on a few bars in ten thousand may pass on a few thousand candles.
"""

from __future__ import annotations

from collections.abc import Callable

from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch
from quantlab.signals import Strategy, find_strategy
from quantlab.testing.case import Case, ContractError
from quantlab.testing.form import (
    check_alive,
    check_arrays,
    check_determinism,
    check_missing,
    check_single,
    check_untouched,
)
from quantlab.testing.symmetry import check_mirror, check_scale
from quantlab.testing.time_rule import check_causality, check_live_parity, check_warmup

CHECKS: dict[str, Callable[[Case], None]] = {
    "untouched": check_untouched,
    "arrays": check_arrays,
    "determinism": check_determinism,
    "warmup": check_warmup,
    "causality": check_causality,
    "live_parity": check_live_parity,
    "single": check_single,
    "alive": check_alive,
    "scale": check_scale,
    "mirror": check_mirror,
    "missing": check_missing,
}
"""Every rule of the contract by name, in the order in which `check_strategy` tries them."""


def check_strategy(
    strategy: str | Strategy, candles: Candles | None = None, *, mirrored: bool | None = None
) -> None:
    """Check that a strategy keeps the contract; return nothing if it does.

    Parameters
    ----------
    strategy : str or Strategy
        Its name in the registry, or the strategy itself.
    candles : Candles, optional
        By default a synthetic market of 4,000 hours. Entries must fire on it, or a parameter seems dead.
    mirrored : bool, optional
        Whether the short side is meant to be the mirror image of the long side; by default what the
        strategy declares. A strategy that returns one side only is never asked to be.

    Raises
    ------
    ContractError
        The first broken rule of `CHECKS`, with strategy, parameter, cell and bar.
    InputError
        No strategy of that name is registered, or there are too few candles.
    """
    case = Case(find_strategy(strategy), candles if candles is not None else garch(4_000, seed=7))
    asked = case.strategy.mirrored if mirrored is None else mirrored
    for name, check in CHECKS.items():
        if asked or name != "mirror":
            check(case)


__all__ = ["CHECKS", "Case", "ContractError", "check_strategy"]
