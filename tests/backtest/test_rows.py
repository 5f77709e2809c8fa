"""Entry rows and exit rules against the plain boolean meaning of a strategy's signals, bar by bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.backtest import record
from quantlab.backtest.exits import find_exits
from quantlab.backtest.rows import Entries, find_entries
from quantlab.clauses import AllOf, Comparison, above, all_of, below, crossed_above, crossed_below
from quantlab.errors import InputError
from quantlab.signals import Signals
from quantlab.threads import at_most

BARS = st.sampled_from([1, 2, 63, 64, 65, 127, 128, 130])


@dataclass
class Clauses:
    """Random boolean clauses on some of the axes of a grid."""

    shape: tuple[int, ...]
    bars: int
    rng: np.random.Generator

    def clause(self, density: float) -> np.ndarray:
        axes = [n if self.rng.random() < 0.5 else 1 for n in self.shape]
        leading = int(self.rng.integers(0, len(axes) + 1)) if all(n == 1 for n in axes) else 0
        return self.rng.random((*axes[leading:], self.bars)) < density

    def comparison(self) -> Comparison:
        kind = (above, below, crossed_above, crossed_below)[int(self.rng.integers(0, 4))]
        values = [0.0, 1.0, 2.0, np.nan]
        shapes = [(*(n if self.rng.random() < 0.5 else 1 for n in self.shape), self.bars) for _ in range(2)]
        return kind(*(self.rng.choice(values, shape, p=[0.3, 0.3, 0.3, 0.1]) for shape in shapes))

    def signal(self) -> Any:
        kind = int(self.rng.integers(0, 5))
        if kind == 0:
            return None
        if kind == 1:
            return self.clause(0.2)
        if kind == 2:
            return self.comparison()
        clauses = [self.clause(0.7) for _ in range(int(self.rng.integers(1, 5)))]
        return all_of(*clauses, *(self.comparison() for _ in range(int(self.rng.integers(0, 2)))))


def plain(signal: Any, shape: tuple[int, ...], n: int, delay: int) -> np.ndarray:
    """The conjunction for every cell, moved `delay` bars later: shape ``(*shape, n)``."""
    out = np.zeros((*shape, n), bool)
    if signal is None:
        return out
    clauses = signal.clauses if isinstance(signal, AllOf) else (signal,)
    whole = [np.broadcast_to(np.asarray(c), (*shape, n)) for c in clauses]
    for place in np.ndindex(*shape, n):
        if place[-1] >= delay:
            out[place] = all(c[(*place[:-1], place[-1] - delay)] for c in whole)
    return out


def decisions(entries: Entries, shape: tuple[int, ...], place: tuple[int, ...]) -> list[tuple[int, int]]:
    """The (bar, side) list that the kernels would read for a cell."""
    rows = entries.rows
    row = np.broadcast_to(entries.row_of, shape)[place]
    at = rows.entries[rows.start[row] : rows.start[row + 1]]
    return list(zip(rows.bar[at].tolist(), rows.side[at].tolist(), strict=True))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    BARS, st.lists(st.integers(1, 3), max_size=3), st.sampled_from([0, 1, 5, 200]), st.integers(0, 2**32 - 1)
)
def test_entry_rows_are_the_plain_conjunction(n: int, axes: list[int], delay: int, seed: int) -> None:
    shape = tuple(axes)
    delay = delay if n > 1 else 0  # on a single bar nothing can fill, delayed or not
    rng = np.random.default_rng(seed)
    made = Clauses(shape, n, rng)
    long = made.signal()
    short = made.signal() if long is not None else made.clause(0.3)
    usable, allowed = rng.random(n) < 0.9, rng.random(shape) < 0.8
    entries = find_entries(Signals(long=long, short=short), usable, np.asarray(allowed), delay)
    one, two = plain(long, shape, n, delay), plain(short, shape, n, delay)
    contents = {}
    for place in np.ndindex(shape):
        if not allowed[place]:
            continue
        expected = [
            (t, 1 if one[place][t] else -1) for t in range(n) if usable[t] and one[place][t] != two[place][t]
        ]
        assert decisions(entries, shape, place) == expected
        contents.setdefault(tuple(expected), set()).add(int(np.broadcast_to(entries.row_of, shape)[place]))
    assert all(len(rows) == 1 for rows in contents.values())  # equal rows are one row


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([1, 64, 65, 150]),
    st.sampled_from([above, below, crossed_above, crossed_below]),
    st.sampled_from([above, below, crossed_above, crossed_below, None]),
    st.sampled_from([0, 1, 70]),
    st.integers(0, 2**32 - 1),
)
def test_a_comparison_of_many_rows_with_many_rows(
    n: int, kind: Any, other: Any, delay: int, seed: int
) -> None:
    """Enough rows to be compared by rank; the product that is never held is held here."""
    rng = np.random.default_rng(seed)
    a = np.round(np.cumsum(rng.normal(size=(9, 1, n)), axis=-1), int(rng.integers(0, 4)))
    b = np.round(np.cumsum(rng.normal(size=(8, n)), axis=-1), 1)
    a[rng.random(a.shape) < 0.02] = np.nan
    b[rng.random(b.shape) < 0.02] = np.nan
    turned = rng.random() < 0.5
    long = kind(a, b)
    short = None if other is None else other(b, a) if turned else other(a, b)
    assert long.worth_ranking(72)
    ready = rng.random((8, n)) < 0.9
    kept = Signals(long=all_of(long, ready), short=None if short is None else all_of(short, ready))
    plain_arrays = [None if x is None else np.asarray(x) for x in (kept.long, kept.short)]
    usable, allowed = rng.random(n) < 0.9, rng.random((9, 8)) < 0.8
    found = find_entries(kept, usable, allowed, min(delay, n - 1))
    held = find_entries(Signals(*plain_arrays), usable, allowed, min(delay, n - 1))
    for place in zip(*np.nonzero(allowed), strict=True):
        assert decisions(found, (9, 8), place) == decisions(held, (9, 8), place)
    assert np.array_equal(found.row_of, held.row_of)


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(4)
    n = 2_000
    a, b = np.cumsum(rng.normal(size=(40, 1, n)), axis=-1), np.cumsum(rng.normal(size=(50, n)), axis=-1)
    signals = Signals(long=crossed_above(a, b), short=all_of(below(a, b), rng.random((50, n)) < 0.1))
    made = []
    for threads in (1, 2, 5):
        with at_most(threads):
            made.append(find_entries(signals, np.ones(n, bool), np.ones((40, 50), bool), 0))
    for other in made[1:]:
        assert np.array_equal(made[0].row_of, other.row_of)
        assert all(map(np.array_equal, made[0].rows, other.rows))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BARS, st.integers(0, 2**32 - 1))
def test_the_union_is_sorted_and_indexed(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    signals = Signals(long=rng.random((4, n)) < 0.3, short=rng.random((4, n)) < 0.3)
    rows = find_entries(signals, np.ones(n, bool), np.ones(4, bool), 0).rows
    keys = list(zip(rows.bar.tolist(), (-rows.side).tolist(), strict=True))
    assert keys == sorted(set(keys))
    for t in range(n + 1):
        assert rows.first_at[t] == sum(bar < t for bar in rows.bar)


def test_rows_that_only_forbidden_cells_need_are_empty() -> None:
    long = np.ones((3, 1, 70), bool)
    allowed = np.array([[True, False], [False, False], [False, True]])
    entries = find_entries(Signals(long=long), np.ones(70, bool), allowed, 0)
    counts = np.diff(entries.rows.start)[np.broadcast_to(entries.row_of, (3, 2))]
    assert counts.tolist() == [[70, 70], [0, 0], [70, 70]]


def test_many_distinct_rows_stay_distinct() -> None:
    rng = np.random.default_rng(8)
    long = rng.random((3_000, 100)) < 0.02
    long[1_000:2_000] = long[:1_000]
    entries = find_entries(Signals(long=long), np.ones(100, bool), np.ones(3_000, bool), 0)
    distinct = {row.tobytes() for row in long}
    assert entries.rows.start.size - 1 == len(distinct)
    assert (entries.row_of[:1_000] == entries.row_of[1_000:2_000]).all()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.sampled_from([2, 5, 64]),
    st.lists(st.integers(1, 3), max_size=3),
    st.sampled_from([0, 1, 3]),
    st.integers(0, 2**32 - 1),
)
def test_exit_rules_are_the_plain_arrays(n: int, axes: list[int], delay: int, seed: int) -> None:
    shape, rng = tuple(axes), np.random.default_rng(seed)

    def on_some_axes(bars: int) -> tuple[int, ...]:
        return (*(size if rng.random() < 0.6 else 1 for size in shape), bars)

    stop = rng.choice([1.0, 2.5, 0.0, -1.0, np.nan, np.inf], on_some_axes(n))
    target = rng.choice([1.0, 4.0, np.nan], on_some_axes(n)) if rng.random() < 0.7 else None
    trail = rng.choice([0.5, 3.0, np.nan], on_some_axes(n)) if rng.random() < 0.5 else None
    hold = rng.integers(1, 9, on_some_axes(1)) if rng.random() < 0.7 else None
    leave = rng.random(on_some_axes(n)) < 0.3 if rng.random() < 0.7 else None
    fields = {"stop": stop, "target": target, "trail": trail, "max_holding": hold, "exit_short": leave}
    signals = Signals(long=np.ones(n, bool), **fields)
    exits, own = find_exits(signals, n, len(shape), delay)
    index = np.broadcast_to(np.arange(int(np.prod(own))).reshape(own), shape)
    for place in np.ndindex(shape):
        x = int(index[place])
        for kind, values in (("stop", stop), ("target", target), ("trail", trail)):
            expected = distances(values, shape, place, n, delay)
            assert np.array_equal(rule(exits, x, kind, n), expected, equal_nan=True), kind
        holds = np.inf if hold is None else np.broadcast_to(hold, (*shape, 1))[place][0]
        assert (rule(exits, x, "max_holding", n) == holds).all()
        if leave is not None:
            flags = np.r_[np.zeros(min(delay, n), bool), np.broadcast_to(leave, (*shape, n))[place]][:n]
            following = [next((s for s in range(t, n) if flags[s]), n) for t in range(n + 1)]
            assert exits.leave[exits.row[x, record.SHORT_AT]].tolist() == following
        assert exits.row[x, record.LONG_AT] == -1


def rule(exits: record.Exits, x: int, kind: str, n: int) -> np.ndarray:
    """One rule of an exit cell on every bar."""
    column = record.EXIT_KINDS.index(kind)
    row = exits.row[x, column]
    return np.full(n, exits.constant[x, column]) if row < 0 else exits.matrix[row]


def distances(values: Any, shape: tuple[int, ...], place: tuple[int, ...], n: int, delay: int) -> np.ndarray:
    """Distances of a cell, moved `delay` bars later; infinite without a rule, NaN where not finite."""
    if values is None:
        return np.full(n, np.inf)
    row = np.broadcast_to(values, (*shape, n))[place]
    row = np.where(np.isfinite(row), row, np.nan)
    return np.r_[np.full(min(delay, n), np.nan), row][:n]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"long": np.ones(9)}, "entry signals must be boolean, got float64"),
        ({"short": AllOf((np.ones(9, bool), np.ones(9, int)))}, "entry signals must be boolean, got int64"),
        ({"long": np.ones(8, bool)}, "must have 1 or 9 bars on their last axis, got 8"),
        ({}, "must return long or short entries, got neither"),
    ],
)
def test_bad_entries_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_entries(Signals(**fields), np.ones(9, bool), np.ones((), bool), 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"exit_long": np.ones(9)}, "`exit_long` must be boolean, got float64"),
        ({"max_holding": np.array([0])}, "`max_holding` must be at least 1 bar, got 0"),
        ({"max_holding": np.array([np.nan])}, "`max_holding` must be at least 1 bar"),
        ({"stop": np.ones(8)}, "`stop` must have 1 or 9 bars on its last axis, got 8"),
    ],
)
def test_bad_exits_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_exits(Signals(long=np.ones(9, bool), **fields), 9, 0, 0)
