"""What is asked of a search, checked before anything is evaluated: in this process or before it is queued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import Aggregate
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.search.choose import Bounds, identity_of, make_sampler, narrow
from quantlab.search.journal import describe
from quantlab.search.objective import Objective, Wanted, make_objective
from quantlab.search.sampler import Factory, Sampler
from quantlab.signals import Strategy
from quantlab.space import Grid, Space


@dataclass(frozen=True)
class Question:
    """A search that makes sense, with a fresh sampler.

    Attributes
    ----------
    strategy : Strategy
    space : Space
        The space of the strategy within the bounds.
    sampler : Sampler
    named : str
        What names the sampler and what it was made from.
    aim : Objective
    seed, batch : int
    bounds : mapping
    """

    strategy: Strategy
    space: Space
    sampler: Sampler
    named: str
    aim: Objective
    seed: int
    batch: int
    bounds: Bounds

    def about(self, candles: Sequence[Candles], execution: Execution) -> dict[str, Any]:
        """Everything that decides the sequence of trials and their figures, as JSON values."""
        rules = self.space, self.named, self.seed, self.batch, self.aim
        return describe(self.strategy, candles, execution, *rules)


def make_question(
    strategy: Strategy,
    *,
    sampler: str | Grid | Factory,
    trials: int,
    objective: Wanted = "sharpe",
    min_trades: int = 30,
    max_drawdown: float | None = None,
    aggregate: Aggregate = "worst",
    seed: int = 0,
    batch: int | None = None,
    bounds: Bounds | None = None,
) -> Question:
    """Check what is asked; parameters and errors as of `quantlab.search.run.search`."""
    bounds = dict(bounds or {})
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
    space = narrow(strategy.space, bounds)
    proposer = make_sampler(sampler, strategy, space, seed)
    _check_sampler(proposer, trials, len(aim.metrics))
    named = identity_of(sampler, proposer)
    return Question(strategy, space, proposer, named, aim, seed, batch or proposer.batch, bounds)


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
