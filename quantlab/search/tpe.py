"""TPE: Optuna's tree-structured Parzen estimator, in batches and with a bounded memory.

Two densities are fitted, one to the best cells and one to the others; cells are proposed where the first
is high relative to the second. Cells of a batch that are still unevaluated count as bad (constant liar),
so that a batch spreads out.

Each batch is asked of a fresh in-memory Optuna study that holds the `_BEST` best and the `_RECENT` most
recent cells, since Optuna's cost per cell grows with its history, while its weights favour the best 25
and the recent anyway.

Source: J. Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 24 (2011); S. Watanabe,
"Tree-structured Parzen estimator" (2023), arXiv:2304.11127.
"""

from __future__ import annotations

import numpy as np

from quantlab.search.codes import allowed
from quantlab.search.learner import Learner
from quantlab.search.trials import code_of, distributions, finished, new_study, refuse

_BEST = 25
_RECENT = 225
_TRIES = 3


class TPESampler(Learner):
    """Learns from what it is told; uniform draws until ten cells have a defined value.

    A cell whose value is undefined and a proposal that breaks a constraint are infeasible trials to Optuna:
    known to be bad. The latter, and repeated proposals, are asked again, three times a batch at most; what
    is then still missing is drawn uniformly. Of several objectives it seeks the Pareto front.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "tpe"
    batch = 25
    startup = 10
    several = True

    def _learned(self, n: int, rng: np.random.Generator) -> np.ndarray:
        import optuna

        space, kinds, objectives = self._space, distributions(self._space), self._values.shape[1]
        seed = int(rng.integers(2**31))
        study = new_study(
            optuna.samplers.TPESampler(n_startup_trials=self.startup, constant_liar=True, seed=seed),
            objectives,
        )
        known = self._kept()
        study.add_trials(finished(space, self._codes[known], self._values[known], kinds))
        found = [self._codes[:0]]
        for _ in range(_TRIES * n):
            if len(found) > n:
                break
            trial = study.ask(kinds)
            code = code_of(space, trial.params)
            if not allowed(space, code)[0]:
                refuse(study, trial, objectives)
            elif self._seen.add(code):
                found.append(code)
        return np.concatenate(found)

    def _kept(self) -> np.ndarray:
        """Places of the best and of the most recent cells told, in the order of telling.

        Optuna takes a tenth of all cells for good ones (25 at most), so there are never more than nine
        undefined ones to a defined one: none of them passes for good.
        """
        kept = self._remembered(_BEST, _RECENT)
        undefined = kept[np.isnan(self._values[kept]).any(axis=1)]
        surplus = max(0, len(undefined) - 9 * (len(kept) - len(undefined)))
        return np.setdiff1d(kept, undefined[:surplus])
