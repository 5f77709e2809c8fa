"""The numbered rules of the library, one bar at a time in plain Python, written from the docstrings.

A rule is stated for longs; shorts are the longs of the market upside down (`View.upside_down`), where every
price is negative and a fraction of a price therefore counts the other way (`View.sign`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any

NAN = float("nan")
Trades = dict[int, tuple[float, float]]
"""Decision bar to stop and target distance; NaN where a rule has none."""


def remembered(method: Callable[..., Any]) -> Callable[..., Any]:
    """Compute a value of a view once."""

    @wraps(method)
    def recall(self: View, *args: Any) -> Any:
        key = (method.__name__, *args)
        if key not in self.memory:
            self.memory[key] = method(self, *args)
        return self.memory[key]

    return recall


@dataclass(frozen=True, eq=False)
class View:
    """A market from one side: columns as lists, `sign` -1 where it is upside down."""

    time: Sequence[int]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    sign: int = 1
    memory: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def upside_down(self) -> View:
        turned = [[-p for p in column] for column in (self.open, self.low, self.high, self.close)]
        return View(self.time, *turned, self.volume, -self.sign)

    def __len__(self) -> int:
        return len(self.close)

    def rises(self, t: int) -> bool:
        return self.close[t] > self.open[t]

    @remembered
    def true_range(self, t: int) -> float:
        if t < 1 or math.isnan(self.close[t - 1]) or math.isnan(self.high[t]):
            return NAN
        return max(self.high[t], self.close[t - 1]) - min(self.low[t], self.close[t - 1])

    @remembered
    def atr(self, t: int, window: int = 14) -> float:
        return mean([self.true_range(s) for s in range(t - window + 1, t + 1)]) if t >= window - 1 else NAN

    @remembered
    def usual_volume(self, t: int) -> float:
        """Mean volume of the 20 bars before."""
        return mean(self.volume[t - 20 : t]) if t >= 20 else NAN

    @remembered
    def rsi(self, t: int) -> float:
        memory = 373
        if t < memory:
            return NAN
        changes = [self.close[t - j] - self.close[t - j - 1] for j in range(memory)]
        gain = sum((13 / 14) ** j * max(c, 0) for j, c in enumerate(changes) if c == c)
        loss = sum((13 / 14) ** j * max(-c, 0) for j, c in enumerate(changes) if c == c)
        there = sum((13 / 14) ** j for j, c in enumerate(changes) if c == c)
        if there < 0.8 * sum((13 / 14) ** j for j in range(memory)) or gain + loss == 0:
            return NAN
        return 100 * gain / (gain + loss)

    @remembered
    def ema(self, t: int, span: int) -> float:
        memory, keep = 800, 1 - 2 / (span + 1)
        if t < memory - 1:
            return NAN
        pairs = [(keep**j, self.close[t - j]) for j in range(memory) if not math.isnan(self.close[t - j])]
        there = sum(w for w, _ in pairs)
        full = there >= 0.8 * sum(keep**j for j in range(memory))
        return sum(w * c for w, c in pairs) / there if full else NAN

    @remembered
    def is_swing_low(self, s: int) -> bool:
        if s < 2 or s + 2 >= len(self):
            return False
        return all(self.low[s] < self.low[s - j] and self.low[s] <= self.low[s + j] for j in (1, 2))


def present(values: Sequence[float]) -> list[float]:
    """Those known, or none below 80 %."""
    there = [v for v in values if not math.isnan(v)]
    return there if len(there) >= 0.8 * len(values) else []


def mean(values: Sequence[float]) -> float:
    there = present(values)
    return sum(there) / len(there) if there else NAN


def bounds(v: View, first: int, last: int) -> tuple[float, float]:
    """Highest high and lowest low of the bars ``[first, last)``."""
    if first < 0:
        return NAN, NAN
    high, low = present(v.high[first:last]), present(v.low[first:last])
    return (max(high), min(low)) if high else (NAN, NAN)


def capitulation_reversal(v: View, p: Mapping[str, Any]) -> Trades:
    def points(t: int) -> int:
        body = abs(v.close[t] - v.open[t])
        usual = mean([v.atr(s) for s in range(t - 20, t)]) if t >= 20 else NAN
        return (
            30 * (v.volume[t] >= p["volume_explosion"] * v.usual_volume(t))
            + 25 * (body >= p["velocity"] * abs(v.open[t]))
            + 20 * (v.atr(t) >= p["atr_expansion"] * usual)
            + 15 * (v.high[t] - v.low[t] - body >= p["wick_ratio"] * body)
            + 10 * (v.rsi(t) <= p["rsi_extreme"])
        )

    found: Trades = {}
    for e in range(len(v)):
        if not (v.close[e] < v.open[e] and points(e) >= 100 * p["panic_score"] - 1e-6):
            continue
        for t in range(e + 1, min(e + p["confirmation_bars"], len(v) - 1) + 1):
            if v.rises(t) and v.rsi(t) > v.rsi(t - 1):
                stop = p["stop_atr"] * v.atr(t)
                found[t] = stop, p["reward_risk"] * stop
                break
    return found


def failed_breakdown(v: View, p: Mapping[str, Any]) -> Trades:
    found: Trades = {}
    for t in range(len(v)):
        if not (v.rises(t) and v.volume[t] >= p["strong_volume"] * v.usual_volume(t)):
            continue
        for b in range(max(t - p["recovery_bars"], 0), t):
            top, bottom = bounds(v, b - p["range_lookback"], b)
            narrow = top - bottom <= p["range_width"] * (bottom if v.sign > 0 else -top)
            deep = v.low[b] < bottom * (1 - v.sign * p["break_depth"])
            weak = v.volume[b] <= p["weak_volume"] * v.usual_volume(b)
            if narrow and deep and weak and v.close[t] > bottom:
                spring = bounds(v, t - p["recovery_bars"], t + 1)[1]
                stop = v.close[t] - spring * (1 - v.sign * p["stop_buffer"])
                far = bounds(v, t - p["range_lookback"] + 1, t + 1)[0] - v.close[t]
                found[t] = stop, far if p["target_at"] == "range" else p["reward_risk"] * stop
    return found


@dataclass
class Higher:
    """A higher bar and the base bar with whose close it closes."""

    at: int
    high: float
    low: float
    close: float


@cache
def higher(v: View, multiple: int) -> list[Higher]:
    step = v.time[1] - v.time[0]
    ends = [t for t in range(len(v)) if (v.time[t] // step + 1) % multiple == 0 and t >= multiple - 1]
    return [Higher(t, *bounds(v, t - multiple + 1, t + 1), v.close[t]) for t in ends]


def sweeps(v: View, p: Mapping[str, Any]) -> dict[int, Higher]:
    """Base bar at which a higher bar closes that has swept the last swing low of the higher bars."""
    bars, found = higher(v, p["htf_multiple"]), {}
    for g in range(len(bars)):
        for j in range(g - 2, 0, -1):
            if bars[j].low < bars[j - 1].low and bars[j].low <= bars[j + 1].low:
                young = g - j <= p["swing_lookback"]
                deep = bars[g].low < bars[j].low * (1 - v.sign * p["sweep_depth"])
                if young and deep and bars[g].close > bars[j].low:
                    found[bars[g].at] = bars[g]
                break
    return found


def htf_sweep(v: View, p: Mapping[str, Any]) -> Trades:
    own, other = sweeps(v, p), sweeps(v.upside_down(), p)
    found: Trades = {}
    for e in (e for e in own if e not in other):
        for t in range(e + 1, min(e + p["mss_bars"], len(v) - 1) + 1):
            if (t in own) != (t in other):
                break
            if v.close[t] > own[e].high:
                stop = v.close[t] - own[e].low
                found[t] = stop, p["reward_risk"] * stop
                break
    return found


def volume_breakout(v: View, p: Mapping[str, Any]) -> Trades:
    if v.sign < 0 and p["sides"] == "long":
        return {}
    found: Trades = {}
    for t in range(p["consolidation_bars"], len(v)):
        before = range(t - p["consolidation_bars"], t)
        widths = [(v.high[s] - v.low[s]) / v.atr(s, 20) if v.atr(s, 20) > 0 else NAN for s in before]
        top, bottom = bounds(v, before[0], t)
        quiet = present(widths) and all(w < p["range_atr"] for w in present(widths))
        if quiet and v.close[t] > top and v.volume[t] >= p["volume_multiple"] * v.usual_volume(t):
            stop = v.close[t] - (top + bottom) / 2
            found[t] = stop, p["reward_risk"] * stop
    return found


def divergence_capitulation(v: View, p: Mapping[str, Any]) -> Trades:
    found: Trades = {}
    for s in (s for s in range(len(v)) if v.is_swing_low(s)):
        event = s + 2
        earlier = [
            o
            for o in range(max(s - 60, 0), s - 4)
            if v.is_swing_low(o)
            and v.low[s] < v.low[o]
            and v.rsi(s) > v.rsi(o)
            and event - o <= p["divergence_lookback"]
        ]
        usual = v.usual_volume(s)
        loud = usual > 0 and v.volume[s] >= p["volume_spike"] * usual
        if not (earlier and loud and v.ema(event, 50) < v.ema(event, 200)):
            continue
        for t in range(event + 1, min(event + 5, len(v) - 1) + 1):
            if v.is_swing_low(t - 2):
                break
            if v.rises(t):
                stop = v.close[t] - v.low[s] * (1 - v.sign * p["stop_buffer"])
                target = p["reward_risk"] * stop
                if p["target_at"] == "ema":
                    target = v.ema(t, 50) - v.close[t]
                    target = target if target >= 1.5 * stop else NAN
                found[t] = stop, target
                break
    return found


def momentum(v: View, p: Mapping[str, Any]) -> Trades:
    k, close = p["lookback"], v.close
    return {
        t: (NAN, NAN) for t in range(k, len(v)) if v.sign * (close[t] / close[t - k] - 1) > p["threshold"]
    }


def score(v: View, t: int, window: int) -> float:
    values = present(v.close[t - window + 1 : t + 1]) if t >= window - 1 else []
    middle = math.fsum(values) / len(values) if values else NAN
    spread = math.sqrt(math.fsum((x - middle) ** 2 for x in values) / len(values)) if values else NAN
    return (v.close[t] - middle) / spread if spread > 0 else NAN


def mean_reversion(v: View, p: Mapping[str, Any]) -> Trades:
    return {t: (NAN, NAN) for t in range(len(v)) if score(v, t, p["window"]) < -p["deviation"]}


def breakout(v: View, p: Mapping[str, Any]) -> Trades:
    beyond = p["multiplier"] * 0.1
    return {
        t: (NAN, NAN)
        for t in range(len(v))
        if v.close[t] - bounds(v, t - p["period"], t)[0] > beyond * v.atr(t)
    }


def exits(name: str, v: View, p: Mapping[str, Any]) -> list[bool]:
    """Bars on which a long is closed by a signal."""
    rules: dict[str, Callable[[int], bool]] = {
        "momentum": lambda t: (
            t >= p["lookback"] and v.sign * (v.close[t] / v.close[t - p["lookback"]] - 1) < 0
        ),
        "mean_reversion": lambda t: score(v, t, p["window"]) >= p["exit_z"],
        "breakout": lambda t: v.close[t] < bounds(v, t - p["period"], t)[1],
    }
    return [rules[name](t) for t in range(len(v))]


RULES: dict[str, Callable[[View, Mapping[str, Any]], Trades]] = {
    f.__name__: f
    for f in (
        capitulation_reversal,
        failed_breakdown,
        htf_sweep,
        volume_breakout,
        divergence_capitulation,
        momentum,
        mean_reversion,
        breakout,
    )
}
EXITS = ("momentum", "mean_reversion", "breakout")
