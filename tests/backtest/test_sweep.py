"""The sweep as a whole: how it is cut, threaded, resumed or interrupted changes no bit of the surface."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import interrupted_sweep as script
import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest import local
from quantlab.backtest import sweep as sweep_module
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Costs, Execution, Risk
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.parts import plan
from quantlab.backtest.request import Request
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import part_number, surface_key, sweep
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.sample import sample_candles
from quantlab.signals import Signals, Strategy, find_strategy
from quantlab.space import Int, Space

BTC = sample_candles()[3_000:5_000]
SWEEP, CROSS = strategies.get("liquidity_sweep"), strategies.get("sma_cross")
GRID = SWEEP.space.grid(
    pierce_depth=[0.0005, 0.002],
    volume_spike=[1.5, 2.0, 3.0],
    level_lookback=[20, 100, 200],
    rejection_bars=[1, 3],
    min_touches=[1, 2],
    stop_atr=[0.5, 1.5],
    reward_risk=[1.5, 3.0],
)
CROSSES = CROSS.space.grid(fast=[5, 20, 60, 150], slow=[10, 40, 100, 300])


def swept(strategy: Any, cells: Any, execution: Execution | None = None, **how: Any) -> Surface:
    return sweep(strategy, BTC, cells, execution, progress=False, **how)


def same(a: Surface, b: Surface) -> bool:
    return all(a[name].tobytes() == b[name].tobytes() for name in METRICS)


@pytest.mark.parametrize(("budget", "threads"), [(1, 1), (2**20, 2), (5 * 2**20, 3), (2**40, 7)])
@pytest.mark.parametrize(("strategy", "cells"), [("liquidity_sweep", GRID), ("sma_cross", CROSSES)])
def test_budget_and_threads_change_no_bit(strategy: str, cells: Any, budget: int, threads: int) -> None:
    assert same(swept(strategy, cells, budget=budget, threads=threads), swept(strategy, cells))


@pytest.mark.parametrize(("strategy", "cells"), [("liquidity_sweep", GRID), ("sma_cross", CROSSES)])
@pytest.mark.parametrize("budget", [2**20, 2**40])
def test_a_list_of_points_equals_the_grid(strategy: str, cells: Any, budget: int) -> None:
    whole = swept(strategy, cells)
    places = list(np.ndindex(cells.shape))[::7]
    points = cells.space.points([cells.cell(place) for place in places])
    listed = swept(strategy, points, budget=budget)
    for name in METRICS:
        assert np.array_equal(listed[name], [whole[name][place] for place in places], equal_nan=True)


EXECUTIONS = [
    Execution(),
    Execution(costs=Costs(0.0, 0.0, 0.0), direction="long"),
    Execution(assumption="pessimistic", delay_bars=1, sizing=Risk(0.02, 3.0)),
]


@pytest.mark.parametrize("execution", EXECUTIONS, ids=["default", "long", "delayed"])
def test_a_cell_of_the_sweep_is_its_single_run(execution: Execution) -> None:
    surface = swept("liquidity_sweep", GRID, execution)
    assert np.nanmax(surface["trades"]) > 5
    for place in list(np.ndindex(GRID.shape))[::29]:
        run = run_cell("liquidity_sweep", BTC, GRID.cell(place), execution)
        cell = surface.cell(place)
        assert dict(run.metrics) == pytest.approx(dict(cell.metrics), rel=0, abs=0, nan_ok=True)
        assert run.params == cell.params


def test_cells_that_break_a_constraint_are_undefined_and_no_others() -> None:
    surface = swept("sma_cross", CROSSES)
    broken = np.array([[f >= s for s in CROSSES.axes["slow"]] for f in CROSSES.axes["fast"]])
    assert broken.any()
    for name in METRICS:
        assert np.isnan(surface[name][broken]).all()
    for name in ("net_profit", "trades", "max_drawdown", "exposure"):
        assert not np.isnan(surface[name][~broken]).any()


def test_a_grid_of_forbidden_cells_is_undefined_throughout() -> None:
    surface = swept("sma_cross", CROSS.space.grid(fast=[100, 150], slow=[20, 50]))
    assert all(np.isnan(surface[name]).all() for name in METRICS)
    with pytest.raises(InputError, match="none of the 4 cells of sma_cross satisfies `fast < slow`"):
        surface.best()


def test_the_plan_covers_every_cell_once() -> None:
    for cells in (GRID, SWEEP.space.points([GRID.cell(p) for p in list(np.ndindex(GRID.shape))[:50]])):
        for budget in (1, 2**20, 2**21, 2**40):
            seen = np.zeros(cells.shape, int)
            for place, part in plan(SWEEP, BTC, cells, budget):
                seen[place] += 1
                assert seen[place].shape == part.shape
                first = tuple(s.start for s in place)
                assert part.cell((0,) * len(part.shape)) == cells.cell(first)
            assert (seen == 1).all()


def test_parts_are_named_by_their_place() -> None:
    for budget in (2**16, 2**20, 2**21):
        places = [place for place, _ in plan(find_strategy("liquidity_sweep"), BTC, GRID, budget)]
        assert len({part_number(place) for place in places}) == len(places)
    resumed_with_another_budget = Kept()
    swept("liquidity_sweep", GRID, budget=2**20, checkpoint=resumed_with_another_budget)
    other = swept("liquidity_sweep", GRID, budget=2**21, checkpoint=resumed_with_another_budget)
    assert same(other, swept("liquidity_sweep", GRID))


def test_parts_do_not_depend_on_what_was_swept_before() -> None:
    before = "list(t.plan(t.SWEEP, t.BTC[:600], t.SWEEP.grid(volume_spike=[1.5], min_touches=[1]), 2**10))"
    then = "print([place for place, _ in t.plan(t.SWEEP, t.BTC, t.GRID, 2**20)])"
    found = [
        subprocess.run(
            [sys.executable, "-c", f"import test_sweep as t; {code}"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for code in (then, f"{before}; {then}")
    ]
    assert found[0] == found[1]
    assert found[0].count("slice") > 6


class Kept:
    """A checkpoint in memory that can stop the sweep after some parts."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.parts, self.saved = stop_after, {}, []

    def load(self) -> dict[int, np.ndarray]:
        return self.parts

    def save(self, part: int, values: np.ndarray) -> None:
        self.parts[part] = values.copy()
        self.saved.append(part)
        if len(self.saved) == self.stop_after:
            raise KeyboardInterrupt


