from dataclasses import replace

import numpy as np
import pytest

from quantlab.backtest.daily import daily_marks, daily_returns, last_bars
from quantlab.backtest.engine import run_cell
from quantlab.backtest.sweep import sweep
from quantlab.backtest.trades import TARGET, TRADE_DTYPE
from quantlab.configuration.group import group_id
from quantlab.errors import InputError
from quantlab.explore.members import equity_together
from quantlab.explore.report import ReportData, render
from quantlab.explore.section import _close_up, section
from quantlab.market.sample import sample_candles
from quantlab.regimes import REGIMES, detect
from quantlab.strategies import get
from quantlab.validation.ensemble import record, runs_of
from quantlab.validation.gate import Gate, validate

GRIDS = {
    "sma_cross": {"fast": [10, 20, 40], "slow": [60, 100, 160]},
    "liquidity_sweep": {
        "pierce_depth": [0.0005, 0.002],
        "stop_atr": [1.0, 1.5, 2.0],
        "reward_risk": [1.5, 3.0],
    },
}


def judged(name, **changes):
    strategy, candles = get(name), sample_candles()[:6_000]
    surface = sweep(strategy, candles, strategy.space.grid(**GRIDS[name]), progress=False)
    verdict = validate(surface, candles, gate=replace(Gate(folds=2), **changes), progress=False)
    return verdict, surface, candles, run_cell(strategy, candles, verdict.cell.params, surface.execution)


@pytest.fixture(scope="module")
def cross():
    return judged("sma_cross")


def test_shows_what_the_gate_judged(cross):
    verdict, _, candles, run = cross
    made = section(*cross, commands=["quantlab research"], provenance={"configuration": "abc"})
    assert made.approved == verdict.approved
    assert made.reasons == verdict.reasons
    assert [row.name for row in made.evidence] == [test.title for test in verdict.evidence.tests]
    assert made.cell.params == verdict.cell.params
    assert made.cell.metrics["sharpe"] == pytest.approx(run.metrics["sharpe"], rel=1e-9)
    assert len(made.trades) == len(run.trades)
    assert made.provenance["candles"] == candles.fingerprint
    assert made.provenance["configuration"] == "abc"
    np.testing.assert_array_equal(made.curve.equity, run.equity)


def test_luck_and_what_every_test_took_are_shown(cross):
    verdict = cross[0]
    made = section(*cross)
    found = verdict.evidence.nulls
    assert made.luck.real == found.real
    assert list(made.luck.scores) == ["mirrored", "shuffled"]
    for null in found.nulls:
        np.testing.assert_array_equal(made.luck.scores[null.word], null.scores)
    assert [row.seconds for row in made.evidence] == [test.seconds for test in verdict.evidence.tests]
    page = render(ReportData((made,)))
    assert "Luck, and what was found" in page
    assert f"{found.nulls[0].as_good} of {len(found.nulls[0].scores)} mirrored markets" in page
    pictures = 3 + len(made.planes)  # luck, equity and slices, and every plane
    assert page.count("<noscript><svg") == pictures
    assert "Reported, decides nothing" in page
    none = replace(made, luck=None)
    assert "Luck, and what was found" not in render(ReportData((none,)))


def test_a_close_up_marks_both_fills_of_a_trade_closed_in_two_parts():
    candles = sample_candles()[:60]
    trade = np.zeros(1, TRADE_DTYPE)[0]
    trade["side"], trade["reason"], trade["units"] = 1, TARGET, 1.0
    trade["entry_bar"], trade["partial_bar"], trade["exit_bar"] = 20, 25, 30
    trade["entry_price"], trade["exit_price"] = 100.0, 106.0
    trade["partial_price"], trade["partial_units"] = 104.0, 0.5
    made = _close_up("A trade", trade, candles)
    # the mean of 104 and 108 is 106
    assert made.exits == [
        (candles.timestamps[25], 104.0, "partial"),
        (candles.timestamps[30], 108.0, "target"),
    ]
    trade["partial_bar"], trade["partial_price"], trade["partial_units"] = -1, np.nan, 0.0
    assert _close_up("A trade", trade, candles).exits == [(candles.timestamps[30], 106.0, "target")]


