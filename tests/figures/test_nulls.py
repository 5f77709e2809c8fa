import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.errors import InputError
from quantlab.figures.nulls import _picture, nulls, nulls_svg

SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)
SCORES = {"mirrored": RNG.gumbel(1.0, 0.5, 199), "shuffled": RNG.gumbel(1.1, 0.5, 62)}


def texts(svg):
    return [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-5, 5) | st.just(-np.inf), min_size=1, max_size=40),
    st.floats(-6, 6) | st.just(-np.inf) | st.sampled_from([0.0, 1.0]),
)
def test_every_market_is_on_its_side_of_the_find(values, real):
    (panel,) = _picture({"x": np.array(values)}, real).panels
    finite = [v for v in values if np.isfinite(v)]
    assert panel.count.sum() == len(finite)
    assert panel.drawn == len(values)
    if np.isfinite(real):
        as_good = sum(v >= real for v in finite)
        assert panel.count[panel.good].sum() == as_good == panel.as_good
        assert (panel.centre[panel.good] > real).all()
        assert (panel.centre[~panel.good] < real).all()
    else:
        assert panel.as_good == len(values)  # nothing was found: luck does as well everywhere


def test_the_figure_says_how_many_did_as_well():
    figure = nulls(SCORES, 1.45, title="Luck")
    said = [a.text for a in figure.layout.annotations]
    for name, values in SCORES.items():
        assert f"{name} markets: {(values >= 1.45).sum()} of {len(values)} did as well or better" in said
    assert "the real market: 1.45" in said
    assert [trace.y.sum() for trace in figure.data] == [199, 62]
    colours = [set(trace.marker.color) for trace in figure.data]
    assert colours[0] == colours[1]
    assert len(colours[0]) == 2
    (line,) = figure.layout.shapes
    assert line.x0 == line.x1 == 1.45


def test_the_same_input_gives_the_same_bytes():
    assert nulls(SCORES, 1.45).to_json() == nulls(SCORES, 1.45).to_json()
    assert nulls_svg(SCORES, 1.45) == nulls_svg(SCORES, 1.45)


@pytest.mark.parametrize("real", [-3.0, 1.45, 9.0, -np.inf])
def test_everything_lies_inside_the_svg(real):
    svg = nulls_svg(SCORES, real, title="A <rule> & luck")
    root = ET.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    for path in root.iter(f"{SVG}path"):
        for x, y in re.findall(r"M(-?[\d.]+),(-?[\d.]+)", path.get("d")):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= width
    assert "A <rule> & luck" in texts(svg)
    assert any(t.startswith("the real market") for t in texts(svg)) == np.isfinite(real)
    assert len(svg) < 12_000


def test_the_height_of_the_bars_is_how_many_markets():
    svg = nulls_svg({"mirrored": np.array([0.0] * 8 + [1.0] * 4)}, 2.0)
    (bars,) = [p.get("d") for p in ET.fromstring(svg).iter(f"{SVG}path") if p.get("d").endswith("z")]
    heights = [float(y0) - float(y1) for y0, y1 in re.findall(r",([\d.]+)V([\d.]+)h", bars)]
    assert heights == pytest.approx([54.0, 27.0], abs=0.2)


def test_equal_scores_are_drawn_and_nothing_is_refused():
    assert nulls({"x": np.ones(5)}, 1.0).data[0].y.sum() == 5
    assert "x markets: 5 of 5" in nulls_svg({"x": np.ones(5)}, 1.0)
    assert nulls({"x": np.full(5, -np.inf)}, 1.0).data[0].y.sum() == 0
    assert nulls({"x": np.full(5, -np.inf)}, -np.inf).data[0].y.sum() == 0
    for empty in ({}, {"x": np.array([])}):
        with pytest.raises(InputError, match="no market without an edge was drawn"):
            nulls(empty, 1.0)
