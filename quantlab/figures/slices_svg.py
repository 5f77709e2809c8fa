"""The metric along every parameter through one cell, as one small static SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, MUTED, RULE
from quantlab.figures.labels import metric_text, value_texts
from quantlab.figures.slices import Profile
from quantlab.figures.svg_parts import svg_document, svg_text

_HIGH, _LEFT, _GAP, _TOP = 132.0, 58.0, 14.0, 44.0


def slices_svg(
    profiles: Sequence[Profile], *, metric: str, title: str = "", width: int = 860, columns: int = 3
) -> str:
    """Draw the metric along each parameter while the others stay at the chosen cell.

    Parameters
    ----------
    profiles : sequence of (name, values, scores, chosen, half_width)
        As of `quantlab.figures.slices.slices`.
    metric : str
    title : str
    width : int
        Pixels.
    columns : int
        Plots in one row.

    Returns
    -------
    str
        An ``<svg>`` element on its own light background; all plots share one vertical axis. The same bytes
        for the same input.

    Raises
    ------
    InputError
        When there is no profile or scores and values differ in length.
    """
    if not profiles:
        raise InputError("slices need at least one parameter that varies, got none.")
    for name, values, scores, *_ in profiles:
        if np.shape(scores) != (len(values),):
            raise InputError(
                f"the slice along {name!r} needs one score a value, got {np.shape(scores)} for "
                f"{len(values)} values."
            )
    known = np.concatenate([np.asarray(p[2], float) for p in profiles])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.5
    each = (width - _LEFT - 16.0 - _GAP * (columns - 1)) / columns
    height = _TOP + _HIGH * math.ceil(len(profiles) / columns)
    parts = [svg_text(_LEFT, 22, title, size=14, weight=600)]
    for k, profile in enumerate(profiles):
        place = _LEFT + (k % columns) * (each + _GAP), _TOP + (k // columns) * _HIGH
        parts += _plot(profile, metric, place, each, (low - room, high + room), k % columns == 0)
    return svg_document(title, width, height, parts)


def _plot(
    profile: Profile,
    metric: str,
    place: tuple[float, float],
    wide: float,
    span: tuple[float, float],
    first: bool,
) -> list[str]:
    (name, values, scores, chosen, half), (left, top) = profile, place
    high = _HIGH - 46.0

    def x(i: float) -> float:
        return left + (i + 0.5) / len(values) * wide

    def y(value: float) -> float:
        return top + 14 + high * (span[1] - value) / (span[1] - span[0])

    parts = [svg_text(left, top + 6, name, size=12, weight=600)]
    for value in (span[0], (span[0] + span[1]) / 2, span[1]):
        parts.append(f'<path d="M{left:.1f},{y(value):.1f}h{wide:.1f}" stroke="{RULE}"/>')
        if first:
            text = metric_text(metric, value)
            parts.append(svg_text(left - 6, y(value) + 4, text, anchor="end", fill=MUTED, size=10))
    if half is not None:
        held = [i for i, value in enumerate(values) if abs(value - chosen) <= half * (1 + 1e-9)]
        parts.append(
            f'<rect x="{x(held[0] - 0.5):.1f}" y="{top + 14:.1f}" width="{x(held[-1]) - x(held[0] - 1):.1f}" '
            f'height="{high:.1f}" fill="{GAIN}" opacity="0.12"/>'
        )
    pen, path = "M", []
    for i, score in enumerate(np.asarray(scores, float)):
        if math.isfinite(score):
            path.append(f"{pen}{x(i):.1f},{y(score):.1f}")
            at = values[i] == chosen
            dot = f'r="{4 if at else 2.5}" fill="{INK if at else GAIN}"'
            parts.append(f'<circle cx="{x(i):.1f}" cy="{y(score):.1f}" {dot}/>')
        pen = "L" if math.isfinite(score) else "M"
    parts.append(f'<path d="{"".join(path)}" fill="none" stroke="{GAIN}" stroke-width="1.4"/>')
    texts = value_texts(values)
    step = max(1, math.ceil(len(texts) * max(map(len, texts)) * 6.5 / wide))
    for i in range(0, len(texts), step):
        parts.append(svg_text(x(i), top + high + 27, texts[i], anchor="middle", fill=MUTED, size=10))
    return parts
