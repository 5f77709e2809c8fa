"""The parts of a sweep on a Dask cluster (``pip install "quantlab[cluster]"``).

The client cuts the cells, sends each market once to every worker and keeps a window of parts in flight; a
worker computes a part as `quantlab.backtest.local` does, so no bit of the result depends on where it was
computed.

**Threads.** Dask gives a worker one part per thread of its own, and a part is computed by one thread. Where
memory is short, start workers with ``--nthreads 1`` and sweep with ``threads=n``: one part at a time on n.

**Death.** A part whose worker dies is computed again elsewhere: Dask sees to that, up to its setting
``distributed.scheduler.allowed-failures`` (3). A part that exceeds it may only have waited beside the
culprit, so it is computed again at the end, alone. If workers die even then, the part is named.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from quantlab.backtest.local import Job, OnProgress
from quantlab.backtest.parts import Part, Place
from quantlab.backtest.remote import Parcel, alone, code, compute, same_code
from quantlab.errors import ClusterError, InputError
from quantlab.space import Cells

try:
    import distributed
    from distributed.comm import parse_address
    from distributed.comm.addressing import parse_host_port
    from distributed.comm.registry import get_backend
except ImportError as error:
    raise ImportError(
        'a sweep on a cluster needs Dask, which is not installed: pip install "quantlab[cluster]".'
    ) from error

PARTS_PER_THREAD = 4
"""Least number of parts per thread of the cluster; it bounds how long threads wait at the end."""

_IN_FLIGHT_PER_THREAD = 2
_DEATHS = 2
_CONNECT_S, _WORKERS_S = 10, 30
_WHO = f"__import__('importlib').import_module({compute.__module__!r}).code()"


@contextlib.contextmanager
def connect(cluster: Any) -> Iterator[Workers]:
    """Reach the workers of a cluster.

    Parameters
    ----------
    cluster : distributed.Client, Dask cluster or str
        A string is the address of a scheduler. A client stays open; other connections are closed.

    Raises
    ------
    InputError
        `cluster` is something else, or an address that cannot be read.
    ClusterError
        No scheduler answers, there are no workers, or they run other code.
    """
    if isinstance(cluster, distributed.Client):
        yield Workers(cluster)
        return
    if not isinstance(cluster, str) and not hasattr(cluster, "scheduler_address"):
        raise InputError(
            "`cluster` must be a distributed.Client, a Dask cluster or the address of a scheduler, such as "
            f"'tcp://10.0.0.1:8786', got {cluster!r}."
        )
    if isinstance(cluster, str):
        _check_address(cluster)
    try:
        client = distributed.Client(cluster, set_as_default=False, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {cluster}: {error}. Start one with `dask scheduler`."
        ) from error
    with client:
        yield Workers(client)


def _check_address(address: str) -> None:
    """Refuse what is no address: a client that is made with one waits for 20 s when it is let go of."""
    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        if scheme in ("tcp", "tls"):
            parse_host_port(place)
    except ValueError as error:
        raise InputError(
            f"`cluster` must be the address of a scheduler, got {address!r} ({error}): write "
            "tcp://host:8786, as `dask scheduler` prints it."
        ) from None


class Workers:
    """The workers behind a client, all of which run the client's code.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: distributed.Client) -> None:
        if client.asynchronous:
            raise InputError(
                "`cluster` must be a client that waits for answers, got an asynchronous one: give the "
                "address of the scheduler, or distributed.Client(address)."
            )
        self._client = client
        self._threads, self._counted = 1, 0.0
        self._check()

    def _check(self) -> None:
        if self._client.scheduler is None or self._client.status != "running":
            raise ClusterError(f"the client of the cluster is {self._client.status}: connect a new one.")
        _wait_for_workers(self._client)
        for who, answer in self._answers():
            if isinstance(answer, OSError):
                continue  # it went down just now; who takes its place is asked with each part
            if isinstance(answer, Exception):
                raise ClusterError(
                    f"{who} cannot run quantlab: {answer!r}. Install the client's version of "
                    "quantlab[cluster] on it and restart it."
                ) from answer
            same_code(who, code(), answer)

    def _answers(self) -> Iterator[tuple[str, Any]]:
        """What each machine says about its code, or the error that it met."""
        try:  # the scheduler reads the tasks that it passes on
            yield "the scheduler", self._client.run_on_scheduler(eval, _WHO)
        except Exception as error:
            yield "the scheduler", error
        for worker, answer in self._client.run(eval, _WHO, on_error="return").items():
            yield f"the worker {worker}", answer

    def threads(self) -> int:
        """Threads of all workers, counted at most once a second; the last number while there are none."""
        if time.monotonic() - self._counted > 1.0:
            self._threads = sum(self._client.nthreads().values()) or self._threads
            self._counted = time.monotonic()
        return self._threads

    def least(self, markets: int = 1) -> int:
        """Least number of parts of each of so many markets.

        A power of two, so that a sweep that goes on with a few threads more or less is cut alike.
        """
        return 1 << max(0, -(-PARTS_PER_THREAD * self.threads() // markets) - 1).bit_length()

    def run_markets(
        self, jobs: Iterable[tuple[Job, Iterable[Part]]], on_progress: OnProgress
    ) -> Generator[tuple[int, Place, Cells, np.ndarray], None, None]:
        """Compute parts of several markets, and yield each with the number of its market, as they finish.

        At most two parts per thread are in flight, their results included; the candles of a market are held
        by the workers while its parts are. Closing the iterator cancels what is in flight.

        Raises
        ------
        ClusterError
            Workers die under one part again and again, or run other code.
        Exception
            Of the strategy, with a note that names the part.
        """
        todo = (_Task(i, job, *part) for i, (job, parts) in enumerate(jobs) for part in parts)
        again, alone, guilty = deque[_Task](), deque[_Task](), list[_Task]()
        with _Flight(self._client) as flight:
            while True:
                while len(flight) < _IN_FLIGHT_PER_THREAD * self.threads():
                    task = again.popleft() if again else next(todo, None)
                    if task is None:
                        break
                    flight.send(task)
                if not len(flight):
                    if not alone:
                        break
                    flight.send(alone.popleft())
                task, values, deaths = flight.land()
                if values is not None:
                    on_progress(task.cells.size)
                    yield task.market, task.place, task.cells, values
                    continue
                task = task._replace(deaths=task.deaths + deaths)
                if task.deaths < _DEATHS:
                    (alone if task.alone else again).append(task)
                elif not task.alone:
                    alone.append(task._replace(alone=True, deaths=0))
                else:
                    guilty.append(task)
        if guilty:
            raise _culprits(guilty)

    def in_order(self, call: Callable[[int], float], first: int) -> Generator[float, None, None]:
        """``call(first)``, ``call(first + 1)``, ... in this order, computed ahead on all threads.

        Each call is one thread's work. Closing the iterator cancels what was begun and is not wanted.

        Parameters
        ----------
        call : callable ``(int) -> float``
            It and what it uses travel to the workers once.
        first : int

        Raises
        ------
        ClusterError
            Workers die under one call again and again.
        Exception
            Of the call.
        """
        import cloudpickle

        name, ahead = f"quantlab-{time.time_ns():x}", deque[distributed.Future]()
        _wait_for_workers(self._client)
        held = self._client.scatter(cloudpickle.dumps(call), broadcast=True, hash=False)
        numbers = itertools.count(first)
        try:
            while True:
                while len(ahead) < _IN_FLIGHT_PER_THREAD * self.threads():
                    i = next(numbers)
                    ahead.append(self._client.submit(alone, held, i, key=f"{name}-{i}", pure=False))
                try:
                    yield ahead[0].result()
                except distributed.KilledWorker as error:
                    raise ClusterError(
                        f"workers died again and again under one null market: {error}. Their logs say why; "
                        "if it is memory, use workers with fewer threads."
                    ) from error
                ahead.popleft()
        finally:
            self._client.cancel(list(ahead), force=True)


def _wait_for_workers(client: distributed.Client) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
    except TimeoutError:
        where = client.scheduler_info(n_workers=0)["address"]
        raise ClusterError(
            f"the scheduler {where} has had no workers for {_WORKERS_S} s: start one with "
            f"`dask worker {where}`, then repeat the call. Parts that were finished are in the checkpoint, "
            "if there is one."
        ) from None
    except OSError as error:
        raise ClusterError(
            f"the scheduler does not answer any more: {error}. Repeat the call when it does. Parts that were "
            "finished are in the checkpoint, if there is one."
        ) from error


def _to_all_workers(client: distributed.Client, parcel: Parcel) -> distributed.Future:
    """Send a market to every worker; again, if one of them goes down meanwhile."""
    for left in (2, 1, 0):
        _wait_for_workers(client)
        try:
            return client.scatter(parcel, broadcast=True, hash=False)
        except Exception as error:  # Dask raises various things
            if not left:
                raise ClusterError(
                    f"{parcel.candles!r} could not be sent to the workers: {error!r}. The scheduler's log "
                    "may say why; repeat the call."
                ) from error
    raise AssertionError


class _Task(NamedTuple):
    """A part, how many workers died while they had it, and whether that was counted while it was alone."""

    market: int
    job: Job
    place: Place
    cells: Cells
    deaths: int = 0
    alone: bool = False


def _culprits(tasks: list[_Task]) -> ClusterError:
    first, others = tasks[0], f" (and {len(tasks) - 1} others)" if len(tasks) > 1 else ""
    return ClusterError(
        f"workers died again and again under one part of {first.job.strategy.name}, even while it was alone"
        f"{others}: {json.dumps(first.cells.to_json())[:400]}. The logs of the workers say why; if it is "
        "memory, sweep with a smaller `budget`. All other parts are finished."
    )


class _Flight:
    """Parts in flight and the markets they need; leaving it cancels them."""

    def __init__(self, client: distributed.Client) -> None:
        self._client = client
        self._name = f"quantlab-{time.time_ns():x}"
        self._sent = 0
        self._tasks: dict[distributed.Future, tuple[_Task, distributed.Future]] = {}
        self._parcels: dict[int, distributed.Future] = {}
        self._landing = distributed.as_completed(loop=client.loop, with_results=True, raise_errors=False)

    def __enter__(self) -> _Flight:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tasks:
            self._client.cancel(list(self._tasks), force=True)
        self._tasks.clear()
        self._parcels.clear()

    def __len__(self) -> int:
        return len(self._tasks)

    def send(self, task: _Task) -> None:
        """Submit a part, and its market before the first one."""
        if task.market not in self._parcels:
            needed = {other.market for other, _ in self._tasks.values()}
            self._parcels = {market: held for market, held in self._parcels.items() if market in needed}
            self._parcels[task.market] = _to_all_workers(self._client, Parcel.of(task.job))
        parcel = self._parcels[task.market]
        self._sent += 1
        key = f"{self._name}-{self._sent}"
        future = self._client.submit(compute, parcel, task.cells, key=key, pure=False)
        self._tasks[future] = task, parcel
        self._landing.add(future)

    def land(self) -> tuple[_Task, np.ndarray | None, int]:
        """Wait for a part: its values, or None and how many workers died under it."""
        future, result = next(self._landing)
        task, parcel = self._tasks.pop(future)
        if future.status == "finished":
            return task, result, 0
        if future.status == "error":
            _, error, trace = result
            if isinstance(error, distributed.KilledWorker):
                return task, None, error.allowed_failures + 1
            raise error.with_traceback(trace)
        if self._parcels.get(task.market) is parcel:  # cancelled, because nobody holds its market any more
            del self._parcels[task.market]
        return task, None, 1
