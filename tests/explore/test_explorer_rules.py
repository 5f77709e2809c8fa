"""Other rules: what is looked at comes first, is what the whole sweep says, and was counted before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from explored import Wire

from quantlab.backtest.surface import Surface
from quantlab.errors import StoreUnavailableError
from quantlab.explore.explorer import Answer, Explorer
from quantlab.lab import Lab, exploring
from quantlab.market.candles import Candles


def _read(plane: dict[str, Any]) -> dict[str, np.ndarray]:
    return {pane["key"]: np.frombuffer(pane["data"], "<f4") for pane in plane["panes"]}


def _asked(explorer: Explorer, lab: Lab, **rules: Any) -> list[tuple[Answer, int]]:
    """Every answer, and the cells that were counted when it came."""
    where = explorer.searched.whole.identity
    found = []
    for answer in explorer.answers({"type": "rules", "rules": rules}):
        found.append((answer, lab.store.counted(where.family, where.first_ms, where.last_ms).trials))
    return found


@pytest.mark.parametrize("third", ["", "metric:trades", "difference"])
def test_cells_in_view_are_first_and_the_same_as_in_the_whole_sweep(
    lab: Lab, candles: Candles, surface: Surface, third: str
) -> None:
    grid = {**surface.axes, "stop": [0.01, 0.02, 0.03, 0.05]}
    wide = lab.sweep("explored", candles, grid, progress=False)
    widget = lab.explore(wide, x="fast", y="slow", split="2018-04-01", third=third, min_trades=3)
    before = lab.store.counted(candles.family, candles.first_ms, candles.last_ms)
    answers = _asked(widget.explorer, lab, taker=0.003 + 0.0001 * len(third))
    planes = [answer.state["plane"] for answer, _ in answers if "plane" in answer.state]
    assert [plane["left"] for plane in planes] == ["view", "whole", ""]
    first, both, last = map(_read, planes)
    for key in last:
        np.testing.assert_array_equal(first[key], last[key])
        np.testing.assert_array_equal(both[key], last[key])
        assert np.isfinite(last[key]).any()
    assert [(p["low"], p["high"]) for p in planes[0]["panes"]] == [
        (p["low"], p["high"]) for p in planes[2]["panes"]
    ]
    wanted = before.trials + 3 * int(wide.cells.allowed.sum())
    assert [counted for _, counted in answers] == [wanted] * len(answers)
    assert answers[0][0].state["marks"] == []
    marks = [answer.state["marks"] for answer, _ in answers if "marks" in answer.state]
    assert marks[1] == marks[2] != []


@pytest.mark.parametrize("view", [{"third": "own"}, {"third": "score"}, {"at": {"max_holding": "best"}}])
def test_what_a_few_cells_cannot_show_waits_for_all_of_them(
    lab: Lab, surface: Surface, view: dict[str, Any]
) -> None:
    explorer = lab.explore(surface, x="fast", y="slow", split="2018-04-01", min_trades=0).explorer
    list(explorer.answers({"type": "view", "view": view}))
    answers = _asked(explorer, lab, slippage_bps=7 + len(str(view)))
    left = [answer.state["plane"]["left"] for answer, _ in answers if "plane" in answer.state]
    assert left == ([""] if view.get("third") == "own" else ["whole", ""])


def test_a_sweep_that_fails_leaves_what_was_there(
    lab: Lab, surface: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    before, key = _read(wire.widget.plane), wire.widget.surface.key
    marks = list(wire.widget.marks)
    swept = exploring._evaluated

    def fail_on_all(task: Any) -> Surface:
        if task.cells.size == surface.size:
            raise StoreUnavailableError("PostgreSQL does not answer.")
        return swept(task)

    monkeypatch.setattr(exploring, "_evaluated", fail_on_all)
    seen: list[str] = []
    wire.widget.observe(lambda change: seen.append(change["new"]["left"]), "plane")
    assert wire.error(type="rules", rules={"taker": 0.0077}) == "PostgreSQL does not answer."
    assert len(seen) >= 1
    np.testing.assert_equal(_read(wire.widget.plane), before)
    assert (wire.widget.surface.key, list(wire.widget.marks)) == (key, marks)


def test_rules_that_were_swept_before_are_read_and_not_counted_again(lab: Lab, surface: Surface) -> None:
    explorer = lab.explore(surface, x="fast", y="slow", min_trades=0).explorer
    first = _asked(explorer, lab, taker=0.0031)
    _asked(explorer, lab, taker=0.0032)
    again = _asked(explorer, lab, taker=0.0031)
    assert again[-1][1] == _asked(explorer, lab, taker=0.0032)[-1][1]
    assert again[-1][1] >= first[-1][1]
