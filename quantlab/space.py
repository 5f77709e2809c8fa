"""The parameters of a strategy: kinds, bounds, roles and constraints, and the cells drawn from them.

A `Space` describes what may vary. A `Grid` (an open mesh: one axis per parameter) or `Points` (a list
of cells on one shared axis) says which cells are meant. Both hand a strategy the same thing: `Params`,
named arrays whose **last axis is time** (length one), ready to broadcast against candle columns.
"""

from __future__ import annotations

import ast
import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Literal

import numpy as np

from quantlab.checks import array_of, check_bounds, check_declared, check_inside, numbers, one_each, show
from quantlab.errors import InputError, UnknownNameError

Role = Literal["entry", "exit"]

_COMPARISONS: dict[type, Any] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Int:
    """A whole-number parameter in ``[low, high]``."""

    name: str
    low: int
    high: int
    default: int
    unit: str = "bars"
    meaning: str = ""
    role: Role = "entry"

    def __post_init__(self) -> None:
        check_declared(self.name, self.role)
        check_bounds(self.name, self.low, self.high, self.default, whole=True)

    def check(self, values: np.ndarray, owner: str) -> np.ndarray:
        """Return `values` as int64; raise InputError outside the bounds or off the whole numbers."""
        array = numbers(values, self.name, owner)
        if not np.array_equal(array, np.round(array)):
            raise InputError(
                f"`{self.name}` of {owner} must be whole numbers of {self.unit}, got {show(array)}."
            )
        check_inside(array, self.low, self.high, self.name, owner, self.unit)
        return array.astype(np.int64)


@dataclass(frozen=True)
class Float:
    """A real parameter in ``[low, high]``; `unit` says whether it is a fraction, a multiple of ATR, ..."""

    name: str
    low: float
    high: float
    default: float
    unit: str = "fraction"
    meaning: str = ""
    role: Role = "entry"

    def __post_init__(self) -> None:
        check_declared(self.name, self.role)
        check_bounds(self.name, self.low, self.high, self.default, whole=False)

    def check(self, values: np.ndarray, owner: str) -> np.ndarray:
        """Return `values` as float64; raise InputError outside the bounds."""
        array = numbers(values, self.name, owner)
        check_inside(array, self.low, self.high, self.name, owner, self.unit)
        return array


@dataclass(frozen=True)
class Choice:
    """A parameter that takes one of a few named options."""

    name: str
    options: tuple[str, ...]
    default: str
    unit: str = "name"
    meaning: str = ""
    role: Role = "entry"

    def __post_init__(self) -> None:
        check_declared(self.name, self.role)
        texts = not isinstance(self.options, str) and all(isinstance(o, str) for o in self.options)
        if not texts or not self.options or len(set(self.options)) != len(self.options):
            raise InputError(f"`{self.name}` needs distinct options, a tuple of texts, got {self.options!r}.")
        if self.default not in self.options:
            raise UnknownNameError(f"option of {self.name}", self.default, self.options)

    def check(self, values: np.ndarray, owner: str) -> np.ndarray:
        """Return `values` as a string array; raise UnknownNameError for an option that does not exist."""
        array = np.asarray(values).astype(str)
        for value in array.ravel():
            if value not in self.options:
                raise UnknownNameError(f"option of `{self.name}` of {owner}", str(value), self.options)
        return array


Parameter = Int | Float | Choice


class Params:
    """Named parameter arrays of one evaluation; ``p.name`` broadcasts against ``(..., n_bars)``.

    Every array ends in a time axis of length one. On a grid each parameter has its own axis before it,
    on a list of points all share one axis, at a single point there is none.
    """

    def __init__(self, owner: str, arrays: Mapping[str, np.ndarray]) -> None:
        self._owner = owner
        self._arrays = dict(arrays)

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._arrays[name]
        except KeyError:
            raise UnknownNameError(f"parameter of {self._owner}", name, self._arrays) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)


