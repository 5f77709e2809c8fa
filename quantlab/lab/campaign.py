"""A campaign: a job for every strategy on every market, how long it will take, and what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.backtest.sweep import sweep
from quantlab.errors import JobError
from quantlab.lab.jobs import ENDED, Job, table, wait
from quantlab.lab.spec import Spec
from quantlab.market.synthetic import iid
from quantlab.space import Cells, Grid, Points
from quantlab.store.store import Store
from quantlab.validation.budget import alpha_of
from quantlab.validation.rerun import NULLS
from quantlab.validation.sequential import ENOUGH
from quantlab.validation.snooping import null_draws
from quantlab.validation.thresholds import Gate

if TYPE_CHECKING:
    import pandas as pd

_PROBE_BARS, _PROBE_CELLS, _PROBE_GRID = 4_000, 256, 65_536


class Refused(NamedTuple):
    """What could not even be queued, and why."""

    strategy: str
    exchange: str
    pair: str
    timeframe: str
    reason: str


class Estimate(NamedTuple):
    """What a campaign will take.

    Attributes
    ----------
    jobs, cells : int
    seconds : float
        With so many workers, each as fast as this machine; where the gate is asked, if it refuses each search
        as soon as luck has found as much often enough, which is the usual outcome.
    most_seconds : float
        If it draws every null market for each of them, as for a close call; later searches on the
        same data draw more. The same as `seconds` where no gate is asked.
    workers : int
    measured : bool
        Whether it follows from jobs of the same kind that ran here; else from a probe on made-up candles,
        of the sweeps alone: neither reading nor storing is in it.
    unknown : int
        Jobs of strategies that failed when they were measured; they are not in the sum.
    failures : tuple of str
        Why they failed, one line for each strategy and method.
    """

    jobs: int
    cells: int
    seconds: float
    most_seconds: float
    workers: int
    measured: bool
    unknown: int = 0
    failures: tuple[str, ...] = ()

    def __str__(self) -> str:
        basis = "from earlier jobs" if self.measured else "from a probe of the sweeps alone"
        crew = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        gate = f", up to {_duration(self.most_seconds)} where the gate draws all its null markets"
        return (
            f"{self.jobs} jobs, {self.cells:,} cells: about {_duration(self.seconds)} with {crew} ({basis})"
            + (gate if self.most_seconds > self.seconds else "")
            + (f", and {self.unknown} of which no time is known: " if self.unknown else "")
            + "; ".join(self.failures)
        )


@dataclass(frozen=True)
class Campaign:
    """Jobs that were submitted together. Failures stay alone.

    Attributes
    ----------
    store : Store
    id : str
    jobs : tuple of Job
    refused : tuple of Refused
        What could not be queued.
    estimate : Estimate
        Made before anything ran.
    """

    store: Store
    id: str
    jobs: tuple[Job, ...]
    refused: tuple[Refused, ...]
    estimate: Estimate

    def to_frame(self) -> pd.DataFrame:
        """One row per strategy and market: status, progress, what was chosen, or why it failed."""
        import pandas as pd

        frame = table(self.store.jobs.listed(self.id))
        lines = [
            {"status": "refused", "strategy_id": r.strategy, "exchange": r.exchange, "pair": r.pair}
            | {"timeframe": r.timeframe, "error": r.reason}
            for r in self.refused
        ]
        if not lines:
            return frame
        refused = pd.DataFrame(lines, columns=frame.columns)
        return refused if frame.empty else pd.concat([frame.astype(object), refused.astype(object)])

    def wait(self, timeout: float | None = None) -> Campaign:
        """Wait until every job has ended; JobError if one has not after `timeout` seconds."""
        wait(self.jobs, timeout)
        return self

    def cancel(self) -> int:
        """Cancel all that has not ended; how many that were."""
        left = [row for row in self.store.jobs.listed(self.id) if row.status not in ENDED]
        cancelled = 0
        for row in left:
            with contextlib.suppress(JobError):  # it ended meanwhile
                self.store.jobs.cancel(row.id)
                cancelled += 1
        return cancelled

    def __repr__(self) -> str:
        rows = self.store.jobs.listed(self.id)
        status = [row.status for row in rows] + ["refused"] * len(self.refused)
        counts = ", ".join(f"{status.count(name)} {name}" for name in dict.fromkeys(status))
        return f"Campaign({self.id[:8]}: {counts or 'no jobs'}; estimated: {self.estimate})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.to_frame().to_html(index=False)}"


def estimate(store: Store, specs: Sequence[Spec], workers: int = 1) -> Estimate:
    """How long so many workers will take for these jobs."""
    rates: dict[tuple[str, str], float | str] = {}
    measured = bool(specs)
    usual, most = [], []
    for spec in specs:
        kind = spec.strategy.name, spec.method
        if kind not in rates:
            known = store.jobs.speed(*kind)
            measured &= known is not None
            rates[kind] = known or _probe(spec)
        rate = rates[kind]
        if not isinstance(rate, str):
            few, all_of_them = _searches(spec.gate)
            usual.append(few * spec.work / rate)
            most.append(all_of_them * spec.work / rate)
    crew = max(workers, 1)
    seconds, most_seconds = (max([sum(each) / crew, *each], default=0.0) for each in (usual, most))
    cells, unknown = sum(spec.size for spec in specs), len(specs) - len(usual)
    why = tuple(f"{kind[0]} failed with {rate}" for kind, rate in rates.items() if isinstance(rate, str))
    return Estimate(len(specs), cells, seconds, most_seconds, crew, measured, unknown, why)


def _searches(gate: Gate | None) -> tuple[int, int]:
    """How often a search is made: if the gate refuses as soon as it can, and if it draws all null markets."""
    if gate is None:
        return 1, 1
    parts = 1 + gate.folds + 1  # the whole history, the past of each window, the first part for recency
    draws = null_draws(gate, alpha_of(1, gate.alpha))
    return parts + len(NULLS) * ENOUGH, parts + len(NULLS) * draws


def _probe(spec: Spec) -> float | str:
    """Cells times bars per second, on candles that nobody can learn anything from: no trial is made.

    Where the strategy fails, how: its job will, too.
    """
    made = iid(n_bars=min(_PROBE_BARS, max(len(spec.candles), 500)), timeframe=spec.candles.timeframe, seed=0)
    probe = _thinned(spec)
    for _ in range(2):  # the first one compiles
        begun = time.perf_counter()
        try:
            sweep(spec.strategy, made, probe, spec.execution, progress=False)
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
    return probe.size * len(made) / (time.perf_counter() - begun)


def _thinned(spec: Spec) -> Cells:
    """Cells that cost each about what those of a job do: of a grid a grid, whose cells share their trades."""
    cells = spec.cells
    if isinstance(cells, Grid):
        axes = dict(cells.axes)
        while prod(map(len, axes.values())) > _PROBE_GRID:
            longest = max(axes, key=lambda name: len(axes[name]))
            axes[longest] = axes[longest][::2]
        return replace(cells, axes=axes)
    cells = cells or spec.strategy.grid()
    chosen = np.unique(np.linspace(0, cells.size - 1, min(_PROBE_CELLS, cells.size)).astype(int))
    columns = {
        name: np.broadcast_to(values, cells.shape).ravel()[chosen] for name, values in cells.mesh().items()
    }
    return Points(spec.strategy.space, columns)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
