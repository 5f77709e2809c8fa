import itertools
from dataclasses import replace

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.sweep import sweep
from quantlab.errors import InputError
from quantlab.market import synthetic
from quantlab.market.sample import sample_candles
from quantlab.signals import Signals, Strategy
from quantlab.space import Int, Space
from quantlab.validation.gate import Gate, candidate, validate
from quantlab.validation.sequential import endings
from quantlab.validation.verdict import DECISIVE, REPORTED

CROSS = strategies.get("sma_cross")
GRID = CROSS.grid(fast=[3, 5, 8, 12, 16, 20, 25, 30], slow=[15, 20, 30, 40, 50, 60, 80, 100])
NOISE = synthetic.garch(2_000, timeframe="1d", seed=1)
PLANTED = synthetic.planted_momentum(2_000, seed=1, true_sharpe=3.5)


def judged(candles, grid=GRID, strategy=CROSS, execution=None, **options):
    surface = sweep(strategy, candles, grid, execution or Execution(), progress=False)
    return validate(surface, candles, progress=False, **options)


@pytest.fixture(scope="module")
def yes():
    return judged(PLANTED, trials_ever=1_000)


@pytest.fixture(scope="module")
def no():
    return judged(NOISE)


def test_a_strong_planted_edge_is_approved(yes):
    assert yes.approved, str(yes)
    assert len(yes.reasons) == len(DECISIVE)
    assert yes.evidence["search_rerun"].value == endings(202, 0.05)[1][0]  # the earliest and clearest yes
    assert yes.evidence["superior_ability"].value < 0.05
    assert yes.evidence["walk_forward"].value < 0.05
    plateau = sweep(CROSS, PLANTED, GRID, progress=False).plateau("timing_t")
    assert yes.cell.params == plateau.cell.params
    assert yes.evidence.trials_search == 56  # 64 cells, eight of which break fast < slow
    assert yes.evidence.trials_ever == 1_000


def test_noise_is_refused_with_reasons(no):
    assert not no.approved
    assert {"search_rerun", "superior_ability"} <= {test.name for test in no.evidence.failed}
    assert no.evidence.nulls.p == no.evidence["search_rerun"].value
    assert len(no.reasons) == len(no.evidence.failed)


def test_every_test_is_there_in_order(yes, no):
    for verdict in (yes, no):
        assert [test.name for test in verdict.evidence.tests] == [*DECISIVE, *REPORTED]
        assert len(verdict.evidence.walk_forward.folds) == 6
        assert verdict.evidence["second_engine"].passed


def test_the_same_call_gives_the_same_verdict(no):
    documents = [no.to_json(), judged(NOISE).to_json()]
    for document in documents:
        for test in document["evidence"]["tests"]:
            del test["seconds"]
    assert documents[0] == documents[1]


def test_fills_at_the_close_are_not_judged():
    surface = sweep(CROSS, NOISE, GRID, progress=False)
    optimistic = replace(surface, execution=replace(surface.execution, fill="close"))
    with pytest.raises(InputError, match='fill="close" is for comparison only'):
        validate(optimistic, NOISE, progress=False)


def test_other_candles_are_refused():
    surface = sweep(CROSS, NOISE, GRID, progress=False)
    for other in (NOISE[:-1], synthetic.garch(2_000, timeframe="1d", seed=2)):
        with pytest.raises(InputError, match="load those candles"):
            validate(surface, other, progress=False)


def test_a_part_of_a_search_is_refused():
    surface = sweep(CROSS, NOISE, GRID, progress=False)
    with pytest.raises(InputError, match="judged whole"):
        validate(surface.sel(fast=8), NOISE, progress=False)


def test_points_need_the_search_that_picked_them():
    points = CROSS.space.points([{"fast": 8, "slow": 30}, {"fast": 12, "slow": 50}])
    surface = sweep(CROSS, NOISE, points, progress=False)
    with pytest.raises(InputError, match="`search`"):
        validate(surface, NOISE, progress=False)
    seen = []

    def search(candles):
        seen.append(len(candles))
        return sweep(CROSS, candles, points, progress=False)

    verdict = validate(surface, NOISE, search=search, progress=False)
    assert verdict.cell.params in [points.cell((0,)), points.cell((1,))]
    nulls = sum(len(null.scores) for null in verdict.evidence.nulls.nulls)
    whole = sum(length == len(NOISE) for length in seen)
    assert whole == 1 + nulls  # itself, to see whether it finds the same again, and markets made of it
    assert len(seen) - whole == 7  # never told of the bars that judge it


