"""What a sampler is: it proposes cells in batches (ask) and hears what they were worth (tell).

A sampler never evaluates. Whatever it proposes lies inside its space, satisfies the constraints and was
not proposed by it before; the study refuses anything else. All samplers pass one contract suite,
``tests/search/test_samplers.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from quantlab.space import Cells, Points, Space

Proposal = Mapping[str, Any]
Proposed = Cells | Sequence[Proposal] | None


class Sampler(Protocol):
    """Proposes the cells of a study.

    Beside what is named here a sampler may have: ``several`` (True: it takes several objectives),
    ``startup`` (cells that it draws before it learns anything), ``history`` (after `ask`: the share of the
    history, from its start, on which that batch is to be evaluated), ``lineage`` (arrays, one value per
    cell proposed) and ``recall(cells, values)`` (hear of a batch of an earlier session without proposing
    it again; without it the batch is asked again, and must come out the same).
    """

    @property
    def name(self) -> str:
        """The name that the study records."""
        ...

    @property
    def batch(self) -> int:
        """Cells per batch, unless the caller of the search says otherwise."""
        ...

    def ask(self, n: int) -> Proposed:
        """At most `n` new cells, every parameter named: points, a grid or a list; None if none is left."""
        ...

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Hear the `values` of the cells just asked, the higher the better: float64, one per cell.

        With several objectives a row per cell. NaN where an objective is undefined or a constraint of the
        study (fewest trades, deepest drawdown) is not met. The values of a grid come in C order.
        """
        ...


Factory = Callable[[Space, int], Sampler]
"""Makes a fresh sampler from a space and a seed, so that a search can be run again from its start."""


def cells_of(proposed: Proposed) -> list[dict[str, Any]]:
    """What a sampler proposed, as a list of cells; forbidden cells of a grid are left out."""
    if proposed is None:
        return []
    if isinstance(proposed, Sequence):
        return [dict(cell) for cell in proposed]
    if isinstance(proposed, Points):
        rows = zip(*(column.tolist() for column in proposed.columns.values()), strict=True)
        return [dict(zip(proposed.columns, row, strict=True)) for row in rows]
    allowed = proposed.allowed
    return [proposed.cell(index) for index in np.ndindex(proposed.shape) if allowed[index]]
