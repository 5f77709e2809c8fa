import numpy as np
import pandas as pd
import pytest

from quantlab.errors import CandlesError
from quantlab.market.candles import Candles

HOUR = 3_600_000
START = 1_514_764_800_000


def frame(n=6):
    close = 100.0 + np.arange(n)
    return pd.DataFrame(
        {
            "timestamp": START + HOUR * np.arange(n),
            "open": close - 0.5,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume": 5.0,
        }
    )


def read(rows, timeframe="1h"):
    return Candles.from_frame(rows, exchange="kraken", symbol="BTC/USD", timeframe=timeframe)


def as_index(rows, **kwargs):
    return rows.drop(columns="timestamp").set_index(
        pd.to_datetime(rows.timestamp, unit="ms", **kwargs).rename("t")
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(timestamp=f.timestamp.astype(float)),
        lambda f: f.assign(timestamp=f.timestamp.astype("Int64")),
        lambda f: f.assign(timestamp=pd.to_datetime(f.timestamp, unit="ms")),
        lambda f: f.assign(timestamp=pd.to_datetime(f.timestamp, unit="ms").astype("datetime64[s]")),
        lambda f: f.assign(timestamp=pd.to_datetime(f.timestamp, unit="ms", utc=True)),
        lambda f: f.assign(
            timestamp=pd.to_datetime(f.timestamp, unit="ms", utc=True).dt.tz_convert("Asia/Tokyo")
        ),
        lambda f: as_index(f),
        lambda f: as_index(f, utc=True).tz_convert("America/New_York"),
        lambda f: f.assign(note="ignored", volume=f.volume.astype("int32")),
        lambda f: f.assign(close=f.close.astype("Float64")),
        lambda f: f[["volume", "low", "close", "open", "high", "timestamp"]],
        lambda f: f.set_index(pd.date_range("1999", periods=len(f), freq="h")),  # the column wins
    ],
)
def test_times_and_columns_in_every_form_are_the_same_candles(change):
    assert read(change(frame())) == read(frame())


def test_a_naive_clock_is_taken_as_utc():
    assert read(as_index(frame())).first_ms == START


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.rename(columns={"close": "Close"}),
            r'no column \'close\'.*rename\(columns=\{"Close": "close"\}\)',
        ),
        (lambda f: f.rename(columns={"volume": "volume_btc"}), r'\{"volume_btc": "volume"\}'),
        (
            lambda f: f.drop(columns="low"),
            "no column 'low'; its columns are timestamp, open, high, close, volume",
        ),
        (lambda f: f.drop(columns="timestamp"), "no column 'timestamp'"),
        (lambda f: pd.concat([f, f[["open"]]], axis=1), "2 columns called 'open'"),
        (lambda f: f.assign(close="7,123.5"), "'close' must be numeric.*'7,123.5'.*to_numeric"),
        (lambda f: f.assign(volume=True), "'volume' must be numeric, got dtype bool"),
        (lambda f: f.assign(timestamp="2018-01-01 05-AM"), "timestamps must be integers.*'2018-01-01 05-AM'"),
        (lambda f: f.assign(timestamp=f.timestamp.where(f.index != 2)), "row 2 has no timestamp"),
        (
            lambda f: f.assign(timestamp=pd.to_datetime(f.timestamp.where(f.index != 2), unit="ms")),
            "row 2.*NaT",
        ),
        (
            lambda f: f.assign(timestamp=pd.to_datetime(f.timestamp * 1_000_000 + 1)),
            "finer than a millisecond",
        ),
        (lambda f: f.iloc[:0], "there are no rows"),
        (lambda f: f.iloc[::-1], "timestamps must increase"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), "1 timestamps are duplicated"),
        (lambda f: f.to_dict(), "a pandas DataFrame, got dict"),
        # a file labelled at the close of 15 minutes, and one in a zone that is half an hour off
        (lambda f: f.assign(timestamp=f.timestamp + 30 * 60_000), "all rows are 1800 s late"),
    ],
)
def test_what_cannot_be_trusted_is_refused(change, message):
    with pytest.raises(CandlesError, match=message):
        read(change(frame()))


def test_the_frame_is_left_alone():
    rows = frame()
    before = rows.copy(deep=True)
    candles = read(rows)
    pd.testing.assert_frame_equal(rows, before)
    rows.loc[:, "close"] = 0.0
    assert candles.close[0] == 100.0
