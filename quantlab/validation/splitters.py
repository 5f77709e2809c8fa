"""Splits of a time series that do not leak, in scikit-learn's protocol: its ``cross_val_score`` takes them.

Row i knows the bars up to i; what it is to predict, or the trade that it begins, lasts `horizon` bars more. A
row may train only if that shares no bar with a row of the test: rows nearer than `horizon` to the test are
**purged**, on both sides, and `embargo` more after it, for features that remember.

Source: Lopez de Prado, Advances in Financial Machine Learning (2018), chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from quantlab.errors import InputError
from quantlab.validation.splits import walk_forward

Rows = tuple[np.ndarray, np.ndarray]


def _length(data: Any) -> int:
    shape = getattr(data, "shape", None)
    return int(shape[0]) if shape else len(data)


def _check(horizon: int, embargo: int) -> None:
    for name, value in (("horizon", horizon), ("embargo", embargo)):
        if value < 0:
            raise InputError(f"`{name}` must not be negative, got {value}: it is a number of bars.")


def _groups(n: int, count: int) -> list[tuple[int, int]]:
    """Bounds of `count` groups of about equal length, the longer ones first."""
    if n < count:
        raise InputError(f"{count} groups need {count} rows or more, got {n}: use fewer groups.")
    parts = np.array_split(np.arange(n), count)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def _train(n: int, tests: list[tuple[int, int]], horizon: int, embargo: int) -> np.ndarray:
    """Rows that share nothing with the tests."""
    free = np.ones(n, bool)
    near = max(horizon - 1, 0)
    for first, stop in tests:
        free[max(first - near, 0) : stop + near + embargo] = False
    train = np.flatnonzero(free)
    if not train.size:
        raise InputError(
            f"nothing is left to train on beside the test [{tests[0][0]}, {tests[-1][1]}) with a horizon of "
            f"{horizon} and an embargo of {embargo} bars: use fewer groups or a longer history."
        )
    return train


@dataclass(frozen=True)
class WalkForwardSplit:
    """Train on the past, test on the window that follows.

    Parameters
    ----------
    folds : int
        Test windows.
    first : float
        Fraction of the rows that lies before the first of them.
    embargo : int
        Rows left out between training and test: the horizon of a row, at least.
    rolling : bool
        Training windows of constant length instead of all the past.
    """

    folds: int = 6
    first: float = 0.4
    embargo: int = 0
    rolling: bool = False

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Rows]:
        """Rows to train and rows to test on, in order of time."""
        n = _length(X)
        for split in walk_forward(n, self.folds, self.first, self.embargo, rolling=self.rolling):
            yield np.arange(n)[split.train], np.arange(n)[split.test]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.folds


@dataclass(frozen=True)
class PurgedKFold:
    """Every stretch of time is the test once; what overlaps it does not train.

    Parameters
    ----------
    folds : int
    horizon, embargo : int
        Bars; see the module.
    """

    folds: int = 5
    horizon: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        _check(self.horizon, self.embargo)
        if self.folds < 2:
            raise InputError(f"`folds` must be at least 2, got {self.folds}.")

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Rows]:
        """Rows to train and rows to test on."""
        n = _length(X)
        for test in _groups(n, self.folds):
            yield _train(n, [test], self.horizon, self.embargo), np.arange(*test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.folds


@dataclass(frozen=True)
class CombinatorialPurged:
    """Every choice of some groups of time is the test once; several whole histories can be made of them.

    Parameters
    ----------
    groups : int
    tests : int
        Groups of each test.
    horizon, embargo : int
        Bars; see the module.
    """

    groups: int = 8
    tests: int = 2
    horizon: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        _check(self.horizon, self.embargo)
        if not 1 <= self.tests < self.groups:
            raise InputError(
                f"`tests` must be from 1 to {self.groups - 1} of {self.groups} groups, got {self.tests}."
            )

    @property
    def chosen(self) -> list[tuple[int, ...]]:
        """Test groups of each split."""
        return list(combinations(range(self.groups), self.tests))

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Rows]:
        """Rows to train and rows to test on."""
        n = _length(X)
        bounds = _groups(n, self.groups)
        for chosen in self.chosen:
            tests = [bounds[g] for g in chosen]
            yield _train(n, tests, self.horizon, self.embargo), np.concatenate([np.arange(*t) for t in tests])

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of ways to choose the test groups."""
        return comb(self.groups, self.tests)

    def paths(self) -> np.ndarray:
        """Split whose test each group of each path comes from: int array ``(paths, groups)``.

        A path is a whole history every group of which was a test. There are ``tests / groups`` times as many
        as splits, and each group of each split is part of exactly one.
        """
        found = [[i for i, chosen in enumerate(self.chosen) if g in chosen] for g in range(self.groups)]
        return np.array(found).T
