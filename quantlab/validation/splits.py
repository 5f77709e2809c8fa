"""Walk-forward splits: train on the past, test on the window that follows, never the other way round.

A split is two slices of bars. The training slice always ends before the test slice begins, with an
embargo between them that belongs to neither; test windows follow each other without overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.backtest.daily import DAY_MS
from quantlab.errors import InputError


@dataclass(frozen=True)
class Split:
    """One fold: bars to choose on and the later bars to be judged on.

    Parameters
    ----------
    train : slice
        Bars ``[start, stop)`` on which parameters are chosen.
    test : slice
        Bars ``[start, stop)`` that were not seen by the choice; ``test.start >= train.stop``.
    """

    train: slice
    test: slice


def walk_forward(
    n_bars: int,
    folds: int = 6,
    first: float = 0.4,
    embargo_bars: int = 0,
    *,
    rolling: bool = False,
    borders: np.ndarray | None = None,
) -> list[Split]:
    """Cut `n_bars` into `folds` test windows of about equal length, each with the history before it.

    **Known at**: the choice of fold k may use bars before ``train.stop`` only; bars in
    ``[train.stop, test.start)`` are the embargo.

    Parameters
    ----------
    n_bars : int
    folds : int
        Number of test windows, at least 1.
    first : float
        Fraction of the bars that lies before the first test window, in (0, 1).
    embargo_bars : int
        Bars left out between training and test.
    rolling : bool
        False: training always starts at bar 0 (anchored). True: it keeps the length of the first one.
    borders : integer array, optional
        Bars at which a window may begin (ascending), e.g. the first bar of each day; a border is moved
        back to the last of them that is not later.

    Returns
    -------
    list of Split
        In order of time; the last test window ends with the last bar.

    Raises
    ------
    InputError
        If a value is out of range or the history is too short for so many folds.
    """
    _check(n_bars, folds, first, embargo_bars)
    edges = np.round(np.linspace(first * n_bars, n_bars, folds + 1)).astype(np.int64)
    if borders is not None:
        edges[:-1] = _move_back(edges[:-1], np.asarray(borders))
    if edges[0] - embargo_bars < 2 or np.diff(edges).min() < 2:
        raise InputError(
            f"every fold needs 2 bars or more to train and to test on, got {n_bars} bars for {folds} folds "
            f"(first={first:g}, embargo_bars={embargo_bars}): use fewer folds or a longer history."
        )
    stops = [int(edge) - embargo_bars for edge in edges[:-1]]
    starts = [stop - stops[0] if rolling else 0 for stop in stops]
    windows = zip(starts, stops, edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [Split(slice(a, b), slice(c, d)) for a, b, c, d in windows]


def day_starts(timestamps: np.ndarray) -> np.ndarray:
    """Indices of the first bar of each UTC day.

    Parameters
    ----------
    timestamps : int64 array, shape (n,)
        Open time of each bar in epoch milliseconds, ascending.

    Returns
    -------
    int64 array, shape (number of days,)
    """
    return np.flatnonzero(np.diff(timestamps // DAY_MS, prepend=-1))


def _move_back(edges: np.ndarray, borders: np.ndarray) -> np.ndarray:
    where = np.searchsorted(borders, edges, side="right") - 1
    if (where < 0).any():
        raise InputError(f"no border lies at or before bar {edges[0]}, the first is {borders[:1]}.")
    return borders[where]


def _check(n_bars: int, folds: int, first: float, embargo_bars: int) -> None:
    if folds < 1:
        raise InputError(f"`folds` must be at least 1, got {folds}.")
    if not 0.0 < first < 1.0:
        raise InputError(f"`first` must be in (0, 1), got {first:g}: it is a fraction, not percent.")
    if embargo_bars < 0:
        raise InputError(f"`embargo_bars` must not be negative, got {embargo_bars}.")
    if n_bars < 2:
        raise InputError(f"a history of at least 2 bars is needed, got {n_bars}.")
