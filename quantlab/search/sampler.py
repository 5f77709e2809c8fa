"""What a sampler is: it proposes cells in batches (ask) and hears what they were worth (tell).

A sampler never evaluates. Whatever it proposes lies inside its space, satisfies the constraints and was
not proposed by it before; the study refuses anything else. All samplers pass one contract suite,
``tests/search/test_samplers.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from quantlab.space import Space

Proposal = dict[str, Any]

PATIENCE = 32_768
"""Draws in a row without a new cell after which a space counts as exhausted."""


class Sampler(Protocol):
    """Proposes the cells of a study."""

    @property
    def name(self) -> str:
        """The name that the study records."""
        ...

    @property
    def batch(self) -> int:
        """Cells per batch, unless the caller of the search says otherwise."""
        ...

    def ask(self, n: int) -> list[Proposal]:
        """At most `n` new cells, every parameter named; an empty list if none is left."""
        ...

    def tell(self, cells: Sequence[Mapping[str, Any]], values: np.ndarray) -> None:
        """Hear the `values` of evaluated `cells`: float64, shape (len(cells),), the higher the better.

        NaN where the objective is undefined or a constraint of the study (fewest trades) is not met.
        """
        ...


Factory = Callable[[Space, int], Sampler]
"""Makes a fresh sampler from a space and a seed, so that a search can be run again from its start."""


def allowed(space: Space, cells: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Boolean array, shape (len(cells),): which cells satisfy the constraints of the space."""
    return space.allowed({name: np.asarray([cell[name] for cell in cells]) for name in space.names})


class Seen:
    """The cells that were proposed already."""

    def __init__(self, space: Space) -> None:
        self._names = space.names
        self._cells: set[tuple[Any, ...]] = set()

    def add(self, cell: Mapping[str, Any]) -> bool:
        """Remember `cell`; False if it was there before."""
        before = len(self._cells)
        self._cells.add(tuple(cell[name] for name in self._names))
        return len(self._cells) > before

    def take(self, draws: Iterator[Proposal | None], n: int) -> list[Proposal]:
        """At most `n` new cells of `draws` (None: a draw that breaks a constraint), in their order.

        Fewer where `draws` ends, or brings nothing new `PATIENCE` times in a row.
        """
        found: list[Proposal] = []
        misses = 0
        while len(found) < n and misses < PATIENCE:
            try:
                cell = next(draws)
            except StopIteration:
                break
            if cell is not None and self.add(cell):
                found.append(cell)
                misses = 0
            else:
                misses += 1
        return found
