"""Clean strategies that look like leaks, and honest ones that no finite warm-up is enough for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import signal

from leaks.bases import before, each, made, mean, rising, rsi, std
from quantlab.indicators import mean_true_range
from quantlab.signals import Signals, Strategy, above, all_of
from quantlab.space import Params


def ema(x: np.ndarray, span: float) -> np.ndarray:
    return pd.Series(x).ewm(span=span, adjust=False, ignore_na=True).mean().to_numpy()


def closed_htf(c: Any, hours: int) -> np.ndarray:
    """Close of the latest higher bar that has closed by the close of each bar."""
    step = hours * 3_600_000
    ends = (c.timestamps + 3_600_000) % step == 0
    return pd.Series(np.where(ends, c.close, np.nan)).ffill().to_numpy()


def confirmed_pivot(c: Any, strength: int) -> np.ndarray:
    """Low of the latest swing, known `strength` bars after it, for 60 bars."""
    lows = pd.Series(c.low)
    swing = lows.shift(strength) == lows.rolling(2 * strength + 1).min()
    return lows.shift(strength).where(swing).ffill(limit=60).to_numpy()


def since_midnight(c: Any) -> np.ndarray:
    """Volume-weighted mean price since the day began."""
    day = c.timestamps // 86_400_000
    traded = pd.Series(c.close * c.volume).groupby(day).cumsum()
    return (traded / pd.Series(c.volume).groupby(day).cumsum()).to_numpy()


def high_so_far(c: Any) -> np.ndarray:
    """Highest high of the day up to the bar."""
    return pd.Series(c.high).groupby(c.timestamps // 86_400_000).cummax().to_numpy()


def moving_sum(x: np.ndarray, window: int) -> np.ndarray:
    """Mean over a window by differences of a running sum."""
    total = np.cumsum(np.nan_to_num(x))
    out = (total - np.concatenate([np.zeros(min(window, len(x))), total[: max(len(x) - window, 0)]])) / window
    out[: window - 1] = np.nan
    return out


def slope(x: np.ndarray, window: int) -> np.ndarray:
    """Least-squares slope over the last bars."""
    weights = np.arange(window) - (window - 1) / 2
    full = np.convolve(x, weights[::-1], mode="full")[: len(x)]
    full[: min(window - 1, len(x))] = np.nan
    return full


def supertrend(c: Any, width: float) -> np.ndarray:
    """+1 above the trailing band, -1 below; a loop whose state is forgotten with every flip."""
    reach = width * mean_true_range(c.high, c.low, c.close, 10)
    out, side, band = np.zeros(len(c.close)), 0.0, np.nan
    for i, (close, far) in enumerate(zip(c.close, reach, strict=True)):
        if np.isnan(far) or np.isnan(close):
            out[i] = side
            continue
        if side == 0.0 or (close - band) * side < 0:
            side = 1.0 if side <= 0 else -1.0
            band = close - side * far
        band = max(band, close - far) if side > 0 else min(band, close + far)
        out[i] = side
    return out


def wilder(c: Any, window: int) -> np.ndarray:
    change = np.diff(c.close, prepend=np.nan)
    up, down = (ema(np.maximum(sign * change, 0.0), 2 * window - 1) for sign in (1.0, -1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * up / (up + down)


def patient(c: Any, p: Params) -> Signals:
    atr = mean_true_range(c.high, c.low, c.close)
    return Signals(
        long=all_of(above(c.close, each(p, lambda w: before(high_of(c, w), 1))), c.volume > 0),
        short=c.close < each(p, lambda w: before(low_of(c, w), 1)),
        exit_long=c.close < before(c.low, 1),
        exit_short=c.close > before(c.high, 1),
        stop=2.0 * atr,
        target=4.0 * atr,
        max_holding=p.window,
    )


def high_of(c: Any, window: int) -> np.ndarray:
    return pd.Series(c.high).rolling(window).max().to_numpy()


def low_of(c: Any, window: int) -> np.ndarray:
    return pd.Series(c.low).rolling(window).min().to_numpy()


def causal_filter(x: np.ndarray) -> np.ndarray:
    """The Butterworth low-pass in one direction."""
    known = pd.Series(x).ffill().bfill(limit=1).to_numpy()
    b, a = signal.butter(2, 0.1)
    return np.asarray(signal.lfilter(b, a, known, zi=signal.lfilter_zi(b, a) * known[0])[0])


def aware(c: Any, window: int) -> np.ndarray:
    """Close above a mean that asks for half of its window."""
    return (c.close > pd.Series(c.close).rolling(window, min_periods=window // 2).mean()).to_numpy()


def drawn(c: Any) -> pd.Series:
    """Volume with lines drawn over lost bars; no entry is taken on these."""
    return pd.Series(c.volume).interpolate()


def more(c: Any) -> np.ndarray:
    return (drawn(c).rolling(3).mean() > drawn(c).rolling(30).mean()).to_numpy()


def hour(c: Any) -> np.ndarray:
    return c.timestamps // 3_600_000 % 24


def long(bars: int) -> Any:
    return lambda p: p["window"] * 0 + bars


_CLEAN = (
    made(
        "ema_with_enough_warmup",
        lambda c, p: c.close > each(p, lambda w: ema(c.close, w)),
        lambda p: 16 * p["window"],
    ),
    made(
        "closed_4h_bars", lambda c, p: rising(c, p) & (c.close > closed_htf(c, 4)), lambda p: p["window"] + 5
    ),
    made(
        "closed_days",
        lambda c, p: rising(c, p) & (c.close > closed_htf(c, 24)),
        lambda p: np.maximum(p["window"], 25),
    ),
    made(
        "confirmed_pivots",
        lambda c, p: rising(c, p) & (c.low < confirmed_pivot(c, 3)),
        lambda p: np.maximum(p["window"], 70),
    ),
    made(
        "vwap_since_midnight",
        lambda c, p: rising(c, p) & (c.close > since_midnight(c)),
        lambda p: np.maximum(p["window"], 25),
    ),
    made(
        "high_of_the_day_so_far",
        lambda c, p: rising(c, p) & (c.close < 0.98 * high_so_far(c)),
        lambda p: np.maximum(p["window"], 25),
    ),
    made(
        "lagged_z_score",
        lambda c, p: each(p, lambda w: c.close < before(mean(c.close, w) - 1.5 * std(c.close, w), 1)),
    ),
    made("by_differences_of_sums", lambda c, p: c.volume > 1.2 * each(p, lambda w: moving_sum(c.volume, w))),
    made("slope_of_the_past", lambda c, p: each(p, lambda w: slope(np.log(c.close), w)) > 0),
    made(
        "rolling_quantile",
        lambda c, p: each(p, lambda w: c.volume > pd.Series(c.volume).rolling(w).quantile(0.8).to_numpy()),
    ),
    made(
        "rolling_rank",
        lambda c, p: each(p, lambda w: (pd.Series(c.close).rolling(w).rank(pct=True) > 0.9).to_numpy()),
    ),
    made("calendar", lambda c, p: rising(c, p) & (hour(c) == 14) & (c.timestamps // 86_400_000 % 7 < 5)),
    made("half_a_window_is_enough", lambda c, p: each(p, lambda w: aware(c, w))),
    made("supertrend", lambda c, p: rising(c, p) & (supertrend(c, 3.0) > 0), long(600)),
    made("wilder_rsi", lambda c, p: each(p, lambda w: wilder(c, w)) < 30.0, lambda p: 24 * p["window"]),
    made(
        "filter_in_one_direction", lambda c, p: rising(c, p) & (c.close < causal_filter(c.close)), long(400)
    ),
    made(
        "rare_but_clean",
        lambda c, p: each(p, lambda w: (rsi(c.close, 14) < 12) & (c.close > before(c.close, 1))),
        long(15),
    ),
    made("lines_over_lost_bars", lambda c, p: rising(c, p) & more(c), lambda p: np.maximum(p["window"], 30)),
    made("channel_with_all_fields", patient, lambda p: np.maximum(p["window"] + 1, 15)),
)

CLEAN: dict[str, Strategy] = {strategy.name: strategy for strategy in _CLEAN}

HUNGRY: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        made("expanding_mean", lambda c, p: c.close > pd.Series(c.close).expanding().mean().to_numpy()),
        made("expanding_maximum", lambda c, p: rising(c, p) & (c.close > 0.9 * np.fmax.accumulate(c.close))),
        made("ema_with_little_warmup", lambda c, p: c.close > each(p, lambda w: ema(c.close, w))),
        made("window_longer_than_declared", lambda c, p: c.close > each(p, lambda w: mean(c.close, w + 7))),
    )
}
"""Strategies that know nothing of the future and still decide otherwise with their declared warm-up."""
