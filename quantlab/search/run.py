"""Run a search: check what is asked, make the sampler, ask and tell until the budget is spent."""

from __future__ import annotations

from collections.abc import Sequence

from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import Aggregate
from quantlab.backtest.task import as_execution, check_markets
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.search.choose import Bounds
from quantlab.search.journal import Journal
from quantlab.search.loop import Loop, OnBatch
from quantlab.search.objective import Wanted
from quantlab.search.question import Question, make_question
from quantlab.search.sampler import Factory
from quantlab.search.study import Study
from quantlab.signals import Strategy
from quantlab.space import Grid
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
    execution = as_execution(execution)
    asked = make_question(
        get(strategy),
        sampler=sampler,
        trials=trials,
        objective=objective,
        min_trades=min_trades,
        max_drawdown=max_drawdown,
        aggregate=aggregate,
        seed=seed,
        batch=batch,
        bounds=bounds,
    )
    markets = [candles] if isinstance(candles, Candles) else candles
    check_markets(markets)
    about = asked.about(markets, execution)
    loop = Loop(asked.sampler, asked.strategy, candles, execution, asked.aim)
    if journal is not None:
        loop.replay(journal.begin(about, asked.strategy.space), trials, on_batch)
    ended = loop.until(trials, asked.batch, progress, on_batch, journal)
    if not loop.parts:
        raise InputError(_nothing(asked))
    name, lineage = asked.sampler.name, getattr(asked.sampler, "lineage", None)
    given = (name, sampler, trials, asked.aim, seed, asked.batch, asked.bounds, about, lineage)
    return Study(tuple(loop.parts), ended, *given)


def _nothing(asked: Question) -> str:
    return (
        f"no cell of {asked.strategy.name} within the bounds satisfies its constraints "
        f"{asked.space.constraints} (asked of {asked.sampler.name}): widen the bounds."
    )