def test_a_stopped_sweep_goes_on_where_it_was() -> None:
    kept = Kept(stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        swept("liquidity_sweep", GRID, budget=2**20, checkpoint=kept)
    first = list(kept.saved)
    assert len(set(first)) == 3
    kept.stop_after, kept.saved = None, []
    resumed = swept("liquidity_sweep", GRID, budget=2**20, checkpoint=kept)
    assert not set(first) & set(kept.saved)
    assert len(kept.parts) > 5
    assert same(resumed, swept("liquidity_sweep", GRID))
    kept.saved = []
    assert same(swept("liquidity_sweep", GRID, budget=2**20, checkpoint=kept), resumed)
    assert kept.saved == []


def test_progress_counts_every_cell_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    class Bar:
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, cells: int) -> None:
            counted.append(cells)

    monkeypatch.setattr(sweep_module, "_Bar", lambda *_: Bar())
    monkeypatch.setattr(local, "_LEAST_STEPS", 50)  # so that a part has many blocks
    for strategy, cells in (("liquidity_sweep", GRID), ("sma_cross", CROSSES)):
        for budget in (2**20, 2**40):
            kept = Kept()
            for _ in range(2):
                counted.clear()
                swept(strategy, cells, budget=budget, checkpoint=kept)
                assert sum(counted) == cells.size
                assert min(counted) >= 0


def raising(candles: Any, p: Any) -> Signals:
    if candles.close.size > 8 and (p.window == 7).any():
        raise ZeroDivisionError("a window of seven")
    return Signals(long=(candles.close > 0) & (p.window > 0) & (p.other > 0))


