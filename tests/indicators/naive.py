"""Indicators as their docstrings say them, in plain Python: slow oracles for the kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

NAN = float("nan")


def sma(x: Sequence[float], window: int) -> list[float]:
    """Mean of the values present in the last `window` bars; NaN before it is full or below 80 % present."""
    out = []
    for t in range(len(x)):
        present = [x[s] for s in range(t - window + 1, t + 1) if s >= 0 and not math.isnan(x[s])]
        full = t >= window - 1 and len(present) >= 0.8 * window
        out.append(math.fsum(present) / len(present) if full else NAN)
    return out


def true_range(high: Sequence[float], low: Sequence[float], close: Sequence[float]) -> list[float]:
    """Greatest distance between any two of high, low and the previous close that spans the bar."""
    out = [NAN]
    for t in range(1, len(close)):
        parts = (high[t], low[t], close[t - 1])
        lost = any(math.isnan(part) for part in parts)
        out.append(
            NAN if lost else max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1]))
        )
    return out


def mean_true_range(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], window: int = 14
) -> list[float]:
    return sma(true_range(high, low, close), window)


def swings(low: Sequence[float], strength: int = 2) -> list[int]:
    """Bars that are the lowest of ``2 * strength + 1``; of equal lows the first counts."""
    found = []
    for s in range(strength, len(low) - strength):
        before = [low[s - j] for j in range(1, strength + 1)]
        after = [low[s + j] for j in range(1, strength + 1)]
        if all(low[s] < other for other in before) and all(low[s] <= other for other in after):
            found.append(s)
    return found


def support(
    low: Sequence[float], lookback: int, min_touches: int, tolerance: float, strength: int = 2
) -> list[float]:
    """Per bar: the lows of the latest confirmed swing and its latest companions, the lowest of them."""
    found = swings(low, strength)
    out = []
    for t in range(len(low)):
        level = NAN
        for swing in (s for s in reversed(found) if s + strength <= t and t - s <= lookback):
            near = [s for s in reversed(found) if s < swing and abs(low[s] / low[swing] - 1) <= tolerance]
            touches = [swing, *near[: min_touches - 1]]
            if len(touches) == min_touches and all(t - s <= lookback for s in touches):
                level = min(low[s] for s in touches)
                break
        out.append(level)
    return out


def resistance(
    high: Sequence[float], lookback: int, min_touches: int, tolerance: float, strength: int = 2
) -> list[float]:
    """The mirror image: the highest of the latest confirmed swing high and its companions."""
    return [-level for level in support([-h for h in high], lookback, min_touches, tolerance, strength)]
