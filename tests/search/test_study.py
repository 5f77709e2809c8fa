"""The study: real sweeps on the sample candles, every trial kept, interrupts and bad input."""

from __future__ import annotations

import signal

import numpy as np
import pandas as pd
import pytest

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError, UnknownNameError
from quantlab.market.sample import sample_candles
from quantlab.search.random import RandomSampler
from quantlab.search.run import search
from quantlab.search.sampler import cells_of

SMA = strategies.get("sma_cross")
EXECUTION = Execution(costs=Costs(taker=0.0005, maker=0.0002), direction="long")


@pytest.fixture(scope="module")
def candles():
    return sample_candles()[4000:6000]


@pytest.fixture(scope="module")
def study(candles):
    return search(
        "sma_cross", candles, trials=70, batch=20, seed=2, min_trades=10, execution=EXECUTION, progress=False
    )


def test_a_study_holds_what_it_was_asked_and_every_trial(study, candles):
    assert (study.n_trials, study.ended, study.interrupted) == (70, "budget", False)
    assert (study.sampler, study.seed, study.objective, study.min_trades) == ("random", 2, "sharpe", 10)
    assert (study.strategy, study.execution) == (SMA, EXECUTION)
    assert study.candles.fingerprint == candles.fingerprint
    assert list(study.trials) == [*SMA.space.names, *METRICS]
    assert all(column.shape == (70,) for column in study.trials.values())
    frame = study.to_frame()
    assert list(frame.columns) == list(study.trials)
    assert np.array_equal(frame["sharpe"], study.trials["sharpe"], equal_nan=True)
    assert "Study(sma_cross, random, 70 of 70 trials (budget), best sharpe" in repr(study)
    assert repr(study).endswith("[made without a lab: counted in no ledger]")


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
@pytest.mark.parametrize("name", ["sma_cross", "liquidity_sweep"])
def test_every_trial_equals_the_single_run_of_its_cell(candles, name, sampler):
    study = search(
        name, candles, sampler=sampler, trials=24, batch=12, min_trades=1, execution=EXECUTION, progress=False
    )
    assert study.n_trials == 24
    for i in range(0, 24, 5):
        cell = study.surface.cell((i,))
        assert cell.params == {n: study.trials[n][i] for n in study.strategy.space.names}
        single = run_cell(name, candles, cell.params, EXECUTION).metrics
        np.testing.assert_array_equal([cell.metrics[m] for m in METRICS], [single[m] for m in METRICS])


def test_the_trials_are_those_of_the_sampler_in_its_order(study):
    asked = cells_of(RandomSampler(SMA.space, 2).ask(70))
    assert [study.surface.cells.cell((i,)) for i in range(70)] == asked


def test_the_grid_sampler_finds_what_the_sweep_finds(candles):
    grid = SMA.grid(fast=[5, 10, 20, 40], slow=[8, 30, 60])
    found = search(SMA, candles, sampler=grid, trials=100, batch=5, min_trades=1, progress=False)
    surface = sweep(SMA, candles, grid, progress=False)
    assert (found.sampler, found.ended, found.n_trials) == ("grid", "exhausted", int(grid.allowed.sum()))
    np.testing.assert_array_equal(found.trials["sharpe"], surface["sharpe"][grid.allowed])
    assert found.best().params == surface.best(min_trades=1).params


def test_convergence_is_the_best_so_far_of_cells_that_trade_enough(study):
    values = np.where(study.trials["trades"] >= 10, study.trials["sharpe"], np.nan)
    expected = [np.nanmax(v) if not np.isnan(v := values[: i + 1]).all() else np.nan for i in range(70)]
    np.testing.assert_array_equal(study.convergence, expected)
    assert study.best().metrics["sharpe"] == study.convergence[-1]
    assert study.best("net_profit", 0).metrics["net_profit"] == study.trials["net_profit"].max()


def test_an_objective_of_which_less_is_better_is_minimised(candles):
    study = search(SMA, candles, trials=40, objective="var_95", min_trades=5, progress=False)
    eligible = study.trials["var_95"][study.trials["trades"] >= 5]
    assert study.best().metrics["var_95"] == study.convergence[-1] == eligible.min() < eligible.max()
    assert study.best("sharpe").metrics["sharpe"] == study.trials["sharpe"][study.trials["trades"] >= 5].max()


class Listening:
    """A sampler that writes down what it is told."""

    name, batch = "listening", 8

    def __init__(self, space, seed):
        self.inner, self.told = RandomSampler(space, seed), []

    def ask(self, n):
        return self.inner.ask(n)

    def tell(self, cells, values):
        self.told.append((cells_of(cells), values))


def test_a_sampler_is_told_scores_to_maximise_and_nan_for_too_few_trades(candles):
    made: list[Listening] = []

    def factory(space, seed):
        made.append(Listening(space, seed))
        return made[-1]

    study = search(
        SMA, candles, sampler=factory, trials=20, objective="cvar_95", min_trades=25, progress=False
    )
    assert [len(cells) for cells, _ in made[0].told] == [8, 8, 4]
    told = np.concatenate([values for _, values in made[0].told])
    np.testing.assert_array_equal(
        told, np.where(study.trials["trades"] >= 25, -study.trials["cvar_95"], np.nan)
    )
    assert np.isnan(told).any()
    assert not np.isnan(told).all()


