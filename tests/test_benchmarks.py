"""Every comparison runs as it is run by hand, on little, and its two sides agree."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab.backtest.metrics import METRICS
from quantlab.validation.sequential import endings

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


def figures(script: str, *arguments: str) -> dict[str, Any]:
    done = run(script, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["liquidity_sweep", "sma_cross"])
def test_vectorbt_books_the_same_fills(strategy: str) -> None:
    arguments = ("--bars", "3000", "--cells", "12", "--columns", "5", "--repeats", "1")
    found = figures("against_vectorbt.py", "--strategy", strategy, *arguments)
    assert found["max_abs_diff"] == max(found["differences"].values()) < 1e-9
    lacking = {"gross_win_rate", "turnover", "break_even_cost_bps", "timing_t"}
    assert found["differences"].keys() - {"trade_profit"} == set(METRICS) - lacking
    assert (found["bars"], found["cells"]) == (3000, 12)
    assert found["trades"] > 12
    assert found["engines"].keys() == {"numba", "rust"}
    assert found["ratio"] == min(found["ratio_numba"], found["ratio_rust"])
    assert found["ns_per_bar_cell"] > 0
    for engine in found["engines"].values():
        assert engine["ns_per_bar_cell"] == pytest.approx(engine["seconds"] / 36_000 * 1e9)
        assert engine["peak_mib"] >= 0
        assert engine["from_signals_ns_per_bar_cell"] > 0


def test_regimes_are_measured_where_the_truth_is_known() -> None:
    found = figures("regimes.py", "--bars", "12000", "--chains", "1", "--repeats", "1")
    assert found["detect"]["seconds"] > 0
    for methods in found["accuracy"].values():
        best = methods["true parameters"]
        assert all(
            best["log_loss"] < one["log_loss"]
            for one in methods.values()
            if one.keys() == best.keys() and one is not best
        )
        assert all(0 < one["accuracy"] < 1 for one in methods.values() if "accuracy" in one)


@pytest.mark.parametrize("strategy", ["liquidity_sweep", "sma_cross", "htf_sweep"])
def test_a_whole_grid_is_measured(strategy: str) -> None:
    arguments = ("--timeframe", "5m", "--bars", "900", "--cells", "30", "--repeats", "3")
    found = figures("reference_grid.py", "--strategy", strategy, *arguments)
    assert found["data"] == "synthetic:GARCH-0/USD 5m"
    assert (found["bars"], found["cells"], found["repeats"]) == (900, 30, 3)
    assert found["min_seconds"] <= found["seconds"]
    assert found["ns_per_bar_cell"] == pytest.approx(found["seconds"] / 27_000 * 1e9, rel=0.02)
    assert found["min_cpu_seconds"] > 0
    assert found["peak_mib"] >= 0


def test_three_fill_assumptions_are_measured_against_one() -> None:
    found = figures("reference_grid.py", "--bars", "900", "--cells", "30", "--repeats", "3", "--assumptions")
    assert found["cost_of_three"] > 0
    assert found["cpu_cost_of_three"] > 0


def test_the_tables_of_the_pages_are_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    page = importlib.import_module("figures")
    found = json.loads(page.RECORD.read_text(encoding="utf-8"))
    assert found.keys() == page.RUNS.keys()
    for file, tables in page.PAGES.items():
        text = file.read_text(encoding="utf-8")
        assert page.written(text, tables, found) == text
    with pytest.raises(SystemExit, match="one place for marks"):
        page.written("", [page.marks], found)


@pytest.mark.slow
def test_backtesting_py_makes_the_same_trades() -> None:
    found = figures("against_backtesting.py", "--bars", "400", "--cells", "4")
    assert found["cells"] == found["cells_with_the_same_trades"] == 4
    assert found["max_trade_count_diff"] == 0
    assert found["trades"] > 4
    assert found["ratios"].keys() == {"run", "optimize"}
    assert found["backtesting"]["ms_per_cell"] > 0


def test_without_backtesting_py_the_command_that_installs_it_is_named() -> None:
    code = "import sys, runpy; sys.modules['backtesting'] = None; runpy.run_path(sys.argv[1])"
    command = [sys.executable, "-c", code, str(BENCHMARKS / "against_backtesting.py")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    assert "python -m pip install backtesting" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_scaling_keeps_the_trades_while_the_bars_grow(tmp_path: Path) -> None:
    picture = tmp_path / "scaling.svg"
    found = figures("scaling.py", "--bars", "2000", "--points", "2", "--repeats", "1", "--svg", str(picture))
    assert found["growth"]["bars, longer history"]["times"] == 2.0
    assert found["growth"]["bars, longer history"]["trades"] == pytest.approx(1.0, abs=0.05)
    assert found["growth"]["exit cells"]["trades"] == pytest.approx(2.0, abs=0.1)
    for points in found["series"].values():
        assert len(points) == 2
        assert all(p["seconds"] > 0 and p["trades"] > 0 for p in points)
    assert picture.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.slow
def test_a_second_process_is_measured_with_every_kernel_cached() -> None:
    found = figures("startup.py", "--repeats", "1")
    assert found["compiled"] == 0
    assert found["cached"] > 5
    assert found["import"]["seconds"] < found["names"]["seconds"]
    assert found["first_sweep"]["seconds"] > found["sweep"]["seconds"] > 0
    assert found["again"]["cpu_seconds"] > 0


@pytest.mark.slow
def test_the_cost_of_the_statistics_is_measured() -> None:
    sizes = ("--bars", "1500", "--reference-bars", "600", "--draws", "19", "--cells", "2000")
    found = figures("gate_cost.py", *sizes)
    assert found["edge"]["cells"] == found["noise"]["cells"] == 1_560
    assert found["reference"]["cells"] == 201_600
    assert found["edge_all"]["markets"] == found["reference"]["markets"] == 38
    assert found["noise"]["markets"] < 2 * endings(202, 0.05)[0][0] <= found["edge"]["markets"] < 2 * 202
    assert found["pbo_splits"] == 12_870
    names = (
        "edge_seconds",
        "edge_all_seconds",
        "noise_seconds",
        "reference_seconds",
        "pbo_seconds",
        "spa_seconds",
    )
    assert min(found[name] for name in names) > 0


def test_the_gate_is_measured_market_by_market_and_goes_on_where_it_was(tmp_path: Path) -> None:
    kept = ("--family", "garch", "--processes", "1", "--out", str(tmp_path / "markets.jsonl"))
    two = figures("gate_calibration.py", "--markets", "2", *kept)
    lines = (tmp_path / "markets.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["seed"] for line in lines) == [0, 1]
    three = figures("gate_calibration.py", "--markets", "3", *kept)
    assert (two["markets"], three["markets"]) == (2, 3)
    assert (tmp_path / "markets.jsonl").read_text().splitlines()[:2] == lines
    assert 0 <= three["low"] <= three["approved"] / 3 <= three["high"] <= 1
    assert sum(three["refused_alone"].values()) <= 3 - three["approved"] <= sum(three["refused"].values())


def test_recency_is_measured_with_and_without_matching() -> None:
    found = figures("gate_recency.py", "--family", "needle_1.6", "--markets", "3")
    assert found["traded"] == found["markets"] == 3
    for name in ("plain", "before", "within"):
        assert found[name]["t"] > 1
        assert 0 <= found[name]["low"] <= found[name]["pass"] / 3 <= found[name]["high"] <= 1


def test_the_tables_of_the_gate_are_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gate_tables

    found = gate_tables.load()
    assert gate_tables.page(found) == gate_tables.PAGE.read_text(encoding="utf-8")
    assert sum(row["markets"] for row in found.values() if not row["edge"]) >= 1_000
    text = (BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")
    assert gate_tables.claim(found) in " ".join(text.split())


def test_planted_leaks_are_counted() -> None:
    names = ("shift_by_minus_one", "stop_below_what_comes", "calendar", "expanding_mean")
    found = figures("lookahead.py", "--bars", "600", "--markets", "1", "--replays", "200", "--only", *names)
    assert (found["planted"], found["caught"], found["caught_by_cuts"]) == (2, 2, 2)
    assert (found["clean"], found["false_alarms"]) == (1, 0)
    assert found["short_warmups_named"] == found["short_warmups"] == 1
    assert set(found["strategies"]) == set(names)
    assert found["multiple_of_one_evaluation"] > found["multiple_of_cuts"] > 1
    assert found["seconds_per_strategy"] > 0


def test_what_a_search_adds_to_its_sweeps_is_measured() -> None:
    sizes = ("--cells", "600", "--learners", "40", "--bars", "800", "--repeats", "1")
    found = figures("search.py", *sizes, "--samplers", "random", "tpe")
    assert found["samplers"].keys() == {"random", "tpe"}
    assert (found["samplers"]["random"]["cells"], found["samplers"]["tpe"]["cells"]) == (600, 40)
    for row in found["samplers"].values():
        assert 0 < row["sweep_cpu_seconds"] < row["cpu_seconds"]
        assert row["overhead"] == pytest.approx(row["cpu_seconds"] / row["sweep_cpu_seconds"] - 1)
    assert found["random_overhead"] == found["samplers"]["random"]["overhead"]
    assert found["grid_overhead"] == found["grid"]["overhead"]
    assert 0 < found["evolution_cpu_seconds"] < 3


def test_interrupts_are_measured_at_several_moments() -> None:
    found = figures("search.py", "--bars", "800", "--interrupts", "3", "--samplers", "random", "evolution")
    assert found["interrupts"].keys() == {"random", "evolution"}
    for row in found["interrupts"].values():
        assert 0 < row["p50"] <= row["p95"] <= row["max"]
        assert row["repeats"] == 3


@pytest.mark.slow
def test_a_campaign_is_measured_end_to_end() -> None:
    found = figures("search.py", "--markets", "3", "--bars", "600", "--market-cells", "30", "--workers", "2")
    assert (found["markets"], found["completed"], found["cells"]) == (3, 3, 90)
    assert 0 < found["seconds_to_queue"] < found["seconds"]
    assert found["estimated_seconds"] > 0


def test_samplers_are_compared_with_random_search() -> None:
    tasks = ("branin", "hartmann6", "surface", "sparse", "rosenbrock", "ackley")
    found = figures("samplers.py", "--seeds", "3", "--trials", "118", "--samplers", "tpe", "halving")
    assert found.keys() == {"seeds", "trials", "held_out", *tasks}
    for task in tasks:
        row = found[task]["tpe"]
        assert found[task]["random"]["median_regret"] > 0
        assert row["low"] <= row["gain"] <= row["high"]
        assert row["wins"] in {i / 6 for i in range(7)}
        assert row["regret_ratio_interval"][0] <= row["regret_ratio"] <= row["regret_ratio_interval"][1]
        assert row["beats"] == (row["low"] > 0)
        assert ("halving" in found[task]) == (task in {"surface", "sparse"})


@pytest.mark.slow
def test_what_is_expected_of_a_candidate_is_held_to_the_truth() -> None:
    found = figures("expected_sharpe.py", "--true-sharpe", "2.5", "--markets", "3", "--draws", "9")
    told = found["figures"]
    assert {"true", "in sample", "expected, less luck", "expected, from halves"} < told.keys()
    assert told["true"]["bias"] == 0.0
    assert told["expected, less luck"]["mean"] < told["in sample"]["mean"]
    assert sum(name.startswith("haircut") for name in told) == 3
