"""What a V3 document says about regimes: the market's at export, and how the cell fared in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantlab.backtest.by_regime import by_regime
from quantlab.backtest.trades import Run
from quantlab.configuration.nulls import stated
from quantlab.errors import IntegrityError
from quantlab.market.candles import Candles
from quantlab.regimes import REGIMES, Regimes

_REASONS = {
    "label": "warm-up, training window, or states that cannot be told apart: only the base rate is known",
    "trend_z": "too few known bars, or nothing moved",
    "vol_percentile": "too few known bars",
    "fitted_until_ms": "fitted on nothing: the parameters are fixed",
}


def section(regimes: Regimes, may_trade: Sequence[str] = REGIMES) -> dict[str, Any]:
    """The section ``regime``: what was known at the close of the last bar.

    Parameters
    ----------
    regimes : Regimes
        Of all candles.
    may_trade : sequence of str
        Regimes in which the configuration may trade.
    """
    last = {"as_of_ms": int(regimes.timestamps[-1]), **regimes.at(-1), "may_trade": list(may_trade)}
    return stated(last, _REASONS)


def figures(run: Run, candles: Candles, regimes: Regimes | None) -> dict[str, Any] | None:
    """``validation.regimes``: the neutral run by the regime in which its trades were decided.

    Raises
    ------
    IntegrityError
        The regimes are not those of the candles.
    """
    if regimes is None:
        return None
    if len(regimes) != len(candles) or (regimes.timestamps != candles.timestamps).any():
        raise IntegrityError("the regimes are not of the candles of the run: detect them on these.")
    found = by_regime(run, candles.timestamps, regimes.label, REGIMES)
    reason = "undefined: no closed trade or too few days in this regime, or a zero denominator"
    return {name: stated(values, reason) for name, values in found.items()}
