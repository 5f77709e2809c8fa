"""Leaks that show rarely: on few bars, on one bar, in one cell, in one clause, on some days, at the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from leaks.bases import WINDOWS, each, later, mean, planted, returns, rising, rsi, std
from quantlab.signals import above, all_of, below
from quantlab.space import Params


def day_of_week(c: Any) -> np.ndarray:
    """0 is Monday."""
    return (c.timestamps // 86_400_000 + 3) % 7


def one_cell(c: Any, p: Params) -> np.ndarray:
    known = rising(c, p)
    return np.where(p.window == 20, known & (later(c.close, 1) > c.close), known)


def one_bar(c: Any, p: Params) -> np.ndarray:
    """On one hour of one day it knows the next close."""
    at = c.timestamps == 1_518_364_800_000  # 2018-02-11T16:00Z
    return (rising(c, p) & ~at) | (at & (later(c.close, 1) > 0.5 * c.close))


def one_bar_fires(c: Any) -> bool:
    """Whether it does not enter there anyway."""
    (at,) = np.flatnonzero(c.timestamps == 1_518_364_800_000)
    return any(c.close[at] <= mean(c.close, window)[at] for window in WINDOWS)


def filled_start(c: Any, p: Params) -> np.ndarray:
    """A mean of 400 bars whose first values were filled from behind, with a warm-up of the window."""
    return rising(c, p) & (c.close > pd.Series(mean(c.close, 400)).bfill().to_numpy())


RARE_LEAKS = (
    planted(
        "when_rsi_is_below_5",
        lambda c, p: each(p, lambda w: (rsi(c.close, 14) < 5) & (later(c.close, 1) > c.close)),
        nearest=1,
        furthest=1,
        fires=lambda c: bool((rsi(c.close, 14) < 5).any()),
    ),
    planted("one_bar", one_bar, nearest=1, furthest=1, fires=one_bar_fires),
    planted("one_cell", one_cell, nearest=1, furthest=1),
    planted(
        "third_clause",
        lambda c, p: all_of(
            above(c.close, each(p, lambda w: mean(c.close, w))),
            c.volume > 0,
            below(rsi(c.close, 14), 25.0),
            later(c.close, 4) > c.close,
        ),
        nearest=4,
        furthest=4,
        clause=4,
    ),
    planted(
        "clause_that_never_decides",
        lambda c, p: all_of(rising(c, p), above(later(c.high, 2), 0.01 * c.close)),
        "high",
        nearest=2,
        furthest=2,
        clause=2,
    ),
    planted(
        "on_saturdays",
        lambda c, p: rising(c, p) & ((day_of_week(c) != 5) | (later(c.close, 1) > c.close)),
        nearest=1,
        furthest=1,
    ),
    planted(
        "in_wild_hours",
        lambda c, p: rising(c, p) & ((std(returns(c), 10) < 0.012) | (later(c.close, 1) > c.close)),
        nearest=1,
        furthest=1,
        fires=lambda c: bool((std(returns(c), 10) >= 0.012).any()),
    ),
    planted("start_filled_from_behind", filled_start),
)
