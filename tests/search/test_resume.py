"""A search that stops at any moment goes on as if it had not, or is refused with the reason."""

from __future__ import annotations

import linecache
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quantlab.errors import InputError
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.search.choose import SAMPLERS
from quantlab.search.run import search
from quantlab.settings import Settings
from quantlab.signals import REGISTRY, Signals, strategy
from quantlab.space import Float, Int, Space

TRIALS = {"evolution": 200, "halving": 126}
BATCH = {"gp": 10, "rf": 10, "et": 10, "evolution": 40}


@pytest.fixture(scope="module")
def candles() -> Candles:
    return sample_candles()[5000:6500]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("lab of searches"))) as opened:
        yield opened


def stop_after(batches: int):
    seen = []

    def interrupt(frame) -> None:
        seen.append(frame)
        if len(seen) == batches:
            signal.raise_signal(signal.SIGINT)

    return interrupt


def same(a, b) -> None:
    assert (a.n_trials, a.ended, a.key) == (b.n_trials, b.ended, b.key)
    np.testing.assert_array_equal(a.values, b.values)
    for name, column in a.trials.items():
        np.testing.assert_array_equal(column, b.trials[name])


@pytest.mark.parametrize("sampler", ["grid", *SAMPLERS])
def test_an_interrupted_study_goes_on_to_the_same_end(candles, sampler):
    how = {
        "sampler": sampler,
        "trials": TRIALS.get(sampler, 60),
        "batch": BATCH.get(sampler, 15),
        "seed": 4,
        "min_trades": 3,
        "progress": False,
    }
    whole = search("sma_cross", candles, **how)
    part = search("sma_cross", candles, on_batch=stop_after(2), **how)
    assert part.interrupted
    assert 0 < part.n_trials < whole.n_trials
    same(part.resume(candles), whole)


@pytest.fixture
def evaluated(monkeypatch) -> list[int]:
    """Cells of every sweep call."""
    sizes: list[int] = []

    def counting(found, market, cells, *args, **kwargs):
        sizes.append(cells.size)
        return real(found, market, cells, *args, **kwargs)

    from quantlab.search import loop

    real = loop.sweep
    monkeypatch.setattr(loop, "sweep", counting)
    return sizes


def test_nothing_is_evaluated_twice(candles, evaluated):
    part = search("sma_cross", candles, trials=40, batch=10, progress=False, on_batch=stop_after(3))
    evaluated.clear()
    assert part.resume(candles).n_trials == 40
    assert evaluated == [10]
    assert part.resume(candles, trials=60).n_trials == 60


def test_other_candles_are_refused(candles):
    part = search("sma_cross", candles, trials=40, batch=10, progress=False, on_batch=stop_after(1))
    with pytest.raises(InputError, match=r"begun with other candles .*1,500 bars.*1,400 bars"):
        part.resume(candles[:1400])


def test_a_changed_strategy_is_refused(candles):
    space = Space(Int("wait", 2, 40, 5), Float("rise", 0.001, 0.02, 0.005, "fraction"), owner="rising")

    def define(more: float) -> None:
        entry = f"c.close > c.open * (1 + {more} * p.rise)"
        code = f"def signals(c, p):\n    return Signals(long={entry}, max_holding=p.wait)\n"
        made: dict = {"Signals": Signals}
        path = Path(f"<rising {more}>")
        exec(compile(code, str(path), "exec"), made)
        linecache.cache[str(path)] = (len(code), None, code.splitlines(True), str(path))
        strategy("rising", space, lambda p: 2)(made["signals"])

    try:
        define(1.0)
        part = search("rising", candles, trials=40, batch=10, progress=False, on_batch=stop_after(1))
        define(2.0)
        with pytest.raises(InputError, match="begun with other code of the strategy"):
            part.resume(candles)
    finally:
        REGISTRY.pop("rising", None)


class Wayward:
    """A sampler that does not follow from its seed."""

    name, batch, made = "wayward", 5, 0

    def __init__(self, space, seed):
        self.inner = SAMPLERS["random"](space, seed + Wayward.made)
        Wayward.made += 1

    def ask(self, n):
        return self.inner.ask(n)

    def tell(self, cells, values):
        pass


def test_a_sampler_that_proposes_other_cells_is_refused(candles):
    part = search("sma_cross", candles, sampler=Wayward, trials=20, progress=False, on_batch=stop_after(1))
    with pytest.raises(InputError, match=r"proposes other cells than .* \(batch 1\)"):
        part.resume(candles)


def test_a_lab_takes_up_what_was_interrupted_and_counts_each_trial_once(lab, candles, evaluated):
    how = {"sampler": "tpe", "trials": 50, "batch": 10, "seed": 1, "min_trades": 3, "progress": False}
    before = lab.store.trials_ever(candles.family)
    part = lab.search("sma_cross", candles, on_batch=stop_after(2), **how)
    assert (part.n_trials, part.interrupted) == (20, True)
    assert lab.store.trials_ever(candles.family) == before + 20
    evaluated.clear()
    frames: list = []
    done = lab.search("sma_cross", candles, on_batch=frames.append, **how)
    assert (evaluated, [len(frame) for frame in frames]) == ([10, 10, 10], [10] * 5)
    same(done, search("sma_cross", candles, **how))
    assert "without a lab" not in repr(part) + repr(done)
    assert lab.store.trials_ever(candles.family) == before + 50
    same(lab.search("sma_cross", candles, **how), done)
    assert lab.store.trials_ever(candles.family) == before + 50
    assert lab.store.has_surface(done.surface.key)