def test_a_future_seeing_strategy_is_refused_whatever_it_earns():
    def signals(candles, p):
        ahead = np.full((*np.shape(p.window)[:-1], len(candles.close)), np.nan)
        for index in np.ndindex(ahead.shape[:-1]):
            k = int(p.window[(*index, 0)])
            ahead[(*index, slice(None, -k))] = candles.close[k:] / candles.close[:-k] - 1.0
        return Signals(long=ahead > 0, short=ahead < 0, on_opposite="reverse")

    space = Space(Int("window", 1, 20, 2), owner="crystal_ball")
    ball = Strategy("crystal_ball", space, signals, lambda p: 1)
    verdict = judged(NOISE, space.grid(window=[5, 8, 10, 15]), ball)
    assert verdict.evidence["superior_ability"].passed
    assert verdict.evidence["recency"].passed
    assert verdict.evidence.walk_forward.sharpe > 5
    assert not verdict.approved
    # it earns as much on markets that have no edge: what it knows is not theirs
    assert [test.name for test in verdict.evidence.failed] == ["causality", "search_rerun"]


def test_free_trading_is_refused():
    verdict = judged(PLANTED, execution=Execution(costs=Costs(0, 0, 0)))
    assert [test.name for test in verdict.evidence.failed] == ["costs"]


def test_too_few_trades_are_refused_and_shown():
    grid = CROSS.grid(fast=[100, 150], slow=[200, 300])
    verdict = judged(NOISE, grid)
    trades = sweep(CROSS, NOISE, grid, progress=False)["trades"]
    assert not verdict.evidence["trades"].passed
    assert verdict.cell.metrics["trades"] == trades.max()
    assert all(fold.params is None for fold in verdict.evidence.walk_forward.folds)
    assert verdict.evidence["walk_forward"].value is None
    assert "too few trades" in verdict.reasons[0]


def test_no_allowed_cell_is_an_error():
    surface = sweep(CROSS, NOISE, CROSS.grid(fast=[50, 60], slow=[20, 30]), progress=False)
    with pytest.raises(InputError, match="fast < slow"):
        candidate(surface, Gate())


def test_too_short_a_history_is_an_error_before_any_search():
    short = NOISE[:90]
    surface = sweep(CROSS, short, GRID, progress=False)
    calls = itertools.count()
    with pytest.raises(InputError, match="fewer folds"):
        validate(surface, short, search=lambda c: next(calls), progress=False)
    assert next(calls) == 0


def test_settings_reach_the_tests_and_are_recorded(no):
    strict = judged(NOISE, alpha=0.001, folds=3, gate=Gate(recency_p=0.01))
    assert strict.evidence.gate == Gate(alpha=0.001, folds=3, recency_p=0.01)
    assert strict.evidence["search_rerun"].threshold == 0.001
    assert {null.draws for null in strict.evidence.nulls.nulls} == {2_020}
    assert strict.evidence["recency"].threshold == 0.01
    assert len(strict.evidence.walk_forward.folds) == 3
    assert no.evidence.gate == Gate()


def test_an_interrupt_between_searches_gets_through():
    surface = sweep(CROSS, NOISE, GRID, progress=False)
    calls = []

    def search(candles):
        calls.append(len(candles))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sweep(CROSS, candles, GRID, progress=False)

    with pytest.raises(KeyboardInterrupt):
        validate(surface, NOISE, search=search, progress=False)
    assert len(calls) == 3


def test_progress_is_shown_when_asked(capsys):
    surface = sweep(CROSS, NOISE, GRID, progress=False)
    validate(surface, NOISE, folds=2, progress=False)
    assert capsys.readouterr().err == ""
    validate(surface, NOISE, folds=2)
    assert "validate" in capsys.readouterr().err


def test_windows_of_real_hours_begin_with_a_day():
    candles = sample_candles()
    strategy = strategies.get("liquidity_sweep")
    grid = strategy.grid(volume_spike=[2.0, 3.0], stop_atr=[1.0, 2.0], reward_risk=[1.5, 3.0])
    verdict = judged(candles, grid, strategy)
    for fold in verdict.evidence.walk_forward.folds:
        assert fold.test_first_ms % 86_400_000 == 0
        assert fold.test_first_ms - fold.train_last_ms == 25 * 3_600_000  # a day of embargo
    assert verdict.evidence["second_engine"].passed, verdict.evidence["second_engine"].detail
    assert verdict.evidence["causality"].passed
    assert not np.isnan(verdict.evidence.walk_forward.exposure).any()


def test_rolling_windows_keep_their_length():
    verdict = judged(NOISE, gate=replace(Gate(), rolling=True))
    spans = {fold.train_last_ms - fold.train_first_ms for fold in verdict.evidence.walk_forward.folds}
    assert len(spans) == 1
