"""CMA-ES: a normal distribution that moves, stretches and turns towards what was good.

Sampled in the unit form of the space, where whole numbers and choices are steps; from the package `cmaes`.
When a population has converged, another starts elsewhere, twice as large.

Source: N. Hansen, "The CMA evolution strategy: a tutorial" (2016), arXiv:1604.00772; A. Auger, N. Hansen, "A
restart CMA evolution strategy with increasing population size", CEC (2005).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.errors import InputError
from quantlab.search.codes import Draws, Seen, allowed, codes_of, counts, from_unit, points_of, to_unit
from quantlab.space import Points, Space

_TRIES = 20
_STALE = 10
"""Generations in a row without a new cell after which a population starts elsewhere."""


class CMAESSampler:
    """One generation after the other; numbers of one objective only.

    A sampled cell that was evaluated before keeps its value and is not evaluated again; one that breaks a
    constraint is sampled again, twenty times at most, and is then the worst of its generation, as are
    undefined ones.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "cmaes"
    batch = 24

    def __init__(self, space: Space, seed: int) -> None:
        _package()
        self._space, self._rng = space, np.random.default_rng(seed)
        self._free = np.flatnonzero(counts(space) > 1)
        self._middle = to_unit(space, from_unit(space, np.full((1, len(space)), 0.5)))[0]
        self._seen, self._worth = Seen(), dict[bytes, float]()
        self._draws = Draws(space, self._seen, lambda: self._rng.random((1024, len(space))))
        self._population = self.batch
        self._waiting: list[np.ndarray] = []
        self._start(0.5 * np.ones(len(self._free)))

    def ask(self, n: int) -> Points | None:
        """At most `n` new cells, of one generation; None when the space is exhausted."""
        for _ in range(_STALE):
            if self._waiting or not len(self._free):
                break
            self._finish()
            self._sample()
        codes = self._waiting[:n]
        self._waiting = self._waiting[n:]
        if codes:
            return points_of(self._space, np.concatenate(codes))
        self._begin_elsewhere()
        return points_of(self._space, self._draws.take(n))

    def tell(self, cells: Any, values: np.ndarray) -> None:
        """Remember the values; a generation is learned from when all of it is known."""
        for code, value in zip(codes_of(self._space, cells), values, strict=True):
            self._worth[code.tobytes()] = float(value)

    def _start(self, mean: np.ndarray) -> None:
        self._generation: list[tuple[np.ndarray, bytes | None]] = []
        self._model: Any = None
        if len(mean):
            self._model = _package().CMA(
                mean=mean,
                sigma=0.25,
                bounds=np.tile([0.0, 1.0], (len(mean), 1)),
                seed=int(self._rng.integers(2**31)),
                population_size=self._population,
            )

    def _begin_elsewhere(self) -> None:
        self._population = min(2 * self._population, 384)
        self._start(self._rng.random(len(self._free)))

    def _sample(self) -> None:
        """Sample a generation; the new cells in it wait to be asked for."""
        for _ in range(self._population):
            for _ in range(_TRIES):
                x = self._model.ask()
                unit = self._middle.copy()
                unit[self._free] = x
                code = from_unit(self._space, unit[None])
                if allowed(self._space, code)[0]:
                    break
            else:
                self._generation.append((x, None))
                continue
            self._generation.append((x, code.tobytes()))
            if self._seen.add(code):
                self._waiting.append(code)

    def _finish(self) -> None:
        """Learn from the generation that is known."""
        if not self._generation:
            return
        worth = np.array([self._worth.get(key, np.nan) if key else np.nan for _, key in self._generation])
        loss = np.where(np.isnan(worth), np.nan, -worth)
        worst = np.nanmax(loss) + 1.0 if not np.isnan(loss).all() else 1.0
        loss = np.where(np.isnan(loss), worst, loss)
        told = [(x, float(value)) for (x, _), value in zip(self._generation, loss, strict=True)]
        self._model.tell(told)
        self._generation = []
        if self._model.should_stop():
            self._begin_elsewhere()


def _package() -> Any:
    try:
        import cmaes
    except ImportError as error:
        raise InputError(
            "the sampler 'cmaes' needs the package cmaes, which is not installed: "
            'pip install "quantlab[search]".'
        ) from error
    return cmaes
