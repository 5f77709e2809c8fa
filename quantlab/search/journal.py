"""What is kept of a search while it runs, so that it can go on after Ctrl-C or a kill -9."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from quantlab.backtest.engine import engine_hash
from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.surface import Surface
from quantlab.backtest.task import read_cells
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.search.objective import Objective, Searched
from quantlab.signals import Strategy
from quantlab.space import Cells, Space

_REASONS = {
    "strategy": "another strategy",
    "code": "other code of the strategy",
    "engine": "another version of the engine",
    "space": "another space or other bounds",
    "candles": "other candles",
    "execution": "other costs or rules",
    "sampler": "another sampler",
    "seed": "another seed",
    "batch": "another size of the batches",
    "objective": "another objective or other constraints",
}


@dataclass(frozen=True, eq=False)
class Batch:
    """One finished batch.

    Attributes
    ----------
    asked : int
        Cells that the sampler was asked for.
    share : float
        Share of the history that it was evaluated on.
    cells : Grid or Points
    values : float64 array (markets, metrics, *shape of the cells)
    counted : bool
        Whether the ledger of a lab counted its cells.
    """

    asked: int
    share: float
    cells: Cells
    values: np.ndarray
    counted: bool = False

    @classmethod
    def of(cls, asked: int, share: float, surface: Searched) -> Batch:
        """The batch that a surface is the result of."""
        markets = [surface] if isinstance(surface, Surface) else list(surface)
        values = np.stack([np.stack([one.metrics[name] for name in METRICS]) for one in markets])
        return cls(asked, share, surface.cells, values, all(one.counted for one in markets))

    def surface(self, task: Surface | MarketSurface) -> Searched:
        """The surface, with everything but cells and metrics taken from another one of the same search."""
        markets = [task] if isinstance(task, Surface) else list(task)
        found = tuple(
            Surface(
                strategy=one.strategy,
                cells=self.cells,
                metrics=dict(zip(METRICS, values, strict=True)),
                execution=one.execution,
                identity=one.identity,
                key="",
                counted=self.counted,
            )
            for one, values in zip(markets, self.values, strict=True)
        )
        return found[0] if isinstance(task, Surface) else MarketSurface(found)

    def head(self) -> str:
        """Everything but the values, as JSON."""
        what = {
            "asked": self.asked,
            "share": self.share,
            "shape": list(self.values.shape),
            "counted": self.counted,
            "cells": self.cells.to_json(),
        }
        return json.dumps(what)

    @classmethod
    def read(cls, head: str, values: np.ndarray, space: Space) -> Batch:
        """What `head` and the flat values were made from."""
        what = json.loads(head)
        cells = read_cells(space, what["cells"])
        return cls(what["asked"], what["share"], cells, values.reshape(what["shape"]), what["counted"])


class Journal(Protocol):
    """Where a search keeps its finished batches."""

    def begin(self, about: Mapping[str, Any], space: Space) -> Sequence[Batch]:
        """The batches kept so far, in their order.

        Raises
        ------
        InputError
            What is kept is another search.
        """
        ...

    def save(self, batch: Batch) -> None:
        """Keep the next batch."""
        ...


class Memory:
    """The journal of a study that is at hand; it keeps nothing.

    Parameters
    ----------
    about : mapping
        From `describe`.
    batches : sequence of Batch
    """

    def __init__(self, about: Mapping[str, Any], batches: Sequence[Batch]) -> None:
        self._about, self._batches = about, batches

    def begin(self, about: Mapping[str, Any], space: Space) -> Sequence[Batch]:
        """The batches, if the search is the same."""
        check_same(self._about, about, "search it anew")
        return self._batches

    def save(self, batch: Batch) -> None:
        """The study that results holds it."""


def describe(
    strategy: Strategy,
    candles: Sequence[Candles],
    execution: Execution,
    space: Space,
    sampler: str,
    seed: int,
    batch: int,
    objective: Objective,
) -> dict[str, Any]:
    """Everything that decides the sequence of trials and their figures, as JSON values."""
    return {
        "strategy": strategy.name,
        "code": strategy.code_hash,
        "engine": engine_hash(),
        "space": space.hash,
        "candles": [f"{c.family} {c.timeframe}, {len(c):,} bars, {c.fingerprint[:16]}" for c in candles],
        "execution": json.loads(json.dumps(execution.to_json())),
        "sampler": sampler,
        "seed": int(seed),
        "batch": int(batch),
        "objective": objective.to_json(),
    }


def check_same(kept: Mapping[str, Any], now: Mapping[str, Any], remedy: str) -> None:
    """Refuse to go on with a search that was begun as another.

    Raises
    ------
    InputError
        Names what differs.
    """
    differing = [name for name in now if kept.get(name) != now[name]]
    if differing:
        what = " and ".join(_REASONS[name] for name in differing)
        then, today = ({name: of.get(name) for name in differing} for of in (kept, now))
        raise InputError(f"this search was begun with {what} (then {then}, now {today}): {remedy}.")
