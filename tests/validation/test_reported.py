"""What is reported: right numbers, plain sentences, the same each time, a reason where there is none."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.series import daily_returns_of
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market import synthetic
from quantlab.validation import expected, reported, robust
from quantlab.validation.evidence import Candidate
from quantlab.validation.gate import Gate, candidate, windows
from quantlab.validation.haircut import haircut_sharpe
from quantlab.validation.rerun import NullScores, Rerun
from quantlab.validation.statistics import deflated_sharpe, sharpe
from quantlab.validation.trials import trial_blocks
from quantlab.validation.verdict import REPORTED
from quantlab.validation.walkforward import WalkForward, refit

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[5, 8, 12, 20, 30], slow=[15, 30, 60, 100, 140])
GATE = Gate(folds=2)
NAMES = (
    *("psr", "dsr", "min_track_record", "lo", "pbo", "cpcv", "efficiency"),
    *("monte_carlo", "noise", "sensitivity", "expected_sharpe"),
)


def asked(candles, cells=GRID, gate=GATE, **options):
    surface = sweep(CROSS, candles, cells, Execution(), progress=False)
    cell = candidate(surface, gate)
    one = Candidate(CROSS, candles, cell.params, surface.execution)
    run = one.run()

    def search(known):
        return sweep(CROSS, known, cells, surface.execution, progress=False)

    table = refit(CROSS, candles, search, surface.execution, windows(candles, gate))
    return one, surface, run, table, reported.reported(one, surface, run, table, gate, **options)


@pytest.fixture(scope="module")
def edge():
    return asked(synthetic.planted_momentum(2_000, seed=2, true_sharpe=2.5))


@pytest.fixture(scope="module")
def idle():
    return asked(synthetic.garch(2_000, timeframe="1d", seed=4))


def value(found, name):
    return next(test.value for test in found[-1] if test.name == name)


def detail(found, name):
    return next(test.detail for test in found[-1] if test.name == name)


def test_every_one_is_there_reported_and_timed(edge, idle):
    for *_, tests in (edge, idle):
        assert tuple(test.name for test in tests) == NAMES
        assert all(test.passed is None and test.threshold is None for test in tests)
        assert all(test.seconds > 0 for test in tests)
        assert all(test.name in REPORTED for test in tests)
        for test in tests:
            assert test.detail.endswith(".")
            assert "nan" not in test.detail.lower()
            assert len(test.detail) < 420, test.detail


def test_the_same_question_gets_the_same_answer(edge):
    one, surface, run, table, tests = edge
    assert reported.reported(one, surface, run, table, GATE) == tests


def test_an_edge_and_noise_look_different(edge, idle):
    for name in ("psr", "dsr", "cpcv", "expected_sharpe", "lo", "sensitivity"):
        assert value(edge, name) > value(idle, name), name
    assert value(edge, "pbo") < value(idle, "pbo") or value(edge, "cpcv") > 1.0
    assert value(edge, "noise") > 0.9
    assert value(edge, "monte_carlo") < 0


def test_the_deflated_ratio_in_both_conventions(edge):
    _, surface, run, _, tests = edge
    count = trial_blocks(surface, edge[0].candles).independent()
    ratio, days = sharpe(run.daily, 1.0), len(run.daily)
    moments = ratio, days, stats.skew(run.daily), stats.kurtosis(run.daily, fisher=False)
    one = next(test for test in tests if test.name == "dsr")
    assert one.value == pytest.approx(deflated_sharpe(*moments, count))
    spread = np.nanstd(surface["sharpe"] / math.sqrt(365), ddof=1)
    assert f"({deflated_sharpe(*moments, count, spread):.0%} if" in one.detail
    assert f"moved like {count} independent" in one.detail


def test_the_cross_validated_histories_are_of_every_day(edge):
    """Whoever holds one cell always has one history: that of the cell."""
    one = edge[0]
    alone = sweep(CROSS, one.candles, CROSS.space.points([one.params]), progress=False)
    trials = trial_blocks(alone, one.candles)
    test = reported.paths(trials, edge[2])
    daily = daily_returns_of(CROSS, one.candles, alone.cells, progress=False)[0]
    assert test.value == pytest.approx(sharpe(daily))
    assert reported.overfitted(trials).value is None
    assert "at least two cells are needed" in reported.overfitted(trials).detail
    assert expected.expected_sharpe(edge[2], alone, trials).value is None


def test_the_track_record_says_where_no_length_would_do(edge):
    _, _, run, table, _ = edge
    assert value(edge, "min_track_record") < 2_000
    poor = replace(table, daily=tuple(-abs(r) for r in table.daily))
    test = reported.track_record(run, poor)
    assert test.value is None
    assert "no length of record would do" in test.detail
    none = replace(table, daily=(0.0,) * len(table.daily))
    assert "it has no returns" in reported.track_record(run, none).detail


def test_noise_is_said_of_real_fills(edge, monkeypatch):
    """Without any noise every draw is the candidate itself."""
    one, _, run, _, _ = edge
    monkeypatch.setattr(robust, "SHARE", 0.0)
    monkeypatch.setattr(robust, "DRAWS", 10)
    test = robust.noise(one, run, 0)
    t = run.metrics["timing_t"]
    assert test.value == 1.0
    assert f"{t:.2f} in the middle, {t:.2f} without noise" in test.detail
    monkeypatch.setattr(robust, "BARS_AT_MOST", 0)
    monkeypatch.setattr(robust, "LEAST_DRAWS", 3)
    assert "decided 3 times" in robust.noise(one, run, 0).detail


def test_each_step_of_the_grid_is_in_the_text(edge):
    _, surface, _, _, tests = edge
    cell = candidate(surface, GATE)
    i, j = cell.index
    fast, slow = surface.axes["fast"], surface.axes["slow"]
    t = surface["timing_t"]
    around = [
        (f"{t[a, b] - t[i, j]:+.2f} at {v:g}", t[a, b])
        for a, b, v in [
            *((a, j, fast[a]) for a in (i - 1, i + 1) if 0 <= a < len(fast)),
            *((i, b, slow[b]) for b in (j - 1, j + 1) if 0 <= b < len(slow)),
        ]
        if surface.cells.allowed[a, b]
    ]
    test = next(test for test in tests if test.name == "sensitivity")
    assert test.value == pytest.approx(min(t for _, t in around))
    for text, _ in around:
        assert text in test.detail
    points = CROSS.space.points([cell.params])
    listed = sweep(CROSS, edge[0].candles, points, progress=False)
    assert "has no steps" in robust.sensitivity(listed, listed.cell((0,)), GATE).detail
    alone = sweep(CROSS, edge[0].candles, CROSS.grid(fast=[5], slow=[50]), progress=False)
    assert "no parameter has a neighbour" in robust.sensitivity(alone, alone.cell((0, 0)), GATE).detail


def rerun_of(*means, real=3.0, draws=50):
    rng = np.random.default_rng(0)
    names = ("sign_flip", "permute")
    nulls = (
        NullScores(name, real, rng.normal(m, 0.5, draws), draws) for name, m in zip(names, means, strict=True)
    )
    return Rerun(real, tuple(nulls), 0)


def test_expected_is_in_sample_less_luck_where_luck_was_measured(edge):
    one, surface, run, table, tests = edge
    nulls = rerun_of(1.0, 1.8)
    years = len(run.daily) / 365
    lucky = max(float(null.scores.mean()) for null in nulls.nulls) / math.sqrt(years)
    test = reported.reported(one, surface, run, table, GATE, nulls=nulls)[-1]
    assert test.value == pytest.approx(sharpe(run.daily) - lucky)
    assert f"Sharpe {sharpe(run.daily):.2f} on the data that it was chosen on" in test.detail
    without = next(t for t in tests if t.name == "expected_sharpe")
    assert without.value != test.value
    assert without.value < sharpe(run.daily)
    nobody = Rerun(3.0, (NullScores("permute", 3.0, np.full(5, -np.inf), 5),), 0)
    assert expected.luck(nobody, 4.0) == 0.0
    assert math.isnan(expected.luck(Rerun(3.0, (), 0), 4.0))


def test_the_haircuts_in_the_text_are_of_all_other_trials(edge):
    _, surface, run, _, tests = edge
    values = surface["sharpe"][surface.cells.allowed] / math.sqrt(365)
    own = sharpe(run.daily, 1.0)
    others = np.delete(values, np.argmin(np.abs(values - own)))
    cut = haircut_sharpe(own, len(run.daily), others)
    text = next(t.detail for t in tests if t.name == "expected_sharpe")
    assert f"haircut for {values.size} trials" in text
    for share in cut.values():
        assert f"{share * math.sqrt(365):.2f} (" in text


def test_too_little_of_everything_has_a_reason_and_no_number():
    candles = synthetic.garch(90, timeframe="1d", seed=1)
    grid = CROSS.grid(fast=[20, 30], slow=[70, 80])
    surface = sweep(CROSS, candles, grid, progress=False)
    one = Candidate(CROSS, candles, surface.cell((0, 0)).params, surface.execution)
    idle = WalkForward((), (0, 1), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 365.0)
    few = reported.reported(one, surface, one.run(), idle, GATE)
    assert next(t for t in few if t.name == "monte_carlo").value is None
    nothing = sweep(CROSS, candles[:60], grid, progress=False)
    one = replace(one, candles=candles[:60])
    tests = reported.reported(one, nothing, one.run(), idle, GATE)
    for test in tests:
        if test.name not in ("psr", "efficiency", "cpcv"):
            assert test.value is None, test
            assert test.detail.startswith("not measured: "), test
    assert "0 closed trades are too few" in next(t.detail for t in tests if t.name == "monte_carlo")
    short = reported.reported(
        replace(one, candles=candles[:20]),
        sweep(CROSS, candles[:20], grid, progress=False),
        one.run(),
        idle,
        GATE,
    )
    for name in ("dsr", "pbo", "cpcv"):
        assert "32 days are needed" in next(t.detail for t in short if t.name == name)


def test_points_are_judged_as_those_that_were_evaluated():
    candles = synthetic.planted_momentum(800, seed=2, true_sharpe=2.5)
    points = CROSS.space.points([{"fast": f, "slow": s} for f in (5, 10, 20) for s in (40, 60, 90)])
    *_, tests = asked(candles, points, Gate(folds=2, min_trades=5), search=lambda c: sweep(CROSS, c, points))
    said = {t.name for t in tests if "that the search evaluated" in t.detail}
    assert said == {"dsr", "pbo", "cpcv", "expected_sharpe"}


def test_a_candidate_of_another_surface_is_refused(edge):
    one, surface, run, table, _ = edge
    with pytest.raises(InputError, match="is no cell of"):
        reported.reported(replace(one, params={"fast": 6, "slow": 61}), surface, run, table, GATE)


@pytest.mark.slow
def test_it_takes_seconds_on_a_grid_of_1_500_cells_and_20_000_bars():
    candles = synthetic.garch(20_000, timeframe="1h", seed=1)
    grid = CROSS.grid(fast=list(range(5, 45)), slow=list(range(50, 240, 5)))
    surface = sweep(CROSS, candles, grid, progress=False)
    cell = candidate(surface, GATE)
    one = Candidate(CROSS, candles, cell.params, surface.execution)
    run = one.run()
    daily = tuple(run.daily.tolist())
    table = WalkForward((), tuple(range(len(daily))), daily, daily, (0.0,) * len(daily), 365.0)
    begin = time.perf_counter()
    tests = reported.reported(one, surface, run, table, GATE)
    assert time.perf_counter() - begin < 20.0  # 2 s on a quiet machine; this one may be busy
    assert all(test.value is not None for test in tests if test.name != "efficiency")
