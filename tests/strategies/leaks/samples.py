"""Leaks of the whole sample: means, quantiles, ranks, scalers, fits and extremes over all candles."""

from __future__ import annotations

from typing import Any

import numpy as np

from leaks.bases import FAR, LAST, each, later, mean, planted, returns, rising, std
from quantlab.space import Params


def scaled(x: np.ndarray) -> np.ndarray:
    """Between 0 and 1 over all bars."""
    low, high = np.nanmin(x), np.nanmax(x)
    return (x - low) / max(high - low, 1e-12)


def z_score(x: np.ndarray) -> np.ndarray:
    return (x - np.nanmean(x)) / max(np.nanstd(x), 1e-12)


def share_below(x: np.ndarray) -> np.ndarray:
    """Rank of every value among all of them, a fraction."""
    return np.argsort(np.argsort(x)) / len(x)


def drawdown(c: Any) -> np.ndarray:
    known = np.where(np.isnan(c.close), -np.inf, c.close)
    return 1.0 - c.close / np.maximum.accumulate(known)


def trend(c: Any) -> np.ndarray:
    """A straight line through all closes."""
    bars = np.arange(len(c.close), dtype=float)
    known = ~np.isnan(c.close)
    if known.sum() < 3:
        return np.full(len(bars), np.nan)
    return np.polyval(np.polyfit(bars[known], c.close[known], 1), bars)


def fitted(c: Any, p: Params) -> np.ndarray:
    """Forecast of the next return by a line that was fitted to all bars."""

    def forecast(window: int) -> np.ndarray:
        x, y = c.close / mean(c.close, window) - 1.0, later(returns(c), 1)
        known = ~np.isnan(x + y)
        if known.sum() < 3:
            return np.zeros(len(x), bool)
        slope, constant = np.polyfit(x[known], y[known], 1)
        return slope * x + constant > 0

    return each(p, forecast)


SAMPLE_LEAKS = (
    planted("global_z_score", lambda c, p: rising(c, p) & (z_score(c.close) < 0.3), furthest=FAR),
    planted(
        "global_quantile",
        lambda c, p: rising(c, p) & (c.volume > np.nanquantile(c.volume, 0.8)),
        "volume",
        furthest=FAR,
    ),
    planted(
        "scaler_on_all_data",
        lambda c, p: each(p, lambda w: z_score(c.close / mean(c.close, w)) > 0.5),
        furthest=FAR,
    ),
    planted("min_max_on_all_data", lambda c, p: rising(c, p) & (scaled(c.close) < 0.4), furthest=FAR),
    planted(
        "normalised_by_last_close",
        lambda c, p: rising(c, p) & (c.close / c.close[-1] > 0.9),
        nearest=LAST,
        furthest=LAST,
    ),
    planted(
        "whole_sample_median_volume",
        lambda c, p: rising(c, p) & (c.volume > np.nanmedian(c.volume)),
        "volume",
        furthest=FAR,
    ),
    planted("ranks_over_all", lambda c, p: rising(c, p) & (share_below(c.close) < 0.3), furthest=FAR),
    planted(
        "share_of_the_worst_drawdown",
        lambda c, p: rising(c, p) & (drawdown(c) > 0.5 * np.nanmax(drawdown(c))),
        furthest=FAR,
    ),
    planted("polyfit_detrend", lambda c, p: rising(c, p) & (c.close < trend(c)), furthest=FAR),
    planted("regression_on_all", fitted, furthest=FAR),
    planted(
        "volatility_of_all",
        lambda c, p: each(p, lambda w: std(returns(c), w) > 1.2 * np.nanstd(returns(c))),
        furthest=FAR,
    ),
    planted(
        "global_maximum", lambda c, p: rising(c, p) & (c.high < 0.8 * np.nanmax(c.high)), "high", furthest=FAR
    ),
)
