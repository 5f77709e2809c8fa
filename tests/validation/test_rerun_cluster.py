"""Null markets on a Dask cluster: the scores, and the verdict, of one process."""

from __future__ import annotations

from collections.abc import Iterator

import distributed
import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.sweep import sweep
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.validation.gate import validate
from quantlab.validation.rerun import Rerun, rerun
from quantlab.validation.thresholds import Gate

pytestmark = pytest.mark.slow

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[3, 5, 8, 12], slow=[20, 40, 80])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[distributed.LocalCluster]:
    sweep(CROSS, garch(1_000, timeframe="1d", seed=9), GRID, progress=False)  # compile once, here
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as found:
        yield found


def scores(found: Rerun) -> list[list[float]]:
    return [null.scores.tolist() for null in found.nulls]


@pytest.mark.parametrize("market", ["noise", "edge"])
def test_the_scores_are_the_same_in_the_same_order(cluster: distributed.LocalCluster, market: str) -> None:
    made = {
        "noise": garch(1_000, timeframe="1d", seed=4),
        "edge": planted_momentum(1_000, seed=4, true_sharpe=3.0),
    }
    candles = made[market]

    def search(part: object) -> object:
        return sweep(CROSS, part, GRID, progress=False)  # type: ignore[call-overload]

    here = rerun(search, candles, draws=19, progress=False)
    told: list[int] = []
    there = rerun(
        search,
        candles,
        draws=19,
        progress=False,
        cluster=cluster,
        earlier=Rerun(here.real, tuple(type(n)(n.null, n.real, n.scores[:2], 19) for n in here.nulls), 0),
        drawn=lambda found: told.append(sum(map(len, scores(found)))),
    )
    assert scores(there) == scores(here)
    assert there.p == here.p
    assert told[-1] == sum(map(len, scores(here)))
    assert np.isfinite(here.real)


def test_the_verdict_is_the_same(cluster: distributed.LocalCluster) -> None:
    candles = planted_momentum(1_500, seed=2, true_sharpe=3.0)
    surface = sweep(CROSS, candles, GRID, progress=False)
    gate = Gate(draws=19, alpha=0.2, folds=2, choice="ensemble")
    documents = [
        validate(surface, candles, gate=gate, progress=False, **how).to_json()  # type: ignore[arg-type]
        for how in ({}, {"cluster": cluster})
    ]
    for document in documents:
        for test in document["evidence"]["tests"]:
            del test["seconds"]
    assert documents[0] == documents[1]
