"""The sweep: every cell of a grid on one market, or on several, in bounded memory, resumable.

The cells are cut into parts whose arrays fit a byte budget. Each part is evaluated by the strategy once,
its distinct (entry row, exit rule) pairs are composed by threads that run without the interpreter lock,
and its figures are copied to all cells that share a pair. The parts, their order and the number of threads
change no bit of the result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, TypedDict, Unpack, overload

import numpy as np

from quantlab.backtest import local
from quantlab.backtest.announce import announce
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.paged import Room
from quantlab.backtest.parts import Part, Place, plan
from quantlab.backtest.surface import Surface
from quantlab.backtest.task import Task, make_tasks, one_each, surface_key
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells, Points

_SHOW_AFTER_S = 0.5


class Checkpoint(Protocol):
    """Where a sweep keeps the parts it has finished."""

    def load(self) -> Mapping[int, np.ndarray]:
        """Finished parts: number to an array of ``(rows, cells of the part)`` in C order, of any shape."""
        ...

    def save(self, part: int, values: np.ndarray) -> None:
        """Keep a finished part, shape ``(rows, *shape of the part)``; it is never changed again."""
        ...


class How(TypedDict, total=False):
    """The options of `sweep`."""

    assumptions: Sequence[str]
    regimes: Any
    blocks: int
    intrabar: Any
    progress: bool
    checkpoint: Any
    budget: int | None
    threads: int | None
    cluster: Any


@overload
def sweep(
    strategy: str | Strategy,
    candles: Candles,
    cells: Cells | Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    **how: Unpack[How],
) -> Surface: ...


@overload
def sweep(
    strategy: str | Strategy,
    candles: Sequence[Candles],
    cells: Cells | Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    **how: Unpack[How],
) -> MarketSurface: ...


def sweep(
    strategy: str | Strategy,
    candles: Candles | Sequence[Candles],
    cells: Cells | Mapping[str, Any] | None = None,
    execution: Execution | None = None,
    *,
    assumptions: Sequence[str] = (),
    regimes: Any = None,
    blocks: int = 0,
    intrabar: Any = None,
    progress: bool = True,
    checkpoint: Any = None,
    budget: int | None = None,
    threads: int | None = None,
    cluster: Any = None,
) -> Surface | MarketSurface:
    """Evaluate every cell of a strategy on one market, or on several.

    With several markets `regimes`, `intrabar` and `checkpoint` are lists with one for each of them.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles or sequence of Candles
        Markets, timeframes or periods; the same cells are evaluated on each.
    cells : mapping, Grid or Points, optional
        A mapping names the values of each axis; by default the reference grid of the strategy.
    execution : Execution, optional
        Costs, sides, fill assumption, sizing.
    assumptions : sequence of str
        Other fill assumptions to evaluate as well: see `Surface.under`.
    regimes : Regimes, integer array (n_bars,) or categorical Series, optional
        From `quantlab.regimes.detect`; or the label of each bar from 0 on, -1 where unknown, known at the
        close of its bar. See `Surface.regimes`.
    blocks : int
        Blocks of days to sum daily returns over, 2 to the number of days: see `Surface.blocks`. 0: none.
    intrabar : Candles, optional
        Candles of a lower timeframe that decide whether stop or target came first inside a bar.
    progress : bool
        Show a bar, if it takes longer than half a second.
    checkpoint : Checkpoint, optional
        Finished parts are saved to it and not computed again.
    budget : int, optional
        Bytes that a part may hold, its result included; by default 256 MiB, or 800 bytes per bar if that is
        more. The surface itself comes on top: 168 bytes per cell and market, 168 more for another
        assumption, 48 for a regime, 24 for a block; above 192 MiB it lies in the temporary folder.
    threads : int, optional
        At most, and by default, as many as there are processors. On a cluster: of each part, by default 1.
    cluster : distributed.Client, Dask cluster or str, optional
        Compute the parts on its workers instead of here; a string is the address of a scheduler. The
        result is the same to the last bit: see `quantlab.backtest.cluster`.

    Returns
    -------
    Surface, or MarketSurface for a sequence of candles
        All of `METRICS` for every cell; NaN for cells that break a constraint.

    Raises
    ------
    InputError
        Cells of another strategy; labels, blocks or candles that make no sense.
    ClusterError
        No workers, workers with other code, or workers that die under the same part again and again.
    KeyboardInterrupt
        Within about 0.1 s of Ctrl-C; parts finished before are in the checkpoint.
    """
    tasks = make_tasks(
        strategy,
        candles,
        cells,
        execution,
        assumptions=assumptions,
        regimes=regimes,
        blocks=blocks,
        intrabar=intrabar,
        threads=threads,
    )
    alone = isinstance(candles, Candles)
    keep = [checkpoint] if alone else one_each("checkpoint", checkpoint, [t.job.candles for t in tasks])
    found = dict(surfaces(tasks, keep, progress=progress, budget=budget, cluster=cluster))
    return found[0] if alone else MarketSurface(tuple(found[i] for i in range(len(tasks))))


def surfaces(
    tasks: Sequence[Task],
    checkpoints: Sequence[Checkpoint | None],
    *,
    progress: bool = True,
    budget: int | None = None,
    cluster: Any = None,
) -> Iterator[tuple[int, Surface]]:
    """Compute tasks; yield the place of each and its surface as soon as it is whole.

    Parameters
    ----------
    tasks : sequence of Task
    checkpoints : sequence of Checkpoint or None
        One for each task.
    progress, budget, cluster
        As of `sweep`.
    """
    begun = [_Unfinished(*pair) for pair in zip(tasks, checkpoints, strict=True)]
    whole: deque[int] = deque()
    total = sum(task.cells.size for task in tasks)
    with _Bar(tasks[0].job.strategy.name, total, progress) as bar, _computing(cluster) as workers:

        def jobs() -> Iterator[tuple[Job, Iterable[Part]]]:
            for i, one in enumerate(begun):
                one.counted = announce(one.task)
                left = one.begin(budget, workers.least(len(tasks)), None if cluster is None else 1)
                bar.update(one.task.cells.size - one.missing)
                if not one.missing:
                    whole.append(i)
                yield one.task.job, left

        with closing(workers.run_markets(jobs(), bar.update)) as finished:
            for i, place, part, values in finished:
                begun[i].take(place, part, values)
                if not begun[i].missing:
                    whole.append(i)
                while whole:
                    yield whole[0], begun[whole.popleft()].surface()
        while whole:
            yield whole[0], begun[whole.popleft()].surface()


def _computing(cluster: Any) -> AbstractContextManager[Any]:
    """Who computes the parts: this process, or the workers of a cluster."""
    if cluster is None:
        return nullcontext(local)
    from quantlab.backtest.cluster import connect

    return connect(cluster)


class _Unfinished:
    """A surface that is not yet whole."""

    def __init__(self, task: Task, checkpoint: Checkpoint | None) -> None:
        self.task, self._checkpoint = task, checkpoint
        self.missing = task.cells.size
        self._room = Room((0,))
        self._values: np.ndarray = self._room.array
        self.counted = False

    def begin(self, budget: int | None, least: int, threads: int | None) -> list[Part]:
        """Cut it into parts, put those kept by the checkpoint in their place and return the others.

        `least` parts or more, each of them worked on by `threads`, unless the job says how many.
        """
        job, cells, left = self.task.job, self.task.cells, []
        kept = {} if self._checkpoint is None else self._checkpoint.load()
        self._room = Room((job.request.rows, *cells.shape))
        self._values = self._room.array
        how: dict[str, Any] = {"least": least, "threads": job.threads or threads}
        for place, part in plan(job.strategy, job.candles, cells, budget, job.request, **how):
            number = part_number(place) if kept else 0
            if number in kept:
                self._put(place, part, kept[number])
                self._room.release()
            else:
                left.append((place, part))
        return left

    def take(self, place: Place, part: Cells, values: np.ndarray) -> None:
        """Put a part in its place and keep it."""
        self._put(place, part, values)
        if self._checkpoint is not None:
            self._checkpoint.save(part_number(place), self._values[(slice(None), *place)])
        self._room.release()

    def surface(self) -> Surface:
        """The whole; it is let go of here."""
        values, self._values, self._room = self._values, np.empty(0), Room((0,))
        whole = self.task.surface(dict(zip(METRICS, values, strict=False)), values[len(METRICS) :])
        return replace(whole, counted=self.counted)

    def _put(self, place: Place, part: Cells, values: np.ndarray) -> None:
        self.missing -= part.size
        values = values.reshape(len(self._values), *part.shape)
        if values.shape == self._values.shape:
            self._values = values  # everything: no need to copy
        else:
            self._values[(slice(None), *place)] = values


def part_number(place: tuple[slice, ...]) -> int:
    """A number below 2**62 that names a part by the slices of the surface that it fills."""
    bounds = [(axis.start, axis.stop) for axis in place]
    return int.from_bytes(hashlib.sha256(json.dumps(bounds).encode()).digest()[:8]) >> 2


class _Bar:
    """A progress bar that is not even imported before a sweep has taken half a second."""

    def __init__(self, name: str, total: int, show: bool) -> None:
        self._name, self._total, self._show = name, total, show
        self._begun, self._done, self._bar = time.monotonic(), 0, None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, cells: int) -> None:
        """Count finished cells."""
        if self._bar is None and self._show and time.monotonic() - self._begun > _SHOW_AFTER_S:
            self._bar = _tqdm(self._name, self._total, self._done)
        if self._bar is not None:
            self._bar.update(cells)
        self._done += cells


def _tqdm(name: str, total: int, done: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, desc=name, unit=" cells", unit_scale=True, leave=False)


__all__ = ["Checkpoint", "Points", "part_number", "surface_key", "surfaces", "sweep"]
