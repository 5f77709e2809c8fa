"""A plane of the surface as a relief: height and colour are the same metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.figures.colours import INK, MUTED, PAPER, RULE, colour_scale, significant
from quantlab.figures.heatmap import Mark, check_plane, colour_bar, locate_marks
from quantlab.figures.labels import metric_style, plain, value_texts
from quantlab.figures.template import house_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

TICKS = 8
"""Texts along an axis, at most."""


def surface3d(
    z: np.ndarray,
    x: Sequence[Any] | np.ndarray,
    y: Sequence[Any] | np.ndarray,
    *,
    x_label: str,
    y_label: str,
    metric: str,
    marks: Sequence[Mark] = (),
    title: str | None = None,
) -> go.Figure:
    """Draw one metric over two parameters as a relief.

    Parameters
    ----------
    z : float array of shape (len(y), len(x))
        Undefined cells (NaN, infinite) are holes.
    x, y : sequences of distinct numbers or strings
        Parameter values. Each takes one step on its axis, as in `quantlab.figures.heatmap.heatmap`.
    x_label, y_label : str
    metric : str
        Decides colours, limits and format. Heights beyond the limits of the colours are drawn as they are.
    marks : sequence of (x value, y value, label)
        Cells to point at; a mark on an undefined cell is left out.
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        When the shapes do not fit or a mark lies on no cell.
    """
    import plotly.graph_objects as go

    heights = significant(check_plane(z, x, y))
    style, scale = metric_style(metric), colour_scale(heights, metric)
    x_texts, y_texts = ([plain(t) for t in value_texts(v)] for v in (x, y))
    names = np.array([[f"{plain(x_label)} {a}<br>{plain(y_label)} {b}" for a in x_texts] for b in y_texts])
    relief = go.Surface(
        z=heights,
        x=np.arange(len(x)),
        y=np.arange(len(y)),
        text=names,
        colorscale=scale.stops,
        cmin=significant(scale.low).item(),
        cmax=significant(scale.high).item(),
        hovertemplate=f"%{{text}}<br><b>{plain(style.label)} %{{z:{style.d3}}}</b><extra></extra>",
        colorbar=colour_bar(scale, metric, style) | {"len": 0.7},
        lighting={"ambient": 0.75, "diffuse": 0.45, "specular": 0.05, "roughness": 0.9},
        contours={"z": {"show": True, "usecolormap": False, "color": INK, "width": 1}},
    )
    figure = house_figure(relief, height=560)
    figure.update_layout(
        scene={
            "xaxis": _axis(x_label, x_texts),
            "yaxis": _axis(y_label, y_texts),
            "zaxis": {**_plain_axis(style.label), "tickformat": style.d3},
            "aspectmode": "manual",
            "aspectratio": {"x": 1.2, "y": 1.2, "z": 0.65},
            "camera": {"eye": {"x": -1.2, "y": -1.5, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.2}},
        },
        title_text=plain(title) if title else None,
    )
    for (column, row), label in locate_marks(marks, x, y).items():
        if np.isfinite(heights[row, column]):
            _point(figure, column, row, heights[row, column], label)
    return figure


def _plain_axis(label: str) -> dict[str, Any]:
    lines = {"gridcolor": RULE, "showbackground": False, "zeroline": False, "showspikes": False}
    return {"title": {"text": plain(label)}, "color": MUTED, **lines}


def _axis(label: str, texts: Sequence[str]) -> dict[str, Any]:
    """Whole steps, of which every so many has its text."""
    shown = range(0, len(texts), -(-len(texts) // TICKS))
    named = {"tickmode": "array", "tickvals": list(shown), "ticktext": [texts[i] for i in shown]}
    return {**_plain_axis(label), **named}


def _point(figure: go.Figure, column: int, row: int, height: float, label: str) -> None:
    import plotly.graph_objects as go

    point = go.Scatter3d(
        x=[column],
        y=[row],
        z=[height],
        mode="markers+text",
        text=[plain(label)],
        textposition="top center",
        textfont={"color": INK, "size": 12},
        marker={"size": 5, "color": PAPER, "line": {"color": INK, "width": 2}},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_trace(point)
