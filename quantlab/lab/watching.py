"""What there is to see of a job while it runs, looked up in the database: see `Lab.watch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quantlab.backtest.metrics import METRICS
from quantlab.errors import NotStoredError, QuantlabError
from quantlab.lab.jobs import ENDED, Job, told
from quantlab.lab.nulls import drawn_by
from quantlab.lab.searches import journal_key, read_batch
from quantlab.lab.spec import Spec, read_spec
from quantlab.search.journal import Batch
from quantlab.search.objective import Objective
from quantlab.store.jobs import JobRow
from quantlab.store.store import Store
from quantlab.validation.rerun import Rerun

if TYPE_CHECKING:
    from quantlab.explore.live import Look

_STATUS: Mapping[str, tuple[str, Literal["", "good", "bad"]]] = {
    "queued": ("waiting for a worker", ""),
    "running": ("running", ""),
    "failed": ("failed", "bad"),
    "cancelled": ("cancelled", "bad"),
    "completed": ("done", "good"),
}


class JobWatch:
    """Looks at a job; batches that were seen are not read again.

    Parameters
    ----------
    store : Store
    job : Job
    """

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job = store, job
        self._spec: Spec | None = None
        self._aim: Objective | None = None
        self._key = ""
        self._values: list[np.ndarray] = []

    def __call__(self) -> Look:
        """How far it is now."""
        from quantlab.explore.live import Look

        row = self._job.row
        self._read(row)
        best, found = self._best(row), self._nulls(row)
        status, kind = _STATUS[row.status]
        verdict = (row.result or {}).get("verdict")
        if verdict is not None:
            status, kind = (
                ("approved by the gate", "good") if verdict["approved"] else ("refused by the gate", "bad")
            )
        return Look(
            title=f"{row.strategy_id}, {row.optimization_method}, {row.exchange} {row.pair} {row.timeframe}",
            status=status,
            told="\n".join(verdict["reasons"]) if verdict is not None else told(row),
            progress=float(row.progress),
            ended=row.status in ENDED,
            kind=kind,
            metric=self._aim.metrics[0] if self._aim else "",
            best=best,
            real=found.real if found else float("nan"),
            nulls=found.drawn if found else {},
        )

    def _read(self, row: JobRow) -> None:
        """What the job asks, once; a job of other code cannot be read and shows its row alone."""
        if self._spec is not None or row.spec["sampler"] is None:
            return
        try:
            spec = self._spec = read_spec(self._store, row.spec)
        except QuantlabError:
            return
        self._aim, about = begun_as(spec)
        self._key = journal_key(about, spec.options.get("name"))

    def _best(self, row: JobRow) -> np.ndarray:
        if self._spec is None or self._aim is None:
            return np.zeros(0)
        seen = len(self._values)
        for number in self._store.chunk_numbers(self._key):
            if number > seen:
                try:
                    part = read_batch(self._store.load_chunk(self._key, number), self._spec.strategy.space)
                except NotStoredError:  # the search has ended just now, and its batches with it
                    break
                self._values.append(objective_of(part, self._aim))
        if not self._values and row.status == "completed":
            self._values.append(np.ravel(self._eligible()))
        values = np.concatenate(self._values) if self._values else np.zeros(0)
        side = 1.0 if self._aim.directions[0] == "higher" else -1.0
        return side * np.fmax.accumulate(side * values)

    def _eligible(self) -> np.ndarray:
        assert self._aim is not None
        return self._job.surface().eligible(self._aim.metrics[0], self._aim.min_trades)

    def _nulls(self, row: JobRow) -> Rerun | None:
        """What was drawn on markets without an edge, by now or for the verdict."""
        if (row.result or {}).get("verdict") is None:
            return None if row.status in ENDED else drawn_by(self._store, row.id)
        return self._job.verdict().evidence.nulls


def begun_as(spec: Spec) -> tuple[Objective, dict[str, Any]]:
    """What a search of a job is for, and what its batches are kept under."""
    asked = spec.question()
    return asked.aim, asked.about([spec.candles], spec.execution)


def objective_of(batch: Batch, aim: Objective) -> np.ndarray:
    """The first objective of the allowed cells of a batch on one market: float (cells,).

    NaN where a constraint is not met, and for cells on a share of the history.
    """
    held = np.ravel(np.broadcast_to(batch.cells.allowed, batch.cells.shape))
    figures = dict(zip(METRICS, batch.values[0].reshape(len(METRICS), -1)[:, held], strict=True))
    good = figures["trades"] >= aim.min_trades
    if aim.max_drawdown is not None:
        good = good & (-figures["max_drawdown"] <= aim.max_drawdown)
    return np.where(good & (batch.share == 1.0), figures[aim.metrics[0]], np.nan)
