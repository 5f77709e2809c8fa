from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.errors import InputError, UnknownNameError
from quantlab.space import Choice, Float, Int, Params, Space

SPACE = Space(
    Float("stop", 0.5, 3.0, 1.5, "ATR", "stop distance", "exit"),
    Int("fast", 2, 50, 5),
    Int("slow", 3, 200, 20),
    Choice("side", ("with", "against"), "with"),
    Float("depth", 0.0005, 0.005, 0.002),
    constraints=("fast < slow", "depth <= 0.004"),
    owner="cross",
)


def values_of(parameter: Any) -> st.SearchStrategy:
    if isinstance(parameter, Choice):
        return st.sampled_from(parameter.options)
    if isinstance(parameter, Int):
        return st.integers(parameter.low, parameter.high)
    return st.floats(parameter.low, parameter.high)


def axis(parameter: Any) -> st.SearchStrategy:
    return values_of(parameter) | st.lists(values_of(parameter), min_size=1, max_size=3, unique=True)


GRIDS = st.fixed_dictionaries({}, optional={p.name: axis(p) for p in SPACE.parameters})
CELLS = st.fixed_dictionaries({}, optional={p.name: values_of(p) for p in SPACE.parameters})


def test_entry_parameters_come_first() -> None:
    assert SPACE.names == ("fast", "slow", "side", "depth", "stop")
    assert SPACE.defaults == {"fast": 5, "slow": 20, "side": "with", "depth": 0.002, "stop": 1.5}
    assert len(SPACE) == 5


@settings(max_examples=60, deadline=None, derandomize=True)
@given(GRIDS)
def test_a_grid_is_the_product_of_its_values(given_values: dict[str, Any]) -> None:
    grid = SPACE.grid(**given_values)
    listed = {n: v if isinstance(v, list) else [v] for n, v in ({**SPACE.defaults, **given_values}).items()}
    cells = [
        dict(zip(SPACE.names, cell, strict=True))
        for cell in itertools.product(*(listed[n] for n in SPACE.names))
    ]
    assert grid.size == len(cells)
    assert grid.shape == tuple(
        len(given_values[n]) for n in SPACE.names if isinstance(given_values.get(n), list)
    )
    places = list(np.ndindex(grid.shape))
    assert [grid.cell(place) for place in places] == cells
    allowed = [cell["fast"] < cell["slow"] and cell["depth"] <= 0.004 for cell in cells]
    assert grid.allowed.shape == grid.shape
    assert [bool(grid.allowed[place]) for place in places] == allowed
    mesh = {n: np.broadcast_to(v, grid.shape) for n, v in grid.mesh().items()}
    assert [{n: mesh[n][place].item() for n in SPACE.names} for place in places] == cells


@settings(max_examples=60, deadline=None, derandomize=True)
@given(GRIDS)
def test_parameters_end_in_a_time_axis_and_have_an_axis_each(given_values: dict[str, Any]) -> None:
    grid = SPACE.grid(**given_values)
    params = grid.params()
    assert list(params) == list(SPACE.names)
    for i, name in enumerate(grid.axes):
        expected = [1] * (len(grid.axes) + 1)
        expected[i] = len(grid.axes[name])
        assert getattr(params, name).shape == tuple(expected)
    for name in grid.fixed:
        assert getattr(params, name).shape == (1,) * (len(grid.axes) + 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(CELLS, min_size=1, max_size=5))
def test_points_are_their_cells(cells: list[dict[str, Any]]) -> None:
    points = SPACE.points(cells)
    whole = [{n: {**SPACE.defaults, **cell}[n] for n in SPACE.names} for cell in cells]
    assert points.shape == (len(cells),)
    assert points.size == len(cells)
    assert [points.cell((i,)) for i in range(len(cells))] == whole
    assert points.allowed.tolist() == [c["fast"] < c["slow"] and c["depth"] <= 0.004 for c in whole]
    for name in SPACE.names:
        assert getattr(points.params(), name).shape == (len(cells), 1)
        assert points.mesh()[name].shape == (len(cells),)
    assert [points.take(1, 3).cell((i,)) for i in range(len(whole[1:3]))] == whole[1:3]
    assert json.loads(json.dumps(points.to_json())) == {
        "columns": {n: [c[n] for c in whole] for n in SPACE.names}
    }


