"""Indicators: arrays in, arrays out, time last; each says in its docstring when its value is known."""

from quantlab.indicators.averages import ema, ema_memory, sma, wilder, wilder_memory
from quantlab.indicators.events import first_within, score_at_least
from quantlab.indicators.levels import reclaimed, resistance, support
from quantlab.indicators.oscillators import adx, macd, rsi, stochastic
from quantlab.indicators.ranges import (
    average_true_range,
    bollinger,
    donchian,
    mean_true_range,
    rolling_max,
    rolling_min,
    rolling_std,
    true_range,
    zscore,
)
from quantlab.indicators.swings import divergence, latest_swing_high, latest_swing_low
from quantlab.indicators.timeframes import HigherBars, higher_bars, higher_closes
from quantlab.indicators.volume import daily_vwap, obv, vwap
from quantlab.indicators.windows import bars_since, hold, lag, shift, value_at

__all__ = [
    "HigherBars",
    "adx",
    "average_true_range",
    "bars_since",
    "bollinger",
    "daily_vwap",
    "divergence",
    "donchian",
    "ema",
    "ema_memory",
    "first_within",
    "higher_bars",
    "higher_closes",
    "hold",
    "lag",
    "latest_swing_high",
    "latest_swing_low",
    "macd",
    "mean_true_range",
    "obv",
    "reclaimed",
    "resistance",
    "rolling_max",
    "rolling_min",
    "rolling_std",
    "rsi",
    "score_at_least",
    "shift",
    "sma",
    "stochastic",
    "support",
    "true_range",
    "value_at",
    "vwap",
    "wilder",
    "wilder_memory",
    "zscore",
]
