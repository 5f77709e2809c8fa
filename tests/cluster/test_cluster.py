"""Sweeps on a Dask cluster of two worker processes: the same bits, and what cannot be a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
from cluster_helpers import (
    CROSSES,
    GRID,
    HOURS,
    MARKETS,
    POINTS,
    SWEEP,
    Kept,
    parts,
    same,
    swept,
    wait_for,
)
from typer.testing import CliRunner

from quantlab import cli, strategies
from quantlab.backtest import cluster as cluster_module
from quantlab.backtest.cluster import Workers
from quantlab.backtest.execution import ASSUMPTIONS, Execution, Risk
from quantlab.backtest.local import Job
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import sweep
from quantlab.errors import ClusterError, InputError
from quantlab.lab import Lab
from quantlab.market.resample import resample
from quantlab.settings import Settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("strategy", "cells", "execution"),
    [
        ("liquidity_sweep", GRID, None),
        ("liquidity_sweep", POINTS, Execution(sizing=Risk(0.02, 3.0), delay_bars=1)),
        ("sma_cross", CROSSES, Execution(direction="long")),
    ],
    ids=["grid", "points", "forbidden cells"],
)
def test_a_cluster_changes_no_bit(
    client: distributed.Client, strategy: str, cells: Any, execution: Execution | None
) -> None:
    kept = Kept()
    there = swept(strategy, cells, execution, cluster=client, checkpoint=kept)
    assert same(there, swept(strategy, cells, execution))
    assert len(kept.saved) >= 2 * cluster_module.PARTS_PER_THREAD
    again = swept(strategy, cells, execution, cluster=client, checkpoint=kept)
    assert same(again, there)
    assert len(kept.saved) == len(kept.parts)


def test_a_cluster_is_also_an_address_or_a_dask_cluster(client: distributed.Client) -> None:
    here = swept("sma_cross", CROSSES)
    known = clients(client)
    assert same(swept("sma_cross", CROSSES, cluster=client.scheduler.address), here)
    assert same(swept("sma_cross", CROSSES, cluster=client.cluster), here)
    assert client.status == "running"
    wait_for(lambda: clients(client) == known)


def clients(client: distributed.Client) -> int:
    return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.clients)))


def test_several_markets_share_the_workers(client: distributed.Client) -> None:
    kept = [Kept(), Kept()]
    there = sweep(SWEEP, MARKETS, GRID, progress=False, cluster=client, checkpoint=kept)
    for surface, candles in zip(there, MARKETS, strict=True):
        assert same(surface, sweep(SWEEP, candles, GRID, progress=False))
    jobs = [(Job(SWEEP, candles, Execution()), list(parts(candles, 4))) for candles in MARKETS]
    counted: list[int] = []
    order = [market for market, *_ in Workers(client).run_markets(jobs, counted.append)]
    assert Counter(order) == {i: len(cut) for i, (_, cut) in enumerate(jobs)}
    assert [len(one.saved) for one in kept] == [len(cut) for _, cut in jobs]
    assert sum(counted) == 2 * GRID.size


def test_whatever_else_is_asked_for_comes_back_too(client: distributed.Client) -> None:
    markets = [resample(MARKETS[0], "4h"), MARKETS[1]]
    asked: dict[str, Any] = {
        "assumptions": ASSUMPTIONS,
        "regimes": [np.arange(len(market)) // 50 % 3 - 1 for market in markets],
        "blocks": 5,
        "intrabar": [MARKETS[0], None],
    }
    here, there = (
        sweep("sma_cross", markets, CROSSES, progress=False, cluster=cluster, **asked)
        for cluster in (None, client)
    )
    for a, b in zip(here, there, strict=True):
        assert same(a, b)
        assert a.extras.rows.shape[0] == 2 * len(METRICS) + 2 * 6 + 5 * 3
        assert a.extras.rows.tobytes() == b.extras.rows.tobytes()


def test_the_lab_and_the_command_line_sweep_on_a_cluster(
    client: distributed.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTLAB_HOME", str(tmp_path))
    monkeypatch.delenv("QUANTLAB_DSN", raising=False)
    market = [HOURS.exchange, HOURS.symbol, HOURS.timeframe]
    asked = ["sweep", "sma_cross", *market, "--set", "fast=5,20", "--min-trades", "1", "--json", "--cluster"]
    with Lab(Settings(tmp_path)) as lab:
        lab.put_candles(HOURS)
        there = lab.sweep("sma_cross", HOURS, CROSSES, progress=False, cluster=client)
        assert same(there, swept("sma_cross", CROSSES))
        with monkeypatch.context() as patch:
            patch.setattr(cluster_module, "_CONNECT_S", 0.3)
            refused = CliRunner().invoke(cli.app, [*asked, "tcp://127.0.0.1:9"])
        done = CliRunner().invoke(cli.app, [*asked, client.scheduler.address])
    assert (refused.exit_code, done.exit_code) == (2, 0)
    assert "no Dask scheduler answers" in refused.stderr
    here = swept("sma_cross", strategies.get("sma_cross").space.grid(fast=[5, 20]))
    assert json.loads(done.stdout)["key"] == here.key
    assert json.loads(done.stdout)["best"]["metrics"]["sharpe"] == here.best(min_trades=1).metrics["sharpe"]


def test_what_cannot_be_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"`cluster` must be a distributed.Client.*got 8786"):
        swept("sma_cross", CROSSES, cluster=8786)
    for address in ("localhost", "tcp://host:port", "http://host:8787/status", ""):
        with pytest.raises(
            InputError, match=rf"address of a scheduler, got '{address}' .*: write tcp://host:8786"
        ):
            swept("sma_cross", CROSSES, cluster=address)
    monkeypatch.setattr(cluster_module, "_CONNECT_S", 0.3)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9: "):
        swept("sma_cross", CROSSES, cluster="tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster_module, "_WORKERS_S", 0.1)
    empty = distributed.LocalCluster(n_workers=0, processes=True, dashboard_address="127.0.0.1:0")
    with (
        empty,
        pytest.raises(
            ClusterError, match=r"has had no workers for 0.1 s: start one with `dask worker tcp://"
        ),
    ):
        swept("sma_cross", CROSSES, cluster=empty)


@pytest.mark.parametrize(
    ("threads", "markets", "least"), [(1, 1, 4), (2, 1, 8), (3, 1, 16), (4, 7, 4), (2, 99, 1)]
)
def test_parts_per_market(monkeypatch: pytest.MonkeyPatch, threads: int, markets: int, least: int) -> None:
    monkeypatch.setattr(Workers, "threads", lambda _: threads)
    assert Workers.__new__(Workers).least(markets) == least


def test_without_dask_the_command_that_installs_it_is_named() -> None:
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "import quantlab as ql\n"
        "from quantlab.market.synthetic import garch\n"
        "ql.sweep('sma_cross', garch(500, seed=1), progress=False, cluster='tcp://127.0.0.1:8786')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert 'pip install "quantlab[cluster]"' in done.stderr.splitlines()[-1]
