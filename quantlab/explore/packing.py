"""Planes as they travel to the browser: labels, limits, and values as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.explore.planes import Plane
from quantlab.figures.labels import metric_style

EXACT = 250_000
"""Planes of more cells travel as 16-bit steps between two limits instead of 32-bit floats."""


def packed(plane: Plane) -> dict[str, Any]:
    """A pane as it travels: labels, limits, and its values as bytes.

    Returns
    -------
    dict
        ``code`` is ``f4`` (little-endian floats) or ``u2``: 0 is undefined, 1 to 65535 are even steps from
        ``from`` to ``to``, with everything beyond at the ends.
    """
    scale, style, values = plane.scale, metric_style(plane.metric), plane.values
    told: dict[str, Any] = {
        "key": plane.key,
        "title": plane.title,
        "metric": plane.metric,
        "label": style.label,
        "form": style.form,
        "diverging": style.neutral is not None,
        "low": scale.low,
        "high": scale.high,
        "clipped": [scale.clipped_low, scale.clipped_high],
    }
    if values.size <= EXACT:
        return told | {"code": "f4", "data": np.ascontiguousarray(values, "<f4").tobytes()}
    reach = scale.high - scale.low
    low, high = scale.low - reach, scale.high + reach
    with np.errstate(invalid="ignore"):
        steps = np.clip((values - low) * (65534 / (high - low)), 0, 65534) + 1.5
    codes = np.where(np.isnan(values), 0, steps).astype("<u2")
    return told | {"code": "u2", "from": low, "to": high, "data": codes.tobytes()}
