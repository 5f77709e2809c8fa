"""A market that changes between three known states, with one damaged stretch on request."""

import numpy as np

from quantlab.market.candles import COLUMNS, TIMEFRAMES, Candles


def three_states(bars, seed=1, drift=0.1, spread=(0.9, 1.6, 0.5), duration=500):
    """Candles, and the place in `REGIMES` of the true state of each bar."""
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.permuted(np.tile([0, 1, 2], bars)), duration)[:bars]
    steps = np.array([drift, -drift, 0.0])[state] + np.array(spread)[state] * rng.standard_t(
        4, bars
    ) / np.sqrt(2)
    close = 100.0 * np.exp(np.cumsum(0.005 * steps))
    opened = np.concatenate(([100.0], close[:-1]))
    columns = opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(bars)
    times = np.arange(bars, dtype=np.int64) * TIMEFRAMES["1h"]
    return Candles.from_arrays("test", "BTC/USD", "1h", times, *columns), state


def changed(candles, **bars):
    """The same candles with other values: ``changed(candles, close=(slice, values))`` or ``lost=slice``."""
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    if "lost" in bars:
        for column in columns.values():
            column[bars["lost"]] = np.nan
    if "wild" in bars:
        where = bars["wild"]
        factor = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.2, len(columns["close"][where]))))
        for name in ("open", "high", "low", "close"):
            columns[name][where] *= factor
    return Candles.from_arrays("test", "BTC/USD", candles.timeframe, candles.timestamps, **columns)