def test_a_named_search_is_refused_where_something_changed_and_can_begin_anew(lab, candles, evaluated):
    how = {"sampler": "random", "trials": 20, "batch": 10, "progress": False, "name": "first idea"}
    lab.search("sma_cross", candles, **how)
    assert lab.search("sma_cross", candles, **how).n_trials == sum(evaluated) == 20
    assert lab.search("sma_cross", candles, **how | {"trials": 30}).n_trials == sum(evaluated) == 30
    with pytest.raises(InputError, match=r"other candles .* give it another name, or pass restart=True"):
        lab.search("sma_cross", candles[:1300], **how)
    with pytest.raises(InputError, match="another seed"):
        lab.search("sma_cross", candles, seed=9, **how)
    assert lab.search("sma_cross", candles[:1300], restart=True, **how).n_trials == 20


def test_several_markets_and_shares_of_history_are_kept_and_counted(lab, candles):
    how = {"sampler": "halving", "trials": 130, "seed": 2, "min_trades": 1, "progress": False}
    markets = [candles, candles[:1000]]
    before = lab.store.trials_ever(candles.family)
    part = lab.search("sma_cross", markets, on_batch=stop_after(2), **how)
    assert lab.store.trials_ever(candles.family) == before + 2 * part.n_trials
    done = lab.search("sma_cross", markets, **how)
    same(done, search("sma_cross", markets, **how))
    assert lab.store.trials_ever(candles.family) == before + 2 * done.n_trials


KILLED = """
import sys
from quantlab.lab import Lab
from quantlab.market.sample import sample_candles

def slowly(frame):
    import time
    print(len(frame), flush=True)
    time.sleep(0.6)

with Lab() as lab:
    lab.search("sma_cross", sample_candles()[5000:6500], sampler="evolution", trials=600, batch=50, seed=3,
               min_trades=3, progress=False, on_batch=slowly)
"""


@pytest.mark.slow
def test_a_killed_search_keeps_what_was_finished(candles, tmp_path, evaluated):
    environment = os.environ | {"QUANTLAB_HOME": str(tmp_path / "home")}
    environment.pop("QUANTLAB_DSN", None)
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        told = sum(int(killed.stdout.readline()) for _ in range(6))
        killed.kill()
    how = {"sampler": "evolution", "trials": 600, "batch": 50, "seed": 3, "min_trades": 3, "progress": False}
    with Lab(Settings(home=tmp_path / "home")) as lab:
        assert 0 < told <= lab.store.trials_ever(candles.family) < 600
        done = lab.search("sma_cross", candles, **how)
        assert lab.store.trials_ever(candles.family) == 600
    assert 0 < sum(evaluated) <= 600 - told
    assert done.surface.counted
    same(done, search("sma_cross", candles, **how))


def test_ctrl_c_ends_the_search_in_the_batch_under_way(candles):
    code = (
        "import sys, time\n"
        "from quantlab.market.sample import sample_candles\n"
        "from quantlab.search.run import search\n"
        "study = search('sma_cross', sample_candles()[5000:6500], sampler=sys.argv[1], trials=10**6,\n"
        "               progress=False, min_trades=3,\n"
        "               on_batch=lambda frame: print(time.monotonic(), flush=True))\n"
        "print('ended', study.ended, flush=True)\n"
    )
    for sampler in ("tpe", "gp"):
        running = subprocess.Popen([sys.executable, "-c", code, sampler], stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        for _ in range(4):
            running.stdout.readline()
        time.sleep(0.1)
        sent = time.monotonic()
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=60)
        *batches, last = rest.splitlines()
        assert last == "ended interrupted"
        assert sum(float(at) > sent for at in batches) <= 1  # seconds are measured by benchmarks/search.py


def test_a_search_leaves_a_row_of_what_it_came_to(lab):
    candles = sample_candles()[5000:6300]
    markets = [candles, candles[:1_000]]
    how = {"trials": 40, "batch": 10, "seed": 3, "min_trades": 2, "progress": False, "sampler": "random"}
    query = (
        "select parameters, performance_metrics, cells from strategy_training_results where surface_key = %s"
    )

    def rows(surface) -> list:
        with lab.store._connections.transaction() as connection:
            return connection.execute(query, [surface.key]).fetchall()

    aim = {"turnover": "lower", "sharpe": "higher"}
    part = lab.search("sma_cross", markets, objective=aim, on_batch=stop_after(2), **how)
    assert part.interrupted
    assert [rows(surface) for surface in part.surfaces] == [[], []]
    study = lab.search("sma_cross", markets, objective=aim, **how)
    lab.search("sma_cross", markets, objective=aim, **how)
    for surface in study.surfaces:
        ((params, metrics, cells),) = rows(surface)
        chosen = surface.plateau("sharpe", min_trades=2).cell
        assert (params, cells) == (chosen.params, 40)
        assert metrics["sharpe"] == chosen.metrics["sharpe"]
