"""Is it a plateau or a needle: the metric along every parameter, through one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, PAPER, REFERENCE, significant
from quantlab.figures.labels import metric_style, plain, value_texts
from quantlab.figures.template import house_template

if TYPE_CHECKING:
    import plotly.graph_objects as go

Profile = tuple[str, Sequence[Any], np.ndarray, Any, float | None]


def slices(
    profiles: Sequence[Profile], *, metric: str, title: str | None = None, columns: int = 3
) -> go.Figure:
    """Draw the metric along each parameter while the others stay at the chosen cell.

    Parameters
    ----------
    profiles : sequence of (name, values, scores, chosen, half_width)
        One small plot each: the parameter's name, its k values, the metric at each of them (float
        array of shape (k,), NaN where undefined), the chosen value (one of `values`), and the distance
        from it within which the plateau holds (in the parameter's unit; None: unknown or not a number).
    metric : str
    title : str, optional
    columns : int
        Plots in one row.

    Returns
    -------
    plotly.graph_objects.Figure
        All plots share one vertical axis, so that their slopes can be compared.

    Raises
    ------
    InputError
        When there is no profile or scores and values differ in length.
    """
    from plotly.subplots import make_subplots

    if not profiles:
        raise InputError("slices need at least one parameter that varies, got none.")
    rows = -(-len(profiles) // columns)
    figure = make_subplots(
        rows=rows,
        cols=min(columns, len(profiles)),
        shared_yaxes="all",
        subplot_titles=[plain(p[0]) for p in profiles],
        horizontal_spacing=0.04,
        vertical_spacing=0.28 / rows,
    )
    style = metric_style(metric)
    for k, profile in enumerate(profiles):
        _one_slice(figure, profile, k // columns + 1, k % columns + 1, style.d3)
    figure.update_layout(template=house_template(), height=70 + 190 * rows, showlegend=False)
    figure.update_layout(title_text=plain(title) if title else None)
    figure.update_annotations(font_size=12)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(tickformat=style.d3)
    figure.update_yaxes(title_text=plain(style.label), col=1)
    return figure


def _one_slice(figure: go.Figure, profile: Profile, row: int, col: int, form: str) -> None:
    import plotly.graph_objects as go

    name, values, scores, chosen, half_width = profile
    y = significant(np.asarray(scores, dtype=np.float64))
    if y.shape != (len(values),):
        raise InputError(
            f"the slice along {name!r} needs one score a value, got {y.shape} for {len(values)} values."
        )
    texts = [plain(t) for t in value_texts(values)]
    is_chosen = np.array([v == chosen for v in values])
    line = go.Scatter(
        x=texts,
        y=y,
        mode="lines+markers",
        line={"color": GAIN, "width": 1.5},
        marker={
            "size": np.where(is_chosen, 11, 6),
            "color": [PAPER if c else GAIN for c in is_chosen],
            "line": {"color": [INK if c else GAIN for c in is_chosen], "width": 2},
        },
        hovertemplate=f"{plain(name)} %{{x}}<br>%{{y:{form}}}<extra></extra>",
    )
    figure.add_trace(line, row=row, col=col)
    figure.update_xaxes(categoryarray=texts, row=row, col=col)
    if half_width is not None:
        distance = np.abs(np.asarray(values, dtype=np.float64) - float(chosen))
        inside = np.flatnonzero(distance <= half_width * (1 + 1e-9))
        left, right = (float(inside[0]) - 0.4, float(inside[-1]) + 0.4)
        figure.add_vrect(
            x0=left,
            x1=right,
            fillcolor=REFERENCE,
            opacity=0.18,
            line_width=0,
            layer="below",
            row=row,
            col=col,
        )
