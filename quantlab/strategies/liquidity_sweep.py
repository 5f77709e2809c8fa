"""Liquidity sweep: stops are hunted through an obvious level, price closes back inside, trade the return.

Resting stops collect beyond a level that many can see. A bar that runs through it on high volume and is
rejected has taken that liquidity; what drove it is spent.

Long rule (the short side is its mirror image):

1. *Level*: the latest confirmed swing low (lowest of 5 bars) of the last `level_lookback` bars that has
   at least `min_touches` swings, itself included, within `level_tolerance`; the lowest of them.
2. *Pierce*: low < level x (1 - `pierce_depth`).
3. *Volume* of the piercing bar >= `volume_spike` x mean volume of the 20 bars before it.
4. *Rejection*: within `rejection_bars` bars (the piercing bar is the first) a bar closes back above the
   level with a rising body >= `reversal_size` x ATR.
5. *Entry* at the next open. Stop `stop_atr` x ATR from it, target `reward_risk` x that distance, at
   most `max_holding` bars. With `stop_at` "extreme" the stop lies no nearer than the sweep's extreme:
   the lowest low of the last `rejection_bars` bars.

Known at: the level at the close before the piercing bar (a swing two bars after its extreme); pierce,
volume and rejection at the close of their own bar. Warm-up: `level_lookback` + 10 bars, at least 26.

ATR is the simple mean of 14 true ranges, so that every decision depends on the warm-up bars alone. Left
out: the resting orders themselves, which candles do not show; distances are from the decision's close.
Source: the stop-hunt pattern of public price-action literature; C. Osler, "Stop-loss orders and price
cascades in currency markets", J. International Money and Finance 24 (2005).
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators import (
    mean_true_range,
    reclaimed,
    resistance,
    rolling_max,
    rolling_min,
    shift,
    sma,
    support,
)
from quantlab.signals import Columns, Signals, above, all_of, below, pick, strategy
from quantlab.space import Choice, Float, Int, Params, Space

SPACE = Space(
    Float("pierce_depth", 0.0005, 0.005, 0.002, "fraction", "how far beyond the level", "entry"),
    Int("rejection_bars", 1, 5, 2, "bars", "bars to close back inside, the piercing one included", "entry"),
    Float("volume_spike", 1.5, 5.0, 2.0, "x mean of 20", "volume of the piercing bar", "entry"),
    Float("reversal_size", 0.5, 2.0, 0.5, "ATR", "body of the rejecting bar", "entry"),
    Int("level_lookback", 20, 200, 100, "bars", "greatest age of a touch", "entry"),
    Int("min_touches", 1, 5, 2, "swings", "swings that make a level", "entry"),
    Float("level_tolerance", 0.0005, 0.003, 0.001, "fraction", "distance between touches", "entry"),
    Float("stop_atr", 0.5, 3.0, 1.5, "ATR", "stop distance", "exit"),
    Float("reward_risk", 1.5, 4.0, 2.0, "x stop", "target distance", "exit"),
    Int("max_holding", 30, 150, 50, "bars", "longest time in the market", "exit"),
    Choice(
        "stop_at", ("atr", "extreme"), "atr", "name", "stop by ATR, or no nearer than the extreme", "exit"
    ),
)

REFERENCE = {
    "pierce_depth": [0.0005, 0.001, 0.002, 0.003, 0.004, 0.005],
    "rejection_bars": [1, 2, 3, 4, 5],
    "volume_spike": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0],
    "reversal_size": [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0],
    "level_lookback": [20, 50, 100, 150, 200],
    "stop_atr": [0.5, 1.0, 1.5, 2.0],
    "reward_risk": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
}


@strategy("liquidity_sweep", SPACE, lambda p: np.maximum(p["level_lookback"] + 10, 26), REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    atr = mean_true_range(candles.high, candles.low, candles.close, 14)
    surge = candles.volume >= p.volume_spike * shift(sma(candles.volume, 20), 1)
    body = candles.close - candles.open

    floor = shift(support(candles.low, p.level_lookback, p.min_touches, p.level_tolerance), 1)
    ceiling = shift(resistance(candles.high, p.level_lookback, p.min_touches, p.level_tolerance), 1)
    hunted_low = all_of(below(candles.low, floor * (1 - p.pierce_depth)), surge)
    hunted_high = all_of(above(candles.high, ceiling * (1 + p.pierce_depth)), surge)

    def extreme() -> np.ndarray:
        lowest, highest = (
            rolling_min(candles.low, p.rejection_bars),
            rolling_max(candles.high, p.rejection_bars),
        )
        return np.where(body > 0, candles.close - lowest, highest - candles.close)

    by_atr = p.stop_atr * atr
    stop = pick(p.stop_at, atr=lambda: by_atr, extreme=lambda: np.maximum(by_atr, extreme()))
    return Signals(
        long=all_of(
            reclaimed(hunted_low, candles.close, floor, p.rejection_bars), body >= p.reversal_size * atr
        ),
        short=all_of(
            reclaimed(hunted_high, -candles.close, -ceiling, p.rejection_bars), -body >= p.reversal_size * atr
        ),
        stop=stop,
        target=p.reward_risk * stop,
        max_holding=p.max_holding,
    )
