"""Splits against their definition, two other libraries, and scikit-learn, which must be able to use them."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import purgedcv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsRegressor

from quantlab import strategies
from quantlab.backtest.extras import Blocks
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market.synthetic import garch
from quantlab.validation.cpcv import cross_validated_paths
from quantlab.validation.splits import walk_forward
from quantlab.validation.splitters import CombinatorialPurged, PurgedKFold, WalkForwardSplit

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)


def overlaps(i: int, j: int, horizon: int) -> bool:
    """Whether what rows i and j predict shares a bar; a row always overlaps itself."""
    return i == j or bool({*range(i + 1, i + horizon + 1)} & {*range(j + 1, j + horizon + 1)})


@PROPERTY
@given(st.integers(12, 50), st.integers(2, 5), st.integers(0, 4), st.integers(0, 3))
def test_what_overlaps_the_test_does_not_train_and_all_else_does(
    n: int, folds: int, horizon: int, embargo: int
) -> None:
    for cut in (PurgedKFold(folds, horizon, embargo), CombinatorialPurged(folds + 1, 2, horizon, embargo)):
        try:
            found = list(cut.split(np.zeros((n, 3))))
        except InputError:
            continue  # nothing left
        assert len(found) == cut.get_n_splits()
        for train, test in found:
            ends = {int(t) for t in test if t + 1 not in test}
            for i in range(n):
                free = not any(overlaps(i, int(t), horizon) for t in test)
                near = max(horizon - 1, 0)
                held = any(end < i <= end + near + embargo for end in ends)
                assert (i in train) == (free and not held)


@PROPERTY
@given(st.integers(20, 80), st.integers(2, 6), st.integers(1, 5))
def test_the_rows_are_those_of_purgedcv(n: int, folds: int, horizon: int) -> None:
    """Trap: there a label is the time up to which it is known, half-open, not a number of rows."""
    known = pd.Series(pd.date_range("2024-01-01", periods=n, freq="D"))
    times = {"prediction_times": known, "evaluation_times": known + pd.Timedelta(days=horizon)}
    rows = np.zeros((n, 1))
    pairs = [
        (PurgedKFold(folds, horizon), purgedcv.PurgedKFold(folds, **times)),
        (CombinatorialPurged(6, 2, horizon), purgedcv.CombinatorialPurgedCV(6, 2, **times)),
    ]
    for ours, theirs in pairs:
        try:
            found = list(ours.split(rows))
        except InputError:
            continue
        for (train, test), (their_train, their_test) in zip(found, theirs.split(rows), strict=True):
            assert train.tolist() == their_train.tolist()
            assert test.tolist() == their_test.tolist()


def test_walk_forward_has_the_windows_of_the_gate() -> None:
    rows = np.zeros(1_000)
    for (train, test), split in zip(
        WalkForwardSplit(5, 0.5, 7).split(rows), walk_forward(1_000, 5, 0.5, 7), strict=True
    ):
        assert train.tolist() == list(range(split.train.start, split.train.stop))
        assert test.tolist() == list(range(split.test.start, split.test.stop))


@pytest.mark.parametrize("cut", [WalkForwardSplit(4), PurgedKFold(4, 5, 2), CombinatorialPurged(6, 2, 5)])
def test_scikit_learn_takes_them(cut: PurgedKFold) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    scores = cross_val_score(Ridge(), x, x @ [1.0, 2.0, 3.0] + rng.normal(0, 0.1, 300), cv=cut)
    assert len(scores) == cut.get_n_splits()
    assert scores.min() > 0.9


def test_overlapping_labels_fool_a_split_that_does_not_purge() -> None:
    """Labels that last 20 bars, of noise: neighbours of the test know it."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=2_020)
    labels = np.array([steps[t + 1 : t + 21].sum() for t in range(2_000)])
    place = np.arange(2_000)[:, None].astype(float)
    naive, purged = (
        cross_val_score(
            KNeighborsRegressor(3),
            place,
            labels,
            cv=PurgedKFold(100, horizon),
            scoring="neg_mean_squared_error",
        )
        for horizon in (0, 20)
    )
    assert -naive.mean() < 0.8 * labels.var() < -purged.mean()


@PROPERTY
@given(st.integers(3, 9), st.data())
def test_paths_use_each_group_of_each_split_once(groups: int, data: st.DataObject) -> None:
    tests = data.draw(st.integers(1, groups - 1))
    cut = CombinatorialPurged(groups, tests)
    paths = cut.paths()
    assert paths.shape == (comb(groups - 1, tests - 1), groups)
    used = [(int(split), g) for path in paths for g, split in enumerate(path)]
    assert sorted(used) == sorted((i, g) for i, chosen in enumerate(cut.chosen) for g in chosen)


def test_paths_of_a_grid_are_what_a_plain_loop_finds() -> None:
    rng = np.random.default_rng(2)
    returns = rng.normal(0.0, 0.01, (240, 5))
    parts = np.split(returns, 6)
    sums, squares = (np.stack([(p**k).sum(axis=0) for p in parts]) for k in (1, 2))
    found = cross_validated_paths(Blocks(np.arange(7) * 40, sums, squares, sums * 0, np.zeros(6)))
    chosen = {}
    for test in combinations(range(6), 2):
        train = np.concatenate([parts[g] for g in range(6) if g not in test])
        chosen[test] = int(np.argmax(train.mean(axis=0) / train.std(axis=0, ddof=1)))
    assert found.chosen.tolist() == list(chosen.values())
    waiting = {g: [cell for test, cell in chosen.items() if g in test] for g in range(6)}
    for p in range(5):
        path = np.concatenate([parts[g][:, waiting[g][p]] for g in range(6)])
        assert found.sharpe[p] == pytest.approx(path.mean() / path.std(ddof=1))
    assert found.quantile(0.5) == np.median(found.sharpe)


def test_paths_of_a_sweep() -> None:
    cross = strategies.get("sma_cross")
    grid = cross.grid(fast=[5, 20, 50], slow=[10, 30, 60])
    surface = sweep(cross, garch(1_500, timeframe="1d", seed=1), grid, blocks=8, progress=False)
    found = cross_validated_paths(surface.blocks)
    assert found.sharpe.shape == (7,)
    assert grid.allowed.ravel()[found.chosen].all()


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="`horizon` must not be negative, got -1"):
        PurgedKFold(5, -1)
    with pytest.raises(InputError, match="`folds` must be at least 2, got 1"):
        PurgedKFold(1)
    with pytest.raises(InputError, match="`tests` must be from 1 to 3 of 4 groups, got 4"):
        CombinatorialPurged(4, 4)
    with pytest.raises(InputError, match="5 groups need 5 rows or more, got 3"):
        list(PurgedKFold(5).split(np.zeros(3)))
    with pytest.raises(InputError, match="nothing is left to train on"):
        list(PurgedKFold(2, 40).split(np.zeros(20)))
