"""The border control of candles: every way in which columns can be wrong, and the regular grid.

Inside, nobody checks again. Each error names the condition, the first bar at fault and a remedy.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import numpy.typing as npt

from quantlab.errors import CandlesError, InputError
from quantlab.market.anomalies import suspicious
from quantlab.market.candles import COLUMNS, FLAT, MISSING, NO_TRADE, SUSPICIOUS, TIMEFRAMES, iso, step_ms
from quantlab.market.carry import carried

_UNITS = {"seconds": 1_000, "milliseconds": 1, "microseconds": 1e-3, "nanoseconds": 1e-6}
_SPARSEST = 50  # bars of grid per row; thinner than this is a stray timestamp, not a market
_Grid = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def regular(
    timeframe: str, timestamps: npt.ArrayLike, ohlcv: tuple[npt.ArrayLike, ...], absent: str = "lost"
) -> _Grid:
    """Validate columns and lay them on the regular grid.

    Parameters
    ----------
    timeframe : str
        One of ``TIMEFRAMES``.
    timestamps : array_like of int, shape (n_rows,)
        Bar open times, epoch milliseconds UTC.
    ohlcv : tuple of five array_like of float, each of shape (n_rows,)
        Open, high, low, close, volume.
    absent : {"lost", "no_trade"}
        What a bar without a row means, see ``Candles.from_arrays``.

    Returns
    -------
    tuple of ndarray, each of shape (n_bars,)
        timestamps (int64), open, high, low, close, volume (float64), flags (uint8).

    Raises
    ------
    CandlesError
        The columns cannot be trusted.
    """
    step = step_ms(timeframe)
    if absent not in ("lost", "no_trade"):
        raise InputError(f"`absent` must be 'lost' or 'no_trade', got {absent!r}.")
    columns = [_floats(name, column) for name, column in zip(COLUMNS, ohlcv, strict=True)]
    times = _times(timestamps)
    _check_lengths(times, columns)
    _check_unit(times, timeframe)
    _check_order(times)
    _check_spacing(times, timeframe, step)
    lost = _check_rows(times, columns)
    return _on_grid(times, columns, lost, step, absent)


def _floats(name: str, column: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(column)
    if array.dtype.kind not in "iuf":
        raise CandlesError(f"{name} must be numbers, got dtype {array.dtype}: convert it to float64.")
    return array.astype(np.float64)


def _times(timestamps: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(timestamps)
    if array.dtype.kind == "M":
        return array.astype("datetime64[ms]").astype(np.int64)
    if array.dtype.kind == "f":
        broken = np.flatnonzero(~(np.isfinite(array) & (array == np.floor(array))))
        if broken.size:
            raise CandlesError(
                f"timestamps must be whole milliseconds, got {array[broken[0]]!r} in row {broken[0]}."
            )
    elif array.dtype.kind not in "iu" and array.size:
        raise CandlesError(
            f"timestamps must be integers (epoch milliseconds UTC), got dtype {array.dtype}: convert them."
        )
    return array.astype(np.int64)


def _check_lengths(times: np.ndarray, columns: list[np.ndarray]) -> None:
    if times.ndim != 1 or any(column.shape != times.shape for column in columns):
        shapes = ", ".join(f"{name} {column.shape}" for name, column in zip(COLUMNS, columns, strict=True))
        raise CandlesError(f"columns must be as long as the timestamps {times.shape}, got {shapes}.")
    if times.size == 0:
        raise CandlesError("there are no rows: candles need at least one bar.")


def _check_unit(times: np.ndarray, timeframe: str) -> None:
    """Refuse seconds, microseconds and nanoseconds, alone or mixed with milliseconds."""
    seconds, millis = (times >= 1e9) & (times < 1e10), (times >= 1e12) & (times < 1e13)
    if seconds.any() and millis.any():
        row = int(np.flatnonzero(seconds if millis[0] else millis)[0])
        raise CandlesError(
            f"timestamps mix seconds and milliseconds: row 0 is {times[0]}, row {row} is {times[row]}: "
            f"convert all to milliseconds."
        )
    _, unit = _resemblance(times)
    if unit not in (None, "milliseconds"):
        factor = _UNITS[unit]
        raise CandlesError(
            f"timestamps look like {unit} (the first is {times[0]}): candles of {timeframe} need "
            f"milliseconds, {'multiply' if factor > 1 else 'divide'} by "
            f"{int(max(factor, round(1 / factor))):_}."
        )


def _resemblance(times: np.ndarray) -> tuple[str | None, str | None]:
    """Which timeframe and unit of time the median spacing fits, else (None, None)."""
    if times.size == 1:
        alone = int(times[0])
        return None, "seconds" if 1e9 <= alone < 1e10 else "microseconds" if alone >= 1e15 else None
    middle = (times.size - 1) // 2
    spacing = int(np.partition(np.diff(times), middle)[middle])
    for unit, factor in _UNITS.items():
        for name, step in TIMEFRAMES.items():
            if spacing * factor == step:
                return name, unit
    return None, None


def _check_order(times: np.ndarray) -> None:
    steps = np.diff(times)
    back = np.flatnonzero(steps < 0)
    if back.size:
        row = int(back[0]) + 1
        raise CandlesError(
            f"timestamps must increase, but row {row} ({iso(times[row])}) comes after {iso(times[row - 1])}: "
            f"sort the rows by timestamp."
        )
    twice = np.flatnonzero(steps == 0)
    if twice.size:
        row = int(twice[0]) + 1
        raise CandlesError(
            f"{twice.size} timestamps are duplicated, the first is {iso(times[row])} (rows {row - 1} and "
            f"{row}): decide which row is right and drop the other."
        )


def _check_spacing(times: np.ndarray, timeframe: str, step: int) -> None:
    looks, _ = _resemblance(times)
    hint = (
        f"the rows look like {looks}: pass timeframe={looks!r}, or " if looks not in (None, timeframe) else ""
    )
    off = np.flatnonzero(times % step)
    if off.size:
        phases = np.unique(times % step)
        shifted = f"all rows are {phases[0] / 1000:g} s late, " if phases.size == 1 else ""
        raise CandlesError(
            f"{off.size} of {times.size} timestamps are not open times of a {timeframe} bar, the first is "
            f"{iso(times[off[0]])} (row {off[0]}): {shifted}{hint}correct the clock of the source."
        )
    if times.size > 1 and not np.any(np.diff(times) == step):
        raise CandlesError(
            f"no two rows are {timeframe} apart (the first two are {iso(times[0])} and {iso(times[1])}): "
            f"{hint}check the timeframe."
        )
    n_bars = (int(times[-1]) - int(times[0])) // step + 1
    if n_bars > _SPARSEST * times.size:
        row = int(np.argmax(np.diff(times))) + 1
        raise CandlesError(
            f"{times.size} rows would span {n_bars:,} bars of {timeframe}; the widest hole ends at "
            f"{iso(times[row])} (row {row}): drop the stray timestamps."
        )


def _check_rows(times: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Refuse impossible rows; return which rows are lost (all four prices NaN), bool (n_rows,)."""
    open, high, low, close, volume = columns
    unknown = np.isnan(np.stack(columns[:4]))
    lost = unknown.all(axis=0)

    def refuse(bad: np.ndarray, condition: str, remedy: str) -> NoReturn:
        row = int(np.flatnonzero(bad)[0])
        evidence = ", ".join(f"{name} {column[row]:g}" for name, column in zip(COLUMNS, columns, strict=True))
        more = f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
        raise CandlesError(f"{condition} at {iso(times[row])} (row {row}{more}): {evidence}. {remedy}")

    if lost.all():
        raise CandlesError(f"all {times.size} rows are NaN: candles need at least one bar with prices.")
    partly = unknown.any(axis=0) & ~lost
    if partly.any():
        refuse(partly, "only some prices are NaN", "Repair the row, or set all four to NaN: a lost bar.")
    body_low, body_high = np.minimum(open, close), np.maximum(open, close)
    checks = (
        (np.isinf(np.stack(columns)).any(axis=0), "a price or volume is infinite", "Repair the row."),
        (
            ~lost & (np.minimum(body_low, low) <= 0),
            "prices must be positive",
            "Repair the row, or set its four prices to NaN: a lost bar.",
        ),
        (high < low, "high is below low", "Check the order of the columns."),
        ((body_low < low) | (body_high > high), "open and close must lie in [low, high]", "Repair the row."),
        (volume < 0, "volume is negative", "Repair the row."),
        (~lost & np.isnan(volume), "volume is NaN in a bar with prices", "Use 0 if nothing traded."),
        (lost & (volume > 0), "volume without prices", "Set the volume of a lost bar to NaN."),
    )
    for bad, condition, remedy in checks:
        if bad.any():
            refuse(bad, condition, remedy)
    return lost


