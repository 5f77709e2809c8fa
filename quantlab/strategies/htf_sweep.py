"""Higher-timeframe sweep: a long wick through the last swing, then a break of structure on the base bars.

The wick takes the stops beyond a swing that the whole market sees; the break of the wick bar's other end
on the lower timeframe shows that the sweep has turned the market.

Long rule (the short side is its mirror image); a *higher bar* is `htf_multiple` base bars on the UTC grid:

1. *Level*: the last confirmed swing low of the higher bars (lowest of three), at most `swing_lookback`
   higher bars old, known before the sweep bar opens.
2. *Sweep*: a higher bar whose low < level x (1 - `sweep_depth`) and whose close > level. A bar that
   sweeps both sides sweeps neither.
3. *Structure break*: the first base bar that closes above the sweep bar's high, at most `mss_bars` base
   bars after the sweep bar's close. A newer sweep, of either side, ends the older.
4. *Entry* at the next open. Stop at the low of the sweep bar, target `reward_risk` x that distance.

Known at: a higher bar, its swings (a bar after their extreme) and its sweep at the close of its last base
bar, never before; the break at the close of its own bar. Warm-up: (`swing_lookback` + 2) x `htf_multiple`
+ 48 bars, because the stop looks 48 bars back for the sweep.

Distances are from the close of the break, kept from the open that fills it. Left out: order blocks and fair
value gaps, which each author draws in another way.
Source: liquidity-sweep and market-structure patterns of public price-action literature.
"""

from __future__ import annotations

import numpy as np

from quantlab.indicators import first_within, higher_bars, hold, lag
from quantlab.signals import Columns, Signals, strategy
from quantlab.space import Float, Int, Params, Space

LONGEST = 48

SPACE = Space(
    Int("htf_multiple", 4, 24, 12, "bars", "base bars in a higher bar", "entry"),
    Int("swing_lookback", 15, 30, 20, "higher bars", "greatest age of the swing", "entry"),
    Float("sweep_depth", 0.0005, 0.002, 0.001, "fraction", "how far beyond the swing", "entry"),
    Int("mss_bars", 12, LONGEST, 24, "bars", "bars to break the structure", "entry"),
    Float("reward_risk", 2.0, 3.0, 2.0, "x stop", "target distance", "exit"),
)

REFERENCE = {
    "htf_multiple": [4, 12, 16, 24],
    "swing_lookback": [15, 20, 25, 30],
    "sweep_depth": [0.0005, 0.00075, 0.001, 0.00125, 0.0015, 0.002],
    "mss_bars": [12, 18, 24, 36, 48],
    "reward_risk": [2.0, 2.25, 2.5, 2.75, 3.0],
}


def swept_lows(
    low: np.ndarray, close: np.ndarray, closed: np.ndarray, p: Params, depth: np.ndarray
) -> np.ndarray:
    """Rules 1 and 2: where a higher bar closes that has swept the last swing low of the higher bars."""
    one = p.htf_multiple
    before = lag(low, one)
    confirmed = closed & (before < lag(low, 2 * one)) & (before <= low)
    level = lag(hold(before, confirmed, (p.swing_lookback - 2) * one), one)
    return closed & (low < level * (1 - depth)) & (close > level)


@strategy("htf_sweep", SPACE, lambda p: (p["swing_lookback"] + 2) * p["htf_multiple"] + LONGEST, REFERENCE)
def signals(candles: Columns, p: Params) -> Signals:
    """Entries and exits of the rule above for every cell of `p`."""
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    bars = higher_bars(candles.timestamps, *columns, p.htf_multiple)

    lows = swept_lows(bars.low, bars.close, bars.closed, p, p.sweep_depth)
    highs = swept_lows(-bars.high, -bars.close, bars.closed, p, -p.sweep_depth)
    lows, highs, sweeps = lows & ~highs, highs & ~lows, lows ^ highs

    top, bottom = hold(bars.high, sweeps, LONGEST), hold(bars.low, sweeps, LONGEST)
    from_below = hold(np.where(lows, 1.0, 0.0), sweeps, LONGEST) == 1
    stop = np.where(from_below, candles.close - bottom, top - candles.close)
    return Signals(
        long=first_within(lows, candles.close > top, p.mss_bars, ended_by=sweeps),
        short=first_within(highs, candles.close < bottom, p.mss_bars, ended_by=sweeps),
        stop=stop,
        target=p.reward_risk * stop,
    )
