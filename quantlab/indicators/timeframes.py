"""Bars of a higher timeframe on the bars of the base timeframe, each visible only from its own close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.indicators.averages import sma
from quantlab.indicators.ranges import rolling_max, rolling_min
from quantlab.indicators.windows import hold, lag


@dataclass(frozen=True)
class HigherBars:
    """The latest closed bar of a higher timeframe, as each base bar sees it at its own close.

    Attributes
    ----------
    closed : boolean array (..., n_bars)
        Base bars with whose close a higher bar closes.
    open, high, low, close, volume : float array (..., n_bars)
        NaN before the first whole higher bar has closed. ``lag(x, multiple)`` is the higher bar before.
    """

    closed: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


def higher_closes(timestamps: np.ndarray, multiple: np.ndarray | int) -> np.ndarray:
    """Base bars with whose close a bar of `multiple` base bars closes: boolean array (..., n_bars).

    Higher bars lie on the UTC grid: they begin where the epoch time is a multiple of their length.

    Parameters
    ----------
    timestamps : int64 array (n_bars,)
        Open times of the base bars [epoch ms], regular.
    multiple : int or int array (..., 1)
        Base bars in a higher bar.
    """
    step = int(timestamps[1] - timestamps[0]) if len(timestamps) > 1 else 0
    if step == 0:
        return np.zeros((*np.shape(multiple)[:-1], len(timestamps)), bool)  # a single bar has no length
    return np.asarray((timestamps // step + 1) % multiple == 0)


def higher_bars(
    timestamps: np.ndarray,
    open: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    multiple: np.ndarray | int,
) -> HigherBars:
    """Join base bars into bars of `multiple` of them; known from the close of the higher bar on.

    Parameters
    ----------
    timestamps : int64 array (n_bars,)
        Open times of the base bars [epoch ms], regular.
    open, high, low, close, volume : float array (n_bars,)
    multiple : int or int array (..., 1)
        Base bars in a higher bar, on the UTC grid (`higher_closes`).

    Returns
    -------
    HigherBars
        High, low and volume are of the bars present (volume: their mean times `multiple`), NaN below 80 %
        of them; open and close are NaN where their own base bar was lost.
    """
    closed = higher_closes(timestamps, multiple)
    most = int(np.max(multiple)) - 1
    joined = (
        lag(open, np.asarray(multiple) - 1),
        rolling_max(high, multiple),
        rolling_min(low, multiple),
        np.asarray(close, dtype=np.float64),
        sma(volume, multiple) * multiple,
    )
    return HigherBars(closed, *(hold(x, closed, most) for x in joined))
