"""Small markets for the store's tests."""

from __future__ import annotations

import numpy as np

from quantlab.market.candles import Candles

FIRST_MS = 1_514_764_800_000  # 2018-01-01


def market(n_bars: int = 200, seed: int = 0, lost: tuple[int, ...] = (), **names: str) -> Candles:
    identity = {"exchange": "coinbase", "symbol": "BTC/USD", "timeframe": "1h"} | names
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n_bars)))
    open = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(open, close) * 1.001, np.minimum(open, close) * 0.999
    columns = np.stack([open, high, low, close, rng.exponential(1, n_bars)])
    columns[:, list(lost)] = np.nan
    step = {"1m": 60_000, "1h": 3_600_000}[identity["timeframe"]]
    return Candles.from_arrays(*identity.values(), FIRST_MS + step * np.arange(n_bars), *columns)