def test_every_batch_is_one_sweep_call_and_reported_as_a_frame(candles, monkeypatch):
    sizes: list[int] = []

    def counting(strategy, market, cells, *args, **kwargs):
        sizes.append(cells.size)
        return sweep(strategy, market, cells, *args, **kwargs)

    monkeypatch.setattr("quantlab.search.loop.sweep", counting)
    frames: list[pd.DataFrame] = []
    study = search(SMA, candles, trials=25, batch=10, progress=False, on_batch=frames.append)
    assert sizes == [len(frame) for frame in frames] == [10, 10, 5]
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), study.to_frame())


def test_the_same_search_has_the_same_key_and_another_has_not(study, candles):
    same = study.again(candles)
    assert same.key == study.key
    np.testing.assert_array_equal(same.trials["sharpe"], study.trials["sharpe"])
    other = [study.again(candles, seed=3), study.again(candles[:1900])]
    asked = {
        "trials": 70,
        "batch": 20,
        "seed": 2,
        "min_trades": 10,
        "execution": EXECUTION,
        "progress": False,
    }
    other += [
        search(SMA, candles, **{**asked, **change}) for change in ({"min_trades": 9}, {"objective": "calmar"})
    ]
    other += [search(SMA, candles, **asked, bounds={"fast": (2, 100)})]
    assert len({study.key, *(s.key for s in other)}) == 6


def test_the_whole_search_can_be_run_again_on_a_part_of_the_candles(candles):
    tpe = search(
        SMA, candles, sampler="tpe", trials=30, batch=15, min_trades=3, bounds={"slow": 90}, progress=False
    )
    past = tpe.again(candles[:1000])
    assert (past.candles.bars, past.sampler, past.n_trials) == (1000, "tpe", 30)
    assert set(past.trials["slow"].tolist()) == {90}
    startup = slice(0, 15)  # drawn before anything was learned
    np.testing.assert_array_equal(past.trials["fast"][startup], tpe.trials["fast"][startup])


def test_ctrl_c_keeps_the_finished_batches(candles):
    frames: list[pd.DataFrame] = []

    def interrupt(frame):
        frames.append(frame)
        if len(frames) == 2:
            signal.raise_signal(signal.SIGINT)

    study = search(SMA, candles, trials=50, batch=10, progress=False, on_batch=interrupt)
    assert study.interrupted
    assert (study.n_trials, study.ended) == (20, "interrupted")
    assert "20 of 50 trials (interrupted)" in repr(study)
    whole = search(SMA, candles, trials=20, batch=10, progress=False)
    np.testing.assert_array_equal(study.trials["sharpe"], whole.trials["sharpe"])


def test_ctrl_c_after_the_last_batch_interrupts_nothing(candles):
    study = search(
        SMA, candles, trials=5, progress=False, on_batch=lambda _: signal.raise_signal(signal.SIGINT)
    )
    assert (study.n_trials, study.ended) == (5, "budget")


def test_a_progress_bar_counts_trials(candles, capfd):
    search(SMA, candles, trials=5, batch=3)
    assert "sma_cross random" in capfd.readouterr().err


def test_ctrl_c_before_the_first_batch_is_raised(candles):
    class Interrupted(Listening):
        def ask(self, n):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search(SMA, candles, sampler=Interrupted, trials=5, progress=False)


def test_an_error_says_how_far_the_search_had_come(candles):
    frames: list[pd.DataFrame] = []

    def full(frame):
        frames.append(frame)
        if len(frames) == 2:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full") as caught:
        search(SMA, candles, trials=30, batch=10, progress=False, on_batch=full)
    assert "while searching sma_cross random after 20 of 30 trials" in caught.value.__notes__[0]


def test_a_search_in_which_no_cell_trades_enough_is_a_result(candles):
    study = search(SMA, candles, sampler="tpe", trials=30, batch=15, min_trades=10_000, progress=False)
    assert study.n_trials == 30
    assert np.isnan(study.convergence).all()
    assert "no sharpe yet" in repr(study)
    with pytest.raises(InputError, match="lower min_trades"):
        study.best()


class Repeating(Listening):
    def ask(self, n):
        return [{"fast": 10, "slow": 20}]


class Forbidden(Listening):
    def ask(self, n):
        return [{"fast": 30, "slow": 20}]


class Greedy(Listening):
    def ask(self, n):
        return self.inner.ask(n + 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"objective": "sharp"}, "did you mean 'sharpe'"),
        ({"objective": "turnover"}, "neither more nor less"),
        ({"trials": 0}, "`trials` must be a whole number of at least 1, got 0"),
        ({"trials": 10.0}, "`trials` must be a whole number"),
        ({"batch": 0}, "`batch`"),
        ({"seed": -1}, "`seed`"),
        ({"min_trades": -1}, "`min_trades`"),
        ({"bounds": {"fasst": 3}}, "did you mean 'fast'"),
        ({"bounds": {"fast": (100, 120), "slow": (50, 90)}}, "no cell of sma_cross within the bounds"),
        ({"sampler": SMA.grid(), "bounds": {"fast": 5}}, "a grid has its own values"),
        ({"sampler": Repeating}, "a trial counts once"),
        ({"sampler": Forbidden}, "breaks"),
        ({"sampler": Greedy}, "asked for 6 cells and proposed 7"),
    ],
)
def test_bad_input_is_named(candles, wrong, message):
    with pytest.raises(InputError, match=message):
        search(SMA, candles, **{"trials": 6, "progress": False, **wrong})


def test_an_unknown_strategy_gets_a_suggestion(candles):
    with pytest.raises(UnknownNameError, match="did you mean 'sma_cross'"):
        search("sma_cros", candles, trials=5)
