"""Sweeps on a Dask cluster of two worker processes: the same bits, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cluster_strategies as ours
import dask
import distributed
import numpy as np
import pytest
from typer.testing import CliRunner

import quantlab
from quantlab import cli, strategies
from quantlab.backtest import cluster as cluster_module
from quantlab.backtest import remote
from quantlab.backtest import sweep as sweep_module
from quantlab.backtest.cluster import Workers
from quantlab.backtest.execution import ASSUMPTIONS, Execution, Risk
from quantlab.backtest.local import Job
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import DEFAULT_BUDGET, plan
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import part_number, sweep
from quantlab.errors import ClusterError, InputError, UnknownNameError
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.resample import resample
from quantlab.market.synthetic import garch
from quantlab.settings import Settings
from quantlab.signals import find_strategy

pytestmark = pytest.mark.slow

MARKETS = [garch(1_500, seed=1), garch(2_000, seed=2)]
HOURS = MARKETS[0]
SWEEP = strategies.get("liquidity_sweep")
GRID = SWEEP.space.grid(
    pierce_depth=[0.0005, 0.002],
    volume_spike=[1.5, 2.0, 3.0],
    level_lookback=[20, 100, 200],
    min_touches=[1, 2],
    stop_atr=[0.5, 1.5],
    reward_risk=[1.5, 3.0],
)
CROSSES = strategies.get("sma_cross").space.grid(fast=[5, 20, 60, 150], slow=[10, 40, 100, 300])
POINTS = GRID.space.points([GRID.cell(place) for place in list(np.ndindex(GRID.shape))[::5]])
WINDOWS = [2, 3, 5, 7, 9, 14, 20, 30]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[distributed.LocalCluster]:
    """Two workers that inherit the folder of calls, the tests' modules and a folder for more of them."""
    swept("sma_cross", CROSSES)  # so that kernels are compiled once, not by every process
    patch = pytest.MonkeyPatch()
    patch.setenv(ours.CALLS, str(tmp_path_factory.mktemp("calls")))
    patch.setenv(ours.CLIENT, str(os.getpid()))
    patch.setenv("QUANTLAB_TEST_MODULES", str(tmp_path_factory.mktemp("modules")))
    patch.syspath_prepend(os.environ["QUANTLAB_TEST_MODULES"])
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        found = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=logging.CRITICAL,
        )
    with found:
        yield found
    patch.undo()


