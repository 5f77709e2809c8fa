"""What a search is for: objectives, constraints, several markets, and what it says when nothing fits."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.sample import sample_candles
from quantlab.search.choose import SAMPLERS, make_sampler
from quantlab.search.codes import Seen, codes_of, from_unit, points_of, to_unit
from quantlab.search.evolution import EvolutionSampler
from quantlab.search.halving import HalvingSampler
from quantlab.search.learner import pareto, rank
from quantlab.search.objective import fewest
from quantlab.search.run import search
from quantlab.search.sampler import cells_of
from quantlab.search.trials import importance
from quantlab.signals import Signals, Strategy
from quantlab.space import Choice, Float, Int, Space
from quantlab.strategies import get

SMA = get("sma_cross")
MIXED = Space(
    Int("n", -3, 40, 1), Float("x", -1.0, 3.0, 0.0), Choice("c", ("a", "b", "z"), "a"), owner="mixed"
)


@pytest.fixture(scope="module")
def candles():
    return sample_candles()[5000:6500]


def dominated(rows: np.ndarray, i: int) -> bool:
    """The plain definition."""
    return any((other >= rows[i]).all() and (other > rows[i]).any() for other in rows)


@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 0.1, float("nan")])] * 3), min_size=1, max_size=30)
)
@settings(max_examples=60, deadline=None)
def test_the_front_is_that_of_the_plain_definition(rows):
    values = np.array(rows)
    known = ~np.isnan(values).any(axis=1)
    expected = [not dominated(values[known], i) for i in range(np.count_nonzero(known))]
    assert pareto(values)[known].tolist() == expected
    assert not pareto(values)[~known].any()
    assert ((rank(values) == 0) == pareto(values)).all()


def test_ranks_of_one_objective_are_places_and_undefined_ones_come_last():
    assert rank(np.array([[2.0], [np.nan], [3.0], [2.0]])).tolist() == [1, 4, 0, 1]


def test_codes_come_and_go():
    unit = np.random.default_rng(0).random((500, 3))
    codes = from_unit(MIXED, unit)
    cells = MIXED.points(cells_of(points_of(MIXED, codes)))
    np.testing.assert_array_equal(codes_of(MIXED, cells), codes)
    np.testing.assert_array_equal(codes_of(MIXED, [cells.cell((i,)) for i in range(500)]), codes)
    np.testing.assert_array_equal(from_unit(MIXED, to_unit(MIXED, codes))[:, [0, 2]], codes[:, [0, 2]])
    np.testing.assert_allclose(from_unit(MIXED, to_unit(MIXED, codes)), codes, atol=1e-12)
    assert set(codes[:, 0]) == set(range(-3, 41))


def test_a_cell_is_seen_once_whatever_the_sign_of_its_zero():
    seen = Seen()
    assert seen.add(np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 1.0]])) == [0, 2]
    assert seen.has(np.array([[-0.0, 1.0], [3.0, 1.0]])).tolist() == [True, False]


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "evolution", "grid", "sobol"])
def test_several_objectives_have_a_front(candles, sampler):
    wanted = {"sharpe": "higher", "turnover": "lower"}
    how = {"sampler": sampler, "trials": 130, "objective": wanted, "min_trades": 3, "progress": False}
    study = search(SMA, candles, **how)
    trials = study.trials
    values = np.stack([trials["sharpe"], -trials["turnover"]], axis=1)
    values[trials["trades"] < 3] = np.nan
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    assert set(study.front) == {
        i for i in known if not dominated(values[known], int(np.searchsorted(known, i)))
    }
    front = study.front_frame()
    assert list(front.columns[:2]) == ["sharpe", "turnover"]
    assert front["sharpe"].is_monotonic_decreasing
    assert front["turnover"].is_monotonic_decreasing
    assert study.convergence.shape == (study.n_trials, 2)
    assert study.convergence[-1, 1] == np.nanmin(-values[:, 1])
    assert study.best("turnover").metrics["turnover"] == study.convergence[-1, 1]
    with pytest.raises(InputError, match="of several objectives no cell is the best"):
        study.best()
    assert len(study.front_figure().data) == 2


def test_constraints_take_the_objective_away(candles):
    how = {"trials": 60, "min_trades": 3, "progress": False}
    free = search(SMA, candles, **how)
    limit = float(np.median(-free.trials["max_drawdown"]))
    study = search(SMA, candles, max_drawdown=limit, **how)
    meets = (study.trials["max_drawdown"] >= -limit) & (study.trials["trades"] >= 3)
    np.testing.assert_array_equal(np.isnan(study.values[:, 0]), ~meets | np.isnan(study.trials["sharpe"]))
    assert -study.best().metrics["max_drawdown"] <= limit


def test_several_markets_are_searched_for_what_holds_on_the_worst(candles):
    markets = [candles, candles[:900]]
    study = search(SMA, markets, trials=60, batch=20, min_trades=2, progress=False)
    each = [search(SMA, market, trials=60, batch=20, min_trades=2, progress=False) for market in markets]
    sharpe = np.stack([one.trials["sharpe"] for one in each])
    enough = np.stack([one.trials["trades"] >= 2 for one in each]).all(axis=0)
    np.testing.assert_array_equal(study.values[:, 0], np.where(enough, sharpe.min(axis=0), np.nan))
    assert study.best().metrics["sharpe"] == np.nanmax(study.values)
    assert len(study.to_frame()) == 120
    assert study.surface.market(1).key == each[1].surface.key
    assert "2 markets) [made without a lab" in repr(study)


def test_halving_keeps_only_the_whole_history_and_counts_all(candles):
    study = search(SMA, candles, sampler="halving", trials=63, min_trades=2, seed=1, progress=False)
    assert (study.n_trials, study.surface.size) == (63, 9)
    ((share, short),) = study.partial
    assert (share, short.size, short.identity.bars) == (1 / 6, 54, 250)
    whole = sweep(SMA, candles, study.surface.cells, progress=False)
    np.testing.assert_array_equal(study.surface["sharpe"], whole["sharpe"])
    score = np.where(short["trades"] >= 1, short["sharpe"], np.nan)
    best = codes_of(SMA.space, short.cells)[np.argsort(-score, kind="stable")[:9]]
    np.testing.assert_array_equal(codes_of(SMA.space, study.surface.cells), best)


def test_halving_leaves_out_a_history_on_which_most_cells_have_no_figures():
    sampler, shares = HalvingSampler(MIXED, 0), []
    for _ in range(6):
        cells = sampler.ask(54)
        short = sampler.history < 0.2
        shares.append((round(sampler.history, 2), cells.size))
        sampler.tell(cells, np.where(short & (np.arange(cells.size) > 7), np.nan, cells.columns["x"]))
    assert shares == [(0.17, 54), (1.0, 9)] + [(0.33, 27), (1.0, 9)] * 2


def test_halving_takes_larger_steps_the_longer_it_searches():
    sampler, sizes = HalvingSampler(MIXED, 0), []
    for _ in range(60):
        cells = sampler.ask(sampler.batch)
        sizes.append(cells.size)
        sampler.tell(cells, cells.columns["x"])
    assert sizes[:20] == [54, 9] * 9 + [108, 18]  # 567 cells first
    assert max(sizes) == 540
    assert all(drawn == 6 * kept for drawn, kept in zip(sizes[::2], sizes[1::2], strict=True))


def test_fewer_trades_are_asked_of_a_part_of_the_history():
    assert [fewest(30, share) for share in (1.0, 1 / 3, 1 / 6, 1 / 9)] == [30, 5, 2, 1]
    assert (fewest(0, 0.2), fewest(1, 0.2)) == (0, 1)
    rng = np.random.default_rng(0)
    for wanted, share in ((30, 1 / 3), (400, 1 / 6), (20_000, 0.5)):
        kept = np.mean(rng.poisson(wanted * share, 100_000) >= fewest(wanted, share))
        assert 0.945 < kept < 1.0
        assert np.mean(rng.poisson(wanted * share, 100_000) > fewest(wanted, share)) < 0.96


def test_the_lineage_of_an_evolution_leads_back_to_the_first_generation(candles):
    study = search(
        SMA, candles, sampler="evolution", trials=350, batch=70, min_trades=1, seed=5, progress=False
    )
    line = study.lineage
    assert line is not None
    assert {len(column) for column in line.values()} == {350}
    np.testing.assert_array_equal(line["id"], np.arange(350))
    generation, a = line["generation"], line["parent_a"]
    assert generation.tolist() == sorted(generation.tolist())
    assert (line["operator"][generation == 0] == "drawn").all()
    has = a >= 0
    assert (generation[a[has]] < generation[has]).all()
    assert set(line["operator"]) == {"drawn", "blend", "uniform", "mutation"}
    assert (line["parent_b"][line["operator"] == "mutation"] == -1).all()
    assert set(line["island"]) == {0, 1, 2}
    sizes = np.bincount(generation)
    assert sizes[:11].tolist() == [24] * 11  # then a tenth of all cells so far
    assert sizes[11] == 26


def test_evolution_finds_the_top_of_a_mixed_space():
    sampler, best = EvolutionSampler(MIXED, 0), -np.inf
    for _ in range(15):
        cells = sampler.ask(100)
        c = cells.columns
        values = (c["c"] == "z") - ((c["n"] - 17) / 40.0) ** 2 - (c["x"] - 1.234) ** 2
        best = max(best, values.max())
        sampler.tell(cells, values)
    assert best > 1 - 1e-4


def test_importance_names_what_matters():
    rng = np.random.default_rng(0)
    codes = from_unit(MIXED, rng.random((400, 3)))
    shares = importance(MIXED, codes, -((codes[:, 1] - 1.0) ** 2) + 0.001 * codes[:, 0], MIXED.names)
    assert shares["x"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_study_says_what_matters_and_draws_it(candles):
    study = search(SMA, candles, trials=120, min_trades=3, progress=False)
    shares = study.importance()
    assert set(shares) == {"fast", "slow"}
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert len(study.importance_figure().data[0].x) == 2
    line = study.convergence_figure().data[0]
    assert line.y[-1] == pytest.approx(study.convergence[-1], rel=1e-5)
    few = search(SMA, candles, trials=10, min_trades=3, progress=False)
    with pytest.raises(InputError, match="importance needs twenty trials"):
        few.importance()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"min_trades": 10_000}, r"no cell has at least 10000 closed trades \(most: \d+\)"),
        ({"max_drawdown": 1e-6}, r"keeps its drawdown within 1e-06 \(best: 0\.\d+\): raise max_drawdown"),
    ],
)
def test_a_constraint_that_nothing_meets_is_named(candles, how, message):
    study = search(SMA, candles, trials=20, progress=False, **{"min_trades": 1, **how})
    assert study.n_trials == 20
    assert np.isnan(study.convergence).all()
    with pytest.raises(InputError, match=message):
        study.best()
    assert study.reason.split(" (")[0] in repr(study)


def test_an_objective_that_is_undefined_everywhere_is_named():
    space = Space(Int("wait", 2, 40, 5), owner="never")
    never = Strategy("never", space, lambda c, p: Signals(long=np.zeros(c.close.shape, bool)), lambda p: 1)
    study = search(
        never, sample_candles()[:500], trials=20, min_trades=0, objective="win_rate", progress=False
    )
    with pytest.raises(InputError, match="win_rate is undefined in every cell"):
        study.best()


def broken(*parameters) -> Strategy:
    return Strategy("odd", Space(*parameters, owner="odd"), lambda c, p: Signals(), lambda p: 1)


@pytest.mark.parametrize(
    ("strategy", "how", "message"),
    [
        (broken(), {}, "has no parameters, so there is nothing to search"),
        (broken(Float("x", -np.inf, np.inf, 0.0)), {}, "`x` of odd has no finite bounds"),
        (SMA, {"sampler": "tpe", "trials": 10}, "the first 10 trials of tpe only prepare it"),
        (SMA, {"sampler": "evolution"}, "the first 24 trials of evolution only prepare it"),
        (SMA, {"sampler": "gp", "objective": ["sharpe", "calmar"]}, "gp searches for one objective, got 2"),
        (SMA, {"objective": []}, "one metric or several different ones"),
        (SMA, {"objective": ["sharpe", "sharpe"]}, "one metric or several different ones"),
        (SMA, {"objective": {"sharpe": "up"}}, "not a direction"),
        (SMA, {"max_drawdown": 25}, "a fraction of equity in"),
    ],
)
def test_bad_questions_are_answered_with_a_remedy(candles, strategy, how, message):
    with pytest.raises(InputError, match=message):
        search(strategy, candles, **{"trials": 20, "progress": False, **how})


@pytest.mark.parametrize(("name", "package"), [("cmaes", "cmaes"), ("gp", "skopt")])
def test_a_sampler_that_is_not_installed_names_the_line_that_installs_it(monkeypatch, name, package):
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module.split(".")[0] == package:
            raise ImportError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="is not installed: pip install"):
        make_sampler(name, SMA, SMA.space, 0)


def test_names_of_samplers_are_their_keys():
    assert all(make_sampler(name, SMA, SMA.space, 0).name == name for name in SAMPLERS)
    with pytest.raises(UnknownNameError, match="did you mean 'cmaes'"):
        make_sampler("cma-es", SMA, SMA.space, 0)
    with pytest.raises(InputError, match="two cells at least"):
        EvolutionSampler(MIXED, 0, population=6, islands=4)
