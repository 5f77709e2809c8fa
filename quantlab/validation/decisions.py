"""What a strategy decides on candles, field by field and clause by clause, in a form that can be compared.

An entry that is a conjunction is looked at clause by clause, and a comparison side by side: the numbers
that are compared show a dependence long before it moves an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantlab.clauses import Comparison
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.signals import AllOf, Clause, Signals, Strategy, dropping_clauses, own_clauses
from quantlab.space import Cells

ENTRIES = ("long", "short")
FLAGS = ("long", "short", "exit_long", "exit_short")
DISTANCES = ("stop", "target", "trail", "break_even", "partial_target")
FIELDS = (*FLAGS, *DISTANCES, "partial_fraction", "max_holding")

RTOL = 1e-9
"""Relative difference of two numbers that counts as rounding."""
_OF_THE_LARGEST = 1e-12

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Part:
    """A field of `Signals`, or a clause of an entry, or a side of a comparison in one.

    Parameters
    ----------
    field : str
    clause : int
        Counted from 1; 0 if the field is one array.
    of : int
        Clauses of the field.
    side : str
        ``"greater"`` or ``"lesser"`` of a comparison.
    """

    field: str
    clause: int = 0
    of: int = 0
    side: str = ""


@dataclass(frozen=True)
class Decisions:
    """Decisions on some candles.

    Parameters
    ----------
    parts : mapping of Part to array
        Each with every axis of the cells (one where it does not vary) and time.
    signals : Signals
    axes : int
        Number of parameter axes.
    """

    parts: Mapping[Part, np.ndarray]
    signals: Signals
    axes: int

    def whole(self, name: str) -> np.ndarray | None:
        """The field called `name`, conjunctions evaluated; None if the strategy leaves it out."""
        value = getattr(self.signals, name)
        return None if value is None else lifted(np.asarray(value), self.axes)

    def ready(self, name: str) -> np.ndarray:
        """Where a field can be read at all: entries not in the warm-up, and only exits on lost bars."""
        if name in ("exit_long", "exit_short"):
            return np.ones(1, np.bool_)
        given: Any = self.signals.long if self.signals.long is not None else self.signals.short
        warm, known = dropping_clauses(getattr(self.signals, name) if name in ENTRIES else given)
        return lifted(np.asarray(warm), self.axes) & known if name in ENTRIES else np.asarray(known)


@dataclass
class Decider:
    """Evaluates a strategy on its cells and counts how often.

    Parameters
    ----------
    strategy : Strategy
    cells : Grid or Points
    """

    strategy: Strategy
    cells: Cells
    evaluations: int = field(default=0, init=False)

    def signals(self, candles: Candles) -> Signals:
        """The signals of all cells on `candles`; their time axis is checked.

        Raises
        ------
        InputError
            A field does not end in a time axis of as many bars.
        """
        self.evaluations += 1
        try:
            signals = self.strategy.signals(candles, self.cells.params())
        except Exception as error:
            error.add_note(f"raised by {self.strategy.name} on {len(candles):,} bars.")
            raise
        _check_time(self.strategy.name, signals, len(candles))
        return signals

    def arrays(self, candles: Candles) -> Arrays:
        """The fields on `candles`."""
        return arrays(self.signals(candles), len(self.cells.shape))

    def __call__(self, candles: Candles) -> Decisions:
        """Fields, clauses and sides of comparisons on `candles`."""
        signals, k = self.signals(candles), len(self.cells.shape)
        found: dict[Part, np.ndarray] = {}
        for name in FIELDS:
            value = getattr(signals, name)
            if value is not None:
                found |= {part: lifted(a, k) for part, a in _parts(name, value).items()}
        return Decisions(found, signals, k)


def clauses_of(name: str, value: Any) -> tuple[Any, ...]:
    """What the strategy gave for a field: the clauses of an entry, else the field; nothing if it is None."""
    if value is None:
        return ()
    return own_clauses(value) if name in ENTRIES else (value,)


def _parts(name: str, value: Any) -> dict[Part, np.ndarray]:
    clauses = clauses_of(name, value)
    found: dict[Part, np.ndarray] = {}
    for number, clause in enumerate(clauses, start=1):
        place = (number, len(clauses)) if len(clauses) > 1 else (0, 0)
        if isinstance(clause, Comparison):
            found[Part(name, *place, "greater")] = clause.greater
            found[Part(name, *place, "lesser")] = clause.lesser
        else:
            found[Part(name, *place)] = np.asarray(clause)
    return found


def _check_time(name: str, signals: Signals, n_bars: int) -> None:
    for field_name in FIELDS:
        value = getattr(signals, field_name)
        shape = np.shape(value) if not isinstance(value, Clause) else value.shape
        last = (n_bars,) if field_name in FLAGS else (1, n_bars)
        if value is not None and shape and shape[-1] not in last:
            raise InputError(
                f"`{field_name}` of {name} must end in a time axis of {n_bars:,} bars, got shape {shape}: "
                "keep every bar and put time last."
            )


def arrays(signals: Signals, k: int) -> Arrays:
    """The fields of some signals, conjunctions evaluated, each with `k` parameter axes and time."""
    given = {name: getattr(signals, name) for name in FIELDS}
    return {
        name: lifted(value.to_array() if isinstance(value, AllOf) else np.asarray(value), k)
        for name, value in given.items()
        if value is not None
    }


def lifted(array: np.ndarray, k: int) -> np.ndarray:
    """The array with axes of length one put before it, `k` before the last one."""
    return array.reshape((1,) * (k + 1 - array.ndim) + array.shape)


def different(a: np.ndarray, b: np.ndarray, rtol: float = RTOL) -> np.ndarray:
    """Where two broadcastable arrays differ by more than rounding; NaN equals NaN."""
    unequal = np.asarray(a != b)
    if a.dtype == np.bool_ and b.dtype == np.bool_:
        return unequal
    unequal &= ~(np.isnan(a) & np.isnan(b))
    if not unequal.any():
        return unequal
    largest = np.max(np.abs(a, dtype=float), where=np.isfinite(a), initial=0.0)
    return unequal & ~np.isclose(a, b, rtol=rtol, atol=_OF_THE_LARGEST * largest)


def read(cells: Cells, shape: tuple[int, ...]) -> np.ndarray:
    """Which rows of an array of `shape` (time last) an allowed cell reads; a time axis of one at the end."""
    alike = tuple(i for i, n in enumerate(shape[:-1]) if n == 1)
    return np.asarray(cells.allowed.any(axis=alike, keepdims=True))[..., None]