@contextlib.contextmanager
def operated(workers: distributed.LocalCluster) -> Iterator[None]:
    """Start new workers whenever there are none: one killed while it is started is not started again."""
    over = threading.Event()

    def watch() -> None:
        missing = 0
        while not over.wait(0.5):
            missing = 0 if workers.scheduler.workers else missing + 1
            if missing % 8 == 7:
                workers.scale(0)
                workers.scale(2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@pytest.fixture
def client(workers: distributed.LocalCluster) -> Iterator[distributed.Client]:
    ours.forget_calls()
    with distributed.Client(workers, set_as_default=False) as client:
        try:
            client.wait_for_workers(2, timeout=10)
        except TimeoutError:
            workers.scale(0)
            workers.scale(2)
            client.wait_for_workers(2, timeout=60)
        yield client


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.parts: dict[int, np.ndarray] = {}
        self.saved: list[int] = []

    def load(self) -> dict[int, np.ndarray]:
        return self.parts

    def save(self, part: int, values: np.ndarray) -> None:
        self.parts[part] = values.copy()
        self.saved.append(part)


def same(a: Surface, b: Surface) -> bool:
    return a.key == b.key and all(a[name].tobytes() == b[name].tobytes() for name in METRICS)


def swept(strategy: Any, cells: Any = None, execution: Execution | None = None, **how: Any) -> Surface:
    return sweep(strategy, HOURS, cells, execution, progress=False, **how)


def pids(client: distributed.Client) -> list[int]:
    return list(client.run(os.getpid).values())


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


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


def parts(candles: Candles, least: int) -> Iterator[Any]:
    return plan(SWEEP, candles, GRID, DEFAULT_BUDGET, least=least)


def test_no_more_parts_are_in_flight_than_two_per_thread(client: distributed.Client) -> None:
    taken = 0

    def counting() -> Iterator[Any]:
        nonlocal taken
        for part in parts(HOURS, 64):
            taken += 1
            yield part

    found = 0
    for _ in Workers(client).run_markets([(Job(SWEEP, HOURS, Execution()), counting())], lambda _: None):
        assert taken - found <= 2 * 2
        found += 1
    assert found == taken > 50


@pytest.mark.parametrize("victims", [1, 2], ids=["one worker", "all workers"])
def test_a_killed_worker_costs_no_more_than_it_held(client: distributed.Client, victims: int) -> None:
    kept, killed = Kept(), pids(client)[:victims]

    def kill() -> None:
        wait_for(lambda: all(sum(c.pid == pid for c in ours.calls()) >= 2 for pid in killed))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with operated(client.cluster):
        there = swept("slow", cluster=client, checkpoint=kept)
    killer.join()
    times = Counter(call.cells for call in ours.calls())
    twice = {cells for cells, n in times.items() if n > 1}
    assert len(times) == len(kept.saved) == len(kept.parts) == 8
    assert max(times.values()) == 2
    unfinished = {call.cells for call in ours.calls() if call.pid in killed and not call.ended}
    assert 1 <= len(unfinished) <= victims
    # beside the part that a worker was at, its last one may not have been fetched yet
    assert unfinished <= twice <= {call.cells for call in ours.calls() if call.pid in killed}
    assert len(twice) <= 2 * victims
    assert same(there, swept("slow"))


def test_a_part_that_kills_workers_is_named_and_the_others_are_kept(client: distributed.Client) -> None:
    kept = Kept()
    with operated(client.cluster), pytest.raises(ClusterError) as caught:
        swept("killing", cluster=client, checkpoint=kept)
    message = str(caught.value)
    assert "workers died again and again under one part of killing, even while it was alone: " in message
    assert '"window": [7]' in message
    found = find_strategy("killing")
    others = [
        part_number(p)
        for p, part in plan(found, HOURS, found.grid(), DEFAULT_BUDGET, least=8)
        if 7 not in part.axes["window"]
    ]
    assert len(others) == 7
    assert sorted(kept.parts) == sorted(others)
    assert [call.cells for call in ours.calls()][-1] == "7-10"


@pytest.mark.parametrize("deaths", [1, 4])
def test_no_part_is_blamed_for_its_neighbour(monkeypatch: pytest.MonkeyPatch, deaths: int) -> None:
    """While the culprit is in flight, workers take whatever is beside it with them."""
    (_, culprit), *_ = cut = list(parts(HOURS, 16))

    class Flight:
        def __init__(self, _: Any) -> None:
            self.tasks: list[Any] = []
            self.doomed: list[Any] = []

        def __enter__(self) -> Flight:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __len__(self) -> int:
            return len(self.tasks)

        def send(self, task: Any) -> None:
            self.tasks.append(task)

        def land(self) -> tuple[Any, np.ndarray | None, int]:
            if any(task.cells is culprit for task in self.tasks):
                self.doomed += self.tasks
            task = self.tasks.pop(0)
            if any(task is other for other in self.doomed):
                return task, None, deaths
            return task, np.zeros((len(METRICS), task.cells.size)), 0

    monkeypatch.setattr(cluster_module, "_Flight", Flight)
    monkeypatch.setattr(Workers, "threads", lambda _: 2)
    workers = Workers.__new__(Workers)
    workers._client = None
    found: list[Any] = []
    finished = workers.run_markets([(Job(SWEEP, HOURS, Execution()), cut)], lambda _: None)
    with pytest.raises(ClusterError, match="one part of liquidity_sweep, even while it was alone") as caught:
        found.extend(place for _, place, _, _ in finished)
    assert json.dumps(culprit.to_json())[:400] in str(caught.value)
    assert sorted(map(part_number, found)) == sorted(part_number(place) for place, _ in cut[1:])


def test_an_interrupt_waits_for_no_part_and_keeps_what_is_done(client: distributed.Client) -> None:
    kept, sent = Kept(), []

    def interrupt() -> None:
        wait_for(lambda: len(kept.saved) >= 2)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        swept("slow", cluster=client, checkpoint=kept)
    took, begun = time.monotonic() - sent[0], ours.calls()
    interrupter.join()
    print("seconds from Ctrl-C to the end of the sweep:", took)
    assert took < ours.SLOW_S
    assert not all(call.ended for call in begun)
    assert 2 <= len(kept.saved) < 8
    wait_for(lambda: all(call.ended for call in ours.calls()))
    time.sleep(2 * ours.SLOW_S)
    assert len(ours.calls()) == len(begun)
    before = set(kept.parts)
    kept.saved.clear()
    resumed = swept("slow", cluster=client, checkpoint=kept)
    assert sorted(kept.saved) == sorted(set(kept.parts) - before)
    assert len(kept.parts) == 8
    assert same(resumed, swept("slow"))


def test_a_worker_leaves_a_part_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = remote.Parcel.of(Job(SWEEP, HOURS, Execution()))
    task = SimpleNamespace(state="executing")
    state = SimpleNamespace(tasks={"part": task}, nthreads=1)
    worker = SimpleNamespace(address="tcp://here", state=state, get_current_task=lambda: "part")
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    whole = swept(SWEEP, GRID)
    assert remote.compute(parcel, GRID).tobytes() == np.stack([whole[n] for n in METRICS]).tobytes()
    task.state = "cancelled"
    with pytest.raises(distributed.Reschedule):
        remote.compute(parcel, GRID)


def test_progress_counts_every_cell_once(client: distributed.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    class Bar:
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, cells: int) -> None:
            counted.append(cells)

    monkeypatch.setattr(sweep_module, "_Bar", lambda *_: Bar())
    swept("sma_cross", CROSSES, cluster=client)
    assert sum(counted) == CROSSES.size
    assert len(counted) >= 8


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
