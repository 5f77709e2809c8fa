"""The rules of execution as values: what is refused, and what is said beside optimistic figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from generated_markets import play

from quantlab.backtest.execution import Execution
from quantlab.backtest.sweep import sweep
from quantlab.errors import UnknownNameError
from quantlab.explore.section import _costs
from quantlab.market.synthetic import garch
from quantlab.strategies import get

FLAT = (100, 101, 99, 100)
AT_CLOSE: Any = Execution(fill="close")


def test_an_unknown_fill_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'close'"):
        Execution(fill="closed")  # type: ignore[arg-type]


def test_fills_at_the_close_are_said_to_be_optimistic_wherever_they_are_shown() -> None:
    run = play([FLAT] * 3, long=0)
    cross = get("sma_cross")
    surface = sweep(cross, garch(300), cross.grid(fast=[3, 5], slow=[20, 30]), progress=False)
    shown = [
        repr(run),
        run._repr_html_(),
        repr(surface),
        surface.heatmap(x="fast", y="slow").layout.title.text,
    ]
    assert not any("optimistic" in text for text in shown)
    assert "fills" not in _costs(Execution())
    run, surface = replace(run, execution=AT_CLOSE), replace(surface, execution=AT_CLOSE)
    shown = [
        repr(run),
        run._repr_html_(),
        repr(surface),
        surface.heatmap(x="fast", y="slow").layout.title.text,
    ]
    assert all("optimistic: filled at the close" in text for text in shown)
    assert "optimistic" in _costs(AT_CLOSE)["fills"]
