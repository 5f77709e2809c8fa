import math
from dataclasses import replace

import numpy as np
import pytest

from quantlab import strategies
from quantlab.backtest.daily import DAY_MS
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.sweep import sweep
from quantlab.backtest.trades import OPEN
from quantlab.market import synthetic
from quantlab.validation.splits import day_starts, walk_forward
from quantlab.validation.statistics import sharpe
from quantlab.validation.walkforward import WalkForward, at_rate, choose, refit, trade_window

STRATEGY = strategies.get("sma_cross")
HOURS = synthetic.garch(4_000, seed=8)
GRID = STRATEGY.grid(fast=[5, 10, 20], slow=[30, 60, 90])
EXECUTION = Execution()


def search(candles):
    return sweep(STRATEGY, candles, GRID, EXECUTION, progress=False)


def test_choice_is_the_plateau_among_cells_that_trade_enough():
    surface = search(HOURS)
    cell = choose(surface, "sharpe", 10)
    assert cell.index == surface.plateau("sharpe", 10).cell.index
    most = int(np.nanmax(surface["trades"]))
    assert choose(surface, "sharpe", most).metrics["trades"] == most
    assert choose(surface, "sharpe", most + 1) is None


def test_choice_among_points_is_their_plateau():
    points = STRATEGY.space.points([{"fast": f, "slow": 60} for f in (5, 10, 20)])
    surface = sweep(STRATEGY, HOURS, points, EXECUTION, progress=False)
    assert choose(surface, "sharpe", 1).index == surface.plateau("sharpe", 1).cell.index


def test_a_window_is_not_told_the_future():
    window = slice(2_400, 3_000)
    cell = {"fast": 10, "slow": 60}
    seen = trade_window(STRATEGY, HOURS, cell, EXECUTION, window)
    columns = {n: getattr(HOURS, n).copy() for n in ("open", "high", "low", "close")}
    for column in columns.values():
        column[window.stop :] *= 7.0
    other = trade_window(STRATEGY, replace(HOURS, **columns), cell, EXECUTION, window)
    assert np.array_equal(seen.daily, other.daily)
    assert seen.exposure == other.exposure


