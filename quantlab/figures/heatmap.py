"""A plane of the surface: one metric over two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import INK, PAPER, UNDEFINED, ColourScale, colour_scale, significant
from quantlab.figures.labels import MetricStyle, metric_style, metric_text, plain, value_texts
from quantlab.figures.template import house_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

Mark = tuple[Any, Any, str]
CELLS_WITH_TEXT = 200


def heatmap(
    z: np.ndarray,
    x: Sequence[Any] | np.ndarray,
    y: Sequence[Any] | np.ndarray,
    *,
    x_label: str,
    y_label: str,
    metric: str,
    marks: Sequence[Mark] = (),
    title: str | None = None,
    hover: Mapping[str, np.ndarray] | None = None,
) -> go.Figure:
    """Draw one metric over two parameters.

    Parameters
    ----------
    z : float array of shape (len(y), len(x))
        Undefined cells (NaN, infinite) are shown grey.
    x, y : sequences of distinct numbers or strings
        Parameter values. Each takes one step on its axis, however uneven their distances are.
    x_label, y_label : str
        Parameter names, with a unit where there is one.
    metric : str
        Name of the metric: decides scale, format and label. A metric with a neutral value gets
        diverging colours around it; outliers cannot stretch the limits (`colour_scale`).
    marks : sequence of (x value, y value, label)
        Cells to frame, e.g. ``(0.001, 1.5, "plateau")``. The values must be among `x` and `y`.
        "peak" is framed with a dotted line, everything else with a solid one.
    title : str, optional
    hover : mapping of metric name to array of the shape of `z`, optional
        Further metrics shown when the pointer rests on a cell.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InputError
        When the shapes do not fit or a mark lies on no cell.
    """
    import plotly.graph_objects as go

    z = check_plane(z, x, y)
    style, scale = metric_style(metric), colour_scale(z, metric)
    x_texts, y_texts = ([plain(t) for t in value_texts(v)] for v in (x, y))
    template, custom = _hover(x_label, y_label, style, hover, z.shape)
    gap = 1 if max(z.shape) <= 60 else 0
    trace = go.Heatmap(
        z=significant(z),
        x=x_texts,
        y=y_texts,
        customdata=custom,
        colorscale=scale.stops,
        zmin=significant(scale.low).item(),
        zmax=significant(scale.high).item(),
        xgap=gap,
        ygap=gap,
        hoverongaps=False,
        hovertemplate=template,
        texttemplate=f"%{{z:{style.d3}}}" if z.size <= CELLS_WITH_TEXT else None,
        colorbar=colour_bar(scale, metric, style),
    )
    figure = house_figure(trace, height=plane_height(len(y)), plot_bgcolor=UNDEFINED)
    axis = {"type": "category", "showgrid": False, "ticks": "", "showline": False}
    for update, label, texts in (
        (figure.update_xaxes, x_label, x_texts),
        (figure.update_yaxes, y_label, y_texts),
    ):
        update(title_text=plain(label), categoryarray=texts, range=[-0.5, len(texts) - 0.5], **axis)
    figure.update_layout(title_text=plain(title) if title else None)
    for (column, row), label in locate_marks(marks, x, y).items():
        _frame(figure, column, row, label)
    return figure


def check_plane(z: np.ndarray, x: Sequence[Any] | np.ndarray, y: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return `z` as a float64 array of shape (len(y), len(x)); raise InputError when it has another."""
    plane = np.asarray(z, dtype=np.float64)
    if plane.shape != (len(y), len(x)) or plane.size == 0:
        raise InputError(
            f"a heatmap needs z of shape (len(y), len(x)) = ({len(y)}, {len(x)}) with at least one cell, "
            f"got {plane.shape}: transpose z or swap x and y."
        )
    return plane


def locate_marks(
    marks: Sequence[Mark], x: Sequence[Any] | np.ndarray, y: Sequence[Any] | np.ndarray
) -> dict[tuple[int, int], str]:
    """Where the marks lie: ``{(column, row): label}``; labels on one cell are joined.

    Raises
    ------
    InputError
        When a mark's value is not among the values of its axis.
    """
    found: dict[tuple[int, int], str] = {}
    for x_value, y_value, label in marks:
        place = _position(x, x_value, label), _position(y, y_value, label)
        found[place] = f"{found[place]}, {label}" if place in found else str(label)
    return found


def plane_height(rows: int) -> int:
    """Height in pixels of a heatmap with that many rows."""
    return int(np.clip(34 * rows + 150, 320, 680))


def _position(values: Sequence[Any] | np.ndarray, value: Any, label: str) -> int:
    for i, known in enumerate(values):
        same = (
            known == value
            if isinstance(value, str)
            else np.isclose(float(known), float(value), rtol=1e-9, atol=0)
        )
        if same:
            return i
    raise InputError(
        f"the mark {label!r} lies at {value!r}, which is not among the values {list(values)[:8]}."
    )


def _hover(
    x_label: str,
    y_label: str,
    style: MetricStyle,
    hover: Mapping[str, np.ndarray] | None,
    shape: tuple[int, ...],
) -> tuple[str, np.ndarray | None]:
    lines = [
        f"{plain(x_label)} %{{x}}",
        f"{plain(y_label)} %{{y}}",
        f"<b>{plain(style.label)} %{{z:{style.d3}}}</b>",
    ]
    columns = []
    for k, (name, values) in enumerate((hover or {}).items()):
        if np.shape(values) != shape:
            raise InputError(f"hover values of {name!r} need the shape of z {shape}, got {np.shape(values)}.")
        extra = metric_style(name)
        lines.append(f"{plain(extra.label)} %{{customdata[{k}]:{extra.d3}}}")
        columns.append(significant(values))
    return "<br>".join(lines) + "<extra></extra>", np.stack(columns, axis=-1) if columns else None


def colour_bar(scale: ColourScale, metric: str, style: MetricStyle) -> dict[str, Any]:
    """The colour bar of a figure: five texts, and a sign where values lie beyond the limits."""
    values = np.linspace(scale.low, scale.high, 5)
    texts = [metric_text(metric, v) for v in values]
    texts[0] = f"≤ {texts[0]}" if scale.clipped_low else texts[0]
    texts[-1] = f"≥ {texts[-1]}" if scale.clipped_high else texts[-1]
    return {
        "title": {"text": plain(style.label), "side": "right", "font": {"size": 12}},
        "thickness": 12,
        "outlinewidth": 0,
        "ticks": "",
        "tickmode": "array",
        "tickvals": significant(values).tolist(),
        "ticktext": texts,
    }


def _frame(figure: go.Figure, column: int, row: int, label: str) -> None:
    dotted = label == "peak"
    box = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    halo = {"color": PAPER, "width": 5}  # or the frame would drown in a dark cell
    for line in (halo, {"color": INK, "width": 2.5, "dash": "dot" if dotted else "solid"}):
        figure.add_shape(type="rect", line=line, layer="above", **box)
    figure.add_annotation(
        x=column,
        y=row - 0.5 if dotted and row else row + 0.5,  # below and above: neighbours do not cover each other
        text=plain(label),
        showarrow=False,
        yanchor="middle",
        bgcolor=INK,
        font={"size": 10, "color": PAPER},
        borderpad=2,
    )
