"""Random search: cells drawn uniformly and independently; the yardstick of every other sampler.

Source: J. Bergstra, Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from quantlab.search.sampler import Proposal, Seen, allowed
from quantlab.space import Choice, Int, Parameter, Space

_BLOCK = 1024


class RandomSampler:
    """Uniform draws within the bounds; those that break a constraint or come again are drawn again.

    The sequence of cells follows from the seed alone, whatever the size of the batches.

    Parameters
    ----------
    space : Space
    seed : int
    """

    name = "random"
    batch = 256

    def __init__(self, space: Space, seed: int) -> None:
        self._seen = Seen(space)
        self._draws = draws(space, np.random.default_rng(seed))

    def ask(self, n: int) -> list[Proposal]:
        """At most `n` new cells; fewer when the space is exhausted."""
        return self._seen.take(self._draws, n)

    def tell(self, cells: Sequence[Mapping[str, Any]], values: np.ndarray) -> None:
        """Nothing is learned."""


def draws(space: Space, rng: np.random.Generator) -> Iterator[Proposal | None]:
    """Endless uniform draws from `space`; None for a draw that breaks a constraint."""
    while True:
        columns = [_column(parameter, rng) for parameter in space.parameters]
        block = [dict(zip(space.names, row, strict=True)) for row in zip(*columns, strict=True)]
        for cell, holds in zip(block, allowed(space, block), strict=True):
            yield cell if holds else None


def _column(parameter: Parameter, rng: np.random.Generator) -> list[Any]:
    """A block of uniform values of one parameter, as plain Python values."""
    if isinstance(parameter, Choice):
        return [parameter.options[i] for i in rng.integers(len(parameter.options), size=_BLOCK)]
    if isinstance(parameter, Int):
        return rng.integers(parameter.low, parameter.high, size=_BLOCK, endpoint=True).tolist()
    # low + (high - low) * u can round to beyond high
    return np.minimum(rng.uniform(parameter.low, parameter.high, _BLOCK), parameter.high).tolist()
