"""Ensembles: which cells, and what they earn together, against a slow and plain count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Surface, identity
from quantlab.backtest.sweep import sweep
from quantlab.market import synthetic
from quantlab.validation.ensemble import choose_ensemble, record, runs_of
from quantlab.validation.walkforward import trade_together, trade_window

CROSS = strategies.get("sma_cross")
MARKET = synthetic.planted_momentum(1_200, seed=4, true_sharpe=2.0)
RULES = Execution()


@pytest.fixture(scope="module")
def surface() -> Surface:
    grid = CROSS.grid(fast=list(range(3, 43, 2)), slow=list(range(20, 160, 4)))
    return sweep(CROSS, MARKET, grid, RULES, progress=False)


def made_up(values: list[float], trades: list[int]) -> Surface:
    grid = CROSS.grid(fast=list(range(2, 2 + len(values))), slow=[190])
    metrics = {"timing_t": np.array(values)[:, None], "trades": np.array(trades, float)[:, None]}
    metrics |= {"fees_paid": -metrics["timing_t"]}
    return Surface(CROSS, grid, metrics, RULES, identity(MARKET), "k")


def test_members_are_the_best_of_the_eligible_cells(surface: Surface) -> None:
    members = choose_ensemble(surface, "timing_t", 5)
    eligible = [t for t in surface.eligible("timing_t", 5).ravel() if not np.isnan(t)]
    assert len(members) == int(np.ceil(len(eligible) / 100)) > 5  # 700 cells, most of them trade that often
    found = [member.metrics["timing_t"] for member in members]
    assert found == sorted(eligible, reverse=True)[: len(members)]
    assert all(member.metrics["trades"] >= 5 for member in members)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([np.nan, 0.0, 1.0, 2.5]) | st.floats(-5, 5), st.integers(0, 60)),
        min_size=1,
        max_size=60,
    )
)
def test_no_better_cell_is_left_out(cells: list[tuple[float, int]]) -> None:
    values, trades = [v for v, _ in cells], [n for _, n in cells]
    members = choose_ensemble(made_up(values, trades), "timing_t", 30)
    able = [i for i, (v, n) in enumerate(cells) if n >= 30 and not np.isnan(v)]
    if len(able) < 5:
        assert members == ()
        return
    slow = sorted(able, key=lambda i: (-values[i], i))[:5]
    assert [member.index[0] for member in members] == slow
    reverse = choose_ensemble(made_up(values, trades), "fees_paid", 30)  # of which less is better
    assert [member.index[0] for member in reverse] == slow


def test_never_more_than_twenty() -> None:
    many = np.arange(100.0)
    big = made_up(many.tolist(), [50] * 100)
    wide = {name: np.repeat(values, 60, axis=1) for name, values in big.metrics.items()}
    grid = CROSS.grid(fast=list(range(2, 102)), slow=list(range(141, 201)))
    surface = Surface(CROSS, grid, wide, RULES, identity(MARKET), "k")
    members = choose_ensemble(surface)
    assert len(members) == 20
    assert [member.index for member in members] == [(99, i) for i in range(20)]


def test_the_record_is_that_of_the_mean_of_daily_returns(surface: Surface) -> None:
    members = choose_ensemble(surface, min_trades=20)
    runs = runs_of(CROSS, MARKET, members, RULES)
    found = record(runs)
    daily = [sum(run.daily[d] for run in runs) / len(runs) for d in range(len(runs[0].daily))]
    assert found.sharpe == pytest.approx(np.mean(daily) / np.std(daily) * np.sqrt(365), rel=1e-2)
    peak = equity = 1.0
    deepest = 0.0
    for one in daily:
        equity *= 1 + one
        peak = max(peak, equity)
        deepest = max(deepest, 1 - equity / peak)
    assert found.drawdown == pytest.approx(deepest)
    single = record(runs[:1])
    assert single.sharpe == pytest.approx(runs[0].metrics["sharpe"])
    assert single.timing_t == pytest.approx(runs[0].metrics["timing_t"])
    assert f"timing t {found.timing_t:.2f}" in str(found)


def test_equal_members_are_one(surface: Surface) -> None:
    best = choose_ensemble(surface, min_trades=20)[0]
    run = run_cell(CROSS, MARKET, dict(best.params), RULES)
    one, seven = record([run]), record([run] * 7)
    for name in ("sharpe", "timing_t", "drawdown"):
        assert getattr(seven, name) == pytest.approx(getattr(one, name), rel=1e-9)


def test_a_window_is_the_mean_of_its_members_windows(surface: Surface) -> None:
    params = [member.params for member in choose_ensemble(surface, min_trades=20)]
    window = slice(800, 1_100)
    found = trade_together(CROSS, MARKET, params, RULES, window)
    own = [trade_window(CROSS, MARKET, one, RULES, window) for one in params]
    np.testing.assert_allclose(found.daily, sum(one.daily for one in own) / len(own), rtol=1e-12, atol=1e-15)
    assert found.exposure == pytest.approx(np.mean([one.exposure for one in own]))
    assert found.trades == sum(one.trades for one in own)
    alone = trade_together(CROSS, MARKET, params[:1], RULES, window)
    assert alone.timing_t == own[0].timing_t
    flat = trade_together(CROSS, MARKET, [], RULES, window)
    assert flat.trades == 0
    assert not flat.daily.any()
