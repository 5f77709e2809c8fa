"""A stretch of the market with the trades in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, LOSS, PAPER, significant
from quantlab.figures.labels import plain
from quantlab.figures.template import house_figure
from quantlab.figures.thin import group_candles

if TYPE_CHECKING:
    import plotly.graph_objects as go

CANDLES = 1_500
Marker = tuple[int, float, str]
Level = tuple[int, int, float, str]


def candles(
    timestamps_ms: np.ndarray,
    open: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    *,
    entries: Sequence[Marker] = (),
    exits: Sequence[Marker] = (),
    levels: Sequence[Level] = (),
    title: str | None = None,
) -> go.Figure:
    """Draw candles with the entries and exits of the trades among them.

    Parameters
    ----------
    timestamps_ms : int64 array of shape (n,)
        Open time of each bar, epoch milliseconds, UTC.
    open, high, low, close : float arrays of shape (n,)
        NaN rows are missing bars and stay empty.
    entries, exits : sequences of (timestamp_ms, price, text)
        Fills; the text (e.g. "long", "stop") is shown at the pointer.
    levels : sequence of (start_ms, end_ms, price, label)
        Prices that held for a while, e.g. a stop or a target.
    title : str, optional

    Returns
    -------
    plotly.graph_objects.Figure
        Beyond 1,500 bars neighbours are merged into longer candles, and the title says so.

    Raises
    ------
    InputError
        When the columns differ in length or there is no bar.
    """
    import plotly.graph_objects as go

    prices = [np.asarray(v, dtype=np.float64) for v in (open, high, low, close)]
    times = np.asarray(timestamps_ms)
    if times.size == 0 or any(p.shape != times.shape for p in prices):
        raise InputError(
            f"candles need columns of one length and at least one bar, got {times.shape} timestamps and "
            f"{[p.shape for p in prices]} prices."
        )
    (times, *prices), merged = group_candles((times, *prices), CANDLES)
    o, h, lo, c = (significant(p, 8) for p in prices)
    body = go.Candlestick(
        x=times.astype(np.float64),
        open=o,
        high=h,
        low=lo,
        close=c,
        name="candles",
        showlegend=False,
        increasing={"line": {"color": GAIN, "width": 1}, "fillcolor": PAPER},
        decreasing={"line": {"color": LOSS, "width": 1}, "fillcolor": LOSS},
    )
    figure = house_figure(body, height=380, hovermode="closest")
    figure.update_xaxes(type="date", rangeslider_visible=False)
    figure.update_yaxes(title_text="price", tickformat=",")
    for start, end, price, label in levels:
        _level(figure, start, end, price, label)
    _markers(figure, entries, "entry", "triangle-right")
    _markers(figure, exits, "exit", "x")
    note = f" ({merged} bars a candle)" if merged > 1 else ""
    figure.update_layout(title_text=plain((title or "") + note) or None)
    return figure


def _markers(figure: go.Figure, fills: Sequence[Marker], name: str, symbol: str) -> None:
    import plotly.graph_objects as go

    if not fills:
        return
    times, prices, texts = zip(*fills, strict=True)
    trace = go.Scatter(
        x=np.asarray(times, dtype=np.float64),
        y=significant(np.asarray(prices), 8),
        text=[plain(t) for t in texts],
        name=name,
        mode="markers",
        marker={"symbol": symbol, "size": 11, "color": INK, "line": {"color": PAPER, "width": 1}},
        hovertemplate=f"{name} %{{text}} at %{{y:,.8~g}}<extra></extra>",
    )
    figure.add_trace(trace)


def _level(figure: go.Figure, start: int, end: int, price: float, label: str) -> None:
    at = significant(np.array(price), 8).item()
    line = {"color": INK, "width": 1, "dash": "dash"}
    figure.add_shape(type="line", x0=float(start), x1=float(end), y0=at, y1=at, line=line)
    figure.add_annotation(
        x=float(start),
        y=at,
        text=plain(label),
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"size": 10, "color": INK},
    )
