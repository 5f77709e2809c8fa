"""What one cell did: its equity, its drawdown, and what every trade left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, LOSS, PAPER, significant
from quantlab.figures.equity import curves, draw_curves
from quantlab.figures.labels import plain
from quantlab.figures.template import house_template

if TYPE_CHECKING:
    import plotly.graph_objects as go


def run(
    timestamps_ms: np.ndarray,
    equity: np.ndarray,
    market: np.ndarray | None = None,
    *,
    exits_ms: np.ndarray,
    returns: np.ndarray,
    texts: Sequence[str],
    title: str | None = None,
) -> go.Figure:
    """Draw an equity curve over its drawdown, and the return of every trade at its exit.

    Parameters
    ----------
    timestamps_ms, equity, market
        As `quantlab.figures.equity.equity` takes them.
    exits_ms : int64 array (trades,)
        Time of the exit of each trade, epoch milliseconds, UTC.
    returns : float array (trades,)
        After costs, as a fraction of the equity at entry.
    texts : sequence of str (trades,)
        Shown at the pointer, e.g. "long, by target".
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        Lengths differ, or there is no bar.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    made, times = significant(returns), np.asarray(exits_ms)
    if not made.shape == times.shape == (len(texts),):
        raise InputError(
            f"every trade needs a time, a return and a text, got {times.shape} times, {made.shape} returns "
            f"and {len(texts)} texts."
        )
    found = curves(np.asarray(timestamps_ms), equity, market)
    rows = {"rows": 3, "cols": 1, "row_heights": [0.52, 0.22, 0.26]}
    figure = make_subplots(**rows, shared_xaxes=True, vertical_spacing=0.045)
    draw_curves(figure, found)
    figure.add_hline(y=0.0, line_color=INK, line_width=1, row=3, col=1)
    trades = go.Scatter(
        x=times.astype(np.float64),
        y=made,
        text=[plain(text) for text in texts],
        mode="markers",
        name="trades",
        showlegend=False,
        marker={
            "size": 7 if len(texts) <= 200 else 4,
            "color": [LOSS if value < 0 else GAIN for value in made],
            "symbol": ["triangle-down" if value < 0 else "triangle-up" for value in made],
            "line": {"color": PAPER, "width": 0.5},
        },
        hovertemplate="%{y:+.2%} %{text}",
    )
    figure.add_trace(trades, row=3, col=1)
    figure.update_layout(template=house_template(), height=560)
    figure.update_xaxes(range=[float(found["time"][0]), float(found["time"][-1])])
    figure.update_yaxes(title_text="trades", tickformat="+.0%", row=3)
    return figure.update_layout(title_text=plain(title) if title else None)
