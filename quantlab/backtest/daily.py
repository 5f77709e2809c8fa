"""From bars to UTC days: the marks and returns that Sharpe, Sortino and all of validation are made of.

A bar belongs to the day of its **open** time. A day's mark is the value at the close of its last bar.
"""

from __future__ import annotations

import numpy as np

DAY_MS = 86_400_000


def day_numbers(timestamps: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 (UTC) on which a bar opens, each once.

    Parameters
    ----------
    timestamps : int array, shape (n_bars,)
        Open times in ms, UTC, on a regular grid of at most a day.
    """
    return timestamps[last_bars(timestamps)] // DAY_MS


def last_bars(timestamps: np.ndarray) -> np.ndarray:
    """Row of the last bar of each UTC day; int array, shape (n_days,)."""
    days = timestamps // DAY_MS
    return np.flatnonzero(np.append(days[1:] != days[:-1], True))


def daily_marks(equity: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Equity at the last bar of each UTC day; float array, shape (n_days,)."""
    return equity[last_bars(timestamps)]


def daily_returns(marks: np.ndarray) -> np.ndarray:
    """Returns of daily marks, the first one against the initial equity of 1.

    Parameters
    ----------
    marks : float array, shape (n_days,)

    Returns
    -------
    float array, shape (n_days,)
        0 on the days that begin ruined (mark at or below 0): there is nothing left to earn a return on.
    """
    before = np.concatenate(([1.0], marks[:-1]))
    alive = before > 0
    return np.where(alive, marks / np.where(alive, before, 1.0) - 1.0, 0.0)


def market_returns(open_: np.ndarray, close: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Close to close returns of the market per UTC day, the first one from the first open.

    Parameters
    ----------
    open_, close : float array, shape (n_bars,)
        NaN on lost bars: the last known close is carried over them.
    timestamps : int array, shape (n_bars,)

    Returns
    -------
    float array, shape (n_days,)
        0 on days before the first known bar.
    """
    known = np.flatnonzero(~np.isnan(close))
    if not known.size:
        return np.zeros(last_bars(timestamps).size)
    return returns_of(last_known(close)[last_bars(timestamps)], open_[known[0]])


def returns_of(marks: np.ndarray, first: float) -> np.ndarray:
    """Market returns from the last known close of each day, NaN before there is any, and the first open."""
    marks = np.where(np.isnan(marks), first, marks)
    before = np.concatenate(([first], marks[:-1]))
    returns = np.zeros(len(marks))
    return np.divide(marks - before, before, out=returns, where=~np.isnan(before))


def last_known(values: np.ndarray) -> np.ndarray:
    """The values with those that are NaN replaced by the last one before; NaN before there is any."""
    rows = np.where(np.isnan(values), 0, np.arange(len(values)))
    return values[np.maximum.accumulate(rows)]
