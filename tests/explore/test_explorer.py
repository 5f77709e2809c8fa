"""The explorer without a browser: messages against what they must answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from explored import AXES, Wire, until

import quantlab as ql
from quantlab.backtest.surface import Surface
from quantlab.explore.detail import figures_in, monthly
from quantlab.lab import Lab
from quantlab.market.candles import Candles


def test_parts_are_counted_as_searches_of_their_own(lab: Lab, candles: Candles) -> None:
    grid = {"fast": [6, 9], "slow": [40, 70], "max_holding": [33, 44]}
    surface = lab.sweep("explored", candles, grid, progress=False)
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    widget = lab.explore(surface, split="2018-03-01")
    after = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    assert after.searches == before.searches + 2
    assert after.trials == before.trials + 2 * surface.size
    inside, outside = widget.explorer.searched.parts
    assert inside.identity.bars + outside.identity.bars == len(candles)
    assert outside.identity.first_ms == widget.about["split"]
    lab.explore(surface, split="2018-03-01")
    assert lab.store.counted(candles.family, candles.first_ms, candles.last_ms) == after


def test_a_click_answers_with_what_the_lab_itself_says_of_the_cell(lab: Lab, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    found = wire.widget.explorer.panes().cell
    x, y = 1, 2
    (cell, buffers), done = wire.ask(type="select", x=x, y=y)
    assert done[0] == {"type": "done", "seq": 7}
    index = tuple(cell["index"])
    assert index == np.unravel_index(found[y, x], surface.shape)
    assert wire.widget.cell.params == surface.cells.cell(index)
    run = lab.run(surface, surface.cell(index))
    read = dict(zip(cell["buffers"], buffers, strict=True))
    bars = np.frombuffer(read["bars:neutral"], "<i4")
    np.testing.assert_array_equal(np.frombuffer(read["equity:neutral"], "<f4"), run.equity[bars].astype("f4"))
    np.testing.assert_array_equal(np.frombuffer(read["entry_bar"], "<i4"), run.trades["entry_bar"])
    assert {"bars:neutral", "bars:pessimistic", "bars:optimistic"} <= read.keys()
    stop = np.frombuffer(read["stop"], "<f4")
    decided = surface.identity and lab.candles(surface.identity.exchange, surface.identity.symbol, "1h")
    wanted = decided.open[run.trades["entry_bar"]] - 0.05 * decided.close[run.trades["decision_bar"]]
    np.testing.assert_allclose(stop, wanted, rtol=1e-5)
    assert figures_in(cell["figures"], "trades")[0] == f"{len(run.closed):,}"
    assert sum(map(len, buffers)) < 120_000


def test_looking_under_another_fill_assumption_is_counted_once(lab: Lab, candles: Candles) -> None:
    surface = lab.sweep("explored", candles, {"fast": [4, 7], "slow": [44, 55]}, progress=False)
    wire = Wire(lab.explore(surface, min_trades=0))
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    wire.ask(type="select", x=0, y=0)
    wire.ask(type="select", x=0, y=0)
    after = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    assert (after.trials, after.searches) == (before.trials + 2, before.searches)


def test_other_rules_sweep_again_counted_and_stored(lab: Lab, candles: Candles, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, min_trades=0))
    rules = dict(wire.widget.rules)
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    wire.ask(type="rules", rules={**rules, "taker": 0.004, "fixed": {**rules["fixed"], "stop": 0.02}})
    now = wire.widget.surface
    assert now.execution.costs.taker == 0.004
    assert now.cells.fixed["stop"] == 0.02
    wanted = ql.sweep("explored", candles, now.cells, now.execution, progress=False)
    for name, values in wanted.metrics.items():
        np.testing.assert_array_equal(now[name], values)
    after = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    assert (after.searches, after.trials) == (
        before.searches + 1,
        before.trials + int(now.cells.allowed.sum()),
    )
    until(lambda: lab.store.has_surface(now.key))
    wire.ask(type="rules", rules=wire.widget.rules | {"first": "2018-02-01", "last": "2018-03-31"})
    assert wire.widget.about["period"].startswith("2018-02-01 to 2018-03-31, 1,416 bars")
    wire.ask(type="rules", rules=wire.widget.rules | {"sizing": "Risk", "risk": 0.02, "split": "2018-03-01"})
    assert wire.widget.surface.execution.sizing == ql.Risk(0.02, 1.0)
    assert [pane["key"] for pane in wire.widget.plane["panes"]] == ["in", "out"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "rules", "rules": {"taker": 7}}, "a fraction, not percent"),
        ({"type": "rules", "rules": {"taker": "much"}}, "taker must be a number, got 'much'"),
        ({"type": "rules", "rules": {"first": "2018-05-01", "last": "2018-05-01"}}, "these dates leave 24"),
        ({"type": "rules", "rules": {"split": "1980-01-01"}}, "choose another day"),
        ({"type": "rules", "rules": {"fixed": {"fast": 3}}}, "fast is no fixed parameter"),
        ({"type": "rules", "rules": {"fixed": {"stop": 9}}}, "stop"),
        ({"type": "view", "view": {"metric": "sharp"}}, "did you mean 'sharpe'"),
        ({"type": "view", "view": {"x": "fast", "y": "fast"}}, "two different axes"),
        ({"type": "view", "view": {"at": {"max_holding": 99}}}, "one of its 5 values"),
        ({"type": "view", "view": {"third": "worst"}}, "is not a view of this surface"),
        ({"type": "select", "x": 70, "y": 0}, "not on this plane"),
        ({"type": "select", "index": [3, 0, 0]}, "`fast < slow`"),
        ({"type": "select", "index": [3, 0]}, "no cell of a surface of shape"),
        ({"type": "dance"}, "knows no message 'dance'"),
        ({"type": "approve", "by": "a", "reason": "b"}, "validate first"),
    ],
)
def test_what_goes_wrong_is_said_and_changes_nothing(
    lab: Lab, surface: Surface, message: dict[str, Any], said: str
) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    before = dict(wire.widget.view), wire.widget.surface.key, dict(wire.widget.selected)
    assert said in wire.error(**message)
    assert (dict(wire.widget.view), wire.widget.surface.key, dict(wire.widget.selected)) == before


def test_a_reload_shows_the_selection_again(lab: Lab, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, min_trades=0))
    assert [m["type"] for m, _ in wire.ask(type="hello")] == ["market", "done"]
    (first, _), _ = wire.ask(type="select", x=0, y=1)
    again = wire.ask(type="hello")
    assert [m["type"] for m, _ in again] == ["market", "cell", "done"]
    assert again[1][0]["index"] == first["index"] == wire.widget.selected["index"]
    assert again[0][0]["bars"] == surface.identity.bars
    before = wire.widget.selected["seq"]
    wire.ask(type="select", x=0, y=1)
    assert wire.widget.selected["seq"] > before


def test_the_gate_is_asked_beside_and_tells_its_steps(lab: Lab, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, min_trades=0))
    seen: list[dict[str, Any]] = []
    wire.widget.observe(lambda change: seen.append(dict(change["new"])), "job")
    wire.ask(type="validate")
    until(lambda: wire.widget.job.get("state") in ("judged", "failed"))
    assert wire.widget.job["state"] == "judged", wire.widget.job
    assert seen[0]["state"] == "running"
    shares = [job["share"] for job in seen if job["state"] == "running"]
    assert shares == sorted(shares)
    verdict = lab.validate(surface)
    assert wire.widget.job["reasons"] == list(verdict.reasons)
    assert wire.widget.verdict.cell == verdict.cell
    assert "the gate refused" in wire.error(type="approve", by="ana", reason="looks good")
    assert any(mark["kind"] == "candidate" for mark in wire.widget.marks)


def test_a_gate_that_cannot_judge_says_why(lab: Lab, candles: Candles) -> None:
    short = candles[:200]
    wire = Wire(lab.explore(lab.sweep("explored", short, AXES, progress=False)))
    wire.ask(type="validate")
    until(lambda: wire.widget.job.get("state") == "failed")
    assert "days" in wire.widget.job["text"]


def test_months_are_compounded_and_known_by_name() -> None:
    days = np.array([-1, 0, 30, 31, 364, 365])
    found = monthly(np.array([0.5, 0.1, 0.1, -0.5, 0.2, 1.0]), days)
    assert [row[:2] for row in found] == [[1969, 12], [1970, 1], [1970, 2], [1970, 12], [1971, 1]]
    np.testing.assert_allclose([row[2] for row in found], [0.5, 0.21, -0.5, 0.2, 1.0])
