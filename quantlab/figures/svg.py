"""A heatmap as one small static SVG: no browser, no matplotlib, no network; for a README or a mail."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from quantlab.figures.colours import INK, MUTED, PAPER, UNDEFINED, ColourScale, colour_scale
from quantlab.figures.heatmap import CELLS_WITH_TEXT, Mark, check_plane, locate_marks
from quantlab.figures.labels import metric_style, metric_text, value_texts
from quantlab.figures.svg_parts import svg_document, svg_number, svg_text

_CHAR = 6.6  # mean width in pixels of a character at 12 px
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 108.0, 52.0, 50.0


def heatmap_svg(
    z: np.ndarray,
    x: Sequence[Any] | np.ndarray,
    y: Sequence[Any] | np.ndarray,
    *,
    x_label: str,
    y_label: str,
    metric: str,
    marks: Sequence[Mark] = (),
    title: str = "",
    width: int = 860,
) -> str:
    """Draw one metric over two parameters as an SVG document.

    Parameters
    ----------
    z : float array of shape (len(y), len(x))
        Undefined cells (NaN, infinite) are grey.
    x, y : sequences of distinct numbers or strings
    x_label, y_label : str
    metric : str
        Decides scale, format and label, as in `quantlab.figures.heatmap.heatmap`.
    marks : sequence of (x value, y value, label)
        Cells to frame; "peak" with a dotted line, everything else with a solid one.
    title : str
    width : int
        Pixels; the height follows from the number of rows.

    Returns
    -------
    str
        An ``<svg>`` element on its own light background; the same bytes for the same input.

    Raises
    ------
    InputError
        When the shapes do not fit or a mark lies on no cell.
    """
    plane = check_plane(z, x, y)
    scale = colour_scale(plane, metric)
    x_texts, y_texts = value_texts(x), value_texts(y)
    left = _LEFT + _CHAR * max(map(len, y_texts))
    cell_w = (width - left - _RIGHT) / len(x)
    cell_h = float(np.clip(440 / len(y), 3, 44))
    height = _TOP + cell_h * len(y) + _BOTTOM
    box = (left, _TOP, cell_w, cell_h)
    name = title or f"{metric_style(metric).label} over {x_label} and {y_label}"
    parts = [
        svg_text(left, 28, name, size=15, weight=600),
        *_cells(plane, metric, scale, box),
        *_axes(x_texts, y_texts, x_label, y_label, box),
        *_marks(locate_marks(marks, x, y), plane.shape[0], box),
        *_colour_bar(scale, metric, width - _RIGHT + 18, _TOP, cell_h * len(y)),
    ]
    if not np.isfinite(plane).all():
        parts.append(_legend_undefined(width - _RIGHT + 18, height - 20))
    return svg_document(name, width, height, parts)


def _cells(plane: np.ndarray, metric: str, scale: ColourScale, box: tuple[float, ...]) -> list[str]:
    left, top, w, h = box
    rows = plane.shape[0]
    longest = max(len(metric_text(metric, v)) for v in plane.ravel()[:CELLS_WITH_TEXT])
    written = plane.size <= CELLS_WITH_TEXT and h >= 14 and w >= _CHAR * longest
    gap = 1.0 if min(w, h) >= 8 else 0.0
    parts = []
    for (row, column), value in np.ndenumerate(plane):
        colour = scale.colour(value)
        px, py = left + column * w, top + (rows - 1 - row) * h
        parts.append(
            f'<rect x="{_n(px)}" y="{_n(py)}" width="{_n(w - gap)}" height="{_n(h - gap)}" fill="{colour}"/>'
        )
        if written and np.isfinite(value):
            fill = PAPER if _is_dark(colour) else INK
            parts.append(
                svg_text(px + w / 2, py + h / 2 + 4, metric_text(metric, value), anchor="middle", fill=fill)
            )
    return parts


def _axes(
    x_texts: list[str], y_texts: list[str], x_label: str, y_label: str, box: tuple[float, ...]
) -> list[str]:
    left, top, w, h = box
    bottom, right = top + h * len(y_texts), left + w * len(x_texts)
    step_x = max(1, int(np.ceil((max(map(len, x_texts)) + 1.5) * _CHAR / w)))
    step_y = max(1, int(np.ceil(15 / h)))
    parts = [
        svg_text(left + (i + 0.5) * w, bottom + 17, text, anchor="middle")
        for i, text in enumerate(x_texts)
        if i % step_x == 0
    ]
    parts += [
        svg_text(left - 7, bottom - (i + 0.5) * h + 4, text, anchor="end")
        for i, text in enumerate(y_texts)
        if i % step_y == 0
    ]
    middle = (top + bottom) / 2
    parts.append(svg_text((left + right) / 2, bottom + 38, x_label, anchor="middle", size=13))
    parts.append(
        f'<text x="18" y="{_n(middle)}" text-anchor="middle" font-size="13" '
        f'transform="rotate(-90 18 {_n(middle)})">{escape(y_label)}</text>'
    )
    return parts


def _marks(places: dict[tuple[int, int], str], rows: int, box: tuple[float, ...]) -> list[str]:
    left, top, w, h = box
    parts, names = [], []
    for (column, row), label in places.items():
        px, py = left + column * w, top + (rows - 1 - row) * h
        dotted = label == "peak"
        dash = ' stroke-dasharray="2 3"' if dotted else ""
        edge = py + h if dotted and row else py
        frame = f'<rect x="{_n(px - 0.5)}" y="{_n(py - 0.5)}" width="{_n(w)}" height="{_n(h)}" fill="none" '
        parts.append(f'{frame}stroke="{PAPER}" stroke-width="5"/>')
        parts.append(f'{frame}stroke="{INK}" stroke-width="2.5"{dash}/>')
        wide = _CHAR * len(label) * 0.9 + 8
        names.append(
            f'<rect x="{_n(px + w / 2 - wide / 2)}" y="{_n(edge - 8)}" width="{_n(wide)}" height="15" rx="2" '
            f'fill="{INK}"/>'
        )
        names.append(svg_text(px + w / 2, edge + 3, label, anchor="middle", size=10, fill=PAPER))
    return parts + names  # the frame of a neighbour does not cross a name


def _colour_bar(scale: ColourScale, metric: str, x: float, y: float, height: float) -> list[str]:
    last = len(scale.colours) - 1
    name = f"bar-{scale.colours[0][1:]}"  # differs between scales: several SVGs may share one page
    stops = "".join(
        f'<stop offset="{_n(100 * i / last)}%" stop-color="{colour}"/>'
        for i, colour in enumerate(reversed(scale.colours))
    )
    parts = [
        f'<defs><linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient></defs>',
        f'<rect x="{_n(x)}" y="{_n(y)}" width="12" height="{_n(height)}" fill="url(#{name})"/>',
        svg_text(x, y - 10, metric_style(metric).label, fill=MUTED),
    ]
    for k, value in enumerate(np.linspace(scale.high, scale.low, 5)):
        text = metric_text(metric, value)
        if k == 0 and scale.clipped_high:
            text = f"≥ {text}"
        if k == 4 and scale.clipped_low:
            text = f"≤ {text}"
        parts.append(svg_text(x + 18, y + height * k / 4 + 4, text))
    return parts


def _legend_undefined(x: float, y: float) -> str:
    return f'<rect x="{_n(x)}" y="{_n(y - 10)}" width="12" height="12" fill="{UNDEFINED}"/>' + svg_text(
        x + 18, y, "undefined", fill=MUTED
    )


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


def _n(value: float) -> str:
    return svg_number(value, 2)
