"""What may be declared as a parameter and what may be given as its value; each fault is named."""

from __future__ import annotations

import keyword
import math
from numbers import Real
from typing import Any

import numpy as np

from quantlab.errors import InputError, UnknownNameError

ROLES = ("entry", "exit")


def check_declared(name: Any, role: Any) -> None:
    """Raise InputError unless a strategy can say ``p.name`` and the role is one of `ROLES`."""
    if (
        not isinstance(name, str)
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or name.startswith("_")
    ):
        raise InputError(
            f"a parameter's name must read like 'fast' or 'stop_atr', for a strategy writes p.fast, got "
            f"{name!r}."
        )
    if role not in ROLES:
        raise UnknownNameError(f"role of `{name}`", str(role), ROLES)


def check_bounds(name: str, low: Any, high: Any, default: Any, *, whole: bool) -> None:
    """Raise InputError unless low <= default <= high are numbers, whole where they have to be.

    A bound may be infinite where it need not be whole; who draws from such a space says what is missing.
    """
    for what, value in (("low", low), ("high", high), ("default", default)):
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or math.isnan(value) or (whole and (math.isinf(value) or value != int(value))):
            raise InputError(f"{what} of `{name}` must be a {'whole ' * whole}number, got {value!r}.")
    if not low <= high:
        raise InputError(f"low <= high must hold for `{name}`, got (low={low}, high={high}).")
    if not low <= default <= high:
        raise InputError(f"the default of `{name}` must be in [{low}, {high}], got {default}.")


def array_of(given: Any, name: str, owner: str) -> np.ndarray:
    """What was given for a parameter as an array; raise InputError where its shape is ragged."""
    try:
        return np.asarray(given)
    except ValueError:
        raise InputError(f"`{name}` of {owner} must be a value or a flat list, got {given!r}.") from None


def one_each(given: list[Any], name: str, owner: str) -> np.ndarray:
    """One value for each cell; raise InputError where a cell names several."""
    array = array_of(given, name, owner)
    if array.ndim != 1:
        raise InputError(
            f"`{name}` of {owner} takes one value in a cell, got {given[0]!r}: several make a grid."
        )
    return array


def numbers(values: np.ndarray, name: str, owner: str) -> np.ndarray:
    """Values as float64; raise InputError unless they are finite numbers."""
    given = np.asarray(values)
    try:
        array = None if given.dtype.kind in "bUS" else given.astype(np.float64)
    except (TypeError, ValueError):
        array = None
    if array is None:
        raise InputError(f"`{name}` of {owner} must be numbers, got {show(given)}.")
    if not np.isfinite(array).all():
        raise InputError(f"`{name}` of {owner} must be finite, got {show(given)}.")
    return array


def check_inside(array: np.ndarray, low: float, high: float, name: str, owner: str, unit: str) -> None:
    """Raise InputError with the first value outside ``[low, high]``."""
    outside = array[(array < low) | (array > high)]
    if outside.size:
        percent = unit == "fraction" and outside[0] > high
        hint = ": parameters are fractions, not percent." if percent else f" ({unit})."
        raise InputError(f"`{name}` of {owner} must be in [{low:g}, {high:g}], got {outside[0]:g}{hint}")


def show(array: np.ndarray) -> str:
    """The first five values."""
    return np.array2string(np.ravel(array)[:5], separator=", ")
