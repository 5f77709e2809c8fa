"""Leaks of a few bars: wrong shifts, centred windows, pivots, higher timeframes before their close."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from leaks.bases import each, later, mean, planted, rising
from quantlab.space import Params


def pivot(c: Any, strength: int) -> np.ndarray:
    """Lowest low of `strength` bars on either side, marked at once."""
    lows = pd.Series(c.low)
    return (lows == lows.rolling(2 * strength + 1, center=True).min()).to_numpy()


def grouped(c: Any, hours: int) -> pd.Series:
    """Number of the higher bar of every bar."""
    return pd.Series(c.timestamps // (hours * 3_600_000))


def htf_close(c: Any, hours: int) -> np.ndarray:
    """Close of the higher bar, shown from its first hour."""
    return pd.Series(c.close).groupby(grouped(c, hours).to_numpy()).transform("last").to_numpy()


def day_high(c: Any) -> np.ndarray:
    """High of the whole day, shown from its first hour."""
    return pd.Series(c.high).groupby(grouped(c, 24).to_numpy()).transform("max").to_numpy()


def same(x: np.ndarray, bars: int) -> np.ndarray:
    padded = np.pad(x, bars // 2, mode="edge")
    return np.convolve(padded, np.full(bars, 1 / bars), mode="valid")


def backwards(x: np.ndarray, window: int) -> np.ndarray:
    return mean(x[::-1], window)[::-1]


def gradient(c: Any, p: Params) -> np.ndarray:
    slope = np.gradient(c.close) if len(c.close) > 1 else np.zeros(1)
    return rising(c, p) & (slope > 0)


WINDOW_LEAKS = (
    planted(
        "shift_by_minus_one", lambda c, p: rising(c, p) & (later(c.close, 1) > c.close), nearest=1, furthest=1
    ),
    planted(
        "shift_by_minus_window",
        lambda c, p: each(p, lambda w: later(c.close, w) > c.close),
        nearest=lambda p: p["window"],
        furthest=lambda p: p["window"],
    ),
    planted(
        "colour_of_the_next_bar",
        lambda c, p: rising(c, p) & (later(c.close - c.open, 1) > 0),
        "open close",
        nearest=1,
        furthest=1,
    ),
    planted(
        "volume_in_two_bars",
        lambda c, p: rising(c, p) & (later(c.volume, 2) > c.volume),
        "volume",
        nearest=2,
        furthest=2,
    ),
    planted(
        "centred_window",
        lambda c, p: (
            c.close > 1.002 * each(p, lambda w: pd.Series(c.close).rolling(w, center=True).mean().to_numpy())
        ),
        nearest=1,
    ),
    planted(
        "convolve_same", lambda c, p: rising(c, p) & (c.close < same(c.close, 11)), nearest=1, furthest=5
    ),
    planted("gradient", gradient, nearest=1, furthest=1),
    planted("pivot_at_once", lambda c, p: rising(c, p) & pivot(c, 3), "low"),
    planted(
        "mean_of_what_follows", lambda c, p: c.close < each(p, lambda w: backwards(c.close, w)), nearest=1
    ),
    planted("unshifted_4h_close", lambda c, p: rising(c, p) & (htf_close(c, 4) > c.open)),
    planted("unshifted_day_high", lambda c, p: rising(c, p) & (c.close < 0.98 * day_high(c)), "high"),
)
