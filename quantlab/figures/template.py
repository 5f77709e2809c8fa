"""The house template: quiet axes, direct labels, one type size scale, a payload of about one kilobyte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.figures.colours import GAIN, INK, LOSS, MUTED, PAPER, REFERENCE, RULE, SEQUENTIAL

if TYPE_CHECKING:
    import plotly.graph_objects as go

FONT = "Inter, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def house_template() -> go.layout.Template:
    """The template that every figure of this package carries.

    Returns
    -------
    plotly.graph_objects.layout.Template
        A new object on each call, so that no caller can change another's figures.
    """
    import plotly.graph_objects as go

    axis: dict[str, Any] = {
        "automargin": True,
        "gridcolor": RULE,
        "gridwidth": 1,
        "linecolor": RULE,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": RULE,
        "zeroline": False,
        "title": {"standoff": 10, "font": {"size": 13}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": INK},
            "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 15}},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "colorway": [GAIN, LOSS, REFERENCE, SEQUENTIAL[4], INK],
            "margin": {"l": 12, "r": 12, "t": 48, "b": 12},
            "hoverlabel": {
                "bgcolor": PAPER,
                "bordercolor": MUTED,
                "font": {"family": FONT, "size": 12, "color": INK},
            },
            "hovermode": "closest",
            "legend": {"orientation": "h", "x": 1, "y": 1.02, "xanchor": "right", "yanchor": "bottom"},
            "xaxis": axis,
            "yaxis": axis,
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": GAIN},
        }
    )


def house_figure(*traces: Any, **layout: Any) -> go.Figure:
    """A figure of the given traces in the house template.

    Parameters
    ----------
    *traces : plotly traces
    **layout
        Passed to ``Figure.update_layout``.
    """
    import plotly.graph_objects as go

    figure = go.Figure(data=list(traces))
    return figure.update_layout(template=house_template(), **layout)


def use_house_style() -> None:
    """Make the house template and the offline notebook renderer plotly's defaults in this process.

    The only function of this room that changes anything global; a notebook calls it once.
    """
    import plotly.io as pio

    pio.templates["quantlab"] = house_template()
    pio.templates.default = "quantlab"
    pio.renderers.default = "plotly_mimetype"
