"""Divergence capitulation: price makes a lower low, RSI does not, and volume says that somebody gave up.

In a falling market the last sellers push price to a new low with less force than the sellers before them.

Long rule (the short side is its mirror image):

1. *Trend*: EMA50 < EMA200.
2. *Divergence*: the latest swing low (lowest of 5 bars) lies below an earlier one, 5 to 60 bars before it
   and at most `divergence_lookback` bars ago, with a higher RSI than there.
3. *Volume* of the swing's bar >= `volume_spike` x mean volume of the 20 bars before it.
4. *Event*: 1 to 3 hold on the bar that confirms the swing, two bars after its extreme.
5. *Entry* after the first rising bar behind it, at most 5 bars later and before another swing low is
   confirmed, at the next open.
6. Stop `stop_buffer` below the swing low. Target by `target_at`: "ema", EMA50, and no entry where that is
   less than 1.5 x the stop distance; or "reward_risk", `reward_risk` x the stop distance.

Known at: a swing at the close two bars after its extreme, RSI and volume of its bar with it; averages at
the close of their bar. Warm-up: 806 bars.

The averages remember 800 bars: of EMA200 that leaves out 0.03 % of the weight, and a decision depends on
the warm-up bars alone. RSI is Wilder's over 14 bars (374 bars). Distances are from the close of the rising
bar. Left out: liquidations and open interest, which are not in candles.
Source: divergence as in J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 68; the climax
on volume from public price-action literature.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.indicators import divergence, ema, first_within, latest_swing_low, rsi, shift, sma, value_at
from quantlab.signals import Columns, Signals, pick, strategy
from quantlab.space import Choice, Float, Int, Params, Space

MEMORY, PATIENCE, OLDEST, LEAST_REWARD = 800, 5, 60, 1.5

SPACE = Space(
    Int("divergence_lookback", 40, 70, 60, "bars", "greatest age of the earlier swing", "entry"),
    Float("volume_spike", 2.0, 4.0, 3.0, "x mean of 20", "volume of the swing's bar", "entry"),
    Float("stop_buffer", 0.005, 0.02, 0.01, "fraction", "stop beyond the swing", "exit"),
    Choice("target_at", ("ema", "reward_risk"), "ema", "name", "target at EMA50, or by risk", "exit"),
    Float("reward_risk", 1.5, 4.0, 2.5, "x stop", "target distance", "exit"),
)

REFERENCE = {
    "divergence_lookback": list(range(40, 71, 2)),
    "volume_spike": [2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0],
    "stop_buffer": [0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175, 0.02],
    "target_at": ["ema", "reward_risk"],
    "reward_risk": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
}


@strategy("divergence_capitulation", SPACE, lambda p: MEMORY + PATIENCE + 1, REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    high, low, close, strength = candles.high, candles.low, candles.close, rsi(candles.close, 14)
    fast, slow, usual = ema(close, 50, MEMORY), ema(close, 200, MEMORY), shift(sma(candles.volume, 20), 1)
    loudness = candles.volume / np.where(usual > 0, usual, np.nan)
    rises, falls = close > candles.open, close < candles.open

    def exhausted(
        price: np.ndarray, oscillator: np.ndarray, trend: np.ndarray, turns: np.ndarray
    ) -> tuple[Any, np.ndarray]:
        """Rules 1 to 5 for swing lows of `price`, and the price of the latest one."""
        swing = latest_swing_low(price, most_bars=OLDEST)
        confirmed = np.diff(swing, prepend=-1) > 0
        diverges = divergence(price, oscillator, 5, OLDEST) <= p.divergence_lookback
        loud = value_at(loudness, swing) >= p.volume_spike
        event = confirmed & trend & diverges & loud
        return first_within(event, turns, PATIENCE, ended_by=confirmed), value_at(price, swing)

    long, lowest = exhausted(low, strength, fast < slow, rises)
    short, highest = exhausted(-high, -strength, fast > slow, falls)
    stop = np.where(rises, close - lowest * (1 - p.stop_buffer), -highest * (1 + p.stop_buffer) - close)

    def at_average() -> np.ndarray:
        reward = np.where(rises, fast - close, close - fast)
        return np.where(reward >= LEAST_REWARD * stop, reward, np.nan)

    target = pick(p.target_at, ema=at_average, reward_risk=lambda: p.reward_risk * stop)
    return Signals(long=long, short=short, stop=stop, target=target)