def test_an_error_names_the_part_that_raised_it() -> None:
    space = Space(Int("window", 1, 9, 2), Int("other", 1, 9, 2), owner="raising")
    strategy = Strategy("raising", space, raising, lambda p: 1)
    grid = space.grid(window=[1, 2, 3, 7], other=[1, 2, 3])
    kept = Kept()
    with pytest.raises(ZeroDivisionError) as caught:
        sweep(strategy, BTC, grid, progress=False, budget=6 * len(BTC) * 4, checkpoint=kept)
    note = caught.value.__notes__[0]
    assert "while sweeping a part of raising" in note
    assert re.search(r'"window": \[[\d, ]*7\]', note)
    assert kept.saved


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: swept("liquidity_sweeps", GRID), "did you mean 'liquidity_sweep'"),
        (
            lambda: SWEEP.grid(pierce_dept=[0.001]),
            "'pierce_dept' is not a parameter of liquidity_sweep: did you mean",
        ),
        (lambda: swept("sma_cross", CROSSES)["sharp"], "did you mean 'sharpe'"),
    ],
)
def test_typos_get_suggestions(act: Any, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        act()


def test_cells_of_another_strategy_are_refused() -> None:
    with pytest.raises(InputError, match="the cells belong to sma_cross, not to liquidity_sweep"):
        swept("liquidity_sweep", CROSSES)


def test_percent_for_fraction_is_refused() -> None:
    with pytest.raises(InputError, match=r"`pierce_depth` .* got 0.2: parameters are fractions, not percent"):
        SWEEP.grid(pierce_depth=[0.2])


def test_the_key_identifies_the_result() -> None:
    cells, other = CROSS.space.grid(fast=[5, 10], slow=40), CROSS.space.grid(fast=[5, 10], slow=41)
    renamed = Strategy("sma_cross", CROSS.space, raising, CROSS.warmup)
    keys = [
        surface_key(CROSS, BTC, cells, Execution()),
        surface_key(CROSS, BTC[:-1], cells, Execution()),
        surface_key(CROSS, BTC, other, Execution()),
        surface_key(CROSS, BTC, cells.part("fast", 0, 1), Execution()),
        surface_key(CROSS, BTC, cells, Execution(delay_bars=1)),
        surface_key(CROSS, BTC, cells, Execution(costs=Costs(taker=0.002))),
        surface_key(CROSS, BTC, cells, Execution(sizing=Risk(0.01))),
        surface_key(renamed, BTC, cells, Execution()),
    ]
    assert len(set(keys)) == len(keys)
    assert swept(CROSS, cells).key == swept(CROSS, cells, budget=2**16, threads=1).key == keys[0]


def started(folder: Path, budget: int) -> subprocess.Popen[str]:
    """The script, about to sweep."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(Path(script.__file__)), str(folder), str(budget)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def wait_for_parts(process: subprocess.Popen[str], folder: Path, parts: int) -> None:
    while len(list(folder.glob("*.npy"))) < parts and process.poll() is None:
        time.sleep(0.005)


def interrupted(folder: Path, budget: int, parts: int) -> float:
    """Start the script, send SIGINT once `parts` parts are kept; seconds until it noticed."""
    process = started(folder, budget)
    try:
        if parts:
            wait_for_parts(process, folder, parts)
        else:
            time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    return float(out) - sent


def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    process = started(tmp_path, script.BUDGET)
    wait_for_parts(process, tmp_path, 3)
    process.kill()
    process.communicate()
    folder = script.Folder(tmp_path)
    kept = set(folder.load())
    resumed = sweep(
        SWEEP, script.CANDLES, script.GRID, progress=False, checkpoint=folder, budget=script.BUDGET
    )
    assert len(kept) >= 3
    assert folder.saved
    assert not kept & set(folder.saved)
    assert same(resumed, sweep(SWEEP, script.CANDLES, script.GRID, progress=False))


def test_an_interrupt_is_quick_and_keeps_what_is_done(tmp_path: Path) -> None:
    latencies = [
        interrupted(tmp_path / "one", script.WHOLE, 0),
        interrupted(tmp_path / "many", script.BUDGET, 3),
    ]
    print("seconds from Ctrl-C to the end of the sweep:", latencies)
    assert min(latencies) < 0.3
    assert max(latencies) < 2.0  # other work on this machine may hold the processor for a while
    folder = script.Folder(tmp_path / "many")
    kept = folder.load()
    parts = list(plan(SWEEP, script.CANDLES, script.GRID, script.BUDGET))
    assert 3 <= len(kept) < len(parts)
    numbers = [part_number(place) for place, _ in parts]
    assert set(kept) == set(numbers[: len(kept)])
    resumed = sweep(
        SWEEP, script.CANDLES, script.GRID, progress=False, checkpoint=folder, budget=script.BUDGET
    )
    assert folder.saved == numbers[len(kept) :]
    assert same(resumed, sweep(SWEEP, script.CANDLES, script.GRID, progress=False))
    for number, (place, part) in zip(numbers, parts[: len(kept)], strict=False):
        assert kept[number].shape == (len(METRICS), *part.shape)
        whole = np.stack([resumed[name][place] for name in METRICS])
        assert np.array_equal(kept[number], whole, equal_nan=True)


def test_rows_of_the_result_count_towards_the_budget() -> None:
    asked = Request(blocks=7_000)
    few, many = (list(plan(SWEEP, BTC, GRID, 2**24, request)) for request in (Request(), asked))
    assert len(many) > len(few)
    for _, part in many:
        assert part.size * asked.rows * 8 <= 2**24
    assert len(list(plan(SWEEP, BTC, GRID, 2**40, least=8))) >= 8
    assert len(list(plan(SWEEP, BTC, GRID, 2**40, least=10**9))) == GRID.size


def test_a_part_of_a_busy_strategy_holds_fewer_rows() -> None:
    space = Space(Int("window", 1, 1_000, 2), owner="busy")

    def deciding(every: int) -> Strategy:
        def signals(candles: Any, p: Any) -> Signals:
            return Signals(long=(np.arange(candles.close.size) % every == 0) & (p.window > 0))

        return Strategy("busy", space, signals, lambda p: 1)

    grid = space.grid(window=list(range(1, 501)))
    parts = [len(list(plan(deciding(every), BTC, grid, 2**22))) for every in (1, 500)]
    assert parts[0] >= 3 * parts[1]
