"""Indicators: arrays in, arrays out, time last; each says in its docstring when its value is known."""

from quantlab.indicators.averages import mean_true_range, shift, sma, true_range
from quantlab.indicators.levels import reclaimed, resistance, support

__all__ = ["mean_true_range", "reclaimed", "resistance", "shift", "sma", "support", "true_range"]
