"""What every static SVG is made of: its frame, its texts, its numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

from quantlab.figures.colours import INK, PAPER
from quantlab.figures.template import FONT


def svg_document(name: str, width: float, height: float, parts: Iterable[str]) -> str:
    """An ``<svg>`` element on its own light background.

    Parameters
    ----------
    name : str
        What a screen reader says of it.
    width, height : float
        Pixels.
    parts : iterable of str
        Elements, the first at the back.
    """
    wide, high = svg_number(width, 2), svg_number(height, 2)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" role="img" font-family="{escape(FONT)}" font-size="12" fill="{INK}">'
    )
    paper = f'<rect width="{wide}" height="{high}" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(name)}</title>", paper, *parts, "</svg>\n"])


def svg_image(svg: str, name: str) -> str:
    """The same picture as an ``<img>`` that holds it, for a page that takes SVG elements out.

    JupyterLab does so with the outputs of a notebook that it does not trust, and leaves their texts behind.

    Parameters
    ----------
    svg : str
        From `svg_document`.
    name : str
        What a screen reader says of it.
    """
    held = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(name)}" src="data:image/svg+xml;base64,{held}">'


def svg_text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: int = 400,
    fill: str = INK,
) -> str:
    """One line of text as an SVG element."""
    return (
        f'<text x="{svg_number(x, 2)}" y="{svg_number(y, 2)}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{fill}">{escape(text)}</text>'
    )


def svg_number(value: float, digits: int = 1) -> str:
    """A length or place in pixels, without zeros that say nothing."""
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text
