"""Failed breakdown (Wyckoff's spring): a range breaks on little volume and is regained on much.

Where nobody sells into a break of support, there is no supply below it; the volume that carries price
back shows who was waiting there.

Long rule (the short side, the upthrust, is its mirror image):

1. *Range*: highest high and lowest low of the `range_lookback` bars before the break, no wider than
   `range_width` of the low.
2. *Break*: low < range low x (1 - `break_depth`), on volume <= `weak_volume` x mean volume of the 20
   bars before: what is ordinary, and less than the recovery brings.
3. *Recovery*: within `recovery_bars` bars after the break a rising bar closes above the range low of the
   break, on volume >= `strong_volume` x mean volume of the 20 bars before.
4. *Entry* at the next open. Stop below the spring, the lowest low since `recovery_bars` bars ago, by
   `stop_buffer` of it. Target by `target_at`: "range", the highest high of the last `range_lookback` bars,
   or "reward_risk", `reward_risk` x the stop distance. No entry where it is not beyond the close.

Known at: the range at the close before the break; break and recovery at the close of their own bar.
Warm-up: `range_lookback` (at least 20) + `recovery_bars` + 1 bars.

Stop and target are distances from the close of the recovery, kept from the open that fills it. Published
settings (a break of 0.005 on at most 0.9 x mean volume) occur less than once in a year of hourly crypto
candles, so the bounds reach further. Left out: Wyckoff's phases before the spring, which are drawn by eye.
Source: R. Wyckoff, The Richard D. Wyckoff Method of Trading and Investing in Stocks (1931), as public
literature describes the spring.
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators import donchian, reclaimed, rolling_max, rolling_min, shift, sma
from quantlab.signals import Columns, Signals, above, all_of, below, pick, strategy
from quantlab.space import Choice, Float, Int, Params, Space

SPACE = Space(
    Int("range_lookback", 20, 200, 20, "bars", "bars of the range", "entry"),
    Float("range_width", 0.02, 0.08, 0.05, "fraction", "widest range", "entry"),
    Float("break_depth", 0.0005, 0.02, 0.0005, "fraction", "how far beyond the range", "entry"),
    Float("weak_volume", 0.3, 2.0, 1.5, "x mean of 20", "volume of the break, at most", "entry"),
    Int("recovery_bars", 1, 5, 3, "bars", "bars to come back", "entry"),
    Float("strong_volume", 1.0, 4.0, 1.75, "x mean of 20", "volume of the recovery, at least", "entry"),
    Float("stop_buffer", 0.001, 0.01, 0.003, "fraction", "stop beyond the spring", "exit"),
    Choice(
        "target_at", ("range", "reward_risk"), "range", "name", "far side of the range, or by risk", "exit"
    ),
    Float("reward_risk", 1.5, 4.0, 2.0, "x stop", "target distance", "exit"),
    constraints=("weak_volume < strong_volume",),
)

REFERENCE = {
    "range_lookback": [20, 30, 40, 50, 75, 100, 200],
    "range_width": [0.02, 0.03, 0.04, 0.05, 0.06, 0.08],
    "break_depth": [0.0005, 0.001, 0.002, 0.005],
    "weak_volume": [0.6, 0.9, 1.2, 1.5],
    "recovery_bars": [1, 2, 3, 5],
    "strong_volume": [1.25, 1.5, 1.75, 2.0, 2.5],
    "stop_buffer": [0.001, 0.003, 0.005, 0.01],
    "target_at": ["range", "reward_risk"],
}


@strategy(
    "failed_breakdown",
    SPACE,
    lambda p: np.maximum(p["range_lookback"], 20) + p["recovery_bars"] + 1,
    REFERENCE,
)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    high, low, close = candles.high, candles.low, candles.close
    top, bottom = (shift(bound, 1) for bound in donchian(high, low, p.range_lookback))
    usual, since = shift(sma(candles.volume, 20), 1), p.recovery_bars + 1
    weak, strong = candles.volume <= p.weak_volume * usual, candles.volume >= p.strong_volume * usual
    narrow, rises = top - bottom <= p.range_width * bottom, close > candles.open

    broken_down = all_of(narrow, weak, below(low, bottom * (1 - p.break_depth)))
    broken_up = all_of(narrow, weak, above(high, top * (1 + p.break_depth)))

    spring = close - rolling_min(low, since) * (1 - p.stop_buffer)
    upthrust = rolling_max(high, since) * (1 + p.stop_buffer) - close
    stop = np.where(rises, spring, upthrust)

    def far_side() -> np.ndarray:
        highest, lowest = donchian(high, low, p.range_lookback)
        return np.where(rises, highest - close, close - lowest)

    return Signals(
        long=all_of(reclaimed(broken_down, close, bottom, since), strong, rises),
        short=all_of(reclaimed(broken_up, -close, -top, since), strong, close < candles.open),
        stop=stop,
        target=pick(p.target_at, range=far_side, reward_risk=lambda: p.reward_risk * stop),
    )
