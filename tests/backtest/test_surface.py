"""Surfaces and plateaus on metrics made by hand, against plain loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.plateau import BANDWIDTH, REACH, kernel_moments, nearest_points
from quantlab.backtest.surface import Surface, identity
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.synthetic import garch
from quantlab.signals import Signals, Strategy
from quantlab.space import Choice, Float, Int, Space

SPACE = Space(
    Int("fast", 1, 100, 5),
    Float("depth", 0.0, 1.0, 0.5),
    Choice("side", ("with", "against"), "with"),
    Int("hold", 1, 50, 10, role="exit"),
    owner="made",
)
MADE = Strategy("made", SPACE, lambda c, p: Signals(long=c.close > 0), lambda p: 1)
CANDLES = garch(30)
VALUES = st.one_of(st.floats(-3, 3), st.just(math.nan))


def surface(cells: Any, **metrics: Any) -> Surface:
    whole = {name: np.full(cells.shape, np.nan) for name in METRICS}
    whole["trades"] = np.full(cells.shape, 50.0)
    for name, values in metrics.items():
        whole[name] = np.broadcast_to(np.asarray(values, float), cells.shape).copy()
    return Surface(MADE, cells, whole, Execution(), identity(CANDLES), "key")


def line(values: list[float], axis: list | None = None, **metrics: Any) -> Surface:
    grid = SPACE.grid(fast=axis or list(range(1, len(values) + 1)))
    return surface(grid, sharpe=values, **metrics)


CUBE = surface(
    SPACE.grid(fast=[5, 10, 20], depth=[0.1, 0.2], hold=[3, 4, 5, 6], side="against"),
    sharpe=np.random.default_rng(1).normal(size=(3, 2, 4)),
    net_profit=np.random.default_rng(2).normal(size=(3, 2, 4)),
)


def test_a_metric_by_name() -> None:
    assert CUBE["sharpe"].shape == CUBE.shape == (3, 2, 4)
    assert CUBE.size == 24
    assert list(CUBE.axes) == ["fast", "depth", "hold"]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: CUBE["sharp"], "'sharp' is not a metric: did you mean 'sharpe'"),
        (lambda: CUBE.best("profit_facto"), "did you mean 'profit_factor'"),
        (lambda: CUBE.plateau("sorino"), "did you mean 'sortino'"),
        (
            lambda: CUBE.plane("sharpe", "fsat", "hold"),
            "'fsat' is not a axis of this surface: did you mean 'fast'",
        ),
        (lambda: CUBE.heatmap("sharpe", x="fast", y="dpeth"), "did you mean 'depth'"),
        (
            lambda: CUBE.plane("sharpe", "fast", "hold", "maxx"),
            "'maxx' is not a reduction: did you mean 'max'",
        ),
        (lambda: CUBE.sel(hodl=3), "did you mean 'hold'"),
        (lambda: CUBE.sel(side="with"), "'side' is not"),
    ],
)
def test_typos_get_suggestions(act: Any, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words.replace("not a axis", "not an? axis")):
        act()


def test_a_cell_carries_fixed_parameters_and_all_metrics() -> None:
    cell = CUBE.cell((2, 1, 3))
    assert dict(cell.params) == {"fast": 20, "depth": 0.2, "side": "against", "hold": 6}
    assert list(cell.metrics) == list(METRICS)
    assert cell.metrics["sharpe"] == CUBE["sharpe"][2, 1, 3]
    assert cell.index == (2, 1, 3)
    assert "fast=20" in repr(cell)


def test_best_is_the_highest_with_enough_trades() -> None:
    made = line([1.0, 9.0, 2.0, math.nan], trades=[30, 29, 31, 99])
    assert made.best().params["fast"] == 3
    assert made.best(min_trades=0).params["fast"] == 2
    with pytest.raises(InputError, match=r"at least 200 closed trades \(most: 99\): lower min_trades"):
        made.best(min_trades=200)


def test_best_of_nothing_is_named() -> None:
    with pytest.raises(InputError, match="no cell has a sharpe"):
        line([math.nan, math.nan], trades=[math.nan, math.nan]).best()


def test_sel_fixes_axes() -> None:
    part = CUBE.sel(depth=0.2, hold=5)
    assert part.shape == (3,)
    assert np.array_equal(part["sharpe"], CUBE["sharpe"][:, 1, 2])
    assert part.cell((1,)).params == CUBE.cell((1, 1, 2)).params
    single = CUBE.sel(fast=5, depth=0.1, hold=3).cell(())
    assert single.metrics == pytest.approx(CUBE.cell((0, 0, 0)).metrics, rel=0, abs=0, nan_ok=True)
    with pytest.raises(InputError, match=r"hold has no value 7 on this surface: it has \[3, 4, 5, 6\]"):
        CUBE.sel(hold=7)


PLAIN = {
    "max": max,
    "min": min,
    "mean": lambda v: math.fsum(v) / len(v),
    "median": lambda v: float(np.median(v)),
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(hnp.arrays(np.float64, (3, 2, 4), elements=VALUES), st.permutations(["fast", "depth", "hold"]))
def test_a_plane_reduces_the_other_axes(values: np.ndarray, order: list[str]) -> None:
    made = surface(CUBE.cells, sharpe=values)
    x, y, other = order
    for reduce, plain in PLAIN.items():
        plane = made.plane("sharpe", x, y, reduce)
        assert plane.shape == (len(made.axes[y]), len(made.axes[x]))
        for j, i in np.ndindex(plane.shape):
            part = made.sel(**{x: made.axes[x][i], y: made.axes[y][j]})["sharpe"]
            assert part.shape == (len(made.axes[other]),)
            present = part[~np.isnan(part)].tolist()
            expected = plain(present) if present else math.nan
            assert plane[j, i] == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def test_a_plane_needs_two_axes() -> None:
    with pytest.raises(InputError, match="two different axes, got 'fast' twice"):
        CUBE.plane("sharpe", "fast", "fast")


def test_a_heatmap_shows_the_plane() -> None:
    figure = CUBE.heatmap("sharpe", x="fast", y="hold", reduce="median")
    shown = np.array(next(t for t in figure.data if t.type == "heatmap").z, float)
    np.testing.assert_allclose(shown, CUBE.plane("sharpe", "fast", "hold", "median"), rtol=1e-4)
    assert "median over depth" in figure.layout.title.text


def test_a_frame_has_a_row_per_cell_in_order() -> None:
    frame = CUBE.to_frame()
    assert list(frame.columns) == ["fast", "depth", "hold", *METRICS]
    for row, place in enumerate(np.ndindex(CUBE.shape)):
        cell = CUBE.cell(place)
        assert [frame[name][row] for name in CUBE.axes] == [cell.params[name] for name in CUBE.axes]
        assert frame["sharpe"][row] == cell.metrics["sharpe"]


def test_points_have_a_frame_but_no_axes() -> None:
    made = surface(SPACE.points([{"fast": 3}, {"fast": 4, "side": "against"}]), sharpe=[1.0, 2.0])
    frame = made.to_frame()
    assert frame["fast"].tolist() == [3, 4]
    assert frame["side"].tolist() == ["with", "against"]
    assert made.best().params["fast"] == 4
    for act in (lambda: made.axes, lambda: made.sel(fast=3), lambda: made.plane("sharpe", "fast", "hold")):
        with pytest.raises(InputError, match="a list of 2 points has no axes"):
            act()


def test_the_plateau_of_points_lies_among_good_neighbours() -> None:
    rng = np.random.default_rng(0)
    drawn = zip(rng.integers(1, 101, 80).tolist(), rng.random(80).tolist(), strict=True)
    cells = [{"fast": fast, "depth": depth} for fast, depth in drawn]
    good = np.array([2.0 if c["fast"] > 60 and c["depth"] > 0.5 else 0.0 for c in cells])
    lone = int(np.flatnonzero([c["fast"] < 30 and c["depth"] < 0.3 for c in cells])[0])
    good[lone] = 5.0
    made = surface(SPACE.points(cells), sharpe=good)
    assert made.best().index == (lone,)
    plateau = made.plateau()
    assert good[plateau.cell.index] == 2.0
    assert plateau.neighbours["sharpe"].mean() == pytest.approx(plateau.mean)
    assert plateau.half_width == {"fast": None, "depth": None}


def test_nearest_points_against_plain_loops() -> None:
    rng = np.random.default_rng(1)
    sides = ["with", "against"]
    cells = [{"fast": int(rng.integers(1, 101)), "side": sides[rng.integers(2)]} for _ in range(30)]
    for i, near in enumerate(nearest_points(SPACE.points(cells), 4)):
        far = [((c["fast"] - cells[i]["fast"]) / 99) ** 2 + (c["side"] != cells[i]["side"]) for c in cells]
        assert near[0] == i
        np.testing.assert_allclose(sorted(far)[:4], [far[j] for j in near], atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    hnp.arrays(np.float64, st.tuples(*[st.integers(1, 5)] * 3), elements=VALUES),
    st.tuples(*[st.booleans()] * 3),
)
def test_neighbourhoods_against_plain_loops(values: np.ndarray, ordered: tuple[bool, ...]) -> None:
    mean, sd, share = kernel_moments(values, ordered)
    for place in np.ndindex(values.shape):
        inside, present = 0.0, []
        for steps in itertools.product(*(range(-REACH, REACH + 1) if on else (0,) for on in ordered)):
            other = tuple(a + b for a, b in zip(place, steps, strict=True))
            if all(0 <= i < n for i, n in zip(other, values.shape, strict=True)):
                weight = math.exp(-0.5 * sum(s * s for s in steps) / BANDWIDTH**2)
                inside += weight
                if not math.isnan(values[other]):
                    present.append((weight, values[other]))
        total = math.fsum(w for w, _ in present)
        if not present:
            assert math.isnan(mean[place])
            continue
        centre = math.fsum(w * v for w, v in present) / total
        spread = math.sqrt(math.fsum(w * (v - centre) ** 2 for w, v in present) / total)
        assert mean[place] == pytest.approx(centre, rel=1e-9, abs=1e-9)
        assert sd[place] == pytest.approx(spread, rel=1e-6, abs=1e-6)
        assert share[place] == pytest.approx(total / inside, rel=1e-9)


def test_a_plateau_is_preferred_to_a_lone_peak() -> None:
    values = np.zeros((9, 9))
    values[1, 1] = 5.0
    values[4:9, 4:9] = 2.0
    made = surface(SPACE.grid(fast=list(range(1, 10)), depth=np.linspace(0.1, 0.9, 9)), sharpe=values)
    assert made.best().index == (1, 1)
    plateau = made.plateau()
    assert plateau.cell.index in {(i, j) for i in range(5, 9) for j in range(5, 9)}
    assert plateau.metric == "sharpe"
    assert plateau.score <= plateau.mean <= 2.0


def test_a_cell_amid_unknown_ones_is_chosen_only_if_there_is_no_other() -> None:
    nan = math.nan
    assert line([nan, nan, 9, nan, nan, 3, 3, 3, 3, 3]).plateau().cell.params["fast"] >= 6
    assert line([nan, nan, nan, nan, 2.0, nan, nan, nan, nan]).plateau().cell.params["fast"] == 5


def test_cells_without_enough_trades_are_neighbours_but_never_chosen() -> None:
    values, trades = [3, 3, 3, 3, -9, -9, 4, -9, -9], [50, 50, 50, 50, 5, 5, 50, 5, 5]
    assert line(values, trades=trades).plateau().cell.params["fast"] <= 3
    assert line([1.0, 2.0, 3.0], trades=[1, 1, 40]).plateau().cell.params["fast"] == 3


@pytest.mark.parametrize(
    ("values", "axis", "chosen", "half_width"),
    [
        ([2, 2, 2, 2, 2, 2, 0.1], [1, 2, 3, 4, 6, 9, 20], 4, 3.0),  # the left end is the nearer side
        ([0, 2, 2, 2, 0.9, 0], [1, 2, 3, 4, 5, 6], 3, 1.0),
        ([0, 0, 2, 0, 0], [1, 2, 3, 4, 5], 3, 0.0),
        ([3, 3, 3, 3], [1, 2, 3, 4], 1, 3.0),  # at the end of the axis only one side is left
    ],
)
def test_half_width_by_hand(values: list[float], axis: list[int], chosen: int, half_width: float) -> None:
    from quantlab.backtest.plateau import _half_width

    made = line(values, axis)
    found = _half_width(made["sharpe"], made.cells, (axis.index(chosen),), 0)
    assert found == half_width


def test_half_width_does_not_depend_on_the_order_of_the_axis() -> None:
    values, axis = [0.1, 2.0, 2.1, 2.0, 0.1], [1, 2, 3, 4, 5]
    order = [2, 0, 4, 1, 3]
    from quantlab.backtest.plateau import _half_width

    shuffled = line([values[i] for i in order], [axis[i] for i in order])
    assert _half_width(shuffled["sharpe"], shuffled.cells, (0,), 0) == 1.0


def test_a_choice_is_no_neighbourhood() -> None:
    values = np.array([[0.0, 9.0, 0.0], [3.0, 3.0, 3.0]])
    made = surface(SPACE.grid(side=["with", "against"], fast=[1, 2, 3]), sharpe=values.T)
    plateau = made.plateau()
    assert plateau.cell.params["side"] == "against"
    assert plateau.half_width["side"] is None
    assert plateau.half_width["fast"] in (1.0, 2.0)


def test_neighbours_lists_what_lies_around() -> None:
    plateau = line([1, 2, 3, 3, 3, 2, 1]).plateau()
    frame = plateau.neighbours
    assert frame["value"].tolist() == [2, 3, 4, 5, 6]
    assert frame["sharpe"].tolist() == [2, 3, 3, 3, 2]
    assert frame.loc[frame["chosen"], "value"].tolist() == [4] == [plateau.cell.params["fast"]]


def test_nothing_to_choose_from_is_named() -> None:
    with pytest.raises(InputError, match="no cell has a sharpe and at least 60 closed trades"):
        line([1, 2, 3]).plateau(min_trades=60)


def test_the_identity_of_candles() -> None:
    where = CUBE.identity
    assert (where.bars, where.first_ms, where.last_ms) == (30, CANDLES.first_ms, CANDLES.last_ms)
    assert where.fingerprint == CANDLES.fingerprint
    assert where.to_json()["family"] == CANDLES.family
    assert "30 bars" in repr(CUBE)
