"""Capitulation reversal: a climax in which sellers give up, and the first bar that recovers from it.

Climax volume, a fast drop, an expanding range, long wicks and an exhausted RSI are scored together: no
single one of them is a panic, most of them at once are.

Long rule (the short side is its mirror image, after a rising climax with RSI >= 100 - `rsi_extreme`):

1. *Panic score* of a falling bar, the sum of the weights of what holds:
   0.30 volume >= `volume_explosion` x mean volume of the 20 bars before;
   0.25 |close - open| >= `velocity` x open;
   0.20 ATR >= `atr_expansion` x mean ATR of the 20 bars before;
   0.15 wicks >= `wick_ratio` x body;
   0.10 RSI <= `rsi_extreme`.
2. *Event* when the score is at least `panic_score`.
3. *Confirmation*: the first rising bar with a rising RSI, at most `confirmation_bars` bars later.
4. *Entry* at the next open. Stop `stop_atr` x ATR from it, target `reward_risk` x that distance, at most
   `max_holding` bars.

Known at: everything at the close of its own bar. Warm-up: 374 bars, the memory of RSI, and
`confirmation_bars` more.

ATR is the simple mean of 14 true ranges; RSI is Wilder's over 14 bars, cut where the weight left out is
below 1e-12, so that a decision depends on the warm-up bars alone. Left out: liquidations, funding and the
order book, which would show a capitulation better, but are not in candles.
Source: climax patterns of public price-action literature; J. Campbell, S. Grossman, J. Wang, "Trading
volume and serial correlation in stock returns", Quarterly J. of Economics 108 (1993).
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators import first_within, mean_true_range, rsi, score_at_least, shift, sma, wilder_memory
from quantlab.signals import Columns, Signals, all_of, strategy
from quantlab.space import Float, Int, Params, Space

WEIGHTS = (0.30, 0.25, 0.20, 0.15, 0.10)

SPACE = Space(
    Float("volume_explosion", 3.0, 10.0, 5.0, "x mean of 20", "volume of a climax", "entry"),
    Float("velocity", 0.01, 0.10, 0.03, "fraction", "body of a climax", "entry"),
    Float("atr_expansion", 1.5, 4.0, 2.5, "x mean of 20", "ATR of a climax", "entry"),
    Float("wick_ratio", 1.5, 4.0, 3.0, "x body", "wicks of a climax", "entry"),
    Float("rsi_extreme", 10.0, 30.0, 15.0, "RSI points", "RSI of a climax", "entry"),
    Float("panic_score", 0.4, 0.9, 0.6, "score", "what makes a panic", "entry"),
    Int("confirmation_bars", 1, 15, 5, "bars", "bars to recover", "entry"),
    Float("stop_atr", 1.0, 3.0, 1.5, "ATR", "stop distance", "exit"),
    Float("reward_risk", 2.0, 5.0, 2.5, "x stop", "target distance", "exit"),
    Int("max_holding", 10, 200, 50, "bars", "longest time in the market", "exit"),
)

REFERENCE = {
    "volume_explosion": [3.0, 4.0, 5.0, 7.0],
    "velocity": [0.01, 0.02, 0.03, 0.05],
    "atr_expansion": [1.5, 2.0, 2.5],
    "wick_ratio": [1.5, 2.0, 3.0],
    "rsi_extreme": [15.0, 20.0, 30.0],
    "panic_score": [0.4, 0.5, 0.6, 0.75],
    "confirmation_bars": [1, 3, 5, 10],
    "stop_atr": [1.0, 1.5, 2.0, 3.0],
    "reward_risk": [2.0, 2.5, 3.0, 4.0],
}


@strategy("capitulation_reversal", SPACE, lambda p: wilder_memory(14) + 1 + p["confirmation_bars"], REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    change, strength = candles.close - candles.open, rsi(candles.close, 14)
    atr, body = mean_true_range(candles.high, candles.low, candles.close, 14), np.abs(change)

    violent = [
        candles.volume >= p.volume_explosion * shift(sma(candles.volume, 20), 1),
        body >= p.velocity * candles.open,
        atr >= p.atr_expansion * shift(sma(atr, 20), 1),
        candles.high - candles.low - body >= p.wick_ratio * body,
    ]
    sold_out = score_at_least([*violent, strength <= p.rsi_extreme], WEIGHTS, p.panic_score)
    bought_out = score_at_least([*violent, strength >= 100 - p.rsi_extreme], WEIGHTS, p.panic_score)

    rises, falls = change > 0, change < 0
    recovers, gives_way = rises & (strength > shift(strength, 1)), falls & (strength < shift(strength, 1))
    stop = p.stop_atr * atr
    return Signals(
        long=first_within(all_of(sold_out, falls), recovers, p.confirmation_bars),
        short=first_within(all_of(bought_out, rises), gives_way, p.confirmation_bars),
        stop=stop,
        target=p.reward_risk * stop,
        max_holding=p.max_holding,
    )
