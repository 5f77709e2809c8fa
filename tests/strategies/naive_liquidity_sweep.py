"""The numbered rule of liquidity_sweep, one bar at a time in plain Python, from its docstring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAN = float("nan")


@dataclass
class Market:
    """Columns as lists."""

    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]

    def upside_down(self) -> Market:
        """The market whose long side is this one's short side."""
        turn = [[-p for p in column] for column in (self.open, self.low, self.high, self.close)]
        return Market(*turn, self.volume)


def mean(values: Sequence[float], window: int) -> float:
    """Mean of those present; undefined below 80 % of the window."""
    present = [v for v in values if not math.isnan(v)]
    return sum(present) / len(present) if len(values) == window and len(present) >= 0.8 * window else NAN


def atr(m: Market, t: int) -> float:
    """Simple mean of the 14 true ranges that end at bar t."""
    ranges = []
    for s in range(t - 13, t + 1):
        if s < 0:
            return NAN
        before = m.close[s - 1] if s > 0 else NAN
        lost = math.isnan(before) or math.isnan(m.high[s])
        ranges.append(NAN if lost else max(m.high[s], before) - min(m.low[s], before))
    return mean(ranges, 14)


def is_swing_low(low: Sequence[float], s: int) -> bool:
    """Lowest of five bars; of equal lows the first."""
    return all(low[s] < low[s - j] and low[s] <= low[s + j] for j in (1, 2))


def level_before(m: Market, t: int, p: Mapping[str, Any]) -> float:
    """Rule 1: the level known at the close of bar t - 1."""
    known = t - 1
    oldest = max(known - p["level_lookback"], 2)
    swings = [s for s in range(known - 2, oldest - 1, -1) if is_swing_low(m.low, s)]
    for i, swing in enumerate(swings):
        touches = [swing]
        for other in swings[i + 1 :]:
            if (
                len(touches) < p["min_touches"]
                and abs(m.low[other] / m.low[swing] - 1) <= p["level_tolerance"]
            ):
                touches.append(other)
        if len(touches) == p["min_touches"]:
            return min(m.low[s] for s in touches)
    return NAN


def pierced(m: Market, t: int, depth: float, p: Mapping[str, Any]) -> float | None:
    """Rules 2 and 3: the level that bar t pierces on volume, or None."""
    level = level_before(m, t, p)
    usual = mean(m.volume[t - 20 : t], 20) if t >= 20 else NAN
    if m.low[t] < level * (1 - depth) and m.volume[t] >= p["volume_spike"] * usual:
        return level
    return None


def longs(m: Market, p: Mapping[str, Any], depth: float) -> list[bool]:
    """Rules 1 to 4 of the long side for every bar, warm-up included."""
    n = len(m.close)
    levels = [pierced(m, t, depth, p) for t in range(n)]
    found = []
    for t in range(n):
        body = m.close[t] - m.open[t]
        rising = body >= p["reversal_size"] * atr(m, t)
        last = [levels[t - age] for age in range(p["rejection_bars"]) if t - age >= 0]
        found.append(rising and any(level is not None and m.close[t] > level for level in last))
    return found


def extreme(m: Market, t: int, bars: int) -> float:
    """Distance from the close to the lowest low of the last bars; unless the bar rises, to the highest high.

    Undefined below 80 % of the bars.
    """
    last = [s for s in range(t - bars + 1, t + 1) if s >= 0 and not math.isnan(m.low[s])]
    if t < bars - 1 or len(last) < 0.8 * bars:
        return NAN
    if m.close[t] > m.open[t]:
        return m.close[t] - min(m.low[s] for s in last)
    return max(m.high[s] for s in last) - m.close[t]


def decide(m: Market, p: Mapping[str, Any]) -> dict[str, list]:
    """Entries from the end of the warm-up on, and the distances of rule 5."""
    warmup = max(p["level_lookback"] + 10, 26)
    ready = [t >= warmup - 1 and not math.isnan(m.close[t]) for t in range(len(m.close))]
    ranges = [atr(m, t) for t in range(len(m.close))]
    sides = {
        "long": longs(m, p, p["pierce_depth"]),
        # below zero the pierce lies at level x (1 + depth)
        "short": longs(m.upside_down(), p, -p["pierce_depth"]),
    }
    entries = {side: [a and b for a, b in zip(found, ready, strict=True)] for side, found in sides.items()}
    stop = [p["stop_atr"] * r for r in ranges]
    if p["stop_at"] == "extreme":
        far = [extreme(m, t, p["rejection_bars"]) for t in range(len(m.close))]
        stop = [NAN if math.isnan(s + e) else max(s, e) for s, e in zip(stop, far, strict=True)]
    return {**entries, "stop": stop, "target": [p["reward_risk"] * s for s in stop]}
