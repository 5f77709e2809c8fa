"""Candles in the database: whole columns in and out, without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.errors import InputError, NotStoredError
from quantlab.market.candles import COLUMNS, Candles, iso, step_ms

if TYPE_CHECKING:
    import psycopg

_PIECE = 1 << 20  # bytes of a COPY message
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_ROW = np.dtype(
    [("fields", ">i2"), ("series_bytes", ">i4"), ("series", ">i4"), ("ts_bytes", ">i4"), ("ts", ">i8")]
    + [part for name in COLUMNS for part in ((f"{name}_bytes", ">i4"), (name, ">f8"))]
)
_ARRAYS = ", ".join(
    [
        "string_agg(int8send(ts), '' order by ts)",
        *(f"string_agg(float8send({name}), '' order by ts)" for name in COLUMNS),
    ]
)


class Market(NamedTuple):
    """One stored series: its identity, the open times of its first and last bar, its rows and revision."""

    exchange: str
    symbol: str
    timeframe: str
    first_ms: int
    last_ms: int
    rows: int
    revision: int


def put(connection: psycopg.Connection, candles: Candles) -> int:
    """Store candles: new bars are added, changed ones replaced; lost bars have no row.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    candles : Candles
        At least one bar that is not lost.

    Returns
    -------
    int
        The revision of the series, one more than before if anything changed.
    """
    present = ~candles.missing
    if not present.any():
        raise InputError(f"all {len(candles)} bars of {candles!r} are missing: there is nothing to store.")
    given = np.stack([getattr(candles, name)[present] + 0.0 for name in COLUMNS])  # -0.0 becomes 0.0
    times = candles.timestamps[present]
    series, revision = _locked_series(connection, candles)
    old_times, old = _read(connection, series, int(times[0]), int(times[-1]))
    place = np.minimum(np.searchsorted(old_times, times), max(len(old_times) - 1, 0))
    known = old_times[place] == times if len(old_times) else np.zeros(len(times), bool)
    same = known.copy()
    same[known] = (given[:, known] == old[:, place[known]]).all(axis=0)
    if same.all():
        return revision
    if (known & ~same).any():
        connection.execute(
            "delete from candle where series_id = %s and ts = any(%s)",
            [series, times[known & ~same].tolist()],
        )
    _copy(connection, series, times[~same], given[:, ~same])
    connection.execute("update series set revision = %s where id = %s", [revision + 1, series])
    return revision + 1


def get(
    connection: psycopg.Connection,
    exchange: str,
    symbol: str,
    timeframe: str,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Candles:
    """Read candles; bars without a row are lost bars, NaN with the flag ``MISSING``.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    exchange, symbol, timeframe : str
        Identity of the market.
    start_ms, end_ms : int, optional
        Open times of the first and the last bar wanted [epoch ms], both included.

    Raises
    ------
    NotStoredError
        Nothing is stored there; names what is, nearest first.
    """
    step = step_ms(timeframe)
    row = connection.execute(
        "select id from series where (exchange, symbol, timeframe) = (%s, %s, %s)",
        [exchange, symbol, timeframe],
    ).fetchone()
    times, columns = (
        _read(connection, row[0], start_ms, end_ms) if row else (np.empty(0, np.int64), np.empty((5, 0)))
    )
    if times.size == 0:
        raise NotStoredError(_absence(markets(connection), (exchange, symbol, timeframe), start_ms, end_ms))
    rows = (times - times[0]) // step
    grid = times[0] + step * np.arange(int(rows[-1]) + 1)
    wide = np.full((len(COLUMNS), len(grid)), np.nan)
    wide[:, rows] = columns
    return Candles.from_arrays(exchange, symbol, timeframe, grid, *wide)


def markets(connection: psycopg.Connection) -> list[Market]:
    """All stored series, by name."""
    query = """
        select exchange, symbol, timeframe, min(ts), max(ts), count(*), revision
        from series join candle on series_id = id group by id order by exchange, symbol, timeframe"""
    return [Market(*row) for row in connection.execute(query)]


def _locked_series(connection: psycopg.Connection, candles: Candles) -> tuple[int, int]:
    """The id and revision of the candles' series, locked against other writers until the commit."""
    identity = [candles.exchange, candles.symbol, candles.timeframe]
    connection.execute(
        "insert into series (exchange, symbol, timeframe) values (%s, %s, %s) "
        "on conflict (exchange, symbol, timeframe) do nothing",
        identity,
    )
    row = connection.execute(
        "select id, revision from series where (exchange, symbol, timeframe) = (%s, %s, %s) for update",
        identity,
    ).fetchone()
    assert row is not None, "series are never deleted"
    return row[0], row[1]


def _read(
    connection: psycopg.Connection, series: int, start_ms: int | None, end_ms: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) and columns (5, n) of the stored rows, as one row of binary aggregates."""
    bounds = [series, -(2**63) if start_ms is None else start_ms, 2**63 - 1 if end_ms is None else end_ms]
    query = f"""
        select {_ARRAYS} from candle
        where series_id = %s and ts between %s and %s"""
    row = connection.execute(query, bounds, binary=True).fetchone() or ()
    if not row or row[0] is None:
        return np.empty(0, np.int64), np.empty((len(COLUMNS), 0))
    times = np.frombuffer(row[0], ">i8").astype(np.int64)
    return times, np.stack([np.frombuffer(column, ">f8") for column in row[1:]]).astype(np.float64)


def _copy(connection: psycopg.Connection, series: int, times: np.ndarray, columns: np.ndarray) -> None:
    """Load rows through a binary COPY whose payload is one structured array."""
    rows = np.empty(len(times), _ROW)
    rows["fields"] = 2 + len(COLUMNS)
    rows["series_bytes"], rows["series"], rows["ts_bytes"], rows["ts"] = 4, series, 8, times
    for name, column in zip(COLUMNS, columns, strict=True):
        rows[f"{name}_bytes"], rows[name] = 8, column
    payload = memoryview(rows.tobytes())
    target = f"copy candle (series_id, ts, {', '.join(COLUMNS)}) from stdin (format binary)"
    with connection.cursor() as cursor, cursor.copy(target.encode()) as copy:
        copy.write(_COPY_HEADER)
        for start in range(0, len(payload), _PIECE):
            copy.write(payload[start : start + _PIECE])
        copy.write(b"\xff\xff")


def _absence(
    stored: Sequence[Market], wanted: tuple[str, str, str], start_ms: int | None, end_ms: int | None
) -> str:
    name = " ".join(wanted)
    for market in stored:
        if market[:3] == wanted:
            asked = " to ".join(iso(ms) if ms is not None else "..." for ms in (start_ms, end_ms))
            return (
                f"no candles of {name} are stored from {asked}: stored are {iso(market.first_ms)} to "
                f"{iso(market.last_ms)}. Ask for times within."
            )
    near = sorted(stored, key=lambda m: SequenceMatcher(None, " ".join(m[:3]).lower(), name.lower()).ratio())[
        ::-1
    ]
    listed = ", ".join(f"{' '.join(m[:3])} ({m.rows:,} bars)" for m in near[:8])
    if not listed:
        return f"no candles of {name} are stored: the database holds none yet. Store some with put_candles."
    step = step_ms(wanted[2])
    made_of = [m.timeframe for m in stored if m[:2] == wanted[:2] and step % step_ms(m.timeframe) == 0]
    return (
        f"no candles of {name} are stored: nearest are {listed}. Ask for one of these, or collect it first."
        + (f" ql.resample makes {wanted[2]} bars of {made_of[0]} ones." if made_of else "")
    )
