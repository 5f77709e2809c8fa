"""Indicators as their docstrings say them, in plain Python: slow oracles for the kernels."""

from __future__ import annotations

import itertools
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


def decaying_mean(x: Sequence[float], factor: float, memory: int) -> list[float]:
    """Mean of the last `memory` bars, each older one counting ``1 - factor`` times as much."""
    first = next((t for t, value in enumerate(x) if not math.isnan(value)), len(x))
    weights = [(1 - factor) ** j for j in range(memory)]
    out = []
    for t in range(len(x)):
        pairs = [(weights[j], x[t - j]) for j in range(memory) if t >= j and not math.isnan(x[t - j])]
        there = math.fsum(w for w, _ in pairs)
        full = t - first >= memory - 1 and there >= 0.8 * math.fsum(weights)
        out.append(math.fsum(w * value for w, value in pairs) / there if full else NAN)
    return out


def recursive_mean(x: Sequence[float], factor: float) -> list[float]:
    """The textbook recursion, begun at the first value."""
    out = [x[0]]
    for value in x[1:]:
        out.append(factor * value + (1 - factor) * out[-1])
    return out


def present(x: Sequence[float], t: int, window: int) -> list[float]:
    """Values present in a full window of which 80 % are there; none otherwise."""
    there = [x[s] for s in range(t - window + 1, t + 1) if s >= 0 and not math.isnan(x[s])]
    return there if t >= window - 1 and len(there) >= 0.8 * window else []


def rolling_max(x: Sequence[float], window: int) -> list[float]:
    return [max(present(x, t, window), default=NAN) for t in range(len(x))]


def rolling_std(x: Sequence[float], window: int) -> list[float]:
    out = []
    for t in range(len(x)):
        values = present(x, t, window)
        mean = math.fsum(values) / len(values) if values else NAN
        out.append(math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values)) if values else NAN)
    return out


def rsi(x: Sequence[float], window: int, memory: int) -> list[float]:
    change = [NAN, *(b - a for a, b in itertools.pairwise(x))]
    gain = decaying_mean([max(c, 0.0) if c == c else NAN for c in change], 1 / window, memory)
    loss = decaying_mean([max(-c, 0.0) if c == c else NAN for c in change], 1 / window, memory)
    return [100 * g / (g + down) if g + down > 0 else NAN for g, down in zip(gain, loss, strict=True)]


def daily_vwap(timestamps: Sequence[int], price: Sequence[float], volume: Sequence[float]) -> list[float]:
    """Volume-weighted price of the bars of the same UTC day so far, if the day was seen from its midnight."""
    day = 86_400_000
    out = []
    for t in range(len(price)):
        bars = [s for s in range(t + 1) if timestamps[s] // day == timestamps[t] // day]
        known = [s for s in bars if not math.isnan(price[s])]
        traded = math.fsum(volume[s] for s in known)
        whole = timestamps[bars[0]] % day == 0
        paid = math.fsum(price[s] * volume[s] for s in known)
        out.append(paid / traded if whole and traded > 0 else NAN)
    return out


def latest_swing_low(low: Sequence[float], strength: int, most_bars: int) -> list[int]:
    found = swings(low, strength)
    return [
        max((s for s in found if s + strength <= t and t - s <= most_bars), default=-1)
        for t in range(len(low))
    ]


def divergence(
    low: Sequence[float], oscillator: Sequence[float], nearest: int, farthest: int, strength: int
) -> list[float]:
    """Age of the latest earlier swing that is higher in price and lower in the oscillator."""
    found, out = swings(low, strength), []
    for t, latest in enumerate(latest_swing_low(low, strength, farthest)):
        earlier = [
            s
            for s in found
            if latest >= 0
            and nearest <= latest - s <= farthest
            and low[s] > low[latest]
            and oscillator[s] < oscillator[latest]
        ]
        out.append(t - max(earlier) if earlier else NAN)
    return out


def first_within(
    events: Sequence[bool], condition: Sequence[bool], bars: int, ended: Sequence[bool]
) -> list[bool]:
    """Follow every event forward until the condition holds, it is ended, or `bars` have passed."""
    out = [False] * len(events)
    for e in (t for t, event in enumerate(events) if event):
        for t in range(e + 1, min(e + bars, len(events) - 1) + 1):
            if ended[t]:
                break
            if condition[t]:
                out[t] = True
                break
    return out