def test_the_plane_is_the_surface_and_frames_the_chosen_cell(cross):
    verdict, surface, _, _ = cross
    (plane,) = section(*cross).planes  # two parameters: one plane holds everything
    expected = np.where(surface["trades"] >= 30, surface["timing_t"], np.nan)
    x, y = plane.x_label.split()[0], plane.y_label.split()[0]
    np.testing.assert_array_equal(plane.z, expected.T if (x, y) == ("fast", "slow") else expected)
    assert (verdict.cell.params[x], verdict.cell.params[y], "chosen") in plane.marks


def test_profiles_run_through_the_chosen_cell(cross):
    verdict, surface, _, _ = cross
    for name, values, scores, chosen, _ in section(*cross).cell.profiles:
        assert scores[values.index(chosen)] == surface["timing_t"][verdict.cell.index]
        assert chosen == verdict.cell.params[name]


def test_a_third_parameter_adds_the_plane_through_the_cell():
    judgement = judged("liquidity_sweep", min_trades=5)
    verdict, surface, _, _ = judgement
    best, through = section(*judgement, plane=("stop_atr", "reward_risk")).planes
    assert best.z.shape == through.z.shape == (2, 3)
    assert (through.z <= best.z)[np.isfinite(through.z)].all()
    column = through.x.index(verdict.cell.params["stop_atr"])
    row = through.y.index(verdict.cell.params["reward_risk"])
    if surface["trades"][verdict.cell.index] >= 5:
        assert through.z[row, column] == surface["timing_t"][verdict.cell.index]


def test_a_search_without_enough_trades_is_still_shown():
    judgement = judged("liquidity_sweep", min_trades=5_000)
    made = section(*judgement)
    assert not made.approved
    assert "No cell traded often enough" in made.cell.note
    assert np.isnan(made.planes[0].z).all()
    assert "too few trades" in render(ReportData((made,)))


def test_renders_the_same_bytes_again(cross):
    assert render(ReportData((section(*cross),))) == render(ReportData((section(*cross),)))


def test_refuses_another_run_or_other_candles(cross):
    verdict, surface, candles, run = cross
    with pytest.raises(InputError, match="the candles' fingerprint"):
        section(verdict, surface, candles[:-1], run)
    with pytest.raises(InputError, match="the run's parameters"):
        section(verdict, surface, candles, replace(run, params={"fast": 1}))


def test_the_figures_by_regime_are_shown_and_so_are_planes_of_a_sweep_with_regimes(cross):
    verdict, surface, candles, run = cross
    plain = section(*cross)
    assert plain.regimes.keys() == set(REGIMES)
    known = detect(candles).label[run.closed["decision_bar"]]
    assert [figures["trades"] for figures in plain.regimes.values()] == [
        int((known == place).sum()) for place in range(4)
    ]
    searched = sweep("sma_cross", candles, surface.cells, regimes=detect(candles), progress=False)
    made = section(*cross, searched=searched)
    by = made.planes[len(plain.planes) :]
    assert [plane.title.split(",")[0] for plane in by] == [f"decided in {name}" for name in REGIMES]
    x, y = (plain.planes[0].x_label.split(" ")[0], plain.planes[0].y_label.split(" ")[0])
    np.testing.assert_array_equal(by[2].z, searched.plane("expectancy", x, y, "median", "sideways"))
    page = render(ReportData((made,)))
    assert "By regime" in page
    assert "decided in volatile" in page
    assert verdict.approved == made.approved


@pytest.fixture(scope="module")
def together():
    verdict, surface, candles, run = judged("sma_cross", choice="ensemble", draws=39, alpha=0.2)
    members = runs_of(surface.strategy, candles, verdict.members, surface.execution)
    return verdict, surface, candles, run, members


