"""A study: one search of one strategy on one market, with every trial it made.

The sampler proposes cells in batches; each batch goes through one sweep call, and its values are told to
the sampler. A search is a function of its candles and its seed: `Study.again` makes it anew on others,
which is what an honest test of a search needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.metrics import definition
from quantlab.backtest.surface import CandlesIdentity, Cell, Surface
from quantlab.backtest.sweep import surface_key, sweep
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.search.choose import Bounds, make_sampler, narrow
from quantlab.search.sampler import Factory, Proposal, Sampler, Seen, allowed
from quantlab.signals import Strategy
from quantlab.space import Grid, Points
from quantlab.strategies import get

if TYPE_CHECKING:
    import pandas as pd

Ended = Literal["budget", "exhausted", "interrupted"]


@dataclass(frozen=True, eq=False)
class Study:
    """The result of a search.

    Attributes
    ----------
    surface : Surface
        All trials as a list of points, in the order of evaluation: what the gate and the database take.
    ended : {"budget", "exhausted", "interrupted"}
        Why it stopped: all trials made, no new cell left, or Ctrl-C.
    sampler : str
        Name of the sampler.
    source : str, Grid or callable
        The sampler as it was given to `search`.
    budget : int
        Trials asked for.
    objective : str
        The metric that was searched for.
    min_trades : int
        Fewest closed trades of a cell whose objective counts.
    seed : int
    batch : int
        Cells per sweep call.
    bounds : mapping
        What the space was narrowed to; empty: the whole space.
    """

    surface: Surface
    ended: Ended
    sampler: str
    source: str | Grid | Factory
    budget: int
    objective: str
    min_trades: int
    seed: int
    batch: int
    bounds: Bounds

    def __repr__(self) -> str:
        known, where = self.convergence[-1], self.candles
        best = f"no {self.objective} yet" if np.isnan(known) else f"best {self.objective} {known:.3g}"
        count = f"{self.n_trials:,} of {self.budget:,} trials ({self.ended})"
        market = f"{where.exchange} {where.symbol} {where.timeframe}, {where.bars:,} bars"
        return f"Study({self.strategy.name}, {self.sampler}, {count}, {best}, {market})"

    @property
    def strategy(self) -> Strategy:
        """The strategy that was searched."""
        return self.surface.strategy

    @property
    def candles(self) -> CandlesIdentity:
        """Which candles it was searched on."""
        return self.surface.identity

    @property
    def execution(self) -> Execution:
        """Costs and rules of every trial."""
        return self.surface.execution

    @property
    def n_trials(self) -> int:
        """Cells evaluated."""
        return self.surface.size

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it before its budget was spent."""
        return self.ended == "interrupted"

    @property
    def trials(self) -> dict[str, np.ndarray]:
        """Every parameter, then every metric: arrays of shape (n_trials,), in the order of evaluation."""
        return {**self.surface.cells.mesh(), **self.surface.metrics}

    @property
    def convergence(self) -> np.ndarray:
        """Best objective after each trial: float64 (n_trials,), NaN until a cell has one."""
        scores = _scores(self.surface, self.objective, self.min_trades)
        return _sign(self.objective) * np.fmax.accumulate(scores)

    @property
    def key(self) -> str:
        """SHA-256 (hex) of code, candles, execution, how it was searched and the cells evaluated."""
        settings = ("sampler", "budget", "objective", "min_trades", "seed", "batch")
        what: dict[str, Any] = {name: getattr(self, name) for name in settings}
        what["bounds"] = {name: np.asarray(value).tolist() for name, value in self.bounds.items()}
        what["surface"] = self.surface.key
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def best(self, metric: str | None = None, min_trades: int | None = None) -> Cell:
        """The cell with the best `metric` (lowest where lower is better); by default the objective's.

        Raises
        ------
        InputError
            No trial has the metric and enough trades.
        """
        metric = self.objective if metric is None else metric
        least = self.min_trades if min_trades is None else min_trades
        highest = self.surface.best(metric, least)
        if _sign(metric) > 0:
            return highest
        return self.surface.cell((int(np.nanargmin(self.surface.eligible(metric, least))),))

    def to_frame(self) -> pd.DataFrame:
        """One row per trial in the order of evaluation: parameters, then all metrics."""
        return self.surface.to_frame()

    def again(self, candles: Candles, *, seed: int | None = None, progress: bool = False) -> Study:
        """The same search from its start, with its full budget, on other candles or with another seed."""
        return search(
            self.strategy,
            candles,
            sampler=self.source,
            trials=self.budget,
            objective=self.objective,
            min_trades=self.min_trades,
            seed=self.seed if seed is None else seed,
            batch=self.batch,
            execution=self.execution,
            bounds=self.bounds,
            progress=progress,
        )


