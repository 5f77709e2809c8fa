"""A study: one search of one strategy on one market or several, with every trial it made.

The sampler proposes cells in batches; each batch goes through one sweep call, and its values are told to
the sampler. A search is a function of its candles and its seed: `Study.again` makes it anew on others,
which is what an honest test of a search needs, and `Study.resume` goes on with one that was interrupted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.surface import CandlesIdentity, Cell, Surface, sign
from quantlab.errors import InputError
from quantlab.search.choose import Bounds, narrow
from quantlab.search.codes import codes_of
from quantlab.search.journal import Batch, Memory
from quantlab.search.learner import pareto
from quantlab.search.loop import Ended, Part, joined
from quantlab.search.objective import Objective, Searched
from quantlab.search.sampler import Factory
from quantlab.signals import REGISTRY, Strategy
from quantlab.space import Grid

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Study:
    """The result of a search.

    Attributes
    ----------
    parts : tuple of Part
        The batches, in the order of evaluation.
    ended : {"budget", "exhausted", "interrupted"}
        Why it stopped: all trials made, no new cell left, or Ctrl-C.
    sampler : str
        Name of the sampler.
    source : str, Grid or callable
        The sampler as it was given to `search`.
    budget : int
        Trials asked for.
    aim : Objective
        What was searched for, and the constraints.
    seed : int
    batch : int
        Cells per sweep call.
    bounds : mapping
        What the space was narrowed to; empty: the whole space.
    about : mapping
        Everything that decides the trials, as JSON values: what a search that goes on must agree with.
    lineage : mapping of str to array, optional
        Of an evolution, where each cell came from: see `EvolutionSampler.lineage`.
    """

    parts: tuple[Part, ...]
    ended: Ended
    sampler: str
    source: str | Grid | Factory
    budget: int
    aim: Objective
    seed: int
    batch: int
    bounds: Bounds
    about: Mapping[str, Any]
    lineage: Mapping[str, np.ndarray] | None = None

    def __repr__(self) -> str:
        known, named = np.atleast_1d(self.convergence[-1]), self.aim.metrics
        found = [f"{m} {v:.3g}" for m, v in zip(named, known, strict=True) if not np.isnan(v)]
        best = f"best {', '.join(found)}" if found else f"no {self.aim.metrics[0]} yet: {self.reason}"
        count = f"{self.n_trials:,} of {self.budget:,} trials ({self.ended})"
        counted = all(part.counted for part in self.parts)
        caveat = "" if counted else " [made without a lab: counted in no ledger]"
        return f"Study({self.strategy.name}, {self.sampler}, {count}, {best}, {self._market()}){caveat}"

    def _market(self) -> str:
        first = self.parts[-1].surface
        if isinstance(first, MarketSurface):
            return f"{len(first)} markets"
        where = first.identity
        return f"{where.exchange} {where.symbol} {where.timeframe}, {where.bars:,} bars"

    @property
    def strategy(self) -> Strategy:
        """The strategy that was searched."""
        return self.parts[0].surface.strategy

    @property
    def candles(self) -> CandlesIdentity:
        """Which candles it was searched on (of several markets, the first)."""
        first = self.parts[-1].surface
        return first.identity if isinstance(first, Surface) else first.surfaces[0].identity

    @property
    def execution(self) -> Execution:
        """Costs and rules of every trial."""
        return self.parts[0].surface.execution

    @property
    def objective(self) -> Any:
        """The metric that was searched for, a tuple of several."""
        return self.aim.metrics[0] if len(self.aim.metrics) == 1 else self.aim.metrics

    @property
    def min_trades(self) -> int:
        """Fewest closed trades of a cell whose objective counts."""
        return self.aim.min_trades

    @property
    def n_trials(self) -> int:
        """Cells evaluated, on whatever share of the history."""
        return sum(len(part.scores) for part in self.parts)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it before its budget was spent."""
        return self.ended == "interrupted"

    def _title(self, what: str) -> str:
        return f"{self.strategy.name}, {self.sampler}: {what}"

    @property
    def _whole(self) -> list[Part]:
        return [part for part in self.parts if part.share == 1.0]

    @cached_property
    def surface(self) -> Any:
        """All trials on the whole history as a list of points, in the order of evaluation.

        A `Surface`, which the gate and the database take; of several markets a `MarketSurface`.

        Raises
        ------
        InputError
            No trial was made on the whole history yet.
        """
        if not self._whole:
            raise InputError(
                f"none of {self.n_trials} trials of {self.sampler} was made on the whole history yet: "
                "resume the search, or give it a larger budget."
            )
        return joined([part.surface for part in self._whole])

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """The surface of each market; none where no trial was made on the whole history yet."""
        if not self._whole:
            return ()
        found = self.surface
        return (found,) if isinstance(found, Surface) else found.surfaces

    @cached_property
    def _one(self) -> Surface:
        """The surface, or the aggregate of several."""
        found = self.surface
        one: Surface = found if isinstance(found, Surface) else found.across(self.aim.aggregate)
        return one

    @property
    def partial(self) -> list[tuple[float, Searched]]:
        """The trials on a share of the history: share and surface of each batch."""
        return [(part.share, part.surface) for part in self.parts if part.share < 1.0]

    @property
    def trials(self) -> dict[str, np.ndarray]:
        """Every parameter, then every metric: arrays of shape (trials,), in the order of evaluation.

        Of several markets, the aggregate over them. Trials on a share of the history are left out.
        """
        return {**self.surface.cells.mesh(), **self._one.metrics}

    @property
    def values(self) -> np.ndarray:
        """The objectives of each trial: float64 (n_trials, objectives), in the order of evaluation.

        NaN where undefined or a constraint is not met, and for trials on a share of the history.
        """
        rows = [np.where(part.share == 1.0, part.scores * self.aim.signs, np.nan) for part in self.parts]
        return np.concatenate(rows)

    @property
    def convergence(self) -> np.ndarray:
        """Best objective after each trial: float64 (n_trials,), NaN until a cell has one.

        Of several objectives, the best of each alone: (n_trials, objectives).
        """
        best = self.aim.signs * np.fmax.accumulate(self.values * self.aim.signs)
        return best if len(self.aim.metrics) > 1 else best[:, 0]

    @property
    def reason(self) -> str | None:
        """Why no trial has an objective, in words; None if one has."""
        if not np.isnan(self.values).all(axis=1).all():
            return None
        return self.aim.why_none(self.surface) if self._whole else "no trial on the whole history yet"

    @property
    def key(self) -> str:
        """SHA-256 (hex) of code, candles, execution, how it was searched and the cells evaluated."""
        what: dict[str, Any] = {name: getattr(self, name) for name in ("sampler", "budget", "seed", "batch")}
        what["objective"] = self.aim.to_json()
        what["bounds"] = {name: np.asarray(value).tolist() for name, value in self.bounds.items()}
        what["surface"] = self.surface.key
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def best(self, metric: str | None = None, min_trades: int | None = None) -> Cell:
        """The cell with the best `metric` (lowest where lower is better); by default the objective's.

        Raises
        ------
        InputError
            No trial has the metric and meets the constraints, with the reason; or several objectives were
            searched for and none is named.
        """
        if metric is None and len(self.aim.metrics) > 1:
            raise InputError(
                f"of several objectives no cell is the best: see front, or name one of {self.aim.metrics}."
            )
        metric = self.aim.metrics[0] if metric is None else metric
        if metric in self.aim.metrics:
            direction = self.aim.directions[self.aim.metrics.index(metric)]
        else:
            direction = "lower" if sign(metric) < 0 else "higher"
        least = self.min_trades if min_trades is None else min_trades
        aim = replace(self.aim, metrics=(metric,), directions=(direction,), min_trades=least)
        scores = aim.scores(self.surface)[:, 0]
        if np.isnan(scores).all():
            raise InputError(f"{aim.why_none(self.surface)}.")
        cell: Cell = self._one.cell((int(np.nanargmax(scores)),))
        return cell

    @property
    def front(self) -> np.ndarray:
        """Places in `trials` of those on the Pareto front: no other is as good in all and better in one."""
        return np.flatnonzero(pareto(self.aim.scores(self.surface)))

    def to_frame(self) -> pd.DataFrame:
        """One row per trial (and market) in the order of evaluation: parameters, then all metrics."""
        frame: pd.DataFrame = self.surface.to_frame()
        return frame

    def front_frame(self) -> pd.DataFrame:
        """The Pareto front, a row per trial, sorted by the first objective: objectives and parameters."""
        import pandas as pd

        trials, front = self.trials, self.front
        columns = {name: trials[name][front] for name in (*self.aim.metrics, *self.strategy.space.names)}
        frame = pd.DataFrame(columns).drop_duplicates()
        rising = self.aim.directions[0] == "lower"
        return frame.sort_values(self.aim.metrics[0], ascending=rising, ignore_index=True)

    def importance(self, metric: str | None = None) -> dict[str, float]:
        """How much each parameter decides whether a cell is among the best tenth, largest first.

        PED-ANOVA over all trials with a defined value; fractions that sum to 1.

        Parameters
        ----------
        metric : str, optional
            By default the first objective.

        Raises
        ------
        InputError
            Fewer than twenty trials have a value, or no parameter varies.
        """
        from quantlab.search.trials import importance

        metric = metric or self.aim.metrics[0]
        scores = sign(metric) * self._one.eligible(metric, self.min_trades).ravel()
        if metric in self.aim.metrics:
            scores = self.aim.scores(self.surface)[:, self.aim.metrics.index(metric)]
        space = narrow(self.strategy.space, self.bounds)
        codes = codes_of(space, self.surface.cells)
        known = ~np.isnan(scores)
        varies = [n for n, column in zip(self.strategy.space.names, codes.T, strict=True) if np.ptp(column)]
        if np.count_nonzero(known) < 20 or not varies:
            raise InputError(
                f"importance needs twenty trials with a {metric} and a parameter that varies, got "
                f"{np.count_nonzero(known)} trials and {len(varies)} parameters: search longer or wider."
            )
        found = importance(space, codes[known], scores[known], varies)
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def convergence_figure(self) -> go.Figure:
        """The best of each objective so far, by trial."""
        from quantlab.figures.search import convergence

        curves = np.atleast_2d(self.convergence.T)
        return convergence(dict(zip(self.aim.metrics, curves, strict=True)), title=self._title("best so far"))

    def front_figure(self) -> go.Figure:
        """All trials in the plane of the first two objectives, and the Pareto front."""
        from quantlab.figures.search import front

        if len(self.aim.metrics) < 2:
            raise InputError("a front needs two objectives, got one: search with objective=[..., ...].")
        values, on = self.aim.values(self.surface), np.zeros(self.surface.cells.size, bool)
        on[self.front] = True
        return front(values[:, 0], values[:, 1], on, self.aim.metrics[:2], title=self._title("Pareto front"))

    def importance_figure(self, metric: str | None = None) -> go.Figure:
        """What each parameter contributes: see `importance`."""
        from quantlab.figures.search import importances

        return importances(self.importance(metric), title=self._title("importance"))

    def to_optuna(self, storage: Any = None, name: str | None = None) -> optuna.Study:
        """This search as a study of Optuna, for ``optuna.visualization`` and its dashboard.

        Metrics are the user attributes of a trial. A trial without an objective has failed there, one on a
        share of the history was pruned; of several markets the aggregate is shown.

        Parameters
        ----------
        storage : str or optuna.storages.BaseStorage, optional
            Where to keep it, such as ``"sqlite:///searches.db"``, which ``optuna-dashboard`` opens; in
            memory by default.
        name : str, optional
            By default strategy, sampler and the beginning of `key`.

        Raises
        ------
        InputError
            The storage holds a study of that name, or cannot be opened.
        """
        from quantlab.search.export import exported

        return exported(self, storage, name)

    def again(self, candles: Any, *, seed: int | None = None, progress: bool = False) -> Study:
        """The same search from its start, with its full budget, on other candles or with another seed."""
        from quantlab.search.run import search

        return search(
            self.strategy,
            candles,
            trials=self.budget,
            seed=self.seed if seed is None else seed,
            progress=progress,
            **self._how(),
        )

    def resume(self, candles: Any, *, trials: int | None = None, progress: bool = False) -> Study:
        """Go on where the search ended, to its budget or to another; what was evaluated is not again.

        The result is that of a search that was never interrupted.

        Parameters
        ----------
        candles : Candles or sequence of Candles
            Those of the search.
        trials : int, optional
            The new budget.

        Raises
        ------
        InputError
            The candles, the strategy's code or the engine are no longer those of the search.
        """
        kept = [Batch.of(part.asked, part.share, part.surface) for part in self.parts]
        from quantlab.search.run import search

        return search(
            REGISTRY.get(self.strategy.name, self.strategy),
            candles,
            trials=self.budget if trials is None else trials,
            seed=self.seed,
            progress=progress,
            journal=Memory(self.about, kept),
            **self._how(),
        )

    def _how(self) -> dict[str, Any]:
        return {
            "sampler": self.source,
            "objective": dict(zip(self.aim.metrics, self.aim.directions, strict=True)),
            "min_trades": self.aim.min_trades,
            "max_drawdown": self.aim.max_drawdown,
            "aggregate": self.aim.aggregate,
            "batch": self.batch,
            "execution": self.execution,
            "bounds": self.bounds,
        }
