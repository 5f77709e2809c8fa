"""Sweeps and searches by the command line: the figures of the library, bars, Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cli_helpers import BTC, GRID, SMALL, at_a_terminal, parse, process, read
from typer.testing import Result

from quantlab import terminal
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import surface_key
from quantlab.lab import Lab
from quantlab.strategies import get


def test_sweep_prints_the_figures_of_the_library(home: Path, lab: Lab) -> None:
    done = process(home, "sweep", "sma_cross", *BTC, *SMALL, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = parse(done.stdout)
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, progress=False)
    plateau = surface.plateau()
    assert shown["key"] == surface.key
    assert shown["axes"] == GRID
    assert shown["cells"] == 9
    assert shown["best"]["params"] == surface.best().params
    assert shown["plateau"]["params"] == plateau.cell.params
    assert shown["plateau"]["metrics"] == plateau.cell.metrics
    assert (shown["plateau"]["score"], shown["plateau"]["mean"]) == (plateau.score, plateau.mean)
    assert shown["plateau"]["half_width"] == plateau.half_width
    assert [row["value"] for row in shown["plateau"]["neighbours"]] == plateau.neighbours["value"].tolist()
    assert shown["market"] == surface.identity.to_json()
    again = process(home, "sweep", "sma_cross", *BTC, *SMALL, "--json")
    assert again.stdout == done.stdout


def test_what_is_undefined_is_null(call: Callable[..., Result]) -> None:
    asked = ("--set", "fast=20,60", "--set", "slow=50", "--json")  # 60 breaks the constraint fast < slow
    neighbours = parse(call("sweep", "sma_cross", *BTC, *asked).stdout)["plateau"]["neighbours"]
    assert {row["value"]: row["sharpe"] is None for row in neighbours} == {20: False, 60: True}


def test_bars_are_drawn_for_a_person_only_and_never_into_the_answer(home: Path, lab: Lab) -> None:
    with at_a_terminal(home, "search", "sma_cross", *BTC, "--trials", "60", "--json") as (running, terminal):
        shown = read(terminal)
        out, _ = running.communicate(timeout=30)
    assert "sma_cross tpe" in shown
    assert parse(out)["trials"] == 60


def test_a_search_is_judged_as_a_search(call: Callable[..., Result], lab: Lab) -> None:
    asked = ("--sampler", "random", "--trials", "20", "--seed", "3", "--set", "fast=5,40")
    shown = parse(call("validate", "sma_cross", *BTC, *asked, "--json").stdout)
    options: dict[str, Any] = {"sampler": "random", "trials": 20, "seed": 3, "progress": False}
    study = lab.search("sma_cross", lab.candles(*BTC), bounds={"fast": [5, 40]}, **options)
    assert shown["surface_key"] == study.surface.key
    assert shown["evidence"]["trials_search"] == 20
    assert shown == lab.validate(study, progress=False).to_json()


def test_every_rule_reaches_the_library(call: Callable[..., Result], lab: Lab) -> None:
    rules = "--direction long --assumption pessimistic --taker 0.0004 --maker -0.0001 --slippage-bps 3.5"
    more = "--funding-8h 0.0001 --delay-bars 2 --start 2018-03-01 --end 2018-12-31T23:00"
    shown = parse(call("sweep", "sma_cross", *BTC, *SMALL, *rules.split(), *more.split(), "--json").stdout)
    candles = lab.candles(*BTC, start="2018-03-01", end="2018-12-31T23:00")
    execution = Execution(Costs(0.0004, -0.0001, 3.5, 0.0001), "long", "pessimistic", 2)
    assert shown["market"]["bars"] == len(candles) == 306 * 24
    assert shown["execution"] == execution.to_json()
    assert shown["key"] == lab.sweep("sma_cross", candles, GRID, execution=execution, progress=False).key
    shown = parse(call("sweep", "sma_cross", *BTC, *SMALL, "--fill", "close", "--json").stdout)
    assert shown["execution"] == Execution(fill="close").to_json()


def test_the_metric_and_the_least_trades_decide_the_choice(call: Callable[..., Result], lab: Lab) -> None:
    surface = lab.sweep("sma_cross", lab.candles(*BTC), GRID, progress=False)
    least = int(np.nanmedian(surface["trades"]))
    asked = ("--metric", "net_profit", "--min-trades", str(least), "--json")
    shown = parse(call("sweep", "sma_cross", *BTC, *SMALL, *asked).stdout)
    assert shown["best"]["metrics"] == surface.best("net_profit", least).metrics
    assert shown["plateau"]["params"] == surface.plateau("net_profit", least).cell.params
    assert shown["best"]["metrics"]["trades"] >= least


def test_search_prints_the_study_of_the_library(call: Callable[..., Result], lab: Lab) -> None:
    asked = (
        "--sampler",
        "random",
        "--trials",
        "25",
        "--seed",
        "7",
        "--set",
        "fast=5,40",
        "--set",
        "slow=100",
    )
    shown = parse(call("search", "sma_cross", *BTC, *asked, "--json").stdout)
    options: dict[str, Any] = {"sampler": "random", "trials": 25, "seed": 7, "progress": False}
    study = lab.search("sma_cross", lab.candles(*BTC), bounds={"fast": [5, 40], "slow": 100}, **options)
    assert shown["key"] == study.key
    assert shown["surface_key"] == study.surface.key
    assert shown["best"] == {"params": study.best().params, "metrics": study.best().metrics}
    assert (shown["trials"], shown["budget"], shown["ended"]) == (25, 25, "budget")


def test_ctrl_c_keeps_what_was_finished_and_the_same_command_goes_on(home: Path, lab: Lab) -> None:
    values = {
        "pierce_depth": [round(0.0005 + 0.0001 * i, 4) for i in range(40)],
        "rejection_bars": [1, 2, 3],
        "volume_spike": [round(1.5 + 0.15 * i, 2) for i in range(24)],
        "level_lookback": [20, 40, 60, 80, 100, 120, 140, 160, 180],
        "level_tolerance": [0.0005, 0.001, 0.002],
    }
    asked = [f"--set={name}={','.join(map(str, along))}" for name, along in values.items()]
    command = ("sweep", "liquidity_sweep", *BTC, *asked, "--min-trades", "1", "--json")
    strategy = get("liquidity_sweep")
    cells = strategy.space.grid(**values)
    key = surface_key(strategy, lab.candles(*BTC), cells, Execution())

    with at_a_terminal(home, *command) as (running, terminal):
        shown = read(terminal, until=r"[3-9]\d%")  # the first of four parts is done
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to everybody in the foreground
        shown += read(terminal)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 130, shown
    assert "Progress was kept" in shown
    assert "Traceback" not in shown
    assert out == ""
    kept = lab.store.load_chunks(key)
    assert kept
    assert not lab.store.has_surface(key)

    part, data = next(iter(kept.items()))  # marked, so that it is seen whether it is computed again
    lab.store.save_chunk(key, part, np.full(len(data) // 8, 12_345.0).tobytes())
    resumed = process(home, *command)
    assert resumed.returncode == 0, resumed.stderr
    assert parse(resumed.stdout)["key"] == key
    _, metrics = lab.store.get_surface(key)
    marked = metrics["sharpe"] == 12_345.0
    assert marked.sum() == len(data) // 8 // len(METRICS)
    assert 0 < marked.sum() < cells.size
    assert not lab.store.load_chunks(key)


def test_ctrl_c_inside_a_compiled_function_is_still_ctrl_c() -> None:
    """Now and then Numba's dispatcher turns it into a SystemError, which is caused by the interrupt."""
    inner, outer = SystemError("argument"), SystemError("returned a result with an exception set")
    inner.__cause__, outer.__cause__ = KeyboardInterrupt(), inner
    assert terminal.interrupted(outer)
    assert terminal.interrupted(KeyboardInterrupt())
    assert not terminal.interrupted(SystemError("something else"))
