"""Walk-forward windows side by side: what the training promised and what the next months paid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, LOSS, REFERENCE, significant
from quantlab.figures.labels import metric_style, plain
from quantlab.figures.template import house_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


def walk_forward(
    labels: Sequence[str], train: np.ndarray, test: np.ndarray, *, metric: str, title: str | None = None
) -> go.Figure:
    """Draw each window's score in training beside its score out of sample.

    Parameters
    ----------
    labels : sequence of k str
        Name of each window, e.g. the month its test begins.
    train, test : float arrays of shape (k,)
        Score of the chosen parameters on the window they were chosen on, and on the one after it;
        NaN where undefined (no trade).
    metric : str
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure
        Training in grey; out of sample blue above the neutral value and orange below it.

    Raises
    ------
    InputError
        When the lengths differ or there is no window.
    """
    import plotly.graph_objects as go

    style = metric_style(metric)
    before, after = significant(train), significant(test)
    if not len(labels) or before.shape != (len(labels),) or after.shape != before.shape:
        raise InputError(
            f"each window needs a label and two scores, got {len(labels)} labels, {before.shape} in training "
            f"and {after.shape} out of sample."
        )
    neutral = style.neutral or 0.0
    texts = [plain(t) for t in labels]
    shared: dict[str, Any] = {"x": texts, "base": neutral}
    paid = after - neutral
    figure = house_figure(
        go.Bar(
            y=before - neutral,
            name="training",
            marker_color=REFERENCE,
            opacity=0.55,
            customdata=before,
            hovertemplate=f"training %{{customdata:{style.d3}}}<extra></extra>",
            **shared,
        ),
        go.Bar(
            y=paid,
            name="out of sample",
            marker_color=[LOSS if value < 0 else GAIN for value in paid],
            customdata=after,
            hovertemplate=f"out of sample %{{customdata:{style.d3}}}<extra></extra>",
            **shared,
        ),
        height=320,
        barmode="group",
        bargap=0.3,
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(title_text=plain(style.label), tickformat=style.d3)
    figure.add_hline(y=neutral, line_color=INK, line_width=1)
    figure.update_layout(title_text=plain(title) if title else None)
    return figure
