"""Clauses against plain loops over single numbers: NaN, equal values, broadcast axes, the last word."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from quantlab.clauses import (
    AllOf,
    Clause,
    FromBar,
    above,
    all_of,
    below,
    crossed_above,
    crossed_below,
    words_of,
)
from quantlab.clauses.kernels import delay_row
from quantlab.clauses.rank_kernels import Ranked, relate
from quantlab.clauses.ranks import ranked
from quantlab.errors import InputError

related = njit(relate.py_func)
BARS = st.sampled_from([1, 2, 63, 64, 65, 128, 131])
FEW_VALUES = st.sampled_from([0.0, 1.0, 1.0, 2.0, -0.0, math.nan, math.inf, -math.inf])
KINDS = {"above": above, "below": below, "crossed_above": crossed_above, "crossed_below": crossed_below}


def holds(kind: str, a: list[float], b: list[float], t: int) -> bool:
    """What a comparison says of bar t, of two rows of numbers."""
    if kind.endswith("below"):
        a, b = b, a
    if not kind.startswith("crossed"):
        return a[t] > b[t]
    return t > 0 and a[t] > b[t] and a[t - 1] <= b[t - 1]


def bits(words: np.ndarray, n: int) -> np.ndarray:
    """Every bit of the words, those beyond bar n included."""
    assert words.shape[1] == -(-n // 64)
    return np.array([[(int(word) >> k) & 1 for word in row for k in range(64)] for row in words], bool)


@st.composite
def operands(draw: st.DrawFn) -> tuple[int, tuple[int, ...], np.ndarray, np.ndarray]:
    """Bars, parameter axes, and two arrays that broadcast to both together."""
    n = draw(BARS)
    axes = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    shapes = []
    for _ in range(2):
        own = tuple(size if draw(st.booleans()) else 1 for size in axes)
        leading = draw(st.integers(0, len(axes))) if all(size == 1 for size in own) else 0
        shapes.append((*own[leading:], n if draw(st.booleans()) else 1))
    a, b = (draw(hnp.arrays(np.float64, shape, elements=FEW_VALUES, fill=st.nothing())) for shape in shapes)
    return n, axes, a, b


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(KINDS)), operands())
def test_a_comparison_is_what_its_name_says(kind: str, drawn: tuple[int, tuple[int, ...], Any, Any]) -> None:
    n, axes, a, b = drawn
    clause = KINDS[kind](a, b)
    assert clause.shape == np.broadcast_shapes(a.shape, b.shape)
    whole = [np.broadcast_to(x, (*axes, n)) for x in (a, b)]
    expected = np.zeros((*axes, n), bool)
    for place in np.ndindex(axes):
        rows = [x[place].tolist() for x in whole]
        expected[place] = [holds(kind, *rows, t) for t in range(n)]
    if clause.shape[-1] == n:
        assert clause.to_array().dtype == bool
        assert np.array_equal(np.broadcast_to(clause.to_array(), (*axes, n)), expected)
    found = bits(clause.words(n), n)
    assert not found[:, n:].any()
    own = found[:, :n].reshape(*clause.shape[:-1], n)
    assert np.array_equal(np.broadcast_to(own, (*axes, n)), expected)


def test_a_comparison_leaves_its_operands_alone() -> None:
    a, b = np.arange(70.0), np.full((2, 70), 30.0)
    a.setflags(write=False)
    for kind in KINDS.values():
        kind(a, b).words(70)
        kind(a, b).to_array()
    assert np.array_equal(a, np.arange(70.0))
    assert (b == 30.0).all()


def test_a_number_may_be_compared() -> None:
    rising = np.arange(4.0)
    assert above(rising, 1).to_array().tolist() == [False, False, True, True]
    assert below(1.5, rising).to_array().tolist() == [False, False, True, True]
    assert crossed_above(np.arange(4), 1).to_array().tolist() == [False, False, True, False]


@pytest.mark.parametrize("bad", [np.ones(3, bool), np.array(["a"]), np.array([1j])])
def test_only_numbers_are_compared(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=f"compare numbers, got {bad.dtype}"):
        above(bad, 1.0)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(BARS, st.integers(0, 2**32 - 1))
def test_a_conjunction_has_the_axes_of_its_clauses(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, flags = rng.integers(0, 4, (3, 1, n)), rng.integers(0, 4, (2, n)), rng.random((1, 1, n)) < 0.8
    joined = all_of(above(a, b), all_of(flags, rng.random((3, 1, 1)) < 0.7))
    assert len(joined.clauses) == 3
    assert joined.shape == (3, 2, n)
    expected = (a > b) & flags & np.asarray(joined.clauses[2])
    assert np.array_equal(joined.to_array(), expected)
    assert np.array_equal(np.asarray(joined), expected)
    assert np.array_equal(bits(joined.words(n), n)[:, :n].reshape(3, 2, n), expected)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(BARS, st.integers(0, 2**32 - 1))
def test_words_of_an_array_are_its_bits(n: int, seed: int) -> None:
    flags = np.random.default_rng(seed).random((2, 3, n)) < 0.5
    found = bits(words_of(flags, n), n)
    assert np.array_equal(found[:, :n].reshape(2, 3, n), flags)
    assert not found[:, n:].any()
    turned = np.asfortranarray(flags)
    assert np.array_equal(words_of(turned, n), words_of(flags, n))
    always = bits(words_of(np.ones((2, 1), bool), n), n)
    assert always[:, :n].all()
    assert not always[:, n:].any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BARS, st.lists(st.sampled_from([-1, 0, 1, 63, 64, 65, 130, 131, 500]), min_size=1, max_size=3))
def test_from_a_bar_on(n: int, first: list[int]) -> None:
    for given_as in (np.array(first)[:, None], np.array(first)[:, None, None], np.asarray(first[0])):
        clause = FromBar(given_as, n)
        flat = given_as.ravel()
        expected = np.array([[t >= bar for t in range(n)] for bar in flat])
        assert np.array_equal(clause.to_array(), expected.reshape(clause.shape))
        assert clause.shape == (*given_as.shape[:-1], n)
        found = bits(clause.words(n), n)
        assert np.array_equal(found[:, :n], expected)
        assert not found[:, n:].any()


@settings(max_examples=120, deadline=None, derandomize=True)
@given(BARS, st.sampled_from([0, 1, 5, 63, 64, 65, 100, 300]), st.integers(0, 2**32 - 1))
def test_delayed_words_are_delayed_bits(n: int, delay: int, seed: int) -> None:
    flags = np.random.default_rng(seed).random((2, n)) < 0.5
    words = words_of(flags, n).copy()
    for row in words:
        delay_row(row, delay, n)
    expected = np.zeros((2, words.shape[1] * 64), bool)
    expected[:, min(delay, n) : n] = flags[:, : max(n - delay, 0)]
    assert np.array_equal(bits(words, n), expected)


VALUES = st.one_of(
    FEW_VALUES,
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(100.0, 101.0),
    st.sampled_from([100.0, math.nextafter(100.0, 101.0), 1e308, -1e308, 5e-324]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from([1, 63, 64, 65, 200]))
def test_ranked_rows_compare_as_their_values_do(data: st.DataObject, n: int) -> None:
    elements = data.draw(st.sampled_from([VALUES, FEW_VALUES, st.floats(99.0, 101.0)]))
    a, b = (data.draw(hnp.arrays(np.float64, (rows, n), elements=elements)) for rows in (2, 3))
    x, y = ranked(a, b)
    for i, j in np.ndindex(2, 3):
        found = relation(x, y, i, j)
        wanted = a[i] > b[j], a[i] < b[j], ~np.isnan(a[i]) & ~np.isnan(b[j])
        assert np.array_equal(found[:, :n], wanted)
        assert not found[:, n:].any()


def test_ranks_decide_where_rows_lie_apart_and_values_where_they_tie() -> None:
    rng = np.random.default_rng(5)
    n = 64 * 70 + 3
    base = np.cumsum(rng.normal(size=n))
    a = base + np.array([[0.0], [3.0], [1e-13], [np.nan]])
    b = base + np.where(rng.random((5, n)) < 0.01, 1.0, 0.0) * rng.normal(size=(5, 1))
    x, y = ranked(a, b)
    for i, j in np.ndindex(4, 5):
        assert np.array_equal(relation(x, y, i, j)[:2, :n], [a[i] > b[j], a[i] < b[j]])


def relation(x: Ranked, y: Ranked, i: int, j: int) -> np.ndarray:
    """Bits of greater, less and both known."""
    words = x.known.shape[1]
    out = np.zeros((3, 1 + -(-words // 64) * 64), np.uint64)
    related(x, y, i, j, out)
    assert not out[:, 0].any()
    greater, less, both = bits(out[:, 1:], 64 * words)
    return np.array([greater & both, less & both, both])


def test_no_product_is_held() -> None:
    n, rows = 6_400, 100
    rng = np.random.default_rng(3)
    a, b = rng.random((rows, 1, n)), rng.random((rows, n))
    clause: Clause = AllOf((crossed_above(a, b),))
    crossed_above(a[0], b[0]).words(n)
    tracemalloc.start()
    words = clause.words(n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert words.nbytes == rows * rows * n // 8
    assert peak < 1.5 * words.nbytes  # a boolean array alone would be eight times as large