def test_a_window_enters_inside_and_looks_back_before():
    window = slice(2_400, 3_000)
    cell = {"fast": 10, "slow": 60}
    seen = trade_window(STRATEGY, HOURS, cell, EXECUTION, window)
    assert seen.trades > 0
    assert len(seen.daily) == len(seen.market) == 25
    assert seen.days.tolist() == list(
        range(HOURS.timestamps[2_400] // DAY_MS, HOURS.timestamps[2_999] // DAY_MS + 1)
    )
    run = run_cell(STRATEGY, HOURS[:3_000], cell, EXECUTION, start=2_400)
    assert run.trades["decision_bar"].min() >= 2_400
    assert seen.trades == len(run.trades)
    # Averages over 60 bars are warm at once, so the first cross is the one that the whole run sees too.
    whole = run_cell(STRATEGY, HOURS[:3_000], cell, EXECUTION).trades["decision_bar"]
    assert run.trades["decision_bar"][0] == whole[whole >= 2_400][0]


@pytest.mark.parametrize("direction", ["long", "short"])
def test_what_is_open_at_the_border_is_closed_and_pays(direction):
    execution = Execution(costs=Costs(taker=0.002, slippage_bps=30), direction=direction)
    cell = {"fast": 5, "slow": 30}
    runs = {n: run_cell(STRATEGY, HOURS[:n], cell, execution, start=2_400) for n in range(2_800, 3_000, 24)}
    n, run = next((n, r) for n, r in runs.items() if len(r.trades) and r.trades["reason"][-1] == OPEN)
    seen = trade_window(STRATEGY, HOURS, cell, execution, slice(2_400, n))
    trade, side = run.trades[-1], {"long": 1, "short": -1}[direction]
    leave = HOURS.close[n - 1] * (1 - side * 0.003)
    enter = trade["entry_price"]
    cash = 1 - side * trade["units"] / trade["equity_before"] * enter * (1 + side * 0.002)
    after = trade["equity_before"] * (
        cash + side * trade["units"] / trade["equity_before"] * leave * (1 - side * 0.002)
    )
    assert np.prod(1 + seen.daily) == pytest.approx(after, rel=1e-12)
    assert np.array_equal(seen.daily[:-1], run.daily[-len(seen.daily) : -1])
    assert after < run.equity[-1]


def test_flat_window_has_the_market_and_nothing_else():
    window = slice(2_400, 3_000)
    flat = trade_window(STRATEGY, HOURS, None, EXECUTION, window)
    busy = trade_window(STRATEGY, HOURS, {"fast": 5, "slow": 30}, EXECUTION, window)
    assert np.array_equal(flat.market, busy.market)
    assert np.array_equal(flat.days, busy.days)
    assert not flat.daily.any()
    assert flat.exposure == 0.0
    assert flat.trades == 0
    assert math.isnan(flat.timing_t)


def refitted(**options):
    splits = walk_forward(len(HOURS), 4, 0.4, 24, borders=day_starts(HOURS.timestamps))
    seen = []

    def recording(candles):
        seen.append(candles)
        return search(candles)

    options = {"min_trades": 20} | options
    return splits, seen, refit(STRATEGY, HOURS, recording, EXECUTION, splits, **options)


def test_every_fold_searches_its_own_past_and_nothing_else():
    splits, seen, table = refitted()
    assert [len(c) for c in seen] == [s.train.stop for s in splits]
    for candles, split, fold in zip(seen, splits, table.folds, strict=True):
        assert candles == HOURS[: split.train.stop]
        chosen = choose(search(HOURS[split.train]), "sharpe", at_rate(20, split.train.stop, len(HOURS)))
        assert fold.params == chosen.params
        assert fold.in_sample_sharpe == chosen.metrics["sharpe"]
        assert fold.train_last_ms < fold.test_first_ms
        assert fold.test_first_ms == HOURS.timestamps[split.test.start]


def test_stitched_returns_are_the_windows_one_after_the_other():
    splits, _, table = refitted()
    windows = [
        trade_window(STRATEGY, HOURS, fold.params, EXECUTION, split.test)
        for fold, split in zip(table.folds, splits, strict=True)
    ]
    assert table.daily == tuple(np.concatenate([w.daily for w in windows]))
    assert table.days == tuple(range(table.days[0], table.days[-1] + 1))
    earlier = [
        run_cell(STRATEGY, HOURS[: split.test.start], fold.params, EXECUTION).exposure.mean()
        for fold, split in zip(table.folds, splits, strict=True)
    ]
    held = np.concatenate([np.full(len(w.days), e) for w, e in zip(windows, earlier, strict=True)])
    assert table.exposure == pytest.approx(tuple(held), rel=1e-12)
    assert table.trades == sum(w.trades for w in windows)
    assert [f.out_of_sample_sharpe for f in table.folds] == [sharpe(w.daily) for w in windows]
    daily, market = np.array(table.daily), np.array(table.market)
    t = math.sqrt(len(daily)) * (daily - held * market).mean() / daily.std(ddof=1)
    assert table.timing_t == pytest.approx(t, rel=1e-12)


def test_the_future_does_not_reach_an_earlier_fold():
    splits, _, table = refitted()
    columns = {n: getattr(HOURS, n).copy() for n in ("open", "high", "low", "close")}
    for column in columns.values():
        column[splits[1].test.stop :] *= np.linspace(1, 9, len(HOURS) - splits[1].test.stop)
    other = refit(STRATEGY, replace(HOURS, **columns), search, EXECUTION, splits, min_trades=20)
    assert other.folds[:2] == table.folds[:2]
    assert other.folds[3] != table.folds[3]


def test_nothing_to_choose_means_flat():
    _, _, table = refitted(min_trades=100_000)
    assert all(fold.params is None for fold in table.folds)
    assert not any(table.daily)
    assert math.isnan(table.p)
    assert math.isnan(table.efficiency)
    assert math.isnan(table.folds[0].in_sample_sharpe)


def test_a_shorter_history_asks_for_the_same_rate_of_trades():
    assert at_rate(30, 400, 1_000) == 12
    assert at_rate(30, 401, 1_000) == 13
    assert at_rate(30, 1_000, 1_000) == 30


def test_table_round_trip():
    table = refitted()[2]
    assert WalkForward.from_json(table.to_json()) == table
