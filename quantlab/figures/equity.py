"""What became of one unit of equity: a log axis above, the drawdown below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, LOSS, REFERENCE, significant
from quantlab.figures.labels import plain
from quantlab.figures.template import house_template
from quantlab.figures.thin import thin

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 4_000
Span = tuple[int, int, str]


def equity(
    timestamps_ms: np.ndarray,
    equity: np.ndarray,
    market: np.ndarray | None = None,
    *,
    title: str | None = None,
    spans: Sequence[Span] = (),
) -> go.Figure:
    """Draw an equity curve on a log axis over its drawdown.

    Parameters
    ----------
    timestamps_ms : int64 array of shape (n,)
        Epoch milliseconds, UTC.
    equity : float array of shape (n,)
        Equity in units of the initial equity (1 = start). Values <= 0 (ruin) have no place on a log
        axis and break the line; the drawdown shows them.
    market : float array of shape (n,), optional
        A price; drawn from the same start, so that holding the market can be compared. NaN is a gap.
    title : str, optional
    spans : sequence of (start_ms, end_ms, label)
        Stretches of time to shade, e.g. the part that was not searched.

    Returns
    -------
    plotly.graph_objects.Figure
        With at most about 4,000 points a line: the highs and lows of every stretch are kept.

    Raises
    ------
    InputError
        When the lengths differ or there is no bar.
    """
    from plotly.subplots import make_subplots

    found = curves(np.asarray(timestamps_ms), equity, market)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.05)
    draw_curves(figure, found)
    figure.update_layout(template=house_template(), height=460)
    figure.update_layout(title_text=plain(title) if title else None)
    for start, end, label in spans:
        _shade(figure, start, end, label)
    return figure


def draw_curves(figure: go.Figure, found: Mapping[str, np.ndarray]) -> None:
    """Draw what `curves` gave into the first two rows of a figure of subplots."""
    drawn = dict(found)
    times = drawn.pop("time")
    keep = thin(tuple(drawn.values()), POINTS)
    time = times[keep].astype(np.float64)
    if "market" in drawn:
        _line(figure, time, drawn["market"][keep], "market, held", REFERENCE, row=1, width=1.2)
        _line(figure, time, drawn["market_drawdown"][keep], "market drawdown", REFERENCE, row=2, width=1)
    _line(figure, time, drawn["equity"][keep], "strategy", GAIN, row=1, width=2)
    _line(figure, time, drawn["drawdown"][keep], "strategy drawdown", LOSS, row=2, width=1, fill="tozeroy")
    figure.update_layout(hovermode="x unified", legend_traceorder="reversed")
    figure.update_xaxes(type="date")
    figure.update_yaxes(type="log", title_text="equity (log)", tickformat=".3~g", row=1)
    lines = np.concatenate([drawn["equity"], drawn.get("market", drawn["equity"])])
    if np.nanmax(lines, initial=1.0) > 4 * np.nanmin(lines, initial=1.0):
        figure.update_yaxes(dtick="D2", row=1)  # 1, 2, 5: every digit would run into its neighbour
    figure.update_yaxes(title_text="drawdown", tickformat=".0%", row=2)


def drawdown(equity: np.ndarray) -> np.ndarray:
    """Fraction below the running maximum, the start (1) included; <= 0, NaN where equity is NaN."""
    values = np.asarray(equity, dtype=np.float64)
    peak = np.maximum(np.fmax.accumulate(values), 1.0)
    return values / peak - 1.0


def curves(timestamps: np.ndarray, equity: np.ndarray, market: np.ndarray | None) -> dict[str, np.ndarray]:
    """Time, equity, drawdown, and those of holding the market; InputError where lengths differ.

    Parameters
    ----------
    timestamps, equity, market
        As `equity` takes them.

    Returns
    -------
    dict of str to array (n,)
        Equity is NaN where nothing is left.
    """
    values = np.asarray(equity, dtype=np.float64)
    if values.shape != timestamps.shape or values.ndim != 1 or values.size == 0:
        raise InputError(
            f"an equity curve needs one timestamp a value and at least one, got {timestamps.shape} "
            f"timestamps and {values.shape} values."
        )
    found = {
        "time": timestamps,
        "equity": np.where(values > 0, values, np.nan),
        "drawdown": drawdown(values),
    }
    if market is not None:
        price = np.asarray(market, dtype=np.float64)
        if price.shape != values.shape:
            raise InputError(f"the market needs one price a bar, got {price.shape} for {values.shape} bars.")
        known = price[np.isfinite(price)]
        held = price / known[0] if known.size else price
        found |= {"market": held, "market_drawdown": drawdown(held)}
    return found


def _line(
    figure: go.Figure, time: np.ndarray, values: np.ndarray, name: str, colour: str, row: int, **style: Any
) -> None:
    import plotly.graph_objects as go

    form = ".3f" if row == 1 else ".1%"
    trace = go.Scatter(
        x=time,
        y=significant(values),
        name=name,
        mode="lines",
        line={"color": colour, "width": style["width"]},
        fill=style.get("fill"),
        connectgaps=False,
        showlegend=row == 1,
        hovertemplate=f"%{{y:{form}}}",
    )
    figure.add_trace(trace, row=row, col=1)


def _shade(figure: go.Figure, start: int, end: int, label: str) -> None:
    box = {"x0": float(start), "x1": float(end), "y0": 0, "y1": 1, "yref": "paper"}
    figure.add_shape(
        type="rect", xref="x", fillcolor=REFERENCE, opacity=0.14, line_width=0, layer="below", **box
    )
    figure.add_annotation(
        x=float(start), y=1, yref="paper", text=plain(label), showarrow=False, xanchor="left", yanchor="top"
    )
