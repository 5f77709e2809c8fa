"""Leaks in what is not an entry: stops, targets, exits and holding times from the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from leaks.bases import LAST, each, later, mean, planted, returns, rising
from quantlab.signals import Signals
from quantlab.space import Params


def lowest_ahead(c: Any, bars: int) -> np.ndarray:
    """Lowest low of the next `bars` bars."""
    return pd.Series(later(c.low, 1)[::-1]).rolling(bars, min_periods=1).min().to_numpy()[::-1]


def next_top(c: Any) -> np.ndarray:
    """Bars to the next local maximum of the close."""
    peak = (c.close > later(c.close, 1)) & (c.close > np.concatenate([[np.inf], c.close[:-1]]))
    bars = np.arange(len(c.close))
    tops = np.where(peak, bars, len(bars) + 9)
    ahead = np.minimum.accumulate(tops[::-1])[::-1]
    return np.clip(ahead - bars, 1, 10)


def spread(c: Any) -> np.ndarray:
    return each_mean(c.high - c.low)


def each_mean(x: np.ndarray) -> np.ndarray:
    return mean(x, 14)


def signals(c: Any, p: Params, **fields: Any) -> Signals:
    return Signals(long=rising(c, p), **{"stop": 2.0 * spread(c), **fields})


FIELD_LEAKS = (
    planted(
        "stop_below_what_comes",
        lambda c, p: signals(c, p, stop=np.maximum(c.close - lowest_ahead(c, 5), 1e-6)),
        "low",
        fields=("stop",),
        furthest=5,
    ),
    planted(
        "stop_of_whole_volatility",
        lambda c, p: signals(c, p, stop=2.0 * np.nanstd(returns(c)) * c.close),
        fields=("stop",),
        furthest=LAST,
        nearest=1,
    ),
    planted(
        "target_at_the_next_high",
        lambda c, p: signals(c, p, target=np.maximum(later(c.high, 1) - c.close, 1e-6)),
        "high",
        fields=("target",),
        nearest=1,
        furthest=1,
    ),
    planted(
        "exit_before_the_fall",
        lambda c, p: signals(c, p, exit_long=later(c.close, 3) < c.close),
        fields=("exit_long",),
        nearest=3,
        furthest=3,
    ),
    planted(
        "trail_of_the_next_range",
        lambda c, p: signals(c, p, trail=later(c.high - c.low, 2)),
        "high low",
        fields=("trail",),
        nearest=2,
        furthest=2,
    ),
    planted(
        "held_to_the_next_top", lambda c, p: signals(c, p, max_holding=next_top(c)), fields=("max_holding",)
    ),
    planted(
        "partial_target_at_the_window_high",
        lambda c, p: signals(
            c,
            p,
            partial_target=each(p, lambda w: later(c.high, w) * 0 + np.nanmax(c.high)),
            partial_fraction=np.array([0.5]),
        ),
        "high",
        fields=("partial_target",),
        furthest=None,
    ),
)
