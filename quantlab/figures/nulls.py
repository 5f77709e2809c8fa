"""Luck and the find side by side: what a search found on markets without an edge, and on the real one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, LOSS, MUTED, REFERENCE, RULE, significant
from quantlab.figures.labels import MINUS, plain
from quantlab.figures.svg_parts import svg_document, svg_text
from quantlab.figures.svg_parts import svg_number as _n
from quantlab.figures.template import house_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

X_LABEL = "what the search found: timing t of its winner (more is better)"
_ROW = 150
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0)


@dataclass(frozen=True)
class _Panel:
    """One kind of market: its bars, and how many did as well."""

    name: str
    drawn: int
    as_good: int
    centre: np.ndarray
    count: np.ndarray
    good: np.ndarray

    @property
    def title(self) -> str:
        return f"{self.name} markets: {self.as_good:,} of {self.drawn:,} did as well or better"


@dataclass(frozen=True)
class _Picture:
    """All panels on one axis."""

    panels: tuple[_Panel, ...]
    width: float
    low: float
    high: float


def nulls(scores: Mapping[str, np.ndarray], real: float, *, title: str | None = None) -> go.Figure:
    """Draw how often luck finds how much, and where the real find stands.

    Parameters
    ----------
    scores : mapping of label to float array (drawn,)
        What the same search found on each kind of market without an edge, e.g. ``{"shuffled": ...}``. What
        is not finite counts as drawn, and as worse than anything.
    real : float
        What it found on the real market; not finite: nothing.
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure
        A row per kind of market; markets that did as well or better are orange.

    Raises
    ------
    InputError
        No market was drawn.
    """
    import plotly.graph_objects as go

    picture = _picture(scores, real)
    figure = house_figure(height=90 + _ROW * len(picture.panels), bargap=0.08, showlegend=False)
    share = 1.0 / len(picture.panels)
    for row, panel in enumerate(picture.panels):
        axis = "" if row == 0 else str(row + 1)
        top = 1.0 - share * row
        figure.add_trace(
            go.Bar(
                x=significant(panel.centre),
                y=panel.count,
                width=float(significant(picture.width)),
                marker_color=[LOSS if good else REFERENCE for good in panel.good],
                hovertemplate="%{y} markets around %{x:.2f}<extra></extra>",
                xaxis="x",
                yaxis=f"y{axis}",
            )
        )
        bounds: dict[str, Any] = {"domain": [top - share, top - 0.3 * share], "title": {"text": "markets"}}
        figure.update_layout({f"yaxis{axis}": bounds | {"rangemode": "tozero", "nticks": 4}})
        figure.add_annotation(
            **_paper(0.0, top - 0.27 * share, "left", "bottom"), text=plain(panel.title), font_size=13
        )
    figure.update_xaxes(
        range=[float(significant(picture.low)), float(significant(picture.high))],
        anchor=f"y{len(picture.panels)}" if len(picture.panels) > 1 else "y",
        title_text=X_LABEL,
        showgrid=False,
    )
    if math.isfinite(real):
        _mark_find(figure, picture, real)
    return figure.update_layout(title_text=plain(title) if title else None)


def nulls_svg(scores: Mapping[str, np.ndarray], real: float, *, title: str = "", width: int = 760) -> str:
    """The same as one small static SVG: the same bytes for the same input.

    Parameters
    ----------
    scores, real, title
        As of `nulls`.
    width : int
        Pixels.
    """
    picture = _picture(scores, real)
    top, row, left, right = (58.0 if title else 32.0), 104.0, 40.0, 20.0
    height = int(top + row * len(picture.panels) + 48)
    parts = [svg_text(left, 24, title, size=15, weight=600)] if title else []

    def place(value: float) -> float:
        return left + (value - picture.low) / (picture.high - picture.low) * (width - left - right)

    for k, panel in enumerate(picture.panels):
        base = top + row * (k + 1) - 22
        parts.append(svg_text(left, base - row + 40, panel.title, size=12, weight=600))
        tallest = max(1, int(panel.count.max(initial=0)))
        half = 0.46 * (place(picture.low + picture.width) - left)
        for good, colour in ((False, REFERENCE), (True, LOSS)):
            boxes = [
                f"M{_n(place(x) - half)},{_n(base)}V{_n(base - 54 * n / tallest)}h{_n(2 * half)}V{_n(base)}z"
                for x, n, g in zip(panel.centre, panel.count, panel.good, strict=True)
                if n and g == good
            ]
            if boxes:
                parts.append(f'<path d="{"".join(boxes)}" fill="{colour}"/>')
        parts.append(f'<path d="M{_n(left)},{_n(base)}H{_n(width - right)}" stroke="{RULE}"/>')
    bottom = top + row * len(picture.panels) - 22
    for value in _ticks(picture.low, picture.high):
        parts.append(svg_text(place(value), bottom + 16, _tick(value), anchor="middle", fill=MUTED, size=11))
    parts.append(svg_text((left + width - right) / 2, bottom + 36, X_LABEL, anchor="middle", fill=MUTED))
    if math.isfinite(real):
        x, ends = place(real), place(real) > 0.7 * width
        parts.append(f'<path d="M{_n(x)},{_n(top - 8)}V{_n(bottom)}" stroke="{GAIN}" stroke-width="2.5"/>')
        anchor, shift = ("end", -6.0) if ends else ("start", 6.0)
        parts.append(svg_text(x + shift, top + 2, _said(real), anchor=anchor, weight=600, fill=GAIN))
    return svg_document(title or "what luck finds", width, height, parts)


def _picture(scores: Mapping[str, np.ndarray], real: float) -> _Picture:
    """Bars of one width on all rows; the real find lies on a border, so that a bar is on one side of it."""
    drawn = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    if not drawn or not all(values.size for values in drawn.values()):
        raise InputError("no market without an edge was drawn, so there is nothing to draw luck from.")
    finite = np.concatenate([v[np.isfinite(v)] for v in drawn.values()])
    known = np.append(finite, real if math.isfinite(real) else [])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    bins_wanted = float(np.clip(2.0 * math.sqrt(max(v.size for v in drawn.values())), 8, 30))
    width = max(high - low, 1e-9, 1e-6 * abs(high)) / bins_wanted
    zero = real if math.isfinite(real) else low
    first, last = math.floor((low - zero) / width), math.ceil((high - zero) / width) + 1
    edges = zero + width * np.arange(first, last + 1)
    panels = []
    for name, values in drawn.items():
        inside = values[np.isfinite(values)]
        good = inside >= real if math.isfinite(real) else np.ones(inside.size, bool)
        bins = np.clip(np.searchsorted(edges, inside, side="right") - 1, 0, len(edges) - 2)
        split = -first if math.isfinite(real) else 0
        bins = np.where(good, np.maximum(bins, split), np.minimum(bins, split - 1))  # rounding of the border
        count = np.bincount(bins, minlength=len(edges) - 1)
        as_good = int(good.sum()) if math.isfinite(real) else values.size
        panels.append(
            _Panel(
                name,
                values.size,
                as_good,
                0.5 * (edges[:-1] + edges[1:]),
                count,
                np.arange(len(count)) >= split,
            )
        )
    return _Picture(tuple(panels), width, float(edges[0] - width), float(edges[-1] + width))


def _mark_find(figure: go.Figure, picture: _Picture, real: float) -> None:
    ends = real > picture.low + 0.7 * (picture.high - picture.low)
    x = float(significant(real))
    figure.add_shape(
        type="line", x0=x, x1=x, y0=0, y1=1, xref="x", yref="paper", line={"color": GAIN, "width": 3}
    )
    figure.add_annotation(
        x=x,
        y=1.0,
        xref="x",
        yref="paper",
        text=_said(real),
        showarrow=False,
        xanchor="right" if ends else "left",
        yanchor="bottom",
        font={"color": GAIN, "size": 13},
    )


def _paper(x: float, y: float, xanchor: str, yanchor: str) -> dict[str, Any]:
    where = {"x": x, "y": y, "xref": "paper", "yref": "paper"}
    return where | {"xanchor": xanchor, "yanchor": yanchor, "showarrow": False}


def _ticks(low: float, high: float) -> list[float]:
    step = next((s for s in _STEPS if (high - low) / s <= 10), (high - low) / 5)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _said(real: float) -> str:
    return f"the real market: {real:.2f}".replace("-", MINUS)
