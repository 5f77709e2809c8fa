"""Reading the columns of a candle out of a pandas frame: names, dtypes, time zones."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np

from quantlab.errors import CandlesError
from quantlab.market.candles import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def columns(frame: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Return timestamps (int64, epoch ms UTC) and open, high, low, close, volume (float64), each (n_rows,).

    Raises
    ------
    CandlesError
        `frame` is not a frame, a column is missing, doubled or not numeric, or there are no bar times.
    """
    if not hasattr(frame, "columns") or not hasattr(frame, "index"):
        raise CandlesError(
            f"candles are read from a pandas DataFrame, got {type(frame).__name__}: pandas.read_csv, "
            "pandas.read_parquet and pandas.DataFrame(rows, columns=...) make one."
        )
    return _timestamps(frame), *(_numbers(frame, name) for name in COLUMNS)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    names = [str(c) for c in frame.columns]
    if name in names and names.count(name) == 1:
        return frame.iloc[:, names.index(name)]
    if name in names:
        raise CandlesError(f"the frame has {names.count(name)} columns called {name!r}: keep one of them.")
    lowered = {c.lower().strip(): c for c in names}
    near = difflib.get_close_matches(name, lowered, n=1, cutoff=0.6)
    remedy = (
        f'rename it: frame.rename(columns={{"{lowered[near[0]]}": "{name}"}}).'
        if near
        else "candles need open, high, low, close, volume and a timestamp."
    )
    raise CandlesError(f"the frame has no column {name!r}; its columns are {', '.join(names)}: {remedy}")


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    import pandas as pd

    column = _column(frame, name)
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        first = column.iloc[0] if len(column) else None
        raise CandlesError(
            f"column {name!r} must be numeric, got dtype {column.dtype} (first value {first!r}): "
            f"convert it, e.g. with pandas.to_numeric."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _timestamps(frame: pd.DataFrame) -> np.ndarray:
    import pandas as pd

    indexed = "timestamp" not in map(str, frame.columns) and isinstance(frame.index, pd.DatetimeIndex)
    times = frame.index.to_series() if indexed else _column(frame, "timestamp")
    if pd.api.types.is_datetime64_any_dtype(times.dtype):
        return _epoch_ms(pd.DatetimeIndex(times))
    if not pd.api.types.is_numeric_dtype(times.dtype) or pd.api.types.is_bool_dtype(times.dtype):
        first = times.iloc[0] if len(times) else None
        raise CandlesError(
            f"timestamps must be integers (epoch milliseconds UTC) or datetimes, got dtype {times.dtype} "
            f"(first value {first!r}): convert them with pandas.to_datetime(..., utc=True)."
        )
    if times.isna().any():
        row = int(np.flatnonzero(times.isna().to_numpy())[0])
        raise CandlesError(f"row {row} has no timestamp: every row needs the open time of its bar.")
    return times.to_numpy()


def _epoch_ms(times: pd.DatetimeIndex) -> np.ndarray:
    if times.hasnans:
        row = int(np.flatnonzero(times.isna())[0])
        raise CandlesError(f"row {row} has no timestamp (NaT): every row needs the open time of its bar.")
    naive = times if times.tz is None else times.tz_convert("UTC").tz_localize(None)
    exact = naive.as_unit("ns").to_numpy().astype(np.int64)
    finer = np.flatnonzero(exact % 1_000_000)
    if finer.size:
        raise CandlesError(
            f"row {finer[0]} opens at {naive[finer[0]]}, finer than a millisecond: bar times lie on the "
            f"grid of their timeframe."
        )
    return exact // 1_000_000
