"""A search handed to Optuna: its figures draw it, and another process reads it from a file."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.search.run import search
from quantlab.search.study import Study
from quantlab.strategies import get


@pytest.fixture(scope="module")
def candles() -> Candles:
    return sample_candles()[5000:6500]


@pytest.fixture(scope="module")
def study(candles: Candles) -> Study:
    return search("sma_cross", candles, trials=80, min_trades=12, seed=2, progress=False)


def test_every_trial_is_there_with_its_metrics(study: Study) -> None:
    made = study.to_optuna()
    assert len(made.trials) == study.n_trials == 80
    failed = np.array([trial.state is TrialState.FAIL for trial in made.trials])
    assert 0 < failed.sum() < 80
    np.testing.assert_array_equal(failed, np.isnan(study.values[:, 0]))
    for i, trial in enumerate(made.trials):
        assert trial.params == {name: study.trials[name][i] for name in ("fast", "slow")}
        assert trial.user_attrs["trades"] == study.trials["trades"][i]
    best = study.best()
    assert made.best_value == best.metrics["sharpe"]
    assert made.best_params == best.params
    assert made.metric_names == ["sharpe"]


def test_an_objective_to_be_lowered_is_minimised(candles: Candles) -> None:
    found = search(
        "sma_cross", candles, trials=30, objective={"turnover": "lower"}, min_trades=3, progress=False
    )
    made = found.to_optuna()
    assert made.direction is optuna.study.StudyDirection.MINIMIZE
    assert made.best_value == found.best().metrics["turnover"] == np.nanmin(found.values)


def test_the_figures_of_optuna_draw_it(study: Study) -> None:
    made, seen = study.to_optuna(), optuna.visualization
    history = seen.plot_optimization_history(made)
    known = study.values[~np.isnan(study.values)]
    np.testing.assert_array_equal(history.data[0].y, known)
    drawn = np.asarray(history.data[1].y, float)
    np.testing.assert_array_equal(drawn, study.convergence[-len(drawn) :])
    for draw in (
        seen.plot_contour,
        seen.plot_edf,
        seen.plot_parallel_coordinate,
        seen.plot_param_importances,
        seen.plot_rank,
        seen.plot_slice,
        seen.plot_timeline,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            assert len(draw(made).data) > 0


def test_a_front_is_drawn(candles: Candles) -> None:
    both = {"sharpe": "higher", "turnover": "lower"}
    found = search("sma_cross", candles, trials=40, objective=both, min_trades=3, progress=False)
    made = found.to_optuna()
    ours = {tuple(row) for row in found.values[found.front]}
    assert {tuple(trial.values) for trial in made.best_trials} == ours
    assert len(optuna.visualization.plot_pareto_front(made).data) > 0


def test_a_trial_on_a_part_of_the_history_was_pruned(candles: Candles) -> None:
    found = search("sma_cross", candles, sampler="halving", trials=63, min_trades=2, progress=False)
    made = found.to_optuna()
    states = [trial.state for trial in made.trials]
    assert states.count(TrialState.PRUNED) == 54
    steps = {step for trial in made.trials for step in trial.intermediate_values}
    assert steps == {17}
    assert len(optuna.visualization.plot_intermediate_values(made).data) > 0


def test_several_markets_are_one_study(candles: Candles) -> None:
    markets = [candles[:900], candles[600:]]
    found = search("sma_cross", markets, trials=20, min_trades=2, progress=False)
    assert found.to_optuna().best_value == found.best().metrics["sharpe"]


@pytest.mark.parametrize("sampler", ["grid", "evolution"])
def test_other_samplers_are_exported_with_their_bounds(candles: Candles, sampler: str) -> None:
    grid = get("sma_cross").space.grid(fast=[5, 20, 60], slow=[30, 50])
    how = {"sampler": grid} if sampler == "grid" else {"sampler": sampler, "bounds": {"fast": (5, 30)}}
    found = search("sma_cross", candles, trials=30, min_trades=1, progress=False, **how)
    made = found.to_optuna()
    assert len(made.trials) == found.n_trials
    assert made.trials[0].distributions["fast"].high == (200 if sampler == "grid" else 30)


def test_a_file_is_read_by_another_process(study: Study, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'searches.db'}"
    made = study.to_optuna(url)
    code = (
        "import optuna, sys; optuna.logging.set_verbosity(optuna.logging.WARNING);"
        "s = optuna.load_study(study_name=sys.argv[2], storage=sys.argv[1]);"
        "print(len(s.trials), s.best_value)"
    )
    command = [sys.executable, "-c", code, url, made.study_name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["80", repr(made.best_value)]
    with pytest.raises(InputError, match="holds a study 'sma_cross random"):
        study.to_optuna(url)
    assert study.to_optuna(url, name="again").study_name == "again"


def test_a_storage_that_does_not_exist_is_named(study: Study) -> None:
    with pytest.raises(InputError, match="cannot open the storage 'nowhere'"):
        study.to_optuna("nowhere")