def search(
    strategy: str | Strategy,
    candles: Candles,
    *,
    sampler: str | Grid | Factory = "random",
    trials: int,
    objective: str = "sharpe",
    min_trades: int = 30,
    seed: int = 0,
    batch: int | None = None,
    execution: Execution | None = None,
    bounds: Bounds | None = None,
    progress: bool = True,
    on_batch: Callable[[pd.DataFrame], None] | None = None,
) -> Study:
    """Search the space of a strategy on one market with a sampler.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles
    sampler : {"random", "tpe", "grid"}, Grid or callable ``(space, seed) -> Sampler``
        ``"grid"`` is the reference grid; a Grid is searched in its order.
    trials : int
        Distinct cells to evaluate at most.
    objective : str
        One of `METRICS`, maximised or minimised as its definition says.
    min_trades : int
        A cell with fewer closed trades counts as a trial but has no objective.
    seed : int
        Not negative. The same seed and batch give the same study.
    batch : int, optional
        Cells per sweep call; by default what suits the sampler.
    execution : Execution, optional
        Costs, sides, fill assumption, sizing.
    bounds : mapping, optional
        Narrows the space: per parameter ``(low, high)``, options, or one value that fixes it.
    progress : bool
        Show a bar.
    on_batch : callable, optional
        Receives the frame of each batch (parameters, then all metrics) as soon as it is evaluated.

    Returns
    -------
    Study
        Ctrl-C ends the search and returns what was evaluated, with ``interrupted`` true; the batch then
        under way is lost.

    Raises
    ------
    UnknownNameError
        An unknown strategy, sampler, metric or parameter.
    InputError
        A budget, batch or bound that makes no sense, an objective of which neither side is better, or no
        cell that satisfies the constraints; also a sampler that proposes a cell twice or a forbidden one.
    KeyboardInterrupt
        Ctrl-C before the first batch was evaluated: there is nothing to return.
    """
    found, bounds = get(strategy), dict(bounds or {})
    if isinstance(sampler, Grid) and bounds:
        raise InputError(
            f"a grid has its own values, got bounds of {', '.join(bounds)}: narrow the grid instead."
        )
    _check_numbers(
        trials=(trials, 1),
        batch=(1 if batch is None else batch, 1),
        min_trades=(min_trades, 0),
        seed=(seed, 0),
    )
    if definition(objective).better is None:
        raise InputError(
            f"neither more nor less `{objective}` is better: search for another metric, such as sharpe."
        )
    proposer = make_sampler(sampler, found, narrow(found.space, bounds), seed)
    batch = batch or proposer.batch
    run = _Loop(proposer, found, candles, execution or Execution(), objective, min_trades)
    ended = run.until(trials, batch, progress, on_batch)
    return Study(
        run.surface(), ended, proposer.name, sampler, trials, objective, min_trades, seed, batch, bounds
    )


class _Loop:
    """Ask, evaluate and tell; holds the batches that are finished."""

    def __init__(
        self,
        sampler: Sampler,
        strategy: Strategy,
        candles: Candles,
        execution: Execution,
        objective: str,
        min_trades: int,
    ) -> None:
        self._sampler, self._strategy, self._candles, self._execution = sampler, strategy, candles, execution
        self._objective, self._min_trades = objective, min_trades
        self._seen = Seen(strategy.space)
        self._parts: list[Surface] = []
        self.done = 0

    def until(
        self, trials: int, batch: int, progress: bool, on_batch: Callable[[pd.DataFrame], None] | None
    ) -> Ended:
        """Search until the budget is spent, no cell is left, or Ctrl-C; say which."""
        from tqdm.auto import tqdm

        name = f"{self._strategy.name} {self._sampler.name}"
        with tqdm(total=trials, desc=name, unit=" trials", disable=not progress, leave=False) as bar:
            try:
                while self.done < trials:
                    cells = self._sampler.ask(min(batch, trials - self.done))
                    if not cells:
                        return "exhausted"
                    self._check(cells, min(batch, trials - self.done))
                    part = self._evaluate(cells)
                    if on_batch:
                        on_batch(part.to_frame())
                    bar.update(len(cells))
            except KeyboardInterrupt:
                if not self.done:
                    raise
                return "interrupted" if self.done < trials else "budget"
            except Exception as error:
                error.add_note(f"while searching {name} after {self.done} of {trials} trials")
                raise
        return "budget"

    def _evaluate(self, cells: Sequence[Proposal]) -> Surface:
        points = self._strategy.space.points(cells)
        part = sweep(self._strategy, self._candles, points, self._execution, progress=False)
        self._parts.append(part)
        self.done += part.size
        self._sampler.tell(cells, _scores(part, self._objective, self._min_trades))
        return part

    def _check(self, cells: Sequence[Proposal], n: int) -> None:
        """Refuse what would be counted wrongly: too many cells, a forbidden one, one evaluated before."""
        name, space = self._sampler.name, self._strategy.space
        if len(cells) > n:
            raise InputError(f"the sampler {name} was asked for {n} cells and proposed {len(cells)}.")
        for cell, holds in zip(cells, allowed(space, cells), strict=True):
            if not holds:
                raise InputError(f"the sampler {name} proposed {cell}, which breaks {space.constraints}.")
            if not self._seen.add(cell):
                raise InputError(f"the sampler {name} proposed {cell} twice: a trial counts once.")

    def surface(self) -> Surface:
        """All finished batches as one list of points."""
        if not self._parts:
            raise InputError(
                f"no cell of {self._strategy.name} within the bounds satisfies its constraints "
                f"{self._strategy.space.constraints}: widen the bounds."
            )
        first = self._parts[0]
        cells = Points(
            first.cells.space,
            {n: np.concatenate([part.cells.mesh()[n] for part in self._parts]) for n in first.cells.mesh()},
        )
        return replace(
            first,
            cells=cells,
            metrics={m: np.concatenate([part.metrics[m] for part in self._parts]) for m in first.metrics},
            key=surface_key(self._strategy, self._candles, cells, self._execution),
        )


def _sign(metric: str) -> float:
    return -1.0 if definition(metric).better == "lower" else 1.0


def _scores(surface: Surface, objective: str, min_trades: int) -> np.ndarray:
    """The objective of every cell, the higher the better; NaN with fewer than `min_trades` trades."""
    return _sign(objective) * surface.eligible(objective, min_trades)


def _check_numbers(**given: tuple[int, int]) -> None:
    for name, (value, lowest) in given.items():
        if not isinstance(value, int | np.integer) or value < lowest:
            raise InputError(f"`{name}` must be a whole number of at least {lowest}, got {value!r}.")
