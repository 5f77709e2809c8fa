"""The contract that every sampler passes, and what each of them promises besides."""

from __future__ import annotations

import logging
import logging.handlers
import subprocess
import sys

import numpy as np
import pytest

from quantlab.errors import InputError, UnknownNameError
from quantlab.search.choose import SAMPLERS, make_sampler, narrow
from quantlab.search.grid import GridSampler
from quantlab.search.random import RandomSampler
from quantlab.search.sampler import cells_of
from quantlab.search.surrogate import normal_scores
from quantlab.search.tpe import TPESampler
from quantlab.signals import Signals, Strategy
from quantlab.space import Choice, Float, Grid, Int, Space

SPACE = Space(
    Int("fast", 2, 60, 10),
    Int("slow", 5, 90, 30),
    Float("depth", 0.001, 0.009, 0.002),
    Choice("mean", ("simple", "exponential", "median"), "simple"),
    Float("stop", 0.5, 3.0, 1.0, "ATR", role="exit"),
    constraints=("fast < slow",),
    owner="toy",
)
SMALL = Space(Int("fast", 2, 6, 3), Int("slow", 3, 8, 5), constraints=("fast < slow",), owner="small")
SMALL_CELLS = {(f, s) for f in range(2, 7) for s in range(3, 9) if f < s}
REFERENCE = {
    "fast": list(range(2, 60, 6)),
    "slow": list(range(5, 90, 7)),
    "mean": ["simple", "median"],
    "stop": [0.5, 1.0],
    "depth": 0.004,
}

ALL = ["grid", *sorted(SAMPLERS)]


def strategy_of(space: Space, reference: dict) -> Strategy:
    return Strategy(space.owner, space, lambda candles, p: Signals(), lambda p: 1, reference)


TOY = strategy_of(SPACE, REFERENCE)


def value(cell: dict) -> float:
    """Best near fast 20, slow 50, depth 0.004; undefined below a depth of 0.002."""
    if cell["depth"] < 0.002:
        return float("nan")
    bonus = {"simple": 0.0, "exponential": 0.5, "median": -0.5}[cell["mean"]]
    return (
        bonus
        - ((cell["fast"] - 20) / 30) ** 2
        - ((cell["slow"] - 50) / 40) ** 2
        - abs(cell["depth"] - 0.004) * 100
    )


def run(sampler, batches: list[int]) -> list[dict]:
    """The cells of so many batches; a sampler may need several askings for one."""
    cells: list[dict] = []
    for n in batches:
        wanted = len(cells) + n
        while len(cells) < wanted and (found := one(sampler, wanted - len(cells), value)):
            cells += found
    return cells


def one(sampler, n: int, worth) -> list[dict]:
    """The cells of one batch, each history of halving apart."""
    asked = sampler.ask(n)
    found = cells_of(asked)
    if not found:
        return []
    scores = np.array([worth(cell) for cell in found])
    if isinstance(asked, Grid):
        scores, told = np.full(asked.size, np.nan), scores
        scores[np.ravel(asked.allowed)] = told
    sampler.tell(asked, scores)
    share = getattr(sampler, "history", 1.0)
    return found if share == 1.0 else [cell | {"history": share} for cell in found]


def plain(cell: dict) -> dict:
    return {name: value for name, value in cell.items() if name != "history"}


@pytest.fixture(scope="module", params=ALL)
def named(request) -> tuple[str, list[dict]]:
    return request.param, run(make_sampler(request.param, TOY, SPACE, seed=3), [20, 1, 39, 30])


def test_asked_cells_are_as_many_as_wanted_and_name_every_parameter(named):
    _, cells = named
    cells = [plain(cell) for cell in cells]
    assert len(cells) == 90
    assert all(set(cell) == set(SPACE.names) for cell in cells)
    kinds = {"fast": int, "slow": int, "depth": float, "mean": str, "stop": float}
    assert all(type(cell[name]) is kind for cell in cells for name, kind in kinds.items())


def test_cells_lie_in_the_bounds_and_satisfy_the_constraints(named):
    _, cells = named
    points = SPACE.points([plain(cell) for cell in cells])  # refuses a value outside its bounds
    assert points.allowed.all()


def test_no_cell_comes_twice(named):
    _, cells = named
    assert len({tuple(cell.items()) for cell in cells}) == len(cells)


def test_the_seed_decides(named):
    name, cells = named
    assert run(make_sampler(name, TOY, SPACE, seed=3), [20, 1, 39, 30]) == cells
    if name != "grid":
        assert run(make_sampler(name, TOY, SPACE, seed=4), [20]) != cells[:20]


@pytest.mark.parametrize("name", ALL)
def test_nothing_but_undefined_values_can_be_told(name):
    sampler = make_sampler(name, TOY, SPACE, seed=0)
    cells = []
    while len(cells) < 45:
        found = one(sampler, 45 - len(cells), lambda cell: float("nan"))
        assert found
        cells += found
    assert len(cells) == 45


