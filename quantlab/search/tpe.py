"""TPE: Optuna's tree-structured Parzen estimator, in batches and with a bounded memory.

Two densities are fitted, one to the best cells and one to the others; cells are proposed where the first
is high relative to the second. Cells of a batch that are still unevaluated count as bad (constant liar),
so that a batch spreads out.

Each batch is asked of a fresh in-memory Optuna study that holds the `_BEST` best and the `_RECENT` most
recent cells, since Optuna's cost per cell grows with its history, while its weights favour the best 25
and the recent anyway. So a proposal follows from the seed and the cells told, and nothing else.

Source: J. Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 24 (2011); S. Watanabe,
"Tree-structured Parzen estimator" (2023), arXiv:2304.11127.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.search.random import draws
from quantlab.search.sampler import Proposal, Seen, allowed
from quantlab.space import Choice, Int, Space

_STARTUP = 10
_BEST = 25
_RECENT = 225
_TRIES = 3


class TPESampler:
    """Learns from what it is told; uniform draws until ten cells have a defined value.

    A cell whose value is NaN and a proposal that breaks a constraint are pruned trials to Optuna: known
    to be bad. The latter, and repeated proposals, are asked again, three times a batch at most; what is
    then still missing is drawn uniformly.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "tpe"
    batch = 25

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._draws = draws(space, np.random.default_rng(self._rng.integers(2**63)))
        self._seen = Seen(space)
        self._cells: list[Proposal] = []
        self._values: list[float] = []

    def ask(self, n: int) -> list[Proposal]:
        """At most `n` new cells; fewer when the space is exhausted."""
        learned = self._learned(n) if np.count_nonzero(~np.isnan(self._values)) >= _STARTUP else []
        return learned + self._seen.take(self._draws, n - len(learned))

    def tell(self, cells: Sequence[Mapping[str, Any]], values: np.ndarray) -> None:
        """Remember the values of the cells, NaN included."""
        self._cells += [dict(cell) for cell in cells]
        self._values += np.asarray(values, dtype=np.float64).tolist()

    def _learned(self, n: int) -> list[Proposal]:
        from optuna.trial import TrialState

        kinds = _distributions(self._space)
        study = self._study(kinds)
        found: list[Proposal] = []
        for _ in range(_TRIES * n):
            if len(found) == n:
                break
            trial = study.ask(kinds)
            cell = {name: trial.params[name] for name in self._space.names}
            if not allowed(self._space, [cell])[0]:
                study.tell(trial, state=TrialState.PRUNED)
                self.tell([cell], np.array([np.nan]))
            elif self._seen.add(cell):
                found.append(cell)
        return found

    def _study(self, kinds: Mapping[str, Any]) -> Any:
        """An Optuna study that knows the remembered cells."""
        import optuna

        seed = int(self._rng.integers(2**31))
        sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP, constant_liar=True, seed=seed)
        with _quiet():
            study = optuna.create_study(direction="maximize", sampler=sampler)
        for i in self._remembered():
            value = self._values[i]
            told = {"state": optuna.trial.TrialState.PRUNED} if math.isnan(value) else {"value": value}
            study.add_trial(optuna.create_trial(params=self._cells[i], distributions=dict(kinds), **told))
        return study

    def _remembered(self) -> list[int]:
        """Positions of the best and of the most recent cells told, in the order of telling.

        Optuna takes a tenth of all cells for good ones (25 at most), so there are never more than nine
        undefined ones to a defined one: none of them passes for good.
        """
        values = np.asarray(self._values)
        best = np.argsort(-values, kind="stable")[:_BEST]  # NaN sorts last
        kept = np.union1d(best, np.arange(max(0, len(values) - _RECENT), len(values)))
        undefined = kept[np.isnan(values[kept])]
        surplus = max(0, len(undefined) - 9 * (len(kept) - len(undefined)))
        return np.setdiff1d(kept, undefined[:surplus]).tolist()


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kinds: dict[str, Any] = {}
    for p in space.parameters:
        if isinstance(p, Choice):
            kinds[p.name] = CategoricalDistribution(p.options)
        elif isinstance(p, Int):
            kinds[p.name] = IntDistribution(p.low, p.high)
        else:
            kinds[p.name] = FloatDistribution(p.low, p.high)
    return kinds


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing its in-memory study; the level of its logger is then as it was."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