def _on_grid(times: np.ndarray, columns: list[np.ndarray], lost: np.ndarray, step: int, absent: str) -> _Grid:
    rows = (times - times[0]) // step
    n_bars = int(rows[-1]) + 1
    grid = times[0] + step * np.arange(n_bars, dtype=np.int64)
    columns = [*columns[:4], np.where(lost, np.nan, columns[4])]
    if n_bars > times.size:
        wide = np.full((5, n_bars), np.nan)
        wide[:, rows] = columns
        if absent == "no_trade":
            _fill_quiet(wide, rows)
        columns = list(wide)
    flags = flags_of(*columns)
    for found in suspicious(*columns).values():
        flags |= found * np.uint8(SUSPICIOUS)
    return grid, *columns, flags


def _fill_quiet(wide: np.ndarray, rows: np.ndarray) -> None:
    """Write bars without a row as flat at the last close with volume 0, in place."""
    quiet = np.ones(wide.shape[1], bool)
    quiet[rows] = False
    wide[:4, quiet] = carried(wide[3])[quiet]
    wide[4, quiet] = np.where(np.isnan(wide[3, quiet]), np.nan, 0.0)


def flags_of(
    open: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    """Bits ``MISSING``, ``NO_TRADE`` and ``FLAT`` of each bar, uint8 of shape (n_bars,)."""
    flat = (high == low) & (open == close)
    flags = np.isnan(close) * np.uint8(MISSING)
    flags |= flat * np.uint8(FLAT)
    flags |= (flat & (volume == 0)) * np.uint8(NO_TRADE)
    return flags