@pytest.mark.parametrize("name", ALL)
def test_a_small_space_is_exhausted_cell_by_cell(name):
    small = strategy_of(SMALL, {"fast": [2, 3, 4, 5, 6], "slow": [3, 4, 5, 6, 7, 8]})
    sampler = make_sampler(name, small, SMALL, seed=0)
    found: list[tuple] = []
    while cells := one(sampler, 7, lambda cell: float(cell["slow"])):
        found += [(cell["fast"], cell["slow"], cell.get("history", 1.0)) for cell in cells]
    assert len(set(found)) == len(found)
    drawn = [cell[:2] for cell in found if cell[2] == min(share for *_, share in found)]
    assert len(drawn) == len(SMALL_CELLS)
    assert set(drawn) == SMALL_CELLS
    assert not sampler.ask(7)


@pytest.mark.parametrize("name", ALL)
def test_a_narrowed_space_is_respected(name):
    part = narrow(SPACE, {"fast": (14, 30), "mean": ["median", "simple"], "stop": 1.0})
    cells = run(make_sampler(name, TOY, part, seed=1), [20, 20])
    assert len(cells) == 40
    assert all(
        14 <= cell["fast"] <= 30 and cell["mean"] != "exponential" and cell["stop"] == 1.0 for cell in cells
    )
    assert {cell["mean"] for cell in cells} == {"median", "simple"}


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_space_in_which_nothing_is_allowed_brings_no_cell(name):
    never = Space(Int("fast", 10, 20, 10), Int("slow", 5, 9, 5), constraints=("fast < slow",), owner="toy")
    assert not SAMPLERS[name](never, 0).ask(5)


def test_an_unknown_sampler_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'random'"):
        make_sampler("randon", TOY, SPACE, 0)


@pytest.mark.parametrize("wrong", [3, lambda space, seed: None, lambda space, seed: "tpe"])
def test_what_makes_no_sampler_is_refused(wrong):
    with pytest.raises(InputError, match="that makes one, got"):
        make_sampler(wrong, TOY, SPACE, 0)


def test_random_cells_do_not_depend_on_the_size_of_the_batches():
    assert run(RandomSampler(SPACE, 5), [60]) == run(RandomSampler(SPACE, 5), [7, 1, 52])


def test_random_draws_are_uniform():
    cells = RandomSampler(Space(Int("n", 1, 4, 1), Float("x", -1.0, 3.0, 0.0), owner="u"), 0).ask(8000)
    counts = np.bincount(cells.columns["n"], minlength=5)[1:]
    assert np.abs(counts / 8000 - 0.25).max() < 0.02
    assert np.abs(np.quantile(cells.columns["x"], [0.25, 0.5, 0.75]) - [0, 1, 2]).max() < 0.1


def test_the_grid_comes_in_its_order_without_forbidden_cells():
    grid = SMALL.grid(fast=[6, 2, 4], slow=[8, 3, 5])
    sampler = GridSampler(grid)
    expected = [grid.cell(i) for i in np.ndindex(grid.shape) if grid.allowed[i]]
    found = [cells_of(sampler.ask(n)) for n in (2, 100, 100, 100, 100)]
    assert [cell for block in found for cell in block] == expected
    assert [len(block) for block in found] == [1, 5, 0, 0, 0]


def test_a_grid_larger_than_memory_can_be_begun():
    axes = [Int(f"p{i}", 1, 1000, 1) for i in range(6)]
    grid = Space(*axes, owner="huge").grid(**{p.name: np.arange(1, 1001) for p in axes})
    assert grid.size == 10**18
    assert [cell["p5"] for cell in cells_of(GridSampler(grid).ask(3))] == [1, 2, 3]
    assert [GridSampler(grid).ask(n).size for n in (999, 2_500, 10**6)] == [999, 2_000, 10**6]


def test_the_reference_grid_takes_fixed_values_from_the_bounds_and_refuses_empty_ones():
    fixed = make_sampler("grid", TOY, narrow(SPACE, {"depth": 0.007, "stop": 0.75}), 0).ask(5)
    assert {(cell["depth"], cell["stop"]) for cell in cells_of(fixed)} == {(0.007, 0.75)}
    with pytest.raises(InputError, match="no `stop` within the bounds"):
        make_sampler("grid", TOY, narrow(SPACE, {"stop": (2.0, 3.0)}), 0)


def test_bounds_must_lie_in_the_space():
    with pytest.raises(UnknownNameError, match="did you mean 'fast'"):
        narrow(SPACE, {"fasst": (2, 3)})
    with pytest.raises(InputError, match=r"must be in \[2, 60\]"):
        narrow(SPACE, {"fast": (1, 20)})
    with pytest.raises(InputError, match="low <= high"):
        narrow(SPACE, {"fast": (20, 10)})
    with pytest.raises(InputError, match=r"\(low, high\) or one value"):
        narrow(SPACE, {"fast": (2, 10, 20)})
    with pytest.raises(UnknownNameError, match="did you mean 'median'"):
        narrow(SPACE, {"mean": ["medan"]})


