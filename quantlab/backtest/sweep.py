"""The sweep: every cell of a grid on one market in one pass, in bounded memory, resumable.

The cells are cut into parts whose arrays fit a byte budget. Each part is evaluated by the strategy once,
its distinct (entry row, exit rule) pairs are composed by threads that run without the interpreter lock,
and its metrics are scattered to all cells that share a pair. The parts, their order and the number of
threads change no bit of the result.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from quantlab.backtest import kernels
from quantlab.backtest.engine import Prepared, engine_hash, prepare
from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import DEFAULT_BUDGET, plan
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
    values = np.empty((len(METRICS), *cells.shape))
    done = {} if checkpoint is None else dict(checkpoint.load())
    bar = _bar(found.name, cells.size, progress)
    with bar, ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        parts = pool.submit(lambda: list(plan(found, candles, cells, budget))).result()
        for place, part in parts:
            number = part_number(place)
            if number in done:
                part_values = done[number]
                bar.update(part.size)
            else:
                try:
                    # never on the main thread: Ctrl-C inside a compiled function is a SystemError there
                    prepared = pool.submit(prepare, found, candles, part, execution).result()
                    part_values = _sweep_part(prepared, pool, bar)
                except Exception as error:
                    error.add_note(
                        f"while sweeping a part of {found.name}: {json.dumps(part.to_json())[:400]}"
                    )
                    raise
                if checkpoint is not None:
                    checkpoint.save(number, part_values)
            part_values = part_values.reshape(len(METRICS), *part.shape)
            if part.size == cells.size:
                values = part_values
            else:
                values[(slice(None), *place)] = part_values
    return Surface(
        strategy=found,
        cells=cells,
        metrics=dict(zip(METRICS, values, strict=True)),
        execution=execution,
        identity=identity(candles),
        key=surface_key(found, candles, cells, execution),
    )


def surface_key(strategy: Strategy, candles: Candles, cells: Cells, execution: Execution) -> str:
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
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def part_number(place: tuple[slice, ...]) -> int:
    """A number below 2**62 that names a part by the slices of the surface that it fills."""
    bounds = [(axis.start, axis.stop) for axis in place]
    return int.from_bytes(hashlib.sha256(json.dumps(bounds).encode()).digest()[:8]) >> 2


def _bar(name: str, total: int, show: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=name, unit=" cells", unit_scale=True, disable=not show, leave=False)


def _pairs(p: Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct (row, exit) pairs of the allowed cells sorted by exit; each cell's pair and weight."""
    shape = p.allowed.shape
    row = np.broadcast_to(p.entries.row_of, shape)
    exits = np.broadcast_to(np.arange(int(np.prod(p.exit_shape))).reshape(p.exit_shape), shape)
    rows = p.entries.rows.start.size - 1
    code = (exits * rows + row)[p.allowed]
    codes, position = _distinct(code, int(np.prod(p.exit_shape)) * rows)
    return codes % rows, codes // rows, position, np.bincount(position, minlength=len(codes))


def _distinct(code: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """``np.unique(code, return_inverse=True)``, without sorting where the codes are dense."""
    if bound > 8 * code.size:
        codes, position = np.unique(code, return_inverse=True)
        return codes, position
    present = np.zeros(bound, bool)
    present[code] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[code]


def _sweep_part(p: Prepared, pool: ThreadPoolExecutor, bar: Any) -> np.ndarray:
    pair_row, pair_exit, position, weight = _pairs(p)
    out = np.empty((len(pair_row), len(METRICS)))
    _compose(p, pair_row, pair_exit, weight, out, pool, bar)
    values = np.empty((len(METRICS), p.allowed.size))
    cell = np.flatnonzero(p.allowed)
    if cell.size < p.allowed.size:
        values.fill(np.nan)
    bounds = np.linspace(0, cell.size, 9).astype(int).tolist()
    copies = [pool.submit(kernels.scatter, out, position, cell, a, b, values) for a, b in pairwise(bounds)]
    for copy in copies:
        copy.result()
    bar.update(int(p.allowed.size - p.allowed.sum()))
    return values


def _compose(
    p: Prepared,
    pair_row: np.ndarray,
    pair_exit: np.ndarray,
    weight: np.ndarray,
    out: np.ndarray,
    pool: ThreadPoolExecutor,
    bar: Any,
) -> None:
    """Run all pairs in blocks on the pool; on an interrupt stop the kernels and raise it again."""
    cancel = np.zeros(1, np.int64)
    size = max(32, -(-len(pair_row) // 64))
    waiting: dict[Future, slice] = {}
    for first in range(0, len(pair_row), size):
        block = slice(first, min(first + size, len(pair_row)))
        args = (pair_row, pair_exit, block.start, block.stop, p.span, out, cancel)
        waiting[pool.submit(kernels.run_pairs, p.bars, p.rules, p.entries.rows, p.exits, *args)] = block
    try:
        while waiting:
            finished, _ = wait(waiting, timeout=0.05, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                bar.update(int(weight[waiting.pop(future)].sum()))
    except BaseException:
        cancel[0] = 1
        for future in waiting:
            future.cancel()
        wait(waiting)
        raise


__all__ = ["Checkpoint", "Points", "surface_key", "sweep"]
