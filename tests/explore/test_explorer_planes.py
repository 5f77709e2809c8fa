"""Planes of the explorer against a plain oracle, colours and marks against the surface."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from explored import AXES, Wire, oracle

from quantlab.backtest.plateau import find_plateau, kernel_moments
from quantlab.backtest.surface import Surface
from quantlab.explore.packing import packed
from quantlab.explore.picture import png
from quantlab.explore.planes import Plane, Searched, check_view, first_view, planes
from quantlab.explore.told import where
from quantlab.figures.colours import colour_scale
from quantlab.lab import Lab
from quantlab.market.candles import Candles
from quantlab.validation.ensemble import choose_ensemble


@pytest.mark.parametrize("at", [2, "best", "median"])
@pytest.mark.parametrize("pair", [("fast", "slow"), ("slow", "max_holding"), ("max_holding", "fast")])
@pytest.mark.parametrize("min_trades", [0, 60])
def test_planes_are_what_a_plain_loop_finds(
    lab: Lab, surface: Surface, at: Any, pair: tuple[str, str], min_trades: int
) -> None:
    searched = lab.explore(surface, split="2018-04-01").explorer.searched
    other = next(n for n in surface.axes if n not in pair)
    given = {"metric": "sharpe", "x": pair[0], "y": pair[1], "at": {other: at}, "third": "metric:net_profit"}
    view = check_view(searched, given | {"min_trades": min_trades})
    found = planes(searched, view)
    assert [pane.key for pane in found.panes] == ["in", "out", "metric:net_profit"]
    for pane in found.panes:
        np.testing.assert_allclose(pane.values, oracle(searched, view, pane.key), rtol=1e-12)
    for y, x in np.ndindex(*found.cell.shape):
        number = found.cell[y, x]
        assert (number < 0) == np.isnan(found.panes[0].values[y, x])
        if number >= 0 and at != "median":
            cell = np.unravel_index(number, surface.shape)
            assert found.panes[0].values[y, x] == searched.first["sharpe"][cell]


def test_out_of_sample_shows_the_cells_that_were_chosen_in_sample(lab: Lab, surface: Surface) -> None:
    searched = lab.explore(surface, split="2018-04-01").explorer.searched
    view = check_view(searched, {"metric": "sharpe", "x": "fast", "y": "slow", "at": {"max_holding": "best"}})
    out = planes(searched, view).panes[1].values
    itself = np.moveaxis(searched.values("out", "sharpe")[0], 2, 0).max(axis=0).T
    assert (out[~np.isnan(out)] <= itself[~np.isnan(out)]).all()
    assert (out < itself).any()


def test_further_panes_of_fills_and_regimes(lab: Lab, candles: Candles) -> None:
    labels = (np.arange(len(candles)) // 500 % 2).astype(np.int64)
    how: dict[str, Any] = {"assumptions": ["pessimistic", "optimistic"], "regimes": labels}
    surface = lab.sweep("explored", candles, AXES, progress=False, **how)
    wire = Wire(lab.explore(surface, x="fast", y="slow", min_trades=0))
    assert {"worst", "regime:0", "regime:1", "score"} <= wire.widget.about["extras"].keys()
    searched = wire.widget.explorer.searched
    three = [surface["sharpe"], surface.under("pessimistic")["sharpe"], surface.under("optimistic")["sharpe"]]
    np.testing.assert_array_equal(searched.values("worst", "sharpe")[0], np.minimum.reduce(three))
    np.testing.assert_array_equal(searched.values("regime:1", "sharpe")[0], surface.regimes["expectancy"][1])
    mean, sd, _ = kernel_moments(surface["sharpe"], (True, True, True))
    best = find_plateau(surface, "sharpe", 0).cell.index
    assert searched.values("score", "sharpe")[0][best] == (mean - sd)[best]
    wire.ask(type="rules", rules=wire.widget.rules | {"taker": 0.002, "last": "2018-04-30"})
    assert wire.widget.surface.regimes["trades"].shape[0] == 2


def test_large_planes_travel_in_steps_and_outliers_stay_out_of_the_scale() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(600, 700))
    values[3, 5], values[0, 0], values[1, 1] = 1e9, np.nan, -1e9
    plane = Plane("own", "t", "sharpe", values, colour_scale(values, "sharpe"))
    told = packed(plane)
    codes = np.frombuffer(told["data"], "<u2").reshape(values.shape)
    assert told["code"] == "u2"
    assert len(told["data"]) == 2 * values.size
    read = np.where(codes == 0, np.nan, told["from"] + (codes - 1.0) * (told["to"] - told["from"]) / 65534)
    within = (values > told["from"]) & (values < told["to"])
    assert np.abs(read - values)[within].max() <= (told["to"] - told["from"]) / 65534
    assert np.isnan(read[0, 0])
    assert read[3, 5] == told["to"]
    assert told["high"] < 5


def test_the_picture_is_a_png_with_the_colours_of_the_scale() -> None:
    values = np.array([[-1.0, 0.0], [np.nan, 1.0]])
    plane = Plane("own", "t", "sharpe", values, colour_scale(values, "sharpe"))
    data = png([plane])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(height, -1)
    pixels = rows[:, 1:].reshape(height, width, 3)
    scale = plane.scale
    wanted = {
        (-1, 0): scale.colour(-1),
        (-1, -1): scale.colour(0),
        (0, 0): scale.colour(np.nan),
        (0, -1): scale.colour(1),
    }
    for place, colour in wanted.items():
        assert "#" + "".join(f"{v:02x}" for v in pixels[place]) == colour


def test_the_first_view_goes_through_the_plateau(surface: Surface) -> None:
    searched = Searched(surface)
    view = first_view(searched, {"min_trades": 5})
    middle = dict(zip(surface.axes, surface.plateau("sharpe", 5).cell.index, strict=True))
    assert {name: middle[name] for name in view.at} == dict(view.at)


def test_marks_lie_where_the_surface_says(lab: Lab, surface: Surface) -> None:
    widget = lab.explore(surface, min_trades=5)

    def place(params: Any) -> dict[str, float]:
        return {name: float(np.flatnonzero(axis == params[name])[0]) for name, axis in surface.axes.items()}

    found = {
        kind: [mark["at"] for mark in widget.marks if mark["kind"] == kind] for kind in ("peak", "plateau")
    }
    assert found["peak"] == [place(surface.best("sharpe", 5).params)]
    assert found["plateau"] == [place(surface.plateau("sharpe", 5).cell.params)]
    members = [mark["at"] for mark in widget.marks if mark["kind"] == "ensemble"]
    assert members == [place(cell.params) for cell in choose_ensemble(surface, "sharpe", 5)]
    between = where(widget.explorer.searched, {"fast": 6.5, "slow": 30, "max_holding": 500})
    assert between == {"fast": 0.5, "slow": 1.0, "max_holding": None}
