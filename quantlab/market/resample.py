"""Longer bars from shorter ones, and their values back on the short bars without look-ahead.

Time rule: a value of a longer bar is known at that bar's close. `align` shows it on a short bar only if
the longer bar has closed by the short bar's close.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantlab.errors import CandlesError, InputError
from quantlab.market.candles import MISSING, SUSPICIOUS, Candles, check_candles, iso, step_ms
from quantlab.market.checks import flags_of


def resample(candles: Candles, timeframe: str) -> Candles:
    """Join bars into bars of a longer timeframe on the UTC grid.

    Open is the first, high the highest, low the lowest, close the last price of the bars that are known,
    volume their sum. A longer bar some of whose bars were lost, or lie before the first one, is built from
    those present and flagged ``SUSPICIOUS``, as is one that contains a suspicious bar; one without any known
    bar is lost: NaN and ``MISSING``. A longer bar that has not closed by the end of `candles` is left out,
    so resampling a prefix gives a prefix.

    Parameters
    ----------
    candles : Candles
    timeframe : str
        A longer timeframe than that of `candles`.

    Returns
    -------
    Candles
        Same market; row T is known at the close of its last short bar.

    Raises
    ------
    UnknownNameError
        No such timeframe.
    InputError
        `timeframe` is not longer than that of `candles`.
    CandlesError
        No longer bar has closed yet.
    """
    check_candles(candles)
    step = step_ms(timeframe)
    per = _bars_per(candles.step_ms, step, candles.timeframe, timeframe)
    lead = (candles.first_ms % step) // candles.step_ms
    n_groups = (lead + len(candles)) // per
    if n_groups == 0:
        end = iso(candles.last_ms + candles.step_ms)
        raise CandlesError(f"no {timeframe} bar has closed by {end}: load more {candles.timeframe} candles.")
    used = n_groups * per - lead

    def grouped(column: np.ndarray, fill: float) -> np.ndarray:
        return np.concatenate((np.full(lead, fill, column.dtype), column[:used])).reshape(n_groups, per)

    open, high, low, close, volume = (
        grouped(column, np.nan)
        for column in (candles.open, candles.high, candles.low, candles.close, candles.volume)
    )
    known = ~np.isnan(close)
    rows = np.arange(n_groups)
    some = known.any(axis=1)
    columns = (
        open[rows, known.argmax(axis=1)],
        np.fmax.reduce(high, axis=1),
        np.fmin.reduce(low, axis=1),
        close[rows, per - 1 - known[:, ::-1].argmax(axis=1)],
        np.where(some, np.nansum(volume, axis=1), np.nan),
    )
    doubtful = (grouped(candles.flags, MISSING) & (MISSING | SUSPICIOUS)).any(axis=1) & some
    first = candles.first_ms - candles.first_ms % step
    return Candles(
        candles.exchange,
        candles.symbol,
        timeframe,
        first + step * np.arange(n_groups, dtype=np.int64),
        *columns,
        flags_of(*columns) | doubtful * np.uint8(SUSPICIOUS),
    )


def align(candles: Candles, higher: Candles, values: npt.ArrayLike) -> np.ndarray:
    """Show values of longer bars on the short bars that may know them.

    Short bar t sees the latest longer bar that closed no later than t closes. Before the first longer bar
    has closed, and once the longer candles have ended for one of their bars or more, nothing is known.

    Parameters
    ----------
    candles : Candles
        The short bars, n_bars of them.
    higher : Candles
        Candles of the same or a longer timeframe, of any market.
    values : array_like, shape (..., n_higher)
        Time last; row T known at the close of ``higher`` bar T.

    Returns
    -------
    ndarray, shape (..., n_bars)
        float64 with NaN where nothing is known, or bool with False there if `values` is bool.

    Raises
    ------
    InputError
        `higher` is not a whole multiple of the timeframe, or `values` is not as long as `higher`.
    """
    per = _bars_per(candles.step_ms, higher.step_ms, candles.timeframe, higher.timeframe, same=True)
    array = np.asarray(values)
    if array.ndim == 0 or array.shape[-1] != len(higher):
        raise InputError(
            f"`values` must end in the time axis of the {higher.timeframe} candles ({len(higher)}), "
            f"got shape {array.shape}."
        )
    closes = candles.timestamps + candles.step_ms
    latest = (closes - higher.first_ms) // (per * candles.step_ms) - 1
    visible = (latest >= 0) & (latest < len(higher))
    array = array if array.dtype == bool else array.astype(np.float64)
    fill = False if array.dtype == bool else np.nan
    return np.where(visible, array[..., np.clip(latest, 0, len(higher) - 1)], fill)


def _bars_per(short_ms: int, long_ms: int, short: str, long: str, *, same: bool = False) -> int:
    per, rest = divmod(long_ms, short_ms)
    if rest or per < (1 if same else 2):
        raise InputError(f"{long} bars cannot be made of {short} bars: choose a longer timeframe.")
    return per
