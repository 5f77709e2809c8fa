"""The question of a sweep: which cells on which market under which rules, its key, and its answer's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quantlab.backtest.daily import day_numbers
from quantlab.backtest.engine import engine_hash
from quantlab.backtest.execution import Execution
from quantlab.backtest.extras import Extras
from quantlab.backtest.intrabar import check_intrabar
from quantlab.backtest.local import Job
from quantlab.backtest.request import Request, make_request, rules_under
from quantlab.backtest.surface import CandlesIdentity, Surface, identity
from quantlab.errors import InputError, demand
from quantlab.market.candles import Candles, check_candles
from quantlab.signals import Strategy, find_strategy
from quantlab.space import Cells, Grid, Points, Space


@dataclass(frozen=True, eq=False)
class Task:
    """One market's sweep.

    Parameters
    ----------
    job : Job
    cells : Grid or Points
    """

    job: Job
    cells: Cells

    @cached_property
    def key(self) -> str:
        """Key of the surface."""
        job = self.job
        return surface_key(job.strategy, job.candles, self.cells, job.execution, job.request, job.intrabar)

    @cached_property
    def plain_keys(self) -> dict[str, str]:
        """Fill assumption to the key of a sweep under it alone, the execution's own first."""
        job = self.job
        wanted = (job.execution.assumption, *job.request.assumptions)
        rules = {name: rules_under(job.execution, name) for name in wanted}
        return {
            name: surface_key(job.strategy, job.candles, self.cells, execution, None, job.intrabar)
            for name, execution in rules.items()
        }

    def surface(self, metrics: Mapping[str, np.ndarray], rows: np.ndarray | None = None) -> Surface:
        """The surface.

        Parameters
        ----------
        metrics : mapping of str to float64 array, shape of the cells
            Every name of `quantlab.backtest.metrics.METRICS`.
        rows : float64 array (request.rows - metrics, *shape of the cells), optional
            What was asked for besides.
        """
        job, extras = self.job, None
        if not job.request.plain and rows is not None:
            days, market = len(day_numbers(job.candles.timestamps)), job.request.market_sums(job.candles)
            extras = Extras(job.request, rows, days, market, self.plain_keys)
        return Surface(
            strategy=job.strategy,
            cells=self.cells,
            metrics=metrics,
            execution=job.execution,
            identity=identity(job.candles),
            key=self.key,
            extras=extras,
            intrabar=None if job.intrabar is None else identity(job.intrabar),
        )


def make_tasks(
    strategy: str | Strategy,
    candles: Candles | Sequence[Candles],
    cells: Cells | Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    *,
    assumptions: Sequence[str] = (),
    regimes: Any = None,
    blocks: int = 0,
    intrabar: Any = None,
    threads: int | None = None,
) -> tuple[Task, ...]:
    """Check what is asked of a sweep and split it by market; parameters as of `sweep`."""
    found, execution = find_strategy(strategy), as_execution(execution)
    cells = cells_of(found, cells)
    if isinstance(candles, Candles):
        candles, regimes, intrabar = [candles], [regimes], [intrabar]
    check_markets(candles)
    tasks = []
    labels, lower = one_each("regimes", regimes, candles), one_each("intrabar", intrabar, candles)
    for market, label, detail in zip(candles, labels, lower, strict=True):
        if detail is not None and not isinstance(detail, Candles):
            raise InputError(
                f"`intrabar` must be Candles of a lower timeframe, got {type(detail).__name__}: "
                "lab.candles(exchange, symbol, timeframe) hands out stored ones."
            )
        if detail is not None:
            check_intrabar(market, detail)
        request = make_request(market, execution, assumptions, label, blocks)
        tasks.append(Task(Job(found, market, execution, request, detail, threads), cells))
    return tuple(tasks)


def as_execution(execution: Execution | None) -> Execution:
    """The rules that were given, the usual ones for None; InputError if they are no Execution."""
    if execution is None:
        return Execution()
    remedy = "write ql.Execution(costs=ql.Costs(taker=0.001), direction='long'), say"
    demand(execution, Execution, "`execution` must be an Execution", remedy)
    return execution


def cells_of(strategy: Strategy, given: Cells | Mapping[str, Any] | None) -> Cells:
    """The cells that are meant: of a mapping the grid of its values, of None the reference grid.

    Raises
    ------
    InputError
        They are of another strategy, or no cells at all.
    """
    cells = given
    if given is None or isinstance(given, Mapping):
        for name in given or ():
            strategy.space[name]  # a key that is no text could not even be handed on
        cells = strategy.grid() if given is None else strategy.space.grid(**given)
    if not isinstance(cells, Grid | Points):
        raise InputError(
            f"the cells of {strategy.name} are a mapping of parameter to values, a Grid or Points, got "
            f"{type(given).__name__}: of a list of single cells make space.points(list)."
        )
    if cells.space.owner != strategy.name:
        raise InputError(
            f"the cells belong to {cells.space.owner}, not to {strategy.name}: make them with its own space."
        )
    return cells


def read_cells(space: Space, document: Mapping[str, Any]) -> Cells:
    """The cells that their `to_json` wrote."""
    kind = "axes" if "axes" in document else "columns"
    checked = {
        name: space[name].check(np.asarray(values), space.owner) for name, values in document[kind].items()
    }
    return Grid(space, checked, document["fixed"]) if kind == "axes" else Points(space, checked)


def check_markets(candles: Sequence[Candles]) -> None:
    """Refuse what is no list of different candles."""
    listed = isinstance(candles, Sequence) and not isinstance(candles, str)
    for market in candles if listed else [candles]:
        check_candles(market)
    if not candles:
        raise InputError("a sweep needs at least one market, got an empty list of candles.")
    prints = [market.fingerprint for market in candles] if len(candles) > 1 else []
    for i, mark in enumerate(prints):
        if mark in prints[:i]:
            raise InputError(
                f"the candles of several markets must differ, got {candles[i]!r} twice "
                f"(places {prints.index(mark)} and {i})."
            )


def one_each(name: str, given: Any, candles: Sequence[Candles]) -> list[Any]:
    """What was given for each market, None where nothing was."""
    if given is None:
        return [None] * len(candles)
    if not isinstance(given, Sequence) or len(given) != len(candles):
        count = f"{len(given)} of them" if isinstance(given, Sequence) else type(given).__name__
        raise InputError(
            f"with {len(candles)} markets `{name}` must be a list with one for each of them (or None), got "
            f"{count}."
        )
    return list(given)


def surface_key(
    strategy: Strategy,
    candles: Candles | CandlesIdentity,
    cells: Cells,
    execution: Execution,
    request: Request | None = None,
    intrabar: Candles | None = None,
) -> str:
    """SHA-256 (hex) of everything that decides the figures of a sweep: code, cells, candles, rules."""
    what: dict[str, Any] = {
        "strategy": strategy.name,
        "code": strategy.code_hash,
        "engine": engine_hash(),
        "space": strategy.space.hash,
        "cells": cells.to_json(),
        "candles": candles.fingerprint,
        "execution": execution.to_json(),
    }
    if request is not None and not request.plain:
        what["request"] = request.to_json()
    if intrabar is not None:
        what["intrabar"] = intrabar.fingerprint
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


__all__ = [
    "Task",
    "as_execution",
    "check_markets",
    "make_tasks",
    "one_each",
    "read_cells",
    "surface_key",
]
