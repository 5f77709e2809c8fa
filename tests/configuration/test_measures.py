import dataclasses
import math

import configuration_samples as samples
import numpy as np
import pytest

from quantlab.configuration import live_contract, sections, statistics
from quantlab.configuration.agreement import compare
from quantlab.errors import IntegrityError


def test_kelly():
    # even odds won 60 % of the time: f = 0.6 - 0.4 / 1
    assert statistics.kelly_fraction(np.array([0.1, 0.1, 0.1, -0.1, -0.1])) == pytest.approx(0.2)
    assert math.isnan(statistics.kelly_fraction(np.array([0.1])))
    assert math.isnan(statistics.kelly_fraction(np.array([])))


def test_recent_sharpe():
    daily = np.r_[np.full(100, 9.0), np.tile([0.02, -0.01], 15)]
    expected = 0.005 / np.std(daily[-30:], ddof=1) * math.sqrt(365)
    assert statistics.recent_sharpe(daily, 365.0) == pytest.approx(expected)
    assert math.isnan(statistics.recent_sharpe(np.zeros(30), 365.0))
    assert math.isnan(statistics.recent_sharpe(daily[-29:], 365.0))


def test_trade_clustering_and_days():
    run, candles = samples.runs()["neutral"], samples.market()
    trades, wins = live_contract.trades_by_day(run, candles)
    assert trades.sum() == run.metrics["trades"]
    assert wins.sum() == round(run.metrics["trades"] * run.metrics["win_rate"])
    weekly = [trades[i : i + 7].sum() for i in range(0, len(trades) - 6, 7)]
    assert statistics.trade_clustering(run, candles) == pytest.approx(
        np.var(weekly, ddof=1) / np.mean(weekly)
    )


def test_stability():
    assert statistics.stability(np.array([1.0, -1.0, math.nan, 2.0])) == 0.5
    assert math.isnan(statistics.stability(np.array([])))


def test_bands_are_seeded_ordered_and_bracket_the_record():
    run, candles = samples.runs()["neutral"], samples.market()
    bands = live_contract.bands(run, candles)
    assert bands == live_contract.bands(run, candles)
    for band in bands.values():
        assert band["p05"] <= band["p50"] <= band["p95"]
    weeks = len(run.days) / 7
    assert bands["trades_per_week"]["p05"] < run.metrics["trades"] / weeks < bands["trades_per_week"]["p95"]
    assert bands["win_rate"]["p05"] < run.metrics["win_rate"] < bands["win_rate"]["p95"]
    assert -1.0 < bands["max_drawdown"]["p05"] < bands["max_drawdown"]["p95"] <= 0.0
    quarters = run.daily[: len(run.daily) // 90 * 90].reshape(-1, 90)
    returns = np.prod(1 + quarters, axis=1) - 1
    assert bands["return"]["p05"] < np.median(returns) < bands["return"]["p95"]


def test_bands_of_a_constant_record_are_exact():
    run, candles = samples.runs()["neutral"], samples.market()
    steady = dataclasses.replace(run, daily=np.full(len(run.daily), -0.001))
    bands = live_contract.bands(steady, candles)
    assert bands["max_drawdown"]["p05"] == pytest.approx(0.999**90 - 1)
    assert bands["return"]["p95"] == pytest.approx(0.999**90 - 1)


def test_too_short_a_record_has_no_bands():
    run, candles = samples.runs()["neutral"], samples.market()
    short = dataclasses.replace(run, daily=run.daily[:29], days=run.days[:29], trades=run.trades[:0])
    assert set(live_contract.bands(short, candles).values()) == {None}
    assert sections.live(live_contract.bands(short, candles))["demote"]["max_drawdown_below"] is None


def test_two_engines_agree_or_the_difference_is_named():
    run = samples.runs()["neutral"]
    same = compare(run, run)
    assert (same["agreed"], same["max_difference"], same["trades"]) == (True, 0.0, len(run.trades))
    for field, factor, add in (
        ("exit_bar", 1.0, 1),
        ("entry_price", 1.0 + 1e-8, 0.0),
        ("units", 1.0 + 1e-8, 0.0),
        ("fees", 1.0, 1e-8),
        ("profit", 1.0, math.nan),
    ):
        trades = run.trades.copy()
        trades[field][3] = trades[field][3] * factor + add
        other = compare(run, dataclasses.replace(run, trades=trades))
        assert other["agreed"] is False
        assert f"{field} of trade 3" in other["first_difference"]
    equity = run.equity.copy()
    equity[100] += 1e-8
    assert "equity of bar 100" in compare(run, dataclasses.replace(run, equity=equity))["first_difference"]
    fewer = compare(run, dataclasses.replace(run, trades=run.trades[:-1]))
    assert f"{len(run.trades)} trades" in fewer["first_difference"]
    with pytest.raises(IntegrityError, match="one cell"):
        compare(run, samples.runs()["optimistic"])


def test_differences_within_the_tolerance_are_reported():
    run = samples.runs()["neutral"]
    near = compare(run, dataclasses.replace(run, equity=run.equity + 5e-10))
    assert near["agreed"] is True
    assert near["max_difference"] == pytest.approx(5e-10, rel=1e-3)
