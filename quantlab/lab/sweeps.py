"""Sweeps through the store: what is there is read, what was interrupted goes on, what is new is counted.

A surface is stored as what it consists of: the metrics under each fill assumption under the key of a sweep
under it alone, and regimes and blocks, where asked for, under the key of the whole question. So a question
that asks for more finds nothing twice, and the ledger counts cells per fill assumption once: before the first
of them is evaluated, so that an interrupted or killed sweep is counted in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.request import Request
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import surfaces
from quantlab.backtest.task import Task
from quantlab.errors import NotStoredError
from quantlab.lab.ledger import counted_sweeps
from quantlab.store.parts import Parts
from quantlab.store.store import Store


class How(TypedDict, total=False):
    """The options of `Lab.sweep`."""

    execution: Execution | None
    assumptions: Sequence[str]
    regimes: Any
    blocks: int
    intrabar: Any
    progress: bool
    cluster: Any
    spend_hold_out: bool


def stored_sweep(
    store: Store,
    tasks: Sequence[Task],
    *,
    progress: bool = True,
    cluster: Any = None,
    parts: Callable[[Store, str], Parts] | None = None,
) -> tuple[Surface, ...]:
    """The surface of each task, read or computed.

    Parameters
    ----------
    store : Store
    tasks : sequence of Task
    progress : bool
    cluster
        As of `sweep`.
    parts : callable ``(store, key) -> Parts``, optional
        Keeps the finished parts of each sweep.

    Raises
    ------
    KeyboardInterrupt
        Whole surfaces and finished parts are kept; the same call goes on from there.
    """
    stored = {i: surface for i, task in enumerate(tasks) if (surface := read(store, task)) is not None}
    found = {i: replace(surface, counted=True) for i, surface in stored.items()}
    left = [i for i in range(len(tasks)) if i not in found]
    if left:
        kept = [(parts or Parts)(store, tasks[i].key) for i in left]
        how: dict[str, Any] = {"progress": progress, "cluster": cluster}
        try:
            with counted_sweeps(store):
                for n, surface in surfaces([tasks[i] for i in left], kept, **how):
                    found[left[n]] = surface
                    write(store, surface)
                    kept[n].drop()
        finally:
            for one in kept:
                one.flush()
    return tuple(found[i] for i in range(len(tasks)))


def read(store: Store, task: Task) -> Surface | None:
    """The surface of a task if all of it is stored."""
    request, keys = task.job.request, task.plain_keys
    try:
        own, *others = (_metrics(store, key) for key in keys.values())
        if request.plain:
            return task.surface(own)
        rows = np.empty((request.rows - len(METRICS), *task.cells.shape))
        for i, metrics in enumerate(others):
            rows[len(METRICS) * i : len(METRICS) * (i + 1)] = list(metrics.values())
        if names := _more(request):
            _, more = store.get_surface(task.key)
            rows[-len(names) :] = [more[name] for name in names]
    except NotStoredError:
        return None
    return task.surface(own, rows)


def write(store: Store, surface: Surface) -> None:
    """Store a surface whose cells were counted before they were evaluated."""
    others = surface.extras.request.assumptions if surface.extras else ()
    for one in (surface.under(name) for name in (surface.execution.assumption, *others)):
        store.put_surface(one.key, _meta(one), one.metrics, one.shape)
    if surface.extras and (names := _more(surface.extras.request)):
        rows = dict(zip(names, surface.extras.rows[-len(names) :], strict=True))
        store.put_surface(surface.key, _meta(surface), rows, surface.shape)


def _metrics(store: Store, key: str) -> dict[str, np.ndarray]:
    _, metrics = store.get_surface(key)
    return {name: metrics[name] for name in METRICS}


def _more(request: Request) -> tuple[str, ...]:
    """Names of the rows of regimes and blocks, the last ones of the layout."""
    return request.layout[request.regime_rows.start :]


def _meta(surface: Surface) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "strategy": surface.strategy.name,
        "identity": surface.identity.to_json(),
        "cells": surface.cells.to_json(),
        "execution": surface.execution.to_json(),
    }
    if surface.extras:
        meta["request"] = surface.extras.request.to_json()
    if surface.intrabar:
        meta["intrabar"] = surface.intrabar.to_json()
    return meta
