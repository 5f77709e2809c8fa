"""The sweep: every cell of a grid on one market in one pass, in bounded memory, resumable.

The cells are cut into parts whose arrays fit a byte budget. Each part is evaluated by the strategy once,
its distinct (entry row, exit rule) pairs are composed by threads that run without the interpreter lock,
and its metrics are scattered to all cells that share a pair. The parts, their order and the number of
threads change no bit of the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from quantlab.backtest.engine import engine_hash
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job, aside, run_parts
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import DEFAULT_BUDGET, Part, Place, plan
from quantlab.backtest.request import Request
from quantlab.backtest.surface import Surface, identity
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.signals import Strategy, find_strategy
from quantlab.space import Cells, Points


class Checkpoint(Protocol):
    """Where a sweep keeps the parts it has finished."""

    def load(self) -> Mapping[int, np.ndarray]:
        """Finished parts: number to array ``(metrics, cells of the part)``."""
        ...

    def save(self, part: int, values: np.ndarray) -> None:
        """Keep a finished part."""
        ...


def sweep(
    strategy: str | Strategy,
    candles: Candles,
    cells: Cells | None = None,
    execution: Execution | None = None,
    *,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
    budget: int = DEFAULT_BUDGET,
    threads: int | None = None,
) -> Surface:
    """Evaluate every cell of a strategy on one market.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles
    cells : Grid or Points, optional
        By default the reference grid of the strategy.
    execution : Execution, optional
        Costs, sides, fill assumption, sizing.
    progress : bool
        Show a bar.
    checkpoint : Checkpoint, optional
        Finished parts are saved to it and not computed again.
    budget : int
        Bytes that one part may hold, the surface itself not counted.
    threads : int, optional
        By default the number of processors.

    Returns
    -------
    Surface
        All of `METRICS` for every cell; NaN for cells that break a constraint.

    Raises
    ------
    KeyboardInterrupt
        Within about 0.1 s of Ctrl-C; parts finished before are in the checkpoint.
    """
    found, execution = find_strategy(strategy), execution or Execution()
    cells = found.grid() if cells is None else cells
    if cells.space.owner != found.name:
        raise InputError(
            f"the cells belong to {cells.space.owner}, not to {found.name}: make them with its own space."
        )
    job = Job(found, candles, execution, threads=threads)
    values = _values(job, cells, progress, checkpoint, budget)
    return Surface(
        strategy=found,
        cells=cells,
        metrics=dict(zip(METRICS, values, strict=True)),
        execution=execution,
        identity=identity(candles),
        key=surface_key(found, candles, cells, execution),
    )


def _values(job: Job, cells: Cells, progress: bool, checkpoint: Checkpoint | None, budget: int) -> np.ndarray:
    """The rows of the request for every cell, shape ``(rows, *cells.shape)``."""
    values = np.empty((job.request.rows, *cells.shape))
    done = {} if checkpoint is None else dict(checkpoint.load())
    parts: list[Part] = aside(lambda: list(plan(job.strategy, job.candles, cells, budget)), job.threads)
    with _bar(job.strategy.name, cells.size, progress) as bar:
        left = []
        for place, part in parts:
            kept = done.pop(part_number(place), None)
            if kept is None:
                left.append((place, part))
            else:
                values = _put(values, place, part, kept)
                bar.update(part.size)
        for place, part, found in run_parts(job, left, bar.update):
            if checkpoint is not None:
                checkpoint.save(part_number(place), found)
            values = _put(values, place, part, found)
    return values


def _put(values: np.ndarray, place: Place, part: Cells, found: np.ndarray) -> np.ndarray:
    """`values` with those of a part in their place; a part that is everything is not copied."""
    found = found.reshape(len(values), *part.shape)
    if found.shape == values.shape:
        return found
    values[(slice(None), *place)] = found
    return values


def surface_key(
    strategy: Strategy,
    candles: Candles,
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


def part_number(place: tuple[slice, ...]) -> int:
    """A number below 2**62 that names a part by the slices of the surface that it fills."""
    bounds = [(axis.start, axis.stop) for axis in place]
    return int.from_bytes(hashlib.sha256(json.dumps(bounds).encode()).digest()[:8]) >> 2


def _bar(name: str, total: int, show: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=name, unit=" cells", unit_scale=True, disable=not show, leave=False)


__all__ = ["Checkpoint", "Points", "surface_key", "sweep"]
