"""What a worker does: take a job, do it under its lease, write the result, take the next.

Whatever a worker writes for a job goes through a store that its lease fences. A killed worker's job is taken
by another as soon as the lease runs out, and goes on from the finished parts and batches.
"""

from __future__ import annotations

import _thread
import os
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.surface import Surface
from quantlab.backtest.task import Task
from quantlab.errors import JobError, LeaseLostError, StoreUnavailableError, interrupted
from quantlab.lab.nulls import told_by
from quantlab.lab.searches import choosing, figures, result_row
from quantlab.lab.spec import Spec, read_spec
from quantlab.lab.sweeps import stored_sweep
from quantlab.progress import heard
from quantlab.store.jobs import JobRow
from quantlab.store.parts import Parts
from quantlab.store.store import Store
from quantlab.validation.gate import candidate, verdict_key

if TYPE_CHECKING:
    from quantlab.lab.lab import Lab

LEASE_S = 30.0
_BEATS = 10.0
"""Heartbeats per lease: a busy machine may miss several."""
_SLOWEST_BEAT_S = 1.0
_PATIENCE_S = 60.0

Tell = Callable[[float, str], None]


class _StopError(Exception):
    """The job is to be left: it was cancelled, or its lease is lost."""


class Worker:
    """Takes jobs from the queue of a lab, one after the other.

    Parameters
    ----------
    lab : Lab
    lease_s : float
        Seconds after which a silent worker's job may be taken by another.
    poll_s : float
        Seconds between two looks into an empty queue.
    campaign : str, optional
        Take the jobs of this campaign only.
    say : callable
        Receives a line for each job taken and ended.

    Raises
    ------
    JobError
        A lease or a pause that makes no sense.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        lease_s: float = LEASE_S,
        poll_s: float = 0.5,
        campaign: str | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        if not (0.5 <= lease_s <= 86_400 and 0.01 <= poll_s <= 3_600):
            raise JobError(
                f"a lease takes 0.5 to 86,400 s, a pause 0.01 to 3,600 s; got {lease_s}, {poll_s}."
            )
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._lab, self._queue = lab, lab.store.jobs
        self._lease_s, self._poll_s, self._campaign, self._say = lease_s, poll_s, campaign, say

    def run(self, *, drain: bool = False) -> int:
        """Work until Ctrl-C, or with `drain` until no job waits; the number of jobs that were taken.

        Raises
        ------
        KeyboardInterrupt
            The job under way is back in the queue, its finished parts kept.
        StoreUnavailableError
            The database did not answer for a minute.
        """
        taken, silent_since = 0, None
        while True:
            try:
                job = self._queue.lease(self.name, self._lease_s, self._campaign)
                silent_since = None
            except StoreUnavailableError as error:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > _PATIENCE_S:
                    raise
                self._say(f"waiting for the database: {error}")
                time.sleep(max(self._poll_s, 1.0))
                continue
            if job is not None:
                taken += 1
                self._do(job)
            elif drain:
                return taken
            else:
                time.sleep(self._poll_s)

    def _do(self, job: JobRow) -> None:
        """Do a job and write how it ended, if it is still ours."""
        begun = time.monotonic()
        self._say(f"{_named(job)}: taken, attempt {job.attempt}")
        try:
            how = self._outcome(job)
        except LeaseLostError as error:
            how = str(error)
        except StoreUnavailableError as error:
            how = f"left, the database went away; it is taken up again: {error}"
        self._say(f"{_named(job)}: {how} after {time.monotonic() - begun:.1f} s")

    def _outcome(self, job: JobRow) -> str:
        where = job.id, job.attempt
        try:
            with _heartbeat(self._lab.store, job, self._lease_s) as heart:
                lab = type(self._lab)(self._lab.settings, self._lab.store.fenced(*where))
                done = perform(lab, job, heart.tell)
        except _StopError:
            if heart.lost:
                raise heart.lost from None
            self._queue.finish(*where, "cancelled")
            return "cancelled"
        except (LeaseLostError, StoreUnavailableError):
            raise
        except (KeyboardInterrupt, SystemError) as error:
            if not interrupted(error):
                raise
            self._queue.finish(*where, "queued", stage="interrupted, waiting")
            raise KeyboardInterrupt from error
        except Exception as error:
            said = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
            if not isinstance(error, JobError):
                said += "\n" + "".join(traceback.format_tb(error.__traceback__, -4))
            self._queue.finish(*where, "failed", error=said)
            return f"failed: {type(error).__name__}: {error}"
        self._queue.complete(*where, **done)
        return "completed"


class _Heart:
    """Renews a lease from a thread of its own; stops the main thread when the job is to be left.

    Parameters
    ----------
    store : Store
    job : JobRow
    lease_s : float
    """

    def __init__(self, store: Store, job: JobRow, lease_s: float) -> None:
        self._queue, self._job, self._lease_s = store.jobs, job, lease_s
        self._progress, self._stage = job.progress, "loading"
        self._ended, self._mutex, self._active = threading.Event(), threading.Lock(), True
        self.lost: LeaseLostError | None = None
        self.stopped = False

    def tell(self, fraction: float, stage: str) -> None:
        """How far the job is; raises if it is to be left."""
        self._progress, self._stage = min(max(100.0 * fraction, 0.0), 100.0), stage
        if self.stopped:
            raise _StopError

    def beat(self) -> None:
        """Renew the lease until the end."""
        pause = min(self._lease_s / _BEATS, _SLOWEST_BEAT_S)
        while not self._ended.wait(pause):
            where = self._job.id, self._job.attempt, self._lease_s
            try:
                cancelled = self._queue.beat(*where, self._progress, self._stage)
            except LeaseLostError as error:
                self.lost = error
                self._stop()
                return
            except StoreUnavailableError:
                continue  # the lease says how long that may last
            if cancelled and not self.stopped:
                self._stop()

    def _stop(self) -> None:
        with self._mutex:
            self.stopped = True
            if self._active:
                _thread.interrupt_main()

    def end(self) -> None:
        """No more beats and no interrupt from now on."""
        with self._mutex:
            self._active = False
        self._ended.set()


@contextmanager
def _heartbeat(store: Store, job: JobRow, lease_s: float) -> Iterator[_Heart]:
    """Keep a lease while this lasts; raises `_StopError` where the job is to be left."""
    heart = _Heart(store, job, lease_s)
    thread = threading.Thread(target=heart.beat, name=f"heartbeat {job.id}", daemon=True)
    thread.start()
    try:
        try:
            yield heart
        finally:
            heart.end()
            thread.join()
            for _ in range(10):  # an interrupt that was sent before the end arrives here
                pass
    except (KeyboardInterrupt, SystemError) as error:
        if heart.stopped and interrupted(error):
            raise _StopError from error
        raise


class _Watched(Parts):
    """Parts that tell how many cells are finished."""

    def __init__(self, store: Store, key: str, done: Callable[[int], None], cells: int) -> None:
        super().__init__(store, key)
        self._done, self._cells = done, cells

    def load(self) -> Mapping[int, np.ndarray]:
        kept = super().load()
        return _Told(kept, lambda values: self._done(values.size))

    def save(self, part: int, values: np.ndarray) -> None:
        super().save(part, values)
        self._done(values.size)


class _Told(Mapping[int, np.ndarray]):
    """A mapping that tells each value that is read."""

    def __init__(self, kept: Mapping[int, np.ndarray], told: Callable[[np.ndarray], None]) -> None:
        self._kept, self._told = kept, told

    def __getitem__(self, part: int) -> np.ndarray:
        values = self._kept[part]
        self._told(values)
        return values

    def __contains__(self, part: object) -> bool:
        return part in self._kept

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def perform(lab: Lab, job: JobRow, tell: Tell) -> dict[str, Any]:
    """Do a job; returns what `Jobs.complete` writes.

    Parameters
    ----------
    lab : Lab
        On a store that is fenced by the lease.
    job : JobRow
    tell : callable ``(fraction, stage)``
        Receives the progress, and raises where the job is to be left.

    Raises
    ------
    JobError
        Strategy, engine or candles are no longer those of the job.
    """
    spec = read_spec(lab.store, job.spec)
    share = 0.3 if spec.gate else 1.0
    if spec.task is not None:
        searched, found = _sweep(lab, spec.task, lambda done: tell(share * done, "sweep"))
        surface = searched.under(searched.execution.assumption)
    else:
        before = min(job.progress / 100 / share, 1.0)
        searched, found = _search(lab, spec, before, lambda done: tell(share * done, "search")), False
        surface = searched.surface
    tell(share, "judging" if spec.gate else "storing")
    verdict, config = None, None
    if spec.gate:
        key = verdict_key(surface, spec.gate)
        heard_by_all = heard(lambda part, step: tell(share + (0.99 - share) * part, step))
        with heard_by_all, told_by(lab.store, job.id, key):
            judged = lab.validate(searched, spec.candles, gate=spec.gate, progress=False)
        verdict = {"approved": judged.approved, "reasons": list(judged.reasons), "key": key}
        config = lab.configuration_id(judged)
    tell(1.0, "storing")
    gate = spec.gate or choosing(spec.options.get("objective"), spec.options.get("min_trades", 30))
    chosen = candidate(surface, gate)
    result = {"surface_key": surface.key, "cells": surface.size, "found": found, "verdict": verdict}
    result |= {"metric": gate.metric, "chosen": figures(chosen)}
    return {"result": result, "row": result_row(surface, chosen), "config": config}


def _sweep(lab: Lab, task: Task, done: Callable[[float], None]) -> tuple[Surface, bool]:
    total, seen = task.cells.size * task.job.request.rows, [0]

    def add(values: int) -> None:
        seen[0] += values
        done(seen[0] / total)

    found = lab.store.has_surface(task.plain_keys[task.job.execution.assumption])

    def parts(store: Store, key: str) -> Parts:
        return _Watched(store, key, add, total)

    return stored_sweep(lab.store, [task], progress=False, parts=parts)[0], found


def _search(lab: Lab, spec: Spec, before: float, done: Callable[[float], None]) -> Any:
    seen = [round(before * spec.trials)]  # batches of an earlier attempt are not told again

    def batch(frame: Any) -> None:
        seen[0] += len(frame)
        done(min(seen[0] / spec.trials, 1.0))

    how = {"execution": spec.execution, "progress": False, "on_batch": batch, **spec.options}
    study = lab.search(spec.strategy, spec.candles, sampler=spec.sampler, trials=spec.trials, **how)
    if study.interrupted:
        raise KeyboardInterrupt
    return study


def _named(job: JobRow) -> str:
    return f"job {job.id[:8]} {job.strategy_id} {job.exchange} {job.pair} {job.timeframe}"
