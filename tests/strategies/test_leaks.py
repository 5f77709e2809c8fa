"""Every planted leak is caught, for the right reason; no clean strategy raises an alarm."""

from __future__ import annotations

import numpy as np
import pytest
from leaks import CLEAN, HUNGRY, LEAKS
from leaks.bases import FAR, LAST, Planted
from leaks.rare import RARE_LEAKS

from quantlab.market import synthetic
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.validation.findings import Finding
from quantlab.validation.lookahead import find_lookahead

MARKETS = {
    "garch 7": lambda: synthetic.garch(1_800, seed=7),
    "iid 1": lambda: synthetic.iid(1_800, seed=1),
    "real": lambda: sample_candles()[9_000:10_800],
}
FIRST = "garch 7"
# Nothing there is rare or wild enough: the leak changes no decision, so there is none to be caught.
SILENT = [("when_rsi_is_below_5", "iid 1"), ("in_wild_hours", "iid 1")]


def market(name: str) -> Candles:
    candles = MARKETS[name]()
    move = 1_514_764_800_000 - candles.first_ms  # a leak on a date must have its date
    return candles if move == 0 else candles._with({"timestamps": candles.timestamps + move})


def others(names: dict) -> list:
    more = [(name, m) for name in names for m in MARKETS if m != FIRST and (name, m) not in SILENT]
    slow = [pytest.param(*pair, marks=pytest.mark.slow) for pair in more]
    return [*((name, FIRST) for name in names), *slow]


def check_distance(leak: Finding, planted: Planted) -> None:
    assert leak.nearest is not None
    for found, told in ((leak.nearest, planted.nearest), (leak.furthest, planted.furthest)):
        expected = told(leak.params) if callable(told) else told
        if expected == LAST:
            assert leak.to_end, str(leak)
        elif expected == FAR:
            assert found > 100, str(leak)
        elif expected is not None:
            assert found == expected, str(leak)


def test_there_are_enough_of_them() -> None:
    assert len(LEAKS) >= 40
    assert len(CLEAN) >= 18


@pytest.mark.parametrize(("name", "where"), others(LEAKS))
def test_a_planted_leak_is_caught_for_the_right_reason(name: str, where: str) -> None:
    planted = LEAKS[name]
    report = find_lookahead(planted.strategy, market(where), replays=5_000 if planted in RARE_LEAKS else 100)
    assert {leak.field for leak in report.leaks} == set(planted.fields), str(report)
    for leak in report.leaks:
        check_distance(leak, planted)
        assert leak.clause == planted.clause
        if planted.columns is not None:
            assert set(leak.columns) <= planted.columns, str(leak)
            assert leak.columns, str(leak)


@pytest.mark.parametrize(("name", "where"), SILENT)
def test_a_leak_that_changes_no_decision_is_silent(name: str, where: str) -> None:
    strategy, candles = LEAKS[name].strategy, market(where)
    wild = synthetic.garch(len(candles), seed=99)
    cells = strategy.space.points([{"window": 10}, {"window": 40}]).params()
    decided = np.asarray(strategy.signals(candles, cells).long)
    for cut in range(400, 1_800, 25):
        columns = {
            column: np.append(getattr(candles, column)[:cut], getattr(wild, column)[cut:])
            for column in ("open", "high", "low", "close", "volume")
        }
        again = np.asarray(strategy.signals(candles._with(columns), cells).long)
        assert (again[..., :cut] == decided[..., :cut]).all()


@pytest.mark.parametrize(("name", "where"), others(CLEAN))
def test_a_clean_strategy_raises_no_alarm(name: str, where: str) -> None:
    report = find_lookahead(CLEAN[name], market(where), replays=600)
    assert report.ok, str(report)
    assert report.changes > 0  # it decides something


@pytest.mark.parametrize("name", HUNGRY)
def test_too_little_warmup_is_not_called_look_ahead(name: str) -> None:
    report = find_lookahead(HUNGRY[name], market(FIRST), replays=600)
    assert [finding.kind for finding in report.findings] == ["warmup"], str(report)
    if name == "window_longer_than_declared":
        assert all(f.needed_bars == f.params["window"] + 7 for f in report.findings)


def test_the_rare_leak_is_rare() -> None:
    candles = synthetic.garch(20_000, seed=3)
    strategy = LEAKS["when_rsi_is_below_5"].strategy
    cell = strategy.space.points([{"window": 20}])
    entries = np.asarray(strategy.signals(candles, cell.params()).long).sum()
    assert entries == 14
