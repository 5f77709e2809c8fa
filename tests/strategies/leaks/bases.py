"""What the planted strategies are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quantlab.signals import Signals, Strategy
from quantlab.space import Int, Params, Space

LAST = -1
"""Distance: the last bar of the candles matters."""
FAR = -2
"""Distance: more than a hundred bars; how far is hidden by the yes or no of the entry."""

WINDOWS = (10, 20, 50)


@dataclass(frozen=True)
class Planted:
    """A strategy with one leak.

    Parameters
    ----------
    strategy : Strategy
    fields : tuple of str
        Fields of `Signals` that leak; no other may be named.
    nearest, furthest : callable ``(params) -> int`` or int or None
        Bars ahead, as `Finding` has them; `LAST`, `FAR`, or None where this leak has none.
    columns : set of str or None
        Columns of the candles through which it leaks; None: not defined.
    clause : int
        Of the entry; 0 if it is one array.
    fires : callable ``(candles) -> bool``
        Whether it changes any decision on these candles: a leak that changes none cannot be caught.
    """

    strategy: Strategy
    fields: tuple[str, ...] = ("long",)
    nearest: Any = None
    furthest: Any = None
    columns: frozenset[str] | None = None
    clause: int = 0
    fires: Callable[[Any], bool] = lambda _: True

    @property
    def name(self) -> str:
        return self.strategy.name


def made(
    name: str,
    signals: Callable[[Any, Params], Any],
    warmup: Callable = lambda p: p["window"] + 1,
    reference: tuple[int, ...] = WINDOWS,
) -> Strategy:
    """A strategy with one window; `signals` returns Signals, or the long entry alone."""

    def complete(candles: Any, p: Params) -> Signals:
        decided = signals(candles, p)
        return decided if isinstance(decided, Signals) else Signals(long=decided)

    space = Space(Int("window", 2, 60, 20, "bars", "lookback", "entry"), owner=name)
    return Strategy(name, space, complete, warmup, {"window": list(reference)})


def planted(
    name: str, signals: Callable[[Any, Params], Any], columns: str | None = "close", **known: Any
) -> Planted:
    """A leak; `columns` are separated by blanks."""
    warmup = known.pop("warmup", lambda p: np.maximum(p["window"] + 1, 40))
    reference = known.pop("reference", WINDOWS)
    named = None if columns is None else frozenset(columns.split())
    return Planted(made(name, signals, warmup, reference), columns=named, **known)


def each(p: Params, row: Callable[[int], np.ndarray]) -> np.ndarray:
    """`row` of every window, on the axes of `p.window`."""
    rows = [row(int(window)) for window in p.window.ravel()]
    return np.array(rows).reshape(*p.window.shape[:-1], len(rows[0]))


def mean(x: np.ndarray, window: int) -> np.ndarray:
    return pd.Series(x).rolling(window).mean().to_numpy()


def std(x: np.ndarray, window: int) -> np.ndarray:
    return pd.Series(x).rolling(window).std().to_numpy()


def later(x: np.ndarray, bars: int) -> np.ndarray:
    """What `x` will be `bars` bars later."""
    return np.concatenate([x[bars:], np.full(min(bars, len(x)), np.nan)])


def before(x: np.ndarray, bars: int) -> np.ndarray:
    """What `x` was `bars` bars ago."""
    return np.concatenate([np.full(min(bars, len(x)), np.nan), x[: max(len(x) - bars, 0)]])


def rising(c: Any, p: Params) -> np.ndarray:
    """Close above its mean: the clean part of many planted strategies."""
    return c.close > each(p, lambda window: mean(c.close, window))


def returns(c: Any) -> np.ndarray:
    return np.diff(np.log(c.close), prepend=np.nan)


def rsi(close: np.ndarray, window: int) -> np.ndarray:
    """Cutler's RSI: simple means of gains and losses."""
    change = np.diff(close, prepend=np.nan)
    up, down = mean(np.maximum(change, 0.0), window), mean(np.maximum(-change, 0.0), window)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * up / (up + down)