def test_a_part_of_a_grid_keeps_everything_else() -> None:
    grid = SPACE.grid(fast=[3, 4, 5, 6], side=["with", "against"], depth=0.001)
    part = grid.part("fast", 1, 3)
    assert part.shape == (2, 2)
    for i, j in np.ndindex(2, 2):
        assert part.cell((i, j)) == grid.cell((i + 1, j))


def test_kinds_keep_their_types() -> None:
    cell = SPACE.grid(fast=[3.0, 4.0], side="against").cell((1,))
    assert [type(cell[n]) for n in SPACE.names] == [int, int, str, float, float]


@pytest.mark.parametrize(
    "make", [lambda v: SPACE.grid(**v), lambda v: SPACE.points([v])], ids=["grid", "points"]
)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"depth": 0.18},
            r"`depth` of cross must be in \[0.0005, 0.005\], got 0.18: parameters are fractions, not",
        ),
        ({"fast": 1}, r"`fast` of cross must be in \[2, 50\], got 1 \(bars\)"),
        ({"stop": 9.0}, r"`stop` of cross must be in \[0.5, 3\], got 9 \(ATR\)"),
        ({"fast": 2.5}, r"`fast` of cross must be whole numbers of bars, got \[2.5\]"),
        ({"depth": float("nan")}, "`depth` of cross must be finite"),
        ({"depth": "deep"}, "`depth` of cross must be numbers"),
        ({"depth": None}, "`depth` of cross must be"),
        ({"depth": 0.0001}, r"must be in \[0.0005, 0.005\], got 0.0001 \(fraction\)\.$"),
        ({"fast": "7"}, r"`fast` of cross must be numbers, got \['7'\]"),
        ({"fast": True}, r"`fast` of cross must be numbers, got \[ ?True\]"),
        ({"fast": {7, 8}}, "`fast` of cross must be numbers"),
        ({"side": "wiht"}, "'wiht' is not an? option of `side` of cross: did you mean 'with'"),
        ({"dept": 0.001}, "'dept' is not a parameter of cross: did you mean 'depth'"),
    ],
)
def test_bad_values_are_named(make: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(values)


@pytest.mark.parametrize("values", [[], [3, 3], [[3, 4]], [[3, 4], [5]]], ids=str)
def test_an_axis_needs_distinct_values_in_a_flat_list(values: list) -> None:
    with pytest.raises(InputError, match="`fast` of cross"):
        SPACE.grid(fast=values)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([None], r"a cell of cross is a mapping of parameter to value, got None: write e\.g\. \{'"),
        ([{3: 7}], "3 is not a parameter of cross: known: depth, fast"),
        ([5], "a cell of cross is a mapping of parameter to value, got 5"),
        ([{"fast": [3, 4]}], r"`fast` of cross takes one value in a cell, got \[3, 4\]: several make a grid"),
        ([{"fast": [3, 4]}, {"fast": 3}], "`fast` of cross must be a value or a flat list"),
    ],
)
def test_bad_cells_are_named(cells: list[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SPACE.points(cells)


def test_a_broken_constraint_is_named_with_the_values_that_break_it() -> None:
    space = Space(
        Int("a", 1, 9, 1), Int("b", 1, 9, 5), Int("c", 1, 9, 1), constraints=("a < b", "c != 3"), owner="x"
    )
    space.demand({"a": 1, "b": 2, "c": 1})
    with pytest.raises(InputError, match=r"^`a < b` must hold for x, got a=4, b=2\.$"):
        space.demand({"a": 4, "b": 2, "c": 3})
    with pytest.raises(InputError, match=r"^`c != 3` must hold for x, got c=3\.$"):
        space.demand({"a": 1, "b": 2, "c": 3})


def test_no_points_are_refused() -> None:
    with pytest.raises(InputError, match="at least one cell of cross"):
        SPACE.points([])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Int("n", 5, 3, 4), r"low <= high must hold for `n`, got \(low=5, high=3\)"),
        (lambda: Float("x", 0.0, 1.0, 2.0), r"the default of `x` must be in \[0.0, 1.0\], got 2.0"),
        (lambda: Float("x", 0.0, 1.0, float("nan")), "default of `x` must be a number, got nan"),
        (lambda: Int("n", 0, float("inf"), 1), "high of `n` must be a whole number, got inf"),
        (lambda: Float("x", float("nan"), 1.0, 0.5), "low of `x` must be a number, got nan"),
        (lambda: Int("n", 1.5, 3, 2), r"low of `n` must be a whole number, got 1\.5"),
        (lambda: Int("n", "1", 3, 2), "low of `n` must be a whole number, got '1'"),
        (lambda: Int("n", 1, 3, True), "default of `n` must be a whole number, got True"),
        (lambda: Int("n", 1, 3, 2, role="entyr"), "'entyr' is not a role of `n`: did you mean 'entry'"),
        (lambda: Int("a b", 1, 3, 2), "must read like 'fast' or 'stop_atr', .* got 'a b'"),
        (lambda: Float("class", 0.0, 1.0, 0.5), "got 'class'"),
        (lambda: Choice("_c", ("a", "b"), "a"), "got '_c'"),
        (lambda: Choice("c", "ab", "a"), "`c` needs distinct options, a tuple of texts, got 'ab'"),
        (lambda: Choice("c", (1, 2), 1), "a tuple of texts"),
        (lambda: Space("fast"), "made of Int, Float and Choice, got 'fast'"),
        (
            lambda: Space(Int("n", 1, 3, 2), constraints="n < 3"),
            r"a list of texts, got 'n < 3': write \('n < 3',\)",
        ),
        (lambda: Choice("c", (), "a"), "`c` needs distinct options"),
        (lambda: Choice("c", ("a", "a"), "a"), "`c` needs distinct options"),
        (lambda: Choice("c", ("alpha", "beta"), "alhpa"), "did you mean 'alpha'"),
        (lambda: Space(Int("n", 1, 3, 2), Float("n", 0, 1, 0.5)), "parameter names must differ"),
        (lambda: Space(Int("fast", 1, 3, 2), constraints=("fats < 2",)), "did you mean 'fast'"),
        (lambda: Space(Int("n", 1, 3, 2), constraints=("n <",)), "a constraint compares two parameters"),
        (
            lambda: Space(Int("n", 1, 3, 2), constraints=("1 < n < 3",)),
            "a constraint compares two parameters",
        ),
        (lambda: Space(Int("n", 1, 3, 2), constraints=("__import__('os')",)), "a constraint compares two"),
    ],
)
def test_bad_declarations_are_named(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("a < b", [0, 1, 0]),
        ("a <= b", [1, 1, 0]),
        ("a > 2", [0, 0, 1]),
        ("2 >= b", [1, 0, 1]),
        ("a != b", [0, 1, 1]),
    ],
)
def test_constraints(constraint: str, expected: list[int]) -> None:
    space = Space(Int("a", 1, 3, 1), Int("b", 1, 3, 2), constraints=(constraint,))
    points = space.points([{"a": 2, "b": 2}, {"a": 2, "b": 3}, {"a": 3, "b": 1}])
    assert points.allowed.tolist() == [bool(e) for e in expected]


def test_a_space_without_parameters_has_one_cell() -> None:
    space = Space(owner="hold")
    assert space.grid().shape == ()
    assert space.grid().size == 1
    assert space.grid().cell(()) == {}
    assert space.points([{}]).shape == (1,)
    assert space.points([{}]).cell((0,)) == {}
    assert space.points([{}]).allowed.tolist() == [True]


def test_unknown_parameter_of_params_gets_a_suggestion() -> None:
    params = SPACE.grid().params()
    with pytest.raises(UnknownNameError, match="'detph' is not a parameter of cross: did you mean 'depth'"):
        _ = params.detph
    with pytest.raises(AttributeError):
        _ = params.__wrapped__
    assert isinstance(params, Params)


def test_the_hash_follows_what_could_be_searched() -> None:
    again = Space(*SPACE.parameters, constraints=SPACE.constraints, owner="another name")
    wider = Space(
        *SPACE.parameters[:-1], Float("stop", 0.5, 4.0, 1.5, role="exit"), constraints=SPACE.constraints
    )
    assert again.hash == SPACE.hash
    assert len({SPACE.hash, wider.hash, Space(*SPACE.parameters).hash}) == 3
    assert json.loads(json.dumps(SPACE.to_json())) == SPACE.to_json()
