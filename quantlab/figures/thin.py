"""Fewer points, same picture: what a long series may lose before it is drawn."""

from __future__ import annotations

import numpy as np


def thin(series: tuple[np.ndarray, ...], limit: int) -> np.ndarray:
    """Bars to keep so that the lowest and highest value of every series in every stretch survive.

    Parameters
    ----------
    series : tuple of float arrays, each of shape (n,)
        NaN is never an extreme.
    limit : int
        About how many bars may be kept (never fewer than the first and the last).

    Returns
    -------
    int64 array, ascending, without repeats
        ``arange(n)`` when n does not exceed `limit`.
    """
    n = len(series[0])
    if n <= limit:
        return np.arange(n)
    stretch = -(-n * 2 * len(series) // max(limit, 2 * len(series)))
    kept = [np.array([0, n - 1])]
    for values in series:
        padded = np.full(-(-n // stretch) * stretch, np.nan)
        padded[:n] = values
        table = padded.reshape(-1, stretch)
        first = np.arange(len(table)) * stretch
        kept.append(first + np.where(np.isnan(table), np.inf, table).argmin(axis=1))
        kept.append(first + np.where(np.isnan(table), -np.inf, table).argmax(axis=1))
    index = np.unique(np.concatenate(kept))
    return index[index < n]


def group_candles(columns: tuple[np.ndarray, ...], limit: int) -> tuple[tuple[np.ndarray, ...], int]:
    """Merge neighbouring candles until at most `limit` are left.

    Parameters
    ----------
    columns : (timestamps, open, high, low, close), each of shape (n,)
        Missing candles are NaN and do not count in the merge.
    limit : int

    Returns
    -------
    columns : the same five columns, each of shape (ceil(n / size),)
        NaN where a whole group is missing.
    size : int
        How many candles were merged into one.
    """
    timestamps, opens, highs, lows, closes = columns
    n = len(timestamps)
    size = -(-n // limit)
    if size == 1:
        return columns, 1
    starts = np.arange(0, n, size)
    present = ~np.isnan(closes)
    index = np.arange(n)
    first = np.minimum.reduceat(np.where(present, index, n), starts)
    last = np.maximum.reduceat(np.where(present, index, -1), starts)
    empty = last < 0
    merged_open = np.where(empty, np.nan, opens[np.where(empty, 0, first)])
    merged_close = np.where(empty, np.nan, closes[np.where(empty, 0, last)])
    high, low = np.fmax.reduceat(highs, starts), np.fmin.reduceat(lows, starts)
    return (timestamps[starts], merged_open, high, low, merged_close), size
