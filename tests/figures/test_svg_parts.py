"""The frame that all static pictures share."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.figures.colours import PAPER
from quantlab.figures.svg_parts import svg_document, svg_number, svg_text

SVG = "{http://www.w3.org/2000/svg}"


@given(st.floats(-1e5, 1e5), st.integers(0, 4))
def test_a_number_is_as_exact_as_asked_and_as_short_as_it_can_be(value: float, digits: int) -> None:
    text = svg_number(value, digits)
    assert abs(float(text) - value) <= 0.5000001 * 10.0**-digits
    assert text == text.strip()
    assert "e" not in text
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(100.0, 1, "100"), (100.0, 0, "100"), (2.25, 2, "2.25")]
)
def test_zeros_of_a_whole_number_stay(value: float, digits: int, text: str) -> None:
    assert svg_number(value, digits) == text


def test_the_frame_holds_the_parts_in_order_and_escapes_its_name() -> None:
    parts = [svg_text(1, 2, "first <b>"), svg_text(3, 4, "second", anchor="end")]
    root = ET.fromstring(svg_document("A & <name>", 860, 120.5, parts))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("860", "120.5", "0 0 860 120.5")
    assert [child.tag for child in root] == [f"{SVG}{tag}" for tag in ("title", "rect", "text", "text")]
    assert root[0].text == "A & <name>"
    assert root[1].get("fill") == PAPER
    assert [child.text for child in root[2:]] == ["first <b>", "second"]
