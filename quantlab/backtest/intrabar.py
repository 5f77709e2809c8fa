"""Candles of a lower timeframe that say what came first inside a bar: what they must be."""

from __future__ import annotations

from quantlab.errors import InputError
from quantlab.market.candles import Candles


def check_intrabar(candles: Candles, intrabar: Candles) -> None:
    """Refuse lower candles that cannot speak about these candles.

    Parameters
    ----------
    candles : Candles
    intrabar : Candles
        Of the same market; its bar length divides that of `candles`. It may cover them in part: where it
        has no bar, or a lost one, the fill assumption decides.

    Raises
    ------
    InputError
        Another market, a timeframe that does not fit, or no overlap in time.
    """
    if intrabar.family != candles.family:
        raise InputError(
            f"`intrabar` must be of the same market, got {intrabar.family} for {candles.family}: "
            "load its candles."
        )
    if candles.step_ms % intrabar.step_ms:
        raise InputError(
            f"the bar length of `intrabar` must divide that of the candles, got {intrabar.timeframe} for "
            f"{candles.timeframe}: load a lower timeframe."
        )
    if intrabar.last_ms < candles.first_ms or intrabar.first_ms >= candles.last_ms + candles.step_ms:
        raise InputError(
            f"`intrabar` must overlap the candles in time, got {intrabar!r} for {candles!r}: "
            "load the same time."
        )
