"""Surfaces larger than memory: the same figures from a file that claims its room and leaves nothing."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest import paged
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market.sample import sample_candles

BTC = sample_candles()[-1_500:]
GRID = strategies.get("sma_cross").grid(fast=[5, 10, 20, 40], slow=[30, 60, 90, 120])
MANY = """
import threading, time
import numpy as np, psutil
import quantlab as ql
from quantlab.market.synthetic import garch
candles, tolerance = garch(900), list(np.linspace(0.0005, 0.003, 6))
ql.sweep("liquidity_sweep", candles, ql.reference_grid("liquidity_sweep", volume_spike=2.0), progress=False)
process, done, held = psutil.Process(), threading.Event(), []
base = process.memory_info().rss
def watch():
    while not done.wait(0.002):
        held.append(process.memory_info().rss - base)
thread = threading.Thread(target=watch)
thread.start()
grid = ql.reference_grid("liquidity_sweep", min_touches=[1, 2, 3], level_tolerance=tolerance)
surface = ql.sweep("liquidity_sweep", candles, grid, progress=False)
done.set()
thread.join()
print(surface.size, surface.size * 168, max(held), int(np.nansum(surface["trades"])) > 0)
"""


@pytest.fixture
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(paged, "IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def mapped(folder: Path) -> int:
    maps = Path("/proc/self/maps").read_text()
    return sum(str(folder) in line for line in maps.splitlines())


def test_a_surface_in_a_file_has_the_same_bits(nothing_in_memory: Path) -> None:
    how = {"progress": False, "blocks": 4, "assumptions": ["pessimistic"], "budget": 2**16}
    found = sweep("sma_cross", BTC, GRID, **how)
    assert mapped(nothing_in_memory) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paged, "IN_MEMORY", 2**40)
        kept = sweep("sma_cross", BTC, GRID, **how)
    for one, other in (
        (found, kept),
        (found.under("pessimistic"), kept.under("pessimistic")),
    ):
        assert all(one[name].tobytes() == other[name].tobytes() for name in METRICS)
    assert found.blocks.sum.tobytes() == kept.blocks.sum.tobytes()
    assert found.plateau(min_trades=1).cell.params == kept.plateau(min_trades=1).cell.params


def test_the_file_has_no_name_and_goes_with_the_last_view(nothing_in_memory: Path) -> None:
    surface = sweep("sma_cross", BTC, GRID, budget=2**16, progress=False)
    metric = surface["sharpe"]
    assert list(nothing_in_memory.iterdir()) == []
    del surface
    gc.collect()
    assert mapped(nothing_in_memory) == 1
    assert np.isfinite(metric).any()
    del metric
    gc.collect()
    assert mapped(nothing_in_memory) == 0


def test_what_was_released_is_still_there(nothing_in_memory: Path) -> None:
    room = paged.Room((3, 100_000))
    room.array[:] = np.arange(300_000).reshape(3, -1)
    room.release()
    assert (room.array.ravel() == np.arange(300_000)).all()


def test_a_disk_without_room_is_named_before_anything_is_computed(
    nothing_in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=f"which {nothing_in_memory} has no room for .*No space.*set TMPDIR"):
        sweep("sma_cross", BTC, GRID, progress=False)


@pytest.mark.slow
def test_millions_of_cells_stay_below_half_a_gibibyte() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells, size, peak, traded = done.stdout.split()
    assert int(cells) == 3_628_800
    assert traded == "True"
    assert int(size) > 550 * 2**20  # in memory it would not fit below
    assert int(peak) < 512 * 2**20
