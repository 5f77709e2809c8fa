"""What there is not much of: empty planes, one axis, many axes, choices, points, other code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explored import AXES, Wire

import quantlab as ql
from quantlab.backtest.surface import Surface
from quantlab.errors import InputError
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.space import Int, Space


def test_empty_states_say_what_to_do(lab: Lab, candles: Candles, surface: Surface) -> None:
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    wire.ask(type="view", view={"min_trades": 5_000})
    assert "Lower “at least … trades”" in wire.widget.plane["empty"]
    assert wire.error(type="select", x=0, y=2).startswith("there is no cell to show")
    forbidden = ql.sweep("explored", candles, {"fast": [90, 95], "slow": [10, 20]}, progress=False)
    assert "`fast < slow`" in lab.explore(forbidden).plane["empty"]
    never = replace(surface, metrics={name: np.full(surface.shape, np.nan) for name in surface.metrics})
    assert "Sweep more candles" in lab.explore(never).plane["empty"]


def test_choices_and_many_axes_have_their_place(lab: Lab, candles: Candles) -> None:
    grid = {**AXES, "side": ["with", "against"], "stop": [0.01, 0.03]}
    widget = lab.explore(lab.sweep("explored", candles, grid, progress=False), x="side", y="fast")
    side = next(axis for axis in widget.about["axes"] if axis["name"] == "side")
    assert (side["values"], side["ordered"]) == (["with", "against"], False)
    assert set(widget.view["at"]) == {"slow", "stop", "max_holding"}
    assert widget.plane["nx"] == 2


def test_a_list_of_points_is_scattered(lab: Lab, candles: Candles) -> None:
    study = lab.search("explored", candles, sampler="random", trials=40, seed=1, progress=False)
    wire = Wire(lab.explore(study, x="fast", y="slow"))
    assert wire.widget.about["kind"] == "points"
    points = study.surface.cells.columns
    np.testing.assert_array_equal(np.frombuffer(wire.widget.plane["px"], "<f4"), points["fast"])
    values = np.frombuffer(wire.widget.plane["panes"][0]["data"], "<f4")
    place = int(np.flatnonzero(~np.isnan(values))[0])
    assert wire.ask(type="select", x=place, y=0)[0][0]["index"] == [place]


def test_a_surface_of_other_code_is_shown_and_said_to_be_one(lab: Lab, surface: Surface) -> None:
    assert lab.explore(surface).about["notes"] == []
    older = replace(
        surface, metrics={n: v for n, v in surface.metrics.items() if n != "timing_t"}, key="0" * 64
    )
    widget = lab.explore(older)
    assert "other code made it" in widget.about["notes"][0]
    assert "timing_t" not in [metric["name"] for metric in widget.about["metrics"]]
    part = surface.sel(fast=8)
    assert "a part of a search" in lab.explore(part).about["notes"][0]


def test_it_shows_itself_without_a_browser(lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface)
    assert repr(widget) == "SurfaceExplorer(explored, 4 x 3 x 5 = 60 cells)"
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget)
    assert data["image/png"].startswith("iVBORw0KGgo")
    assert "application/vnd.jupyter.widget-view+json" in data
    widget.select(fast=8, slow=60)
    assert widget.cell.params["fast"] == 8


def test_several_markets_are_refused(lab: Lab, candles: Candles) -> None:
    markets = lab.sweep(
        "explored", [candles, candles[:2_000]], {"fast": [5, 9], "slow": [20, 40]}, progress=False
    )
    with pytest.raises(InputError, match=r"surface\.market\(label\)"):
        lab.explore(markets)  # type: ignore[arg-type]


def test_one_axis_is_a_line_and_none_a_single_cell(lab: Lab, candles: Candles) -> None:
    one = lab.explore(lab.sweep("explored", candles, {"fast": [5, 9, 14]}, progress=False))
    assert (one.about["kind"], one.view["y"], one.plane["nx"], one.plane["ny"]) == ("line", "", 3, 1)
    assert Wire(one).ask(type="select", x=1, y=0)[0][0]["index"] == [1]
    none = lab.explore(lab.sweep("explored", candles, {}, progress=False))
    assert (none.plane["nx"], none.plane["ny"]) == (1, 1)
    assert Wire(none).ask(type="select", x=0, y=0)[0][0]["index"] == []


def test_ten_parameters_have_a_place_each(lab: Lab, candles: Candles) -> None:
    names = [f"p{k}" for k in range(10)]
    space = Space(*(Int(name, 1, 60, 2 + k, "bars", f"number {k}") for k, name in enumerate(names)))

    @ql.strategy("ten", space, lambda p: 61)
    def signals(candles: Any, p: Any) -> ql.Signals:
        from quantlab.indicators import sma

        above = sum(np.where(candles.close > sma(candles.close, getattr(p, name)), 1, 0) for name in names)
        return ql.Signals(long=above > 5, short=above < 4)

    grid = {name: [4 + k, 30 + k] for k, name in enumerate(names)}
    wire = Wire(lab.explore(lab.sweep("ten", candles, grid, progress=False), min_trades=0))
    widget = wire.widget
    assert (len(widget.about["axes"]), len(widget.view["at"])) == (10, 8)
    x, y = widget.view["x"], widget.view["y"]
    wire.ask(
        type="view", view={"at": {n: ("best", "median", 1)[k % 3] for k, n in enumerate(widget.view["at"])}}
    )
    assert sorted(set(map(str, widget.view["at"].values()))) == ["1", "best", "median"]
    (cell, _), _ = wire.ask(type="select", x=1, y=0)
    params = {name: value for name, value, _ in cell["params"]}
    assert len(params) == 10
    assert (params[x], params[y]) == (str(grid[x][1]), str(grid[y][0]))
    wire.ask(type="view", view={"x": "p9", "y": "p0"})
    assert (widget.view["x"], widget.view["y"], len(widget.view["at"])) == ("p9", "p0", 8)