@dataclass(frozen=True)
class Space:
    """The parameters of one strategy and the constraints between them.

    Parameters
    ----------
    *parameters : Int, Float or Choice
    constraints : sequence of str
        Comparisons of two parameters or of a parameter and a number, e.g. ``"fast < slow"``.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[str, ...] = ()
    owner: str = field(default="the strategy", compare=False)

    def __init__(
        self, *parameters: Parameter, constraints: Sequence[str] = (), owner: str = "the strategy"
    ) -> None:
        for parameter in parameters:
            if not isinstance(parameter, Int | Float | Choice):
                raise InputError(f"a space is made of Int, Float and Choice, got {parameter!r}.")
        object.__setattr__(self, "parameters", tuple(sorted(parameters, key=lambda p: p.role != "entry")))
        object.__setattr__(self, "constraints", tuple(constraints))
        object.__setattr__(self, "owner", owner)
        names = tuple(p.name for p in parameters)
        if isinstance(constraints, str):
            raise InputError(
                f"constraints are a list of texts, got {constraints!r}: write ({constraints!r},)."
            )
        if len(set(names)) != len(names):
            raise InputError(f"parameter names must differ, got {list(names)}.")
        for constraint in constraints:
            _parse_constraint(constraint, names)

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise UnknownNameError(f"parameter of {self.owner}", name, self.names)

    def __len__(self) -> int:
        return len(self.parameters)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names, entry parameters first."""
        return tuple(p.name for p in self.parameters)

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of every parameter."""
        return {p.name: p.default for p in self.parameters}

    def grid(self, **values: Any) -> Grid:
        """The product of the given values; parameters not named stay at their default.

        A scalar fixes a parameter, a sequence makes an axis.
        """
        axes: dict[str, np.ndarray] = {}
        fixed: dict[str, Any] = {}
        for name in values:
            self[name]  # an unknown name is an error before anything else
        for parameter in self.parameters:
            given = values.get(parameter.name, parameter.default)
            array = parameter.check(np.atleast_1d(array_of(given, parameter.name, self.owner)), self.owner)
            if array.ndim != 1 or array.size == 0 or len(np.unique(array)) != array.size:
                raise InputError(f"`{parameter.name}` of {self.owner} needs distinct values, got {given!r}.")
            if np.ndim(given) == 0:
                fixed[parameter.name] = array[0].item()
            else:
                axes[parameter.name] = array
        return Grid(self, axes, fixed)

    def points(self, cells: Sequence[Mapping[str, Any]]) -> Points:
        """A list of single cells; parameters a cell does not name stay at their default."""
        if not cells:
            raise InputError(f"at least one cell of {self.owner} is needed, got an empty list.")
        for cell in cells:
            if not isinstance(cell, Mapping):
                raise InputError(
                    f"a cell of {self.owner} is a mapping of parameter to value, got {cell!r}: write e.g. "
                    f"{dict(list(self.defaults.items())[:2])}."
                )
            for name in cell:
                self[name]
        columns = {
            p.name: p.check(
                one_each([cell.get(p.name, p.default) for cell in cells], p.name, self.owner), self.owner
            )
            for p in self.parameters
        }
        return Points(self, columns)

    def to_json(self) -> dict[str, Any]:
        """A JSON form of the space: everything that identifies what could be searched."""
        kinds = {Int: "int", Float: "float", Choice: "choice"}
        parameters = []
        for p in self.parameters:
            bounds = {"options": list(p.options)} if isinstance(p, Choice) else {"low": p.low, "high": p.high}
            parameters.append(
                {"name": p.name, "kind": kinds[type(p)], **bounds, "default": p.default}
                | {"unit": p.unit, "meaning": p.meaning, "role": p.role}
            )
        return {"parameters": parameters, "constraints": list(self.constraints)}

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the JSON form."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def demand(self, cell: Mapping[str, Any]) -> None:
        """Raise InputError with the first constraint that a single cell breaks, and its values."""
        for constraint in self.constraints:
            left, compare, right = _parse_constraint(constraint, self.names)
            a, b = (cell[side] if isinstance(side, str) else side for side in (left, right))
            if not compare(a, b):
                got = ", ".join(f"{side}={cell[side]}" for side in (left, right) if isinstance(side, str))
                raise InputError(f"`{constraint}` must hold for {self.owner}, got {got}.")

    def allowed(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Boolean array, broadcast over `values`: which cells satisfy every constraint."""
        allowed: Any = True
        for constraint in self.constraints:
            left, compare, right = _parse_constraint(constraint, self.names)
            a = values[left] if isinstance(left, str) else left
            b = values[right] if isinstance(right, str) else right
            allowed = allowed & compare(a, b)
        return np.broadcast_to(allowed, np.broadcast_shapes(*(np.shape(v) for v in values.values())))


