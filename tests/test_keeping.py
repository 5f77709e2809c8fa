"""What was swept while somebody looked is stored afterwards, and found before it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import quantlab as ql
from quantlab.backtest.surface import Surface
from quantlab.backtest.task import make_tasks
from quantlab.errors import StoreUnavailableError
from quantlab.lab import Lab
from quantlab.lab.keeping import Keeper
from quantlab.lab.sweeps import read
from quantlab.settings import Settings


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(Settings(home=tmp_path_factory.mktemp("kept home"))) as opened:
        yield opened


def swept(fast: int) -> Surface:
    return ql.sweep("sma_cross", ql.sample_candles()[:1_000], {"fast": [fast], "slow": [60]}, progress=False)


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return False


def test_nothing_is_stored_while_a_sweep_is_waited_for(lab: Lab) -> None:
    keeper, surface = Keeper(lab.store, quiet_s=0.3), swept(5)
    with keeper.busy():
        keeper.keep([surface])
        assert not until(lambda: lab.store.has_surface(surface.key), 0.6)
        assert keeper.find(surface.key) is surface
    left = time.monotonic()
    assert until(lambda: lab.store.has_surface(surface.key))
    assert time.monotonic() - left >= 0.25
    assert until(lambda: keeper.find(surface.key) is None)


def test_no_more_waits_in_memory_than_may(lab: Lab) -> None:
    first, second = swept(6), swept(7)
    size = sum(values.nbytes for values in second.metrics.values())
    keeper = Keeper(lab.store, quiet_s=60.0, most_bytes=size)
    with keeper.busy():
        keeper.keep([first, second])
        assert until(lambda: lab.store.has_surface(first.key))
        assert not until(lambda: lab.store.has_surface(second.key), 0.3)
    keeper.flush()
    assert lab.store.has_surface(second.key)
    assert keeper.find(second.key) is None


def test_what_failed_to_be_stored_is_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, first, second, put = Keeper(lab.store, quiet_s=0.0), swept(8), swept(9), lab.store.put_surface
    tried = threading.Event()

    def gone(*_: object) -> None:
        tried.set()
        raise StoreUnavailableError("no server")

    monkeypatch.setattr(lab.store, "put_surface", gone)
    keeper.keep([first])
    assert tried.wait(20)
    assert keeper.find(first.key) is first
    monkeypatch.setattr(lab.store, "put_surface", put)
    assert until(lambda: keeper._thread is None)
    keeper.keep([second])
    assert until(lambda: lab.store.has_surface(second.key))
    assert lab.store.has_surface(first.key)


def test_a_closed_lab_has_stored_everything_and_so_has_a_python_that_ended(tmp_path: Path) -> None:
    candles, surface = ql.sample_candles()[:1_000], swept(10)
    with Lab(Settings(home=tmp_path)) as lab, lab._keeper.busy():
        lab._keeper.keep([surface])
    script = """
import quantlab as ql
from quantlab.lab import Lab
lab = Lab()
surface = ql.sweep("sma_cross", ql.sample_candles()[:1_000], {"fast": [11], "slow": [60]}, progress=False)
lab._keeper.keep([surface])
"""
    told = {k: v for k, v in os.environ.items() if not k.startswith("QUANTLAB")}
    told["QUANTLAB_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", script], env=told, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Lab(Settings(home=tmp_path)) as again:
        for fast in (10, 11):
            (task,) = make_tasks("sma_cross", candles, {"fast": [fast], "slow": [60]})
            found = read(again.store, task)
            assert found is not None
            assert found.fingerprint() == swept(fast).fingerprint()
