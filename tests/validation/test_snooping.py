import json
import math
from dataclasses import replace

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.plateau import plateau_index
from quantlab.backtest.sweep import sweep
from quantlab.errors import IntegrityError
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.validation.budget import Standing
from quantlab.validation.gate import Gate, validate
from quantlab.validation.rerun import Interrupted, Rerun
from quantlab.validation.snooping import null_draws, search_rerun, superior, winner_timing_t
from quantlab.validation.verdict import Verdict

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[3, 5, 8, 12, 16], slow=[20, 30, 40, 50, 60])
NOISE = garch(1_200, timeframe="1d", seed=4)
EDGE = planted_momentum(2_000, seed=1, true_sharpe=3.5)
FEW = Gate(draws=39, min_trades=10)


def find(candles, grid=GRID):
    return sweep(CROSS, candles, grid, progress=False)


@pytest.fixture(scope="module")
def edge():
    return find(EDGE)


@pytest.mark.parametrize("metric", ["timing_t", "sharpe", "max_drawdown"])
def test_the_score_is_what_the_chosen_cell_earned_beyond_holding(edge, metric):
    cell = edge.plateau(metric, 30).cell
    assert plateau_index(edge, metric, 30) == cell.index
    assert winner_timing_t(Gate(metric=metric))(edge) == cell.metrics["timing_t"]


def test_the_index_of_a_plateau_of_points_is_that_of_its_cell(edge):
    some = [edge.cells.cell((i, j)) for i in range(5) for j in range(0, 5, 2)]
    surface = find(EDGE, CROSS.space.points(some))
    assert plateau_index(surface, "timing_t", 30) == surface.plateau("timing_t", 30).cell.index


def test_a_search_that_may_choose_no_cell_scores_least(edge):
    assert plateau_index(edge, "timing_t", 10_000) is None
    assert winner_timing_t(Gate(min_trades=10_000))(edge) == -math.inf


def test_the_second_search_on_the_same_data_must_show_more_than_the_first():
    candles = planted_momentum(1_200, seed=3, true_sharpe=2.0)
    surface, gate = find(candles), Gate(recency_p=0.9, min_trades=20)
    first = validate(surface, candles, gate=gate, standing=Standing(25, 1, 1), progress=False)
    second = validate(surface, candles, gate=gate, standing=Standing(50, 2, 2), progress=False)
    for verdict, k in ((first, 1), (second, 2)):
        level = 0.05 * 6 / (math.pi * k) ** 2
        for name in ("search_rerun", "superior_ability"):
            assert verdict.evidence[name].threshold == pytest.approx(level, rel=1e-12)
    assert first.approved, str(first)
    assert first.evidence["search_rerun"].value > 0.05 * 6 / (math.pi * 2) ** 2
    assert not second.approved


@pytest.mark.parametrize(
    ("level", "draws"),
    [(0.5, 199), (0.05, 202), (0.0304, 332), (0.0076, 999), (0.0019, 1_063), (0.000304, 6_645)],
)
def test_a_smaller_share_needs_more_null_markets(level, draws):
    assert null_draws(Gate(), level) == draws
    assert 1 / (draws + 1) <= level


def test_the_nulls_are_kept_with_the_verdict(edge):
    verdict = validate(edge, EDGE, gate=FEW, progress=False)
    document = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    again = Verdict.from_json(document)
    assert again.to_json() == verdict.to_json()
    for kept, null in zip(again.evidence.nulls.nulls, verdict.evidence.nulls.nulls, strict=True):
        assert np.array_equal(kept.scores, null.scores)
        assert (kept.null, kept.real, kept.draws, kept.p) == (null.null, null.real, null.draws, null.p)


def test_scores_without_a_cell_survive_json():
    cells = find(NOISE, CROSS.grid(fast=[150], slow=[400]))
    _, found = search_rerun(cells, lambda c: find(c, cells.cells), NOISE, Gate(draws=19), 0.5, progress=False)
    assert found.real == -math.inf
    assert found.p == 1.0
    assert Rerun.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))).real == -math.inf


def test_an_adaptive_search_is_judged_by_its_rerun_alone(edge):
    def search(candles):
        return find(candles)

    verdict = validate(edge, EDGE, gate=Gate(draws=39, recency_p=0.9), search=search, progress=False)
    assert verdict.evidence.adaptive
    assert "superior_ability" not in {test.name for test in verdict.evidence.tests}
    assert verdict.approved, str(verdict)
    with pytest.raises(IntegrityError, match="superior_ability"):
        replace(verdict, evidence=replace(verdict.evidence, adaptive=False))


def test_a_search_that_finds_something_else_the_second_time_is_refused(edge):
    rng = np.random.default_rng(0)

    def search(candles):
        return find(candles, CROSS.grid(fast=[int(rng.integers(2, 10))], slow=[int(rng.integers(20, 90))]))

    verdict = validate(edge, EDGE, gate=FEW, search=search, progress=False)
    test = verdict.evidence["search_rerun"]
    assert not test.passed
    assert test.value is None
    assert "give it a seed of its own" in test.detail
    assert verdict.evidence.nulls is None
    assert any("two scores" in reason for reason in verdict.reasons)


def test_a_market_that_never_moves_is_refused_with_the_reason():
    n = 1_200
    flat = Candles.from_arrays("lab", "A/USD", "1d", NOISE.timestamps, *np.full((5, n), 100.0))
    test, found = search_rerun(find(flat), find, flat, FEW, 0.05, progress=False)
    assert found is None
    assert not test.passed
    assert "never moves" in test.detail
    assert "no cell ever traded" in superior(find(flat), flat, FEW, 0.05).detail


def test_too_few_days_for_blocks_are_refused_with_the_reason():
    short = garch(99, timeframe="1d", seed=4)
    test = superior(find(short), short, FEW, 0.05)
    assert not test.passed
    assert "99 days" in test.detail


def test_what_was_drawn_before_an_interrupt_is_not_drawn_again(edge):
    calls = []

    def search(candles):
        calls.append(candles.fingerprint)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return find(candles)

    with pytest.raises(Interrupted) as stopped:
        validate(edge, EDGE, gate=FEW, search=search, progress=False)
    drawn = set(calls[1:19])
    verdict = validate(edge, EDGE, gate=FEW, search=search, earlier=stopped.value.rerun, progress=False)
    assert not drawn & set(calls[20:])
    whole = validate(edge, EDGE, gate=FEW, search=find, progress=False)
    assert whole.evidence.nulls.to_json() == verdict.evidence.nulls.to_json()


def test_what_is_drawn_is_told(edge):
    told = []
    verdict = validate(edge, EDGE, gate=FEW, drawn=told.append, progress=False)
    assert told[-1].to_json() == verdict.evidence.nulls.to_json()


def test_a_share_too_small_for_any_number_of_markets_is_refused_without_drawing(edge):
    calls = []

    def search(candles):
        calls.append(candles)
        return find(candles)

    level = Standing(9, 39, 39).share()
    test, found = search_rerun(edge, search, EDGE, Gate(), level, progress=False)
    assert found is None
    assert not calls
    for refused in (test, superior(edge, EDGE, Gate(), level)):
        assert not refused.passed
        assert "is spent" in refused.detail
    assert null_draws(Gate(), Standing(9, 38, 38).share()) <= Gate().most_draws
