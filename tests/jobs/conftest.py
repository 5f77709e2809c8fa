"""A lab for the jobs of a module, and what an uninterrupted run finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import slow_strategies  # noqa: F401 (it registers what the jobs are about)
from job_helpers import GRID, SEARCH

import quantlab as ql
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.settings import Settings


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("jobs home"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def truth() -> Callable[[Candles, str], dict[str, np.ndarray]]:
    """What an uninterrupted run finds, without lab or workers."""

    def run(candles: Candles, what: str) -> dict[str, np.ndarray]:
        strategy = ql.signals.find_strategy("slow_average")
        if what == "sweep":
            return dict(ql.sweep(strategy, candles, strategy.space.grid(**GRID), progress=False).metrics)
        from quantlab.search.run import search

        return dict(search(strategy, candles, progress=False, **SEARCH).surface.metrics)

    return run
