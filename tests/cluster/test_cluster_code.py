"""The code of strategies on a Dask cluster: of a notebook, edited since, missing, another engine."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import distributed
import pytest
from cluster_helpers import CROSSES, GRID, HOURS, SWEEP, same, swept, wait_for

import quantlab
from quantlab.backtest import remote
from quantlab.backtest.execution import Execution
from quantlab.backtest.local import Job
from quantlab.errors import ClusterError
from quantlab.signals import find_strategy

pytestmark = pytest.mark.slow


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
