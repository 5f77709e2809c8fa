"""Colours that colour-blind readers can tell apart, and the limits that outliers cannot move.

The diverging scale runs from brown-orange over near-white to blue (ColorBrewer's PuOr and RdBu
halves), the sequential one is ColorBrewer's YlGnBu; both stay ordered in greyscale on each side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantlab.figures.labels import metric_style

INK = "#22272e"
MUTED = "#7d8590"
RULE = "#d8dbdf"
PAPER = "#ffffff"
UNDEFINED = "#b9bdc3"
GAIN = "#2b6cb0"
LOSS = "#d1730f"
REFERENCE = "#8a929c"

DIVERGING: tuple[str, ...] = (
    "#7f3b08",
    "#b35806",
    "#e08214",
    "#fdb863",
    "#fee0b6",
    "#f7f7f5",
    "#d1e5f0",
    "#92c5de",
    "#4393c3",
    "#2166ac",
    "#053061",
)
SEQUENTIAL: tuple[str, ...] = (
    "#ffffd9",
    "#edf8b1",
    "#c7e9b4",
    "#7fcdbb",
    "#41b6c4",
    "#1d91c0",
    "#225ea8",
    "#253494",
    "#081d58",
)


@dataclass(frozen=True)
class ColourScale:
    """Colours between two limits.

    Parameters
    ----------
    colours : tuple of str
        Evenly spaced stops, ``#rrggbb``, from `low` to `high`.
    low, high : float
        Values at the ends; what lies beyond gets the colour of the end.
    clipped_low, clipped_high : bool
        Whether values lie beyond that end.
    """

    colours: tuple[str, ...]
    low: float
    high: float
    clipped_low: bool
    clipped_high: bool

    @property
    def stops(self) -> list[list[float | str]]:
        """The colour scale as plotly takes it: ``[[0, colour], ..., [1, colour]]``."""
        last = len(self.colours) - 1
        return [[round(i / last, 6), colour] for i, colour in enumerate(self.colours)]

    def colour(self, value: float) -> str:
        """The colour ``#rrggbb`` of one value; grey when it is not finite."""
        if not np.isfinite(value):
            return UNDEFINED
        place = np.clip((value - self.low) / (self.high - self.low), 0.0, 1.0) * (len(self.colours) - 1)
        left = min(int(place), len(self.colours) - 2)
        a, b = rgb(self.colours[left]), rgb(self.colours[left + 1])
        mixed = np.rint(a + (place - left) * (b - a)).astype(int)
        return "#" + "".join(f"{channel:02x}" for channel in mixed)


def colour_scale(z: np.ndarray, metric: str) -> ColourScale:
    """The scale for the values `z` of a metric, with limits that outliers cannot move.

    Parameters
    ----------
    z : float array of any shape
        Values that are not finite are ignored.
    metric : str
        Decides between a diverging scale, symmetric around the metric's neutral value with the 98th
        percentile of the absolute distance as its limit, and a sequential one from the 2nd to the
        98th percentile. A limit moves out to the extreme where that lies within half as much again,
        so that nothing is clipped without need.

    Returns
    -------
    ColourScale
        With low < high always, also when nothing is finite or all values are equal.
    """
    neutral = metric_style(metric).neutral
    finite = np.asarray(z, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        finite = np.array([neutral or 0.0])
    if neutral is not None:
        reach = _robust_maximum(np.abs(finite - neutral)) or 1.0
        low, high, colours = neutral - reach, neutral + reach, DIVERGING
    else:
        middle = float(np.median(finite))
        high = middle + _robust_maximum(finite - middle)
        low = middle - _robust_maximum(middle - finite)
        if not low < high:
            low, high = middle - (abs(middle) * 0.05 or 1.0), middle + (abs(middle) * 0.05 or 1.0)
        colours = SEQUENTIAL
    return ColourScale(colours, low, high, bool(finite.min() < low), bool(finite.max() > high))


def significant(values: np.typing.ArrayLike, digits: int = 6) -> np.ndarray:
    """Round to `digits` significant digits, so that another CPU's last bit changes no figure.

    Parameters
    ----------
    values : array_like of float
        NaN stays NaN, infinities become NaN: neither can be drawn.
    digits : int

    Returns
    -------
    float64 array of the same shape
    """
    array = np.asarray(values, dtype=np.float64)
    array = np.where(np.isfinite(array), array, np.nan)
    size = np.where((array == 0) | np.isnan(array), 1.0, np.abs(array))
    decimals = (digits - 1 - np.floor(np.log10(size))).astype(int)
    with np.errstate(over="ignore", invalid="ignore"):  # at the ends of the range: kept as they are
        scale = 10.0 ** np.abs(decimals)
        rounded = np.where(decimals >= 0, np.rint(array * scale) / scale, np.rint(array / scale) * scale)
    return np.where(np.isfinite(rounded), rounded, array)


def rgb(colour: str) -> np.ndarray:
    """Red, green and blue (0 to 255) of a colour ``#rrggbb``."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)


def _robust_maximum(distances: np.ndarray) -> float:
    most = float(distances.max())
    typical = float(np.percentile(distances, 98, method="lower"))
    return most if typical <= 0 or most <= 1.5 * typical else typical
