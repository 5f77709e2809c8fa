"""Run a search: check what is asked, make the sampler, ask and tell until the budget is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import Aggregate
from quantlab.backtest.task import check_markets
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.search.choose import Bounds, identity_of, make_sampler, narrow
from quantlab.search.journal import Journal, describe
from quantlab.search.loop import Loop, OnBatch
from quantlab.search.objective import Wanted, make_objective
from quantlab.search.sampler import Factory, Sampler
from quantlab.search.study import Study
from quantlab.signals import Strategy
from quantlab.space import Grid, Space
from quantlab.strategies import get


def search(
    strategy: str | Strategy,
    candles: Candles | Sequence[Candles],
    *,
    sampler: str | Grid | Factory = "random",
    trials: int,
    objective: Wanted = "sharpe",
    min_trades: int = 30,
    max_drawdown: float | None = None,
    aggregate: Aggregate = "worst",
    seed: int = 0,
    batch: int | None = None,
    execution: Execution | None = None,
    bounds: Bounds | None = None,
    progress: bool = True,
    on_batch: OnBatch | None = None,
    journal: Journal | None = None,
) -> Study:
    """Search the space of a strategy with a sampler.

    Parameters
    ----------
    strategy : str or Strategy
    candles : Candles or sequence of Candles
        Several markets, timeframes or periods: each cell is evaluated on all of them.
    sampler : str, Grid or callable ``(space, seed) -> Sampler``
        A name of `SAMPLERS`, or ``"grid"``, the reference grid; a Grid is searched in its order.
    trials : int
        Cells to evaluate at most.
    objective : str, sequence of str, or mapping of str to {"higher", "lower"}
        One of `METRICS`, or several, for a Pareto front. Without a direction, the one in which the metric
        is better.
    min_trades : int
        A cell with fewer closed trades (on any market) counts as a trial but has no objective.
    max_drawdown : float, optional
        Nor has one with a deeper drawdown (on any market): a fraction of equity in (0, 1].
    aggregate : {"worst", "min", "median", "mean", "max"}
        How the figures of several markets become one.
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
        Receives the frame of each batch (parameters, then all metrics) as soon as it is evaluated; where a
        search goes on, first those of the earlier session.
    journal : Journal, optional
        Keeps finished batches, and hands out those of an earlier session of the same search.

    Returns
    -------
    Study
        Ctrl-C ends the search and returns what was evaluated, with ``interrupted`` true; the batch then
        under way is lost. `Study.resume` goes on.

    Raises
    ------
    UnknownNameError
        An unknown strategy, sampler, metric or parameter.
    InputError
        A budget, batch or bound that makes no sense, an objective of which neither side is better, a space
        without parameters, finite bounds or a cell that satisfies the constraints; a sampler that is not
        installed, proposes a cell twice or a forbidden one; a journal of another search.
    KeyboardInterrupt
        Ctrl-C before the first batch was evaluated: there is nothing to return.
    """
    found, bounds, execution = get(strategy), dict(bounds or {}), execution or Execution()
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
    aim = make_objective(objective, min_trades, max_drawdown, aggregate)
    space = narrow(found.space, bounds)
    proposer = make_sampler(sampler, found, space, seed)
    _check_sampler(proposer, trials, len(aim.metrics))
    batch = batch or proposer.batch
    markets = [candles] if isinstance(candles, Candles) else candles
    check_markets(markets)
    named = identity_of(sampler, proposer)
    about = describe(found, markets, execution, space, named, seed, batch, aim)
    loop = Loop(proposer, found, candles, execution, aim)
    if journal is not None:
        loop.replay(journal.begin(about, found.space), trials, on_batch)
    ended = loop.until(trials, batch, progress, on_batch, journal)
    if not loop.parts:
        raise InputError(_nothing(found, space, proposer.name))
    lineage = getattr(proposer, "lineage", None)
    given = (proposer.name, sampler, trials, aim, seed, batch, bounds, about, lineage)
    return Study(tuple(loop.parts), ended, *given)


def _nothing(strategy: Strategy, space: Space, sampler: str) -> str:
    return (
        f"no cell of {strategy.name} within the bounds satisfies its constraints {space.constraints} "
        f"(asked of {sampler}): widen the bounds."
    )


def _check_sampler(sampler: Sampler, trials: int, objectives: int) -> None:
    if objectives > 1 and not getattr(sampler, "several", False):
        raise InputError(
            f"the sampler {sampler.name} searches for one objective, got {objectives}: choose tpe, nsga2 or "
            "evolution, or random, sobol or grid."
        )
    startup = getattr(sampler, "startup", 0)
    if trials <= startup:
        raise InputError(
            f"the first {startup} trials of {sampler.name} only prepare it, so {trials} would be random "
            f"search under another name: give it at least {startup + 1}, or take sampler='random'."
        )


def _check_numbers(**given: Any) -> None:
    for name, (value, lowest) in given.items():
        if not isinstance(value, int | np.integer) or value < lowest:
            raise InputError(f"`{name}` must be a whole number of at least {lowest}, got {value!r}.")