def branin(x: float, y: float) -> float:
    """Minimum 0.397887 at three points. Source: Surjanovic, Bingham, sfu.ca/~ssurjano/branin.html."""
    b, c, t = 5.1 / (4 * np.pi**2), 5 / np.pi, 1 / (8 * np.pi)
    return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * np.cos(x) + 10


def best_of_branin(factory, seed: int, batch: int) -> float:
    space = Space(Float("x", -5.0, 10.0, 0.0), Float("y", 0.0, 15.0, 0.0), owner="branin")
    sampler, best = factory(space, seed), np.inf
    for _ in range(80 // batch):
        cells = sampler.ask(batch)
        values = np.array([branin(**cell) for cell in cells_of(cells)])
        sampler.tell(cells, -values)
        best = min(best, values.min())
    return best


def test_branin_has_its_published_minimum():
    for x, y in ((-np.pi, 12.275), (np.pi, 2.275), (9.42478, 2.475)):
        assert branin(x, y) == pytest.approx(0.397887, abs=1e-5)


def test_tpe_beats_random_on_branin():
    tpe = np.array([best_of_branin(TPESampler, seed, batch=8) for seed in range(10)])
    drawn = np.array([best_of_branin(RandomSampler, seed, batch=8) for seed in range(10)])
    assert np.median(tpe) < np.median(drawn)
    assert np.median(tpe) < 0.6
    assert np.mean(tpe < drawn) >= 0.7


def test_tpe_keeps_away_from_where_values_are_undefined():
    drawn = run(RandomSampler(SPACE, 0), [120])
    learned = run(TPESampler(SPACE, 0), [20] * 6)[40:]
    assert np.mean([np.isnan(value(cell)) for cell in learned]) < np.mean(
        [np.isnan(value(cell)) for cell in drawn]
    )


def test_tpe_remembers_the_best_and_takes_no_undefined_cell_for_good():
    sampler = TPESampler(SPACE, 0)
    cells = sampler.ask(600)
    values = np.full(600, np.nan)
    values[3], values[5:17] = 9.0, np.arange(12)
    sampler.tell(cells, values)
    kept = sampler._kept()
    assert {3, *range(5, 17)} <= set(kept)
    assert np.ceil(0.1 * len(kept)) <= 13
    assert 599 in kept


def test_optuna_is_quiet_and_its_logger_left_alone():
    import optuna

    logger, heard = logging.getLogger("optuna"), logging.handlers.BufferingHandler(1000)
    logger.addHandler(heard)
    before = (logger.level, optuna.logging.get_verbosity(), logger.propagate)
    run(TPESampler(SPACE, 0), [20, 5])
    assert (logger.level, optuna.logging.get_verbosity(), logger.propagate) == before
    assert heard.buffer == []
    optuna.create_study()  # what the user does is announced as before
    assert len(heard.buffer) == 1
    logger.removeHandler(heard)


def test_optuna_is_imported_only_when_it_is_needed():
    heavy = "{'optuna', 'skopt', 'sklearn', 'cmaes', 'plotly', 'vectorbt'}"
    code = f"import sys, quantlab.search.run; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["rf", "et"])
def test_a_forest_predicts_as_scikit_optimize_says(name):
    sampler = SAMPLERS[name](SPACE, 0)
    cells = sampler.ask(40)
    sampler.tell(cells, np.array([value(cell) for cell in cells_of(cells)]))
    model = sampler._fitted(np.random.default_rng(0))
    features = np.random.default_rng(1).random((500, model.n_features_in_))
    mean, deviation = sampler._predicted(model, features)
    expected = model.predict(features, return_std=True)
    assert np.allclose(mean, expected[0], atol=1e-12)
    assert np.allclose(deviation, expected[1], atol=1e-7)
    assert deviation.std() > 0.01


def test_normal_scores_know_the_order_alone():
    from scipy.stats import norm

    values = np.array([3.0, -1e9, 3.0, 7.0, 0.0])
    expected = norm.ppf([0.6, 0.1, 0.6, 0.9, 0.3])
    assert np.allclose(normal_scores(values), expected)
    assert np.array_equal(normal_scores(values), normal_scores(np.cbrt(values)))


@pytest.mark.parametrize("name", ["gp", "rf", "et"])
def test_models_beat_random_on_branin(name):
    learned = np.array([best_of_branin(SAMPLERS[name], seed, batch=10) for seed in range(5)])
    drawn = np.array([best_of_branin(RandomSampler, seed, batch=10) for seed in range(5)])
    assert np.mean(learned < drawn) >= 0.8
    assert np.median(learned) < 0.6