def test_an_ensemble_is_shown_as_a_whole_and_member_by_member(together):
    verdict, surface, candles, run, members = together
    assert len(members) == 5
    made = section(verdict, surface, candles, run, members=members)
    found = record(members)
    assert made.figures["members"] == 5
    assert made.figures["sharpe"] == found.sharpe != run.metrics["sharpe"]
    assert made.figures["net_profit"] == pytest.approx(made.curve.equity[-1] - 1.0)
    assert f"The 5 best ones trade together and show a Sharpe of {found.sharpe:.2f}" in made.summary
    columns, same = made.members.columns, made.members.same
    for place, cell in enumerate(verdict.members):
        for name, value in cell.params.items():
            assert (same[name] if name in same else columns[f"{name} (bars)"][place]) in (value, str(value))
        assert columns["trades"][place] == f"{members[place].metrics['trades']:,.0f}"
    best = made.planes[0]
    assert {(x, y) for x, y, name in best.marks if name == "member"} == {
        (cell.params["fast"], cell.params["slow"]) for cell in verdict.members
    }
    assert made.cell.params == verdict.members[0].params
    assert "The best of the 5 members" in made.cell.note
    assert len(made.trades) == len(members[0].trades)
    params = [cell.params for cell in verdict.members]
    assert made.provenance["group"] == group_id(surface.key, params)


@pytest.mark.parametrize("small", [False, True])
def test_a_page_says_what_is_of_all_members_and_what_is_of_the_best(together, cross, small):
    verdict, surface, candles, run, members = together
    made = section(verdict, surface, candles, run, members=members)
    page = render(ReportData((made,)), small)
    shown = page[page.index("<article") :]
    for words in (
        "<h3>5 members, traded together</h3>",
        "All 5 members together. Each member gets the same share",
        "<h3>Best member</h3>",
        f"All {len(members[0].trades):,} trades of the best member",
        "Fills of the best member",
        "The chosen cell of which they speak is the best member.",
    ):
        assert words in shown
    assert "hosen cell" not in shown[shown.index("<h3>5 members") :]
    alone = render(ReportData((section(*cross),)), small)
    assert "<h3>Chosen cell</h3>" in alone
    assert "member" not in alone[alone.index("<h3>Chosen cell") :]


def test_equity_together_is_that_of_capital_split_anew_each_day(together):
    *_, candles, _, members = together
    equity = equity_together(members, candles.timestamps)
    day, slow = None, []
    for t, moment in enumerate(candles.timestamps):
        if moment // 86_400_000 != day:
            day, total = moment // 86_400_000, slow[-1] if slow else 1.0
            begun = [run.equity[t - 1] if t else 1.0 for run in members]
        share = total / len(members)
        slow.append(sum(share * run.equity[t] / before for run, before in zip(members, begun, strict=True)))
    np.testing.assert_allclose(equity, slow, rtol=1e-12)
    daily = np.mean([run.daily for run in members], axis=0)
    np.testing.assert_allclose(equity[last_bars(candles.timestamps)], np.cumprod(1.0 + daily), rtol=1e-12)
    np.testing.assert_allclose(
        equity_together(members[:1], candles.timestamps), members[0].equity, rtol=1e-12
    )


def test_a_ruined_member_stays_where_it_is(together):
    *_, candles, _, members = together
    lost = np.where(np.arange(len(candles)) < 100, 1.0, -0.2)
    daily = daily_returns(daily_marks(lost, candles.timestamps))
    broke = replace(members[0], equity=lost, daily=daily)
    equity = equity_together([members[1], broke], candles.timestamps)
    assert np.isfinite(equity).all()
    both = np.mean([members[1].daily, daily], axis=0)
    np.testing.assert_allclose(equity[last_bars(candles.timestamps)], np.cumprod(1.0 + both), rtol=1e-12)


def test_members_that_were_not_judged_are_refused(together, cross):
    verdict, surface, candles, run, members = together
    with pytest.raises(InputError, match="the members' parameters must be"):
        section(verdict, surface, candles, run)
    with pytest.raises(InputError, match="the members' parameters must be"):
        section(verdict, surface, candles, run, members=members[::-1])
    with pytest.raises(InputError, match="the members' parameters must be"):
        section(*cross, members=members)
