"""Does a strategy look into the future? Cut the candles, change what follows, and compare.

A decision at bar t may depend on bars up to t only. So the signals of a prefix must equal the prefix of
the signals, and replacing everything after a cut by a wild path must leave everything before it alone.
Extreme futures matter: they move a maximum, a quantile or a scaler taken over the whole history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from quantlab.market.candles import Candles
from quantlab.signals import AllOf, Strategy

CUTS = 3
FIELDS = (
    *("long", "short", "exit_long", "exit_short"),
    *("stop", "target", "trail", "break_even", "partial_target", "partial_fraction", "max_holding"),
)


@dataclass(frozen=True)
class Leak:
    """The first decision found that changed with the future.

    Parameters
    ----------
    field : str
        Array of `Signals` that changed; ``"repetition"`` if two runs on the same candles differ.
    bar : int
        Bar of the decision.
    cut : int
        Number of bars that were left as they are.
    future : str
        What was done to the bars after the cut.
    """

    field: str
    bar: int
    cut: int
    future: str


def find_leak(strategy: Strategy, candles: Candles, params: Mapping[str, Any], seed: int = 0) -> Leak | None:
    """The first decision of one cell that depends on later bars, or None if none was found.

    The signals are computed twice on all candles, then at three cuts (not on the border of a higher
    timeframe) on the prefix alone and with futures three times and a third as high.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
        At least 20 bars; the cuts lie in the last two thirds.
    params : mapping
    seed : int
        Of the cuts and the wild futures.

    Notes
    -----
    A leak that shows on a handful of bars only can escape; a difference below 1e-9 is rounding.
    """
    rng = np.random.default_rng(seed)
    whole = decisions(strategy, candles, params)
    if repeated := _difference(whole, decisions(strategy, candles, params)):
        return Leak("repetition", repeated[1], len(candles), "nothing")
    for cut in _cuts(candles, rng):
        for future, changed in _futures(candles, cut, rng):
            found = _difference({n: a[:cut] for n, a in whole.items()}, decisions(strategy, changed, params))
            if found:
                return Leak(*found, cut, future)
    return None


def decisions(strategy: Strategy, candles: Candles, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The signals of one cell as arrays of shape ``(n_bars,)``, those that the strategy leaves out omitted.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    params : mapping
        One value per parameter; those not named stay at their default.
    """
    signals = strategy.signals(candles, strategy.space.points([params]).params())
    given = {name: getattr(signals, name) for name in FIELDS}
    return {name: _row(a, len(candles)) for name, a in given.items() if a is not None}


def _row(array: np.ndarray | AllOf, n_bars: int) -> np.ndarray:
    plain = array.to_array() if isinstance(array, AllOf) else np.asarray(array)
    return np.broadcast_to(plain, (1, n_bars))[0]


def _cuts(candles: Candles, rng: np.random.Generator) -> list[int]:
    n = len(candles)
    edges = np.linspace(n // 3, n - 1, CUTS + 1).astype(int)
    cuts = [int(rng.integers(a, max(b, a + 1))) for a, b in pairwise(edges)]
    hour = candles.timestamps // 3_600_000 % 4
    return [cut + 1 if hour[cut] == 0 and cut + 1 < n else cut for cut in cuts]


def _futures(candles: Candles, cut: int, rng: np.random.Generator) -> Iterator[tuple[str, Candles]]:
    yield "cut off", candles[:cut]
    for factor, name in ((3.0, "three times as high"), (1.0 / 3.0, "a third as high")):
        path = factor * np.exp(np.cumsum(rng.normal(0.0, 0.02, len(candles) - cut)))
        columns = {}
        for column in ("open", "high", "low", "close", "volume"):
            columns[column] = getattr(candles, column).copy()
            columns[column][cut:] *= path
        yield name, replace(candles, **columns)


def _difference(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> tuple[str, int] | None:
    """Name and bar of the first difference; `after` may be longer."""
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            return name, 0
        a = before[name]
        b = after[name][: len(a)]
        unequal = ~np.isclose(a.astype(float), b.astype(float), rtol=1e-9, atol=1e-12, equal_nan=True)
        if unequal.any():
            return name, int(np.argmax(unequal))
    return None
