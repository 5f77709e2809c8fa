"""The parts of a sweep on the threads of this process.

Whoever computes parts (these threads, a cluster) offers `run_markets`, an iterator of the parts of several
markets as they finish, in any order, their values a float64 matrix ``(rows, cells)``; and `least`, the number
of parts that it would like at least. To stop the iterator, close it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from quantlab.backtest import kernels
from quantlab.backtest.engine import Prepared, prepare
from quantlab.backtest.execution import Execution
from quantlab.backtest.parts import Part, Place
from quantlab.backtest.request import Request
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.threads import PROCESSORS, aside, at_most, share

_MOST_BLOCKS = 16
"""Blocks per thread, at most: what bounds the time that threads wait for the last one."""

_LEAST_STEPS, _LEAST_COPIES = 8_000, 16_384
"""Entries followed, cells copied: what makes a block worth its own memory and its own call."""

OnProgress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Job:
    """What every part of a sweep shares.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    execution : Execution
    request : Request
        Rows of the result.
    intrabar : Candles, optional
        Candles of a lower timeframe that decide whether stop or target came first.
    threads : int, optional
        Threads per process, at most and by default as many as there are processors.
    """

    strategy: Strategy
    candles: Candles
    execution: Execution
    request: Request = field(default_factory=Request)
    intrabar: Candles | None = None
    threads: int | None = None


def run_markets(
    jobs: Iterable[tuple[Job, Iterable[Part]]], on_progress: OnProgress
) -> Generator[tuple[int, Place, Cells, np.ndarray], None, None]:
    """Compute the parts of several markets, each on all threads; yields the number of the market first.

    Parameters
    ----------
    jobs : iterable of (job, parts)
        Parts, as (place, cells), are taken up one after the other.
    on_progress : callable
        Receives numbers of finished cells, on the thread that iterates.

    Raises
    ------
    KeyboardInterrupt
        Within about 0.1 s of Ctrl-C.
    """
    for number, (job, parts) in enumerate(jobs):
        for place, part in parts:
            yield number, place, part, run_part(job, part, on_progress)


def least(markets: int = 1) -> int:
    """Least number of parts of each of so many markets: one, since all threads share a part."""
    return 1


def run_part(job: Job, part: Cells, on_progress: OnProgress | None = None) -> np.ndarray:
    """Compute one part: float64 matrix ``(rows, cells of the part)``, NaN where a constraint is broken."""
    work = _Work(job, part)
    try:
        values: np.ndarray = aside(work.run, work.stop, lambda: work.tell(on_progress))
    except Exception as error:
        note = f"while sweeping a part of {job.strategy.name}: {json.dumps(part.to_json())[:400]}"
        error.add_note(note)
        raise
    work.tell(on_progress)
    return values


class _Work:
    """One part in progress: led by one thread of the team, helped by the others as they are free."""

    def __init__(self, job: Job, part: Cells) -> None:
        self._job, self._part = job, part
        self._threads = job.threads or PROCESSORS
        self._cancel = np.zeros(1, np.int64)
        self._finished: list[int] = []
        self._told = 0

    def stop(self) -> None:
        """Make every thread leave what it does soon."""
        self._cancel[0] = 1

    def tell(self, on_progress: OnProgress | None) -> None:
        """Report what was finished since last time."""
        known = len(self._finished)
        if on_progress is not None:
            on_progress(sum(self._finished[self._told : known]))
        self._told = known

    def run(self) -> np.ndarray:
        """Evaluate the strategy, compose the distinct pairs, copy their rows to the cells."""
        with at_most(self._threads):
            job = self._job
            given = (job.strategy, job.candles, self._part, job.execution)
            p = prepare(*given, request=job.request, intrabar=job.intrabar)
            out, position = self._compose(p)
            return self._copy(p, out, position)

    def _compose(self, p: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the distinct pairs, and the pair of each allowed cell."""
        pair_row, pair_exit, position, weight = distinct_pairs(p)
        out = np.empty((len(pair_row), self._job.request.rows))
        cells = np.cumsum(weight)

        def compose(first: int, last: int) -> None:
            if not self._cancel[0]:
                p.run_pairs(pair_row, pair_exit, first, last, out, np.zeros(2, np.int64), self._cancel)
                self._finished.append(int(cells[last - 1]) - int(cells[first - 1] if first else 0))

        steps = int(np.diff(p.entries.rows.start)[pair_row].sum())
        share(compose, len(pair_row), self._size(len(pair_row), steps // _LEAST_STEPS))
        return out, position

    def _copy(self, p: Prepared, out: np.ndarray, position: np.ndarray) -> np.ndarray:
        values = np.empty((out.shape[1], self._part.size))
        cell = np.flatnonzero(p.allowed)
        if cell.size < self._part.size:
            values.fill(np.nan)
            self._finished.append(self._part.size - cell.size)

        def copy(first: int, last: int) -> None:
            kernels.scatter(out, position, cell, first, last, values)

        share(copy, cell.size, self._size(cell.size, cell.size // _LEAST_COPIES))
        return values

    def _size(self, total: int, worth: int) -> int:
        """Size of the blocks of a whole that is worth so many; as many for each thread as for another."""
        each = min(_MOST_BLOCKS, worth // self._threads)
        return max(1, -(-total // (self._threads * each))) if each else max(1, total)


def distinct_pairs(p: Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct (row, exit) pairs of the allowed cells sorted by exit; each cell's pair and weight."""
    rows, exits = p.entries.rows.start.size - 1, prod(p.exit_shape)
    code = np.arange(0, exits * rows, rows).reshape(p.exit_shape) + p.entries.row_of
    codes, position = _distinct(np.broadcast_to(code, p.allowed.shape)[p.allowed], exits * rows)
    return codes % rows, codes // rows, position, np.bincount(position, minlength=len(codes))


def _distinct(code: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """``np.unique(code, return_inverse=True)``, without sorting where the codes are dense."""
    if bound > 8 * code.size:
        codes, position = np.unique(code, return_inverse=True)
        return codes, position
    present = np.zeros(bound, bool)
    present[code] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[code]
