"""NSGA-II: Optuna's genetic algorithm for several objectives, in a study that lives in memory.

Numbers of two parents are blended and mutated by steps, choices exchanged: exchange alone, Optuna's
default, never makes a number that neither parent has, and on single objectives was no better than chance.
Generations are small, because a search of hundreds of cells has few of them; the front is that of all
cells, not of the last generation.

Source: K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on
Evolutionary Computation 6 (2002), also for polynomial mutation; L. Eshelman, J. Schaffer, "Real-coded genetic
algorithms and interval-schemata", FOGA 2 (1993), for blends.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from quantlab.search.codes import Draws, Seen, allowed, codes_of, columns_of, points_of
from quantlab.search.trials import code_of, distributions, new_study
from quantlab.space import Points, Space

_POPULATION = 20
_TRIES = 3
_STEEPNESS = 5.0
"""Of the polynomial mutation: half of its steps are longer than a tenth of the range."""


class NSGA2Sampler:
    """Generations of 20 cells, whatever the number of objectives.

    A cell that comes again is told to the population with the value it had; one that breaks a constraint
    is asked again, three times a batch at most, and what is then missing is drawn uniformly. Undefined
    cells never become parents.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "nsga2"
    batch = _POPULATION
    several = True

    def __init__(self, space: Space, seed: int) -> None:
        import optuna

        rng = np.random.default_rng(seed)
        self._space, self._kinds = space, distributions(space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._sampler = optuna.samplers.NSGAIISampler(
                population_size=_POPULATION,
                crossover=optuna.samplers.nsgaii.BLXAlphaCrossover(),
                mutation=optuna.samplers.nsgaii.PolynomialMutation(_STEEPNESS),
                seed=int(rng.integers(2**31)),
            )
        self._seen, self._worth = Seen(), dict[bytes, list[float]]()
        self._draws = Draws(space, self._seen, lambda: rng.random((1024, len(space))))
        self._study: Any = None
        self._waiting: dict[bytes, Any] = {}

    def ask(self, n: int) -> Points | None:
        """At most `n` new cells; None when the space is exhausted."""
        found = [np.empty((0, len(self._space)))]
        for _ in range(_TRIES * n if self._worth else 0):
            if len(found) > n:
                break
            self._one(found)
        found.append(self._draws.take(n + 1 - len(found)))
        return points_of(self._space, np.concatenate(found))

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Hand the values to the population."""
        values = np.asarray(values, np.float64).reshape(len(values), -1)
        self._study = self._study or new_study(self._sampler, values.shape[1])
        for code, row in zip(codes_of(self._space, cells), values.tolist(), strict=True):
            key = code.tobytes()
            self._worth[key] = row
            trial = self._waiting.pop(key, None)
            if trial is None:  # drawn uniformly: enters the population as it is
                self._study.enqueue_trial(self._params(code))
                trial = self._study.ask(self._kinds)
            self._end(trial, row)

    def _one(self, found: list[np.ndarray]) -> None:
        """Ask for one cell and put it to those found if it is new and allowed."""
        trial = self._study.ask(self._kinds)
        code = code_of(self._space, trial.params)
        if not allowed(self._space, code)[0]:
            self._end(trial, [np.nan])
        elif self._seen.add(code):
            self._waiting[code.tobytes()] = trial
            found.append(code)
        elif code.tobytes() in self._worth:
            self._end(trial, self._worth[code.tobytes()])
        else:  # twice in this batch
            self._end(trial, [np.nan])

    def _end(self, trial: Any, values: list[float]) -> None:
        from optuna.trial import TrialState

        if np.isnan(values).any():
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, values)

    def _params(self, code: np.ndarray) -> dict[str, Any]:
        return {name: v.tolist()[0] for name, v in columns_of(self._space, code[None]).items()}
