"""What a search found: its best so far, its Pareto front, and which parameters matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, LOSS, REFERENCE, SEQUENTIAL, significant
from quantlab.figures.labels import metric_style, plain
from quantlab.figures.template import house_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

_COLOURS = (GAIN, LOSS, REFERENCE, SEQUENTIAL[4], INK)
_MOST = 2_000
"""Points of one curve, at most: a curve of steps is drawn by its corners."""


def convergence(
    curves: Mapping[str, np.ndarray], *, metric: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the best so far of one search or of several, as steps over the number of trials.

    Parameters
    ----------
    curves : mapping of str to float array (trials,)
        Name of each curve, a metric or a sampler, to its best after each trial; NaN until there is one.
    metric : str, optional
        What all curves are of, for the axis; by default the name of a single curve.
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        There is no curve.
    """
    import plotly.graph_objects as go

    if not curves:
        raise InputError("a figure of convergence needs a curve, got none.")
    metric = next(iter(curves)) if metric is None and len(curves) == 1 else metric
    traces = []
    for i, (name, values) in enumerate(curves.items()):
        x, y = _corners(np.asarray(values, np.float64))
        line = {"shape": "hv", "color": _COLOURS[i % len(_COLOURS)], "width": 2}
        traces.append(go.Scatter(x=x, y=significant(y), mode="lines", name=plain(name), line=line))
    figure = house_figure(*traces, height=340, showlegend=len(traces) > 1)
    figure.update_xaxes(title_text="trials", tickformat=",d")
    if metric is not None:
        style = metric_style(metric)
        figure.update_yaxes(title_text=plain(style.label), tickformat=style.d3)
    return figure.update_layout(title_text=plain(title) if title else None)


def front(
    x: np.ndarray, y: np.ndarray, on: np.ndarray, metrics: Sequence[str], *, title: str | None = None
) -> go.Figure:
    """Draw all trials in the plane of two metrics, and the Pareto front among them.

    Parameters
    ----------
    x, y : float arrays (trials,)
        NaN is not drawn.
    on : boolean array (trials,)
        Which trials lie on the front.
    metrics : sequence of two str
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        Lengths differ.
    """
    import plotly.graph_objects as go

    x, y, on = significant(x), significant(y), np.asarray(on, bool)
    if not x.shape == y.shape == on.shape:
        raise InputError(f"a front needs x, y and a mark per trial, got {x.shape}, {y.shape}, {on.shape}.")
    order = np.flatnonzero(on)[np.lexsort((y[on], x[on]))]
    rest = np.flatnonzero(~on & ~np.isnan(x) & ~np.isnan(y))
    if len(rest) > _MOST:
        rest = rest[np.linspace(0, len(rest) - 1, _MOST).astype(int)]
    styles = [metric_style(name) for name in metrics]
    hover = f"%{{x:{styles[0].d3}}}, %{{y:{styles[1].d3}}}"
    others = go.Scatter(
        x=x[rest],
        y=y[rest],
        mode="markers",
        name="trials",
        marker={"size": 4, "color": REFERENCE, "opacity": 0.5},
        hovertemplate=hover,
    )
    best = go.Scatter(
        x=x[order],
        y=y[order],
        mode="lines+markers",
        name="front",
        line={"color": GAIN, "width": 1.5},
        marker={"size": 8, "color": GAIN},
        hovertemplate=hover,
    )
    figure = house_figure(others, best, height=420)
    figure.update_xaxes(title_text=plain(styles[0].label), tickformat=styles[0].d3)
    figure.update_yaxes(title_text=plain(styles[1].label), tickformat=styles[1].d3)
    return figure.update_layout(title_text=plain(title) if title else None)


def importances(shares: Mapping[str, float], *, title: str | None = None) -> go.Figure:
    """Draw the share of each parameter, the largest on top.

    Parameters
    ----------
    shares : mapping of str to float
        Name of a parameter to its share, a fraction.
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        There is no parameter.
    """
    import plotly.graph_objects as go

    if not shares:
        raise InputError("a figure of importance needs a parameter, got none.")
    names = sorted(shares, key=lambda name: shares[name])
    bars = go.Bar(
        x=significant([shares[name] for name in names]),
        y=[plain(name) for name in names],
        orientation="h",
        marker_color=GAIN,
        hovertemplate="%{y} %{x:.1%}<extra></extra>",
    )
    figure = house_figure(bars, height=80 + 28 * len(names), bargap=0.35)
    figure.update_xaxes(title_text="share of importance", tickformat=".0%")
    figure.update_yaxes(type="category", showgrid=False)
    return figure.update_layout(title_text=plain(title) if title else None)


def _corners(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trials (from 1 on) at which a curve of steps changes, and its end."""
    change = np.flatnonzero(values[1:] != values[:-1]) + 1
    kept = np.unique(np.r_[0, change, len(values) - 1])
    kept = kept[~np.isnan(values[kept])]
    return kept + 1, values[kept]
