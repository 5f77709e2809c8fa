import xml.etree.ElementTree as ET

import numpy as np
import pytest

from quantlab.errors import InputError
from quantlab.figures.colours import UNDEFINED
from quantlab.figures.svg import heatmap_svg

SVG = "{http://www.w3.org/2000/svg}"
X = [0.0005, 0.001, 0.005]
Y = [1.0, 1.25]
Z = np.array([[0.1, -0.2, np.nan], [1.5, 0.7, 0.3]])
LABELS = {"x_label": "pierce_depth", "y_label": "volume_spike", "metric": "sharpe"}


def parse(**changes):
    arguments = {"z": Z, "x": X, "y": Y, **LABELS, **changes}
    text = heatmap_svg(**arguments)
    return text, ET.fromstring(text)


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def test_shows_axes_values_marks_and_title():
    _, root = parse(title="Best Sharpe", marks=[(0.001, 1.25, "plateau"), (0.0005, 1.25, "peak")])
    shown = texts(root)
    for text in (
        "0.0005",
        "0.001",
        "0.005",
        "1",
        "1.25",
        "pierce_depth",
        "volume_spike",
        "Sharpe",
        "Best Sharpe",
    ):
        assert text in shown
    assert {"0.10", "−0.20", "1.50", "plateau", "peak", "undefined"} <= set(shown)
    assert root.find(f"{SVG}title").text == "Best Sharpe"


def test_rows_grow_upwards():
    _, root = parse()
    at = {e.text: float(e.get("y")) for e in root.iter(f"{SVG}text")}
    assert at["1.50"] < at["0.10"]  # y = 1.25 lies above y = 1.0


def test_undefined_cells_are_grey():
    text, _ = parse()
    assert text.count(UNDEFINED) == 2  # the cell and its legend
    full, _ = parse(z=np.ones((2, 3)))
    assert UNDEFINED not in full


def test_asks_nothing_and_is_the_same_each_time():
    text, root = parse()
    assert text == parse()[0]
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert not any("href" in key for element in root.iter() for key in element.attrib)
    assert len(text) < 8_000


def test_everything_lies_inside_the_picture():
    _, root = parse(z=np.random.default_rng(0).normal(size=(40, 60)), x=range(60), y=range(40))
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x", 0)) <= width - float(rect.get("width")) + 0.01
        assert 0 <= float(rect.get("y", 0)) <= height - float(rect.get("height")) + 0.01
    assert len(texts(root)) < 100  # no value in a cell too small for it


def test_hostile_names_are_escaped():
    text, root = parse(title="<script>x</script>", x_label="a & <b>")
    assert "<script" not in text
    assert "a & <b>" in texts(root)


def test_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="transpose z"):
        parse(z=Z.T)
    with pytest.raises(InputError, match="not among the values"):
        parse(marks=[(7, 1.0, "peak")])


def test_no_frame_crosses_the_name_of_another_mark():
    marks = [(0.0005, 1.0, "one"), (0.001, 1.0, "two"), (0.0005, 1.25, "three")]
    text, _ = parse(marks=marks)
    last_frame = text.rindex('fill="none"')
    assert all(last_frame < text.index(f">{name}</text>") for *_, name in marks)
