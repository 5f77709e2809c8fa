"""Markets for property tests: GARCH prices with lost, quiet and flat bars, any number of them."""

import numpy as np
from hypothesis import strategies as st

from quantlab.market.candles import COLUMNS, Candles
from quantlab.market.synthetic import garch


def damaged(seed, n_bars, lost, quiet, timeframe="1h"):
    """GARCH candles in which the given shares of bars are lost, or flat at the last close with volume 0."""
    candles = garch(n_bars, seed=seed, timeframe=timeframe)
    rng = np.random.default_rng(seed)
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    gone = rng.random(n_bars) < lost
    gone[rng.integers(n_bars)] = False
    still = (rng.random(n_bars) < quiet) & ~gone
    last = np.nan
    for t in range(n_bars):
        if gone[t]:
            for column in columns.values():
                column[t] = np.nan
        elif still[t] and not np.isnan(last):
            for name in ("open", "high", "low", "close"):
                columns[name][t] = last
            columns["volume"][t] = 0.0
        else:
            last = columns["close"][t]
    return Candles.from_arrays("test", "BTC/USD", timeframe, candles.timestamps, **columns)


@st.composite
def markets(draw, timeframe="1h", max_bars=400):
    """Draw a damaged market."""
    return damaged(
        draw(st.integers(0, 10_000)),
        draw(st.integers(2, max_bars)),
        draw(st.sampled_from([0.0, 0.05, 0.5])),
        draw(st.sampled_from([0.0, 0.1, 0.6])),
        timeframe,
    )