@dataclass(frozen=True)
class Grid:
    """The product of parameter values, one axis per parameter that varies (entry parameters first)."""

    space: Space
    axes: Mapping[str, np.ndarray]
    fixed: Mapping[str, Any]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(v) for v in self.axes.values())

    @cached_property
    def size(self) -> int:
        """Number of cells, those that break a constraint included."""
        return prod(self.shape)

    def mesh(self) -> dict[str, np.ndarray]:
        """Every parameter as an array that broadcasts to `shape` (an open mesh, without the time axis)."""
        k = len(self.axes)
        mesh = {
            n: v.reshape((1,) * i + (-1,) + (1,) * (k - i - 1)) for i, (n, v) in enumerate(self.axes.items())
        }
        return {
            n: mesh[n] if n in mesh else np.asarray(self.fixed[n]).reshape((1,) * k) for n in self.space.names
        }

    def params(self) -> Params:
        """The arrays that a strategy receives: `mesh` with a time axis of length one at the end."""
        return Params(self.space.owner, {n: v[..., None] for n, v in self.mesh().items()})

    @cached_property
    def allowed(self) -> np.ndarray:
        """Boolean array of `shape`: cells that satisfy the constraints of the space."""
        return np.broadcast_to(self.space.allowed(self.mesh()), self.shape)

    def cell(self, index: tuple[int, ...]) -> dict[str, Any]:
        """The parameters of the cell at `index`, fixed ones included."""
        values = {n: v[i].item() for (n, v), i in zip(self.axes.items(), index, strict=True)}
        return {n: values[n] if n in values else self.fixed[n] for n in self.space.names}

    def part(self, name: str, start: int, stop: int) -> Grid:
        """The grid with the axis `name` cut to ``[start, stop)``."""
        return Grid(self.space, {**self.axes, name: self.axes[name][start:stop]}, self.fixed)

    def to_json(self) -> dict[str, Any]:
        """Axes and fixed values as plain lists and scalars."""
        return {"axes": {n: v.tolist() for n, v in self.axes.items()}, "fixed": dict(self.fixed)}


@dataclass(frozen=True)
class Points:
    """A list of cells: every parameter is a column of the same length."""

    space: Space
    columns: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(number of cells,)``; of a space without parameters there is one."""
        return (len(next(iter(self.columns.values()))) if self.columns else 1,)

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.shape[0]

    def mesh(self) -> dict[str, np.ndarray]:
        """Every parameter as a column of length `size`."""
        return dict(self.columns)

    def params(self) -> Params:
        """The arrays that a strategy receives: columns with a time axis of length one at the end."""
        return Params(self.space.owner, {n: v[:, None] for n, v in self.columns.items()})

    @property
    def allowed(self) -> np.ndarray:
        """Boolean array of `shape`: cells that satisfy the constraints of the space."""
        return np.broadcast_to(self.space.allowed(self.columns), self.shape)

    def cell(self, index: tuple[int, ...]) -> dict[str, Any]:
        """The parameters of the cell at ``index``."""
        return {n: v[index[0]].item() for n, v in self.columns.items()}

    def take(self, start: int, stop: int) -> Points:
        """The cells in ``[start, stop)``."""
        return Points(self.space, {n: v[start:stop] for n, v in self.columns.items()})

    def to_json(self) -> dict[str, Any]:
        """The columns as plain lists."""
        return {"columns": {n: v.tolist() for n, v in self.columns.items()}}


Cells = Grid | Points


@lru_cache(maxsize=256)
def _parse_constraint(text: str, names: tuple[str, ...]) -> tuple[Any, Any, Any]:
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        node = None
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        sides: list[Any] = []
        for side in (node.left, node.comparators[0]):
            if isinstance(side, ast.Name):
                if side.id not in names:
                    raise UnknownNameError(f"parameter in the constraint {text!r}", side.id, names)
                sides.append(side.id)
            elif isinstance(side, ast.Constant) and isinstance(side.value, (int, float)):
                sides.append(side.value)
        if len(sides) == 2:
            return sides[0], _COMPARISONS[type(node.ops[0])], sides[1]
    raise InputError(f"a constraint compares two parameters, such as 'fast < slow', got {text!r}.")
