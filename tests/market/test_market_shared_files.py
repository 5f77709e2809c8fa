"""Other real files, where a developer has them: QUANTLAB_SHARED, or ../shared/data beside the checkout."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantlab.market.candles import Candles
from quantlab.market.resample import resample

FOLDER = Path(os.environ.get("QUANTLAB_SHARED") or Path(__file__).resolve().parents[3] / "shared" / "data")
FILES = sorted(FOLDER.glob("*_*_*.parquet"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_real_file_becomes_candles_that_keep_every_row(path):
    exchange, symbol, timeframe = path.stem.rsplit("_", 2)
    rows = pd.read_parquet(path)
    candles = Candles.from_frame(rows, exchange=exchange, symbol=symbol, timeframe=timeframe)
    assert (~candles.missing).sum() == len(rows)
    assert np.array_equal(candles.close[~candles.missing], rows.close)
    assert candles.quality().missing == len(candles) - len(rows)
    assert np.mean(candles.flags & 8 > 0) < 0.01


def test_coinbase_hours_are_its_quarters():
    paths = [FOLDER / f"coinbase_BTC-USD_{timeframe}.parquet" for timeframe in ("15m", "1h")]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"no Coinbase files under {FOLDER} (set QUANTLAB_SHARED)")
    quarters, hours = (
        Candles.from_frame(
            pd.read_parquet(path), exchange="coinbase", symbol="BTC/USD", timeframe=path.stem.rsplit("_")[-1]
        )
        for path in paths
    )
    made = resample(quarters, "1h")
    _, ours, theirs = np.intersect1d(made.timestamps, hours.timestamps, return_indices=True)
    assert ours.size > 17_000
    assert np.mean(made.close[ours] == hours.close[theirs]) > 0.999
