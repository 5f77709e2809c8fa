import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.errors import InputError
from quantlab.validation.splits import DAY_MS, Split, day_starts, walk_forward


def test_anchored_by_hand():
    assert walk_forward(100, folds=3, first=0.4, embargo_bars=5) == [
        Split(slice(0, 35), slice(40, 60)),
        Split(slice(0, 55), slice(60, 80)),
        Split(slice(0, 75), slice(80, 100)),
    ]


def test_rolling_keeps_the_length_of_the_first_training_window():
    splits = walk_forward(100, folds=3, first=0.4, embargo_bars=5, rolling=True)
    assert [s.train for s in splits] == [slice(0, 35), slice(20, 55), slice(40, 75)]
    assert [s.test for s in splits] == [s.test for s in walk_forward(100, 3, 0.4, 5)]


@given(
    n=st.integers(60, 5_000),
    folds=st.integers(1, 8),
    first=st.floats(0.2, 0.8),
    embargo=st.integers(0, 9),
    rolling=st.booleans(),
)
def test_nothing_tested_was_trained_on(n, folds, first, embargo, rolling):
    try:
        splits = walk_forward(n, folds, first, embargo, rolling=rolling)
    except InputError:
        assert n * (1 - first) / folds < 4 or n * first < embargo + 4
        return
    tested = np.concatenate([np.arange(s.test.start, s.test.stop) for s in splits])
    assert len(splits) == folds
    assert tested[-1] == n - 1
    assert (np.diff(tested) == 1).all()
    for split in splits:
        assert split.test.start - split.train.stop == embargo
        assert split.train.stop - split.train.start >= 2
        assert rolling or split.train.start == 0


def test_borders_move_windows_back_to_a_day():
    hours = np.arange(24 * 50) * 3_600_000 + 7 * 3_600_000
    starts = day_starts(hours)
    assert starts[:3].tolist() == [0, 17, 41]
    splits = walk_forward(len(hours), folds=4, borders=starts)
    begins = [s.test.start for s in splits]
    assert all(hours[b] % DAY_MS == 0 for b in begins)
    plain = [s.test.start for s in walk_forward(len(hours), folds=4)]
    assert all(0 <= p - b < 24 for p, b in zip(plain, begins, strict=True))
    assert splits[-1].test.stop == len(hours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((100, 0), "folds"),
        ((100, 3, 1.2), "percent"),
        ((100, 3, 0.4, -1), "negative"),
        ((1,), "at least 2 bars"),
        ((10, 6), "fewer folds"),
        ((100, 3, 0.4, 39), "fewer folds"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        walk_forward(*arguments)


def test_no_border_before_the_first_window_is_refused():
    with pytest.raises(InputError, match="no border"):
        walk_forward(100, borders=np.array([90]))
