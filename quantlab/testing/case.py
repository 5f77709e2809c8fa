"""A strategy on candles with the cells on which it is checked, and how its decisions are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quantlab.errors import QuantlabError
from quantlab.market.candles import Candles, iso
from quantlab.signals import Strategy
from quantlab.space import Cells, Grid, Points
from quantlab.validation.decisions import DISTANCES, ENTRIES, FIELDS, FLAGS, Arrays, arrays, read
from quantlab.validation.thinning import moderate_grid, spread

FEW_CELLS = 8
"""Cells that are also checked one by one."""

Decisions = Arrays


class ContractError(QuantlabError, AssertionError):
    """A strategy breaks the contract; the message names what, where and the remedy."""


@dataclass(frozen=True)
class Case:
    """A strategy on candles, with the cells on which it is checked.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    """

    strategy: Strategy
    candles: Candles

    @cached_property
    def grid(self) -> Grid:
        """The moderate grid over the whole space (`quantlab.validation.thinning.moderate_grid`)."""
        return moderate_grid(self.strategy.space)

    @cached_property
    def whole(self) -> Decisions:
        """Decisions of the grid on all candles."""
        return self.decide(self.candles, self.grid, "all candles")

    @cached_property
    def cells(self) -> Points:
        """A few allowed cells: the default one, then cells of the grid from many entries to few."""
        counts = np.where(self.grid.allowed, entered(self.whole).sum(axis=-1), -1).ravel()
        order = np.argsort(-counts, kind="stable")[: max(1, int((counts > 0).sum()))]
        ranks = np.unique(np.linspace(0, len(order) - 1, FEW_CELLS - 1).astype(int))
        cells = [self.grid.cell(np.unravel_index(order[rank], self.grid.shape)) for rank in ranks]
        if self.strategy.space.points([{}]).allowed[0]:
            cells.insert(0, self.strategy.space.defaults)
        return self.strategy.space.points(cells)

    def decide(self, candles: Candles, cells: Cells, situation: str) -> Decisions:
        """What the strategy decides: arrays with every axis of `cells` (one where they do not vary) and time.

        Raises
        ------
        ContractError
            The strategy raised an exception; `situation` says on what.
        """
        try:
            return arrays(self.strategy.signals(candles, cells.params()), len(cells.shape))
        except Exception as error:
            raised = f"on {situation} it raised {type(error).__name__}: {error}"
            raise self.fault(
                "signals must be returned for any candles", raised, "handle that case"
            ) from error

    def fault(self, rule: str, evidence: str, remedy: str) -> ContractError:
        """The error for a broken rule."""
        return ContractError(f"{self.strategy.name}: {rule}, but {evidence}: {remedy}.")

    def equal(
        self,
        before: Decisions,
        after: Decisions,
        cells: Cells,
        words: tuple[str, str],
        *,
        rtol: float = 1e-9,
        first: int = 0,
    ) -> None:
        """Raise ContractError at the first allowed cell and bar where two sets of decisions differ.

        Parameters
        ----------
        before, after : mapping of str to array
            As `decide` returns them.
        cells : Grid or Points
        words : pair of str
            The rule and the remedy.
        rtol : float
            Relative difference of numbers that counts as rounding.
        first : int
            Bar of the first column.
        """
        rule, remedy = words
        if sometimes := set(before) ^ set(after):
            raise self.fault(
                rule, f"`{min(sometimes)}` is returned only sometimes", "always return the same fields"
            )
        for name, a in before.items():
            b = after[name]
            same = (a == b) if a.dtype == np.bool_ else np.isclose(a, b, rtol=rtol, atol=0.0, equal_nan=True)
            unequal = ~same & read(cells, np.shape(same))
            if unequal.any():
                where = tuple(np.argwhere(unequal)[0])
                was, now = (np.broadcast_to(x, unequal.shape)[where] for x in (a, b))
                evidence = f"`{name}` {self.place(cells, where, first)} goes from {was} to {now}"
                raise self.fault(rule, evidence, remedy)

    def place(self, cells: Cells, where: tuple[Any, ...], first: int = 0) -> str:
        """The words for a bar of a cell; `where` ends in the bar, counted from `first`."""
        bar = int(where[-1]) + first
        cell = cells.cell(tuple(map(int, where[:-1])))
        return f"at bar {bar} ({iso(int(self.candles.timestamps[bar]))}) of the cell {cell}"


def sides(decided: Mapping[str, Any]) -> list[str]:
    """Which of long and short are returned."""
    return [name for name in ENTRIES if name in decided]


def entered(decided: Decisions) -> np.ndarray:
    """Where a cell enters on either side, on the axes of both."""
    found = [decided[name] for name in sides(decided)]
    return np.asarray(found[0] | found[-1])


__all__ = [
    "DISTANCES",
    "ENTRIES",
    "FIELDS",
    "FLAGS",
    "Case",
    "ContractError",
    "Decisions",
    "arrays",
    "entered",
    "read",
    "sides",
    "spread",
]
