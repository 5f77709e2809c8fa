"""Cells as numbers: what lets a sampler draw, compare and vary thousands of them at once.

A cell's **code** is a row of float64: whole numbers and reals as they are, a choice as the place of its
option. Its **unit** form lies in [0, 1) in every column: the k-th of n values lies in [k / n, (k + 1) / n).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.space import Cells, Choice, Int, Points, Space

PATIENCE = 32_768
"""Draws in a row without a new cell after which a space counts as exhausted."""


def to_codes(space: Space, columns: Mapping[str, Any]) -> np.ndarray:
    """Codes of parameter columns of length n: float64 (n, parameters)."""
    codes = []
    for p in space.parameters:
        column = np.asarray(columns[p.name]).ravel()
        if isinstance(p, Choice):
            place = {option: float(i) for i, option in enumerate(p.options)}
            column = np.array([place[value] for value in column.tolist()])
        codes.append(column.astype(np.float64))
    return np.stack(codes, axis=1)


def codes_of(space: Space, cells: Cells | Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Codes of cells in any form; those of a grid in C order."""
    if isinstance(cells, Points):
        return to_codes(space, cells.columns)
    if isinstance(cells, Sequence):
        return to_codes(space, {name: [cell[name] for cell in cells] for name in space.names})
    return to_codes(space, {name: np.broadcast_to(v, cells.shape) for name, v in cells.mesh().items()})


def columns_of(space: Space, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Parameter columns of codes."""
    columns: dict[str, np.ndarray] = {}
    for p, column in zip(space.parameters, codes.T, strict=True):
        if isinstance(p, Choice):
            columns[p.name] = np.asarray(p.options)[column.astype(np.int64)]
        else:
            columns[p.name] = column.astype(np.int64) if isinstance(p, Int) else column.copy()
    return columns


def points_of(space: Space, codes: np.ndarray) -> Points | None:
    """Codes as cells; None if there is none."""
    return Points(space, columns_of(space, codes)) if len(codes) else None


def allowed(space: Space, codes: np.ndarray) -> np.ndarray:
    """Boolean array (n,): which codes satisfy the constraints of the space."""
    if not space.constraints:
        return np.ones(len(codes), bool)
    return np.asarray(space.allowed(columns_of(space, codes)))


def counts(space: Space) -> np.ndarray:
    """How many values each parameter has: float64 (parameters,), inf for a real one, 1 where it is fixed."""
    found = []
    for p in space.parameters:
        if isinstance(p, Choice):
            found.append(float(len(p.options)))
        else:
            found.append(p.high - p.low + 1.0 if isinstance(p, Int) or p.low == p.high else np.inf)
    return np.array(found)


def from_unit(space: Space, unit: np.ndarray) -> np.ndarray:
    """Codes of unit rows; what lies outside [0, 1) is cut off."""
    codes = np.empty(unit.shape)
    for i, (p, count) in enumerate(zip(space.parameters, counts(space), strict=True)):
        u = np.clip(unit[:, i], 0.0, 1.0)
        if np.isfinite(count):
            low = 0 if isinstance(p, Choice) else p.low
            codes[:, i] = low + np.minimum(np.floor(u * count), count - 1)
        elif not isinstance(p, Choice):
            codes[:, i] = np.minimum(p.low + (p.high - p.low) * u, p.high)
    return codes


def to_unit(space: Space, codes: np.ndarray) -> np.ndarray:
    """Unit rows of codes; of the k-th of n values the middle, (k + 0.5) / n."""
    unit = np.empty(codes.shape)
    for i, (p, count) in enumerate(zip(space.parameters, counts(space), strict=True)):
        low = 0.0 if isinstance(p, Choice) else float(p.low)
        if np.isfinite(count):
            unit[:, i] = (codes[:, i] - low + 0.5) / count
        elif not isinstance(p, Choice):
            unit[:, i] = (codes[:, i] - low) / (p.high - low)
    return unit


class Seen:
    """The cells that were proposed already, by their codes."""

    def __init__(self) -> None:
        self._rows: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def first(self, codes: np.ndarray, most: int) -> tuple[list[int], int]:
        """Remember the first `most` new rows: their places, and how many rows were looked at."""
        found: list[int] = []
        for place, row in enumerate(_rows(codes)):
            if len(found) == most:
                return found, place
            if row not in self._rows:
                self._rows.add(row)
                found.append(place)
        return found, len(codes)

    def add(self, codes: np.ndarray) -> list[int]:
        """Remember rows; the places of those that are new."""
        return self.first(codes, len(codes))[0]

    def has(self, codes: np.ndarray) -> np.ndarray:
        """Boolean array (n,): which rows are remembered."""
        return np.array([row in self._rows for row in _rows(codes)], bool)


def _rows(codes: np.ndarray) -> list[bytes]:
    flat = np.ascontiguousarray(codes + 0.0)  # -0.0 becomes 0.0
    return [] if not flat.size else flat.view(f"V{8 * flat.shape[1]}").ravel().tolist()


class Draws:
    """New and allowed cells out of an endless stream, in its order whatever the size of the batches.

    Parameters
    ----------
    space : Space
    seen : Seen
    block : callable
        Returns the next rows of the stream in unit form.
    """

    def __init__(self, space: Space, seen: Seen, block: Callable[[], np.ndarray]) -> None:
        self._space, self._seen, self._block = space, seen, block
        self._left = np.empty((0, len(space)))

    def take(self, n: int) -> np.ndarray:
        """Codes of at most `n` cells, fewer where nothing new comes `PATIENCE` draws in a row."""
        found = [np.empty((0, len(self._space)))]
        missing, misses = n, 0
        while missing and misses < PATIENCE:
            if not len(self._left):
                block = from_unit(self._space, self._block())
                misses += len(block)
                self._left = block[allowed(self._space, block)]
            fresh, looked = self._seen.first(self._left, missing)
            if fresh:
                misses, missing = 0, missing - len(fresh)
                found.append(self._left[fresh])
            self._left = self._left[looked:]
        return np.concatenate(found)
