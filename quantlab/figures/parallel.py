"""What good cells have in common: one line a cell, across an axis for every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import SEQUENTIAL, ColourScale, significant
from quantlab.figures.heatmap import colour_bar
from quantlab.figures.labels import metric_style, plain, value_texts
from quantlab.figures.template import house_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

FEW = 10
"""Up to as many different values all of them are written at the axis, one step each."""
FAN = 0.3
"""Steps over which the lines through one such value are spread, so that one sees how many they are."""


def parallel(
    parameters: Mapping[str, np.ndarray], scores: np.ndarray, *, metric: str, title: str | None = None
) -> go.Figure:
    """Draw cells as lines across their parameters, coloured by their score.

    Parameters
    ----------
    parameters : mapping of str to array (cells,)
        Values of each parameter, numbers or strings.
    scores : float array (cells,)
        The metric of each cell, the later drawn over the earlier; cells without one are left out.
    metric : str
        Decides label and format.
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure
        An axis can be brushed with the pointer. Colours run from the worst to the best of these cells.

    Raises
    ------
    InputError
        No cell has a score, there is no parameter, or lengths differ.
    """
    import plotly.graph_objects as go

    values = significant(scores)
    wrong = {
        name: np.shape(column) for name, column in parameters.items() if np.shape(column) != values.shape
    }
    if values.ndim != 1 or wrong or not parameters:
        raise InputError(
            f"parallel axes need a parameter, and one value of each for every cell: got scores of shape "
            f"{values.shape} and {wrong or 'no parameter'}."
        )
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        raise InputError(f"none of {values.size} cells has a {metric}: there is no line to draw.")
    low, high = float(values[known].min()), float(values[known].max())
    scale = ColourScale(SEQUENTIAL[2:], low, high if high > low else low + (abs(low) or 1.0), False, False)
    style = metric_style(metric)
    line = {
        "color": values[known],
        "colorscale": scale.stops,
        "cmin": significant(scale.low).item(),
        "cmax": significant(scale.high).item(),
        "showscale": True,
        "colorbar": colour_bar(scale, metric, style),
    }
    axes = [_axis(name, np.asarray(column)[known]) for name, column in parameters.items()]
    axes.append({"label": plain(style.label), "values": values[known], "tickformat": style.d3})
    figure = house_figure(go.Parcoords(dimensions=axes, line=line, labelangle=-18), height=430)
    figure.update_layout(margin={"l": 60, "r": 30, "t": 110, "b": 28})
    return figure.update_layout(title_text=plain(title) if title else None)


def _axis(name: str, column: np.ndarray) -> dict[str, Any]:
    known, code = np.unique(column, return_inverse=True)
    if column.dtype.kind in "ifu" and known.size > FEW:
        return {"label": plain(name), "values": significant(column)}
    texts = [plain(text) for text in value_texts(known.tolist())]
    place = code.astype(np.float64)
    for k in range(known.size):
        count = int(np.count_nonzero(code == k))
        place[code == k] += FAN * (np.arange(count) / max(count - 1, 1) - 0.5) if count > 1 else 0.0
    return {
        "label": plain(name),
        "values": significant(place),
        "tickvals": np.arange(known.size),
        "ticktext": texts,
    }
