"""What a cluster needs: the strategy's code and the same engine. Errors come back, the rest is refused."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import distributed
import pytest
from cluster_helpers import (
    CROSSES,
    GRID,
    HOURS,
    SWEEP,
    Kept,
    same,
    swept,
    wait_for,
)
from typer.testing import CliRunner

import quantlab
from quantlab import cli, strategies
from quantlab.backtest import cluster as cluster_module
from quantlab.backtest import remote
from quantlab.backtest.cluster import Workers
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job
from quantlab.errors import ClusterError, InputError, UnknownNameError
from quantlab.lab import Lab
from quantlab.settings import Settings
from quantlab.signals import find_strategy

pytest_plugins = ("cluster_fixtures",)
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("failing", ZeroDivisionError, "a window of seven"),
        ("mistyped", UnknownNameError, "did you mean 'window'"),
    ],
)
def test_an_error_comes_back_with_the_part_that_raised_it(
    client: distributed.Client, name: str, error: type[Exception], words: str
) -> None:
    kept = Kept()
    with pytest.raises(error, match=words) as caught:
        swept(name, cluster=client, checkpoint=kept)
    (note,) = caught.value.__notes__
    assert f"while sweeping a part of {name}" in note
    if name == "failing":
        assert '"window": [7]' in note


NOTEBOOK = """
import sys
import numpy as np
import quantlab as ql
from quantlab.backtest.sweep import sweep
from quantlab.indicators import sma
from quantlab.market.synthetic import garch
SPACE = ql.Space(ql.Int("window", 2, 60, 10), ql.Int("distance", 0, 9, 1))
def above(average, candles):
    return candles.close > average
@ql.strategy("mine", SPACE, lambda p: p["window"], {"window": [2, 5, 9, 20], "distance": [0, 1, 2]})
def signals(candles, p):
    entries = above(sma(candles.close, p.window) + p.distance, candles)
    return ql.Signals(long=entries, max_holding=p.distance + 1)
there, here = (sweep("mine", garch(900, seed=4), progress=False, cluster=c) for c in (sys.argv[1], None))
same = all(there[name].tobytes() == here[name].tobytes() for name in here.metrics)
print(signals.__module__, same, int(here["trades"].sum()) > 99)
"""


RUN = """
import sys
from IPython.core.interactiveshell import InteractiveShell
done = InteractiveShell.instance().run_cell(sys.stdin.read(), store_history=True)
done.raise_error()
"""


def test_a_strategy_of_a_notebook_travels_as_its_code(client: distributed.Client) -> None:
    command = [sys.executable, "-c", RUN, client.scheduler.address]
    done = subprocess.run(command, input=NOTEBOOK, capture_output=True, text=True, timeout=120, check=False)
    assert not remote._importable("__main__")
    assert done.stdout.split()[-3:] == ["__main__", "True", "True"], done.stderr


MODULE = """
import quantlab as ql
SPACE = ql.Space(ql.Int("window", 2, 60, 10))
@ql.strategy("edited", SPACE, lambda p: 1, {"window": [2, 3, 5, 7, 9, 14, 20, 30]})
def signals(candles, p):
    return ql.Signals(long=candles.close > 0 * p.window)
"""


def test_a_strategy_edited_since_the_workers_imported_it_is_refused(client: distributed.Client) -> None:
    file = Path(os.environ["QUANTLAB_TEST_MODULES"]) / "strategy_on_workers.py"
    file.write_text(MODULE)
    importlib.invalidate_caches()
    module = importlib.import_module("strategy_on_workers")
    before = find_strategy("edited").code_hash
    assert same(swept("edited", cluster=client), swept("edited"))
    file.write_text(MODULE.replace("0 *", "1 *"))
    importlib.reload(module)
    after = find_strategy("edited").code_hash
    words = (
        f"the worker tcp://.* runs other code .*strategy_on_workers: {after} here, {before} there.*restart"
    )
    with pytest.raises(ClusterError, match=words):
        swept("edited", cluster=client)


def test_a_module_that_workers_do_not_have_is_named(client: distributed.Client, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text(MODULE.replace("edited", "only_here"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        importlib.import_module("only_here")
        with pytest.raises(
            ClusterError, match=r"cannot load the strategy only_here .*No module .*upload_file"
        ):
            swept("only_here", cluster=client)


def test_workers_with_another_engine_are_refused(client: distributed.Client, tmp_path: Path) -> None:
    package = tmp_path / "quantlab"
    shutil.copytree(Path(quantlab.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "backtest" / "rows.py").open("a") as file:
        file.write("# another one\n")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", client.scheduler.address]
    command += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", "odd"]
    odd = subprocess.Popen(
        [*command, "--local-directory", str(tmp_path / "dask")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        known = set(client.nthreads())
        wait_for(lambda: len(client.nthreads()) > len(known))
        (address,) = set(client.nthreads()) - known
        words = (
            rf"the worker {address} runs other code .*engine: {remote.code()['engine']} here, \w{{64}} there"
        )
        with pytest.raises(ClusterError, match=words):
            swept("sma_cross", CROSSES, cluster=client)
        parcel = client.scatter(remote.Parcel.of(Job(SWEEP, HOURS, Execution())), hash=False)
        late = client.submit(remote.compute, parcel, GRID, workers=[address])
        with pytest.raises(ClusterError, match=words):
            late.result()
    finally:
        odd.kill()
        odd.wait()


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


def test_a_sweep_whose_workers_are_gone_for_good_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_WORKERS_S", 3)
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as one:
        kept = Kept()

        def leave() -> None:
            wait_for(lambda: len(kept.saved) >= 1)
            one.scale(0)

        leaver = threading.Thread(target=leave)
        leaver.start()
        with pytest.raises(
            ClusterError, match=r"no workers for 3 s.* Parts that were finished are in the checkpoint"
        ):
            swept("slow", cluster=one, checkpoint=kept)
        leaver.join()
        assert 1 <= len(kept.saved) < 8
