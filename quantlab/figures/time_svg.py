"""Pictures along time as one small static SVG: candles with their signals, and regimes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from quantlab.errors import InputError
from quantlab.figures.colours import GAIN, INK, LOSS, MUTED, PAPER, RULE
from quantlab.figures.labels import metric_text, number_text
from quantlab.figures.svg_parts import svg_document, svg_text
from quantlab.figures.svg_parts import svg_number as _n

_LEFT, _RIGHT, _TOP, _BOTTOM = 66.0, 18.0, 48.0, 30.0
LINES = ("#6b4fa0", "#1b7f79", "#b0416b", "#5d6b2f")
"""Colours of the lines over the candles."""

Mark = tuple[int, float, str]
_UP = "M{0},{1}l-5,9h10z"
_DOWN = "M{0},{1}l-5,-9h10z"
_CROSS = "M{0},{1}m-4,-4l8,8m0,-8l-8,8"
_SHAPES = {"long": _UP, "short": _DOWN, "exit": _CROSS}


@dataclass(frozen=True)
class _Panel:
    """A rectangle of the picture and the values along its sides."""

    top: float
    height: float
    low: float
    high: float
    bars: int
    width: float

    def x(self, bar: float) -> float:
        return _LEFT + (bar + 0.5) / self.bars * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self.top + self.height * (1.0 - (value - self.low) / (self.high - self.low))


def candles_svg(
    timestamps_ms: np.ndarray,
    open: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray | None = None,
    *,
    marks: Sequence[Mark] = (),
    lines: Mapping[str, np.ndarray] | None = None,
    levels: Sequence[tuple[int, int, float, str]] = (),
    title: str = "",
    width: int = 860,
    height: int = 380,
) -> str:
    """Draw candles with signals, lines and levels as an SVG document.

    Parameters
    ----------
    timestamps_ms : int array (n,)
        Open times, epoch milliseconds UTC.
    open, high, low, close : float arrays (n,)
        NaN rows are lost bars and stay empty.
    volume : float array (n,), optional
        Drawn as a second panel below.
    marks : sequence of (bar, price, kind)
        Kind "long" (a triangle below the price, pointing up), "short" (above it, pointing down) or "exit".
    lines : mapping of label to float array (n,)
        E.g. averages; NaN is a gap. At most four.
    levels : sequence of (first bar, last bar, price, label)
        E.g. stop and target.
    title : str
    width, height : int
        Pixels.

    Returns
    -------
    str
        An ``<svg>`` element on its own light background; the same bytes for the same input.

    Raises
    ------
    InputError
        The columns differ in length, no bar has a price, or there are more than four lines.
    """
    columns = [np.asarray(v, float) for v in (open, high, low, close)]
    lines = dict(lines or {})
    _check(timestamps_ms, [*columns, *lines.values(), *([] if volume is None else [volume])])
    if len(lines) > len(LINES):
        raise InputError(f"a picture has colours for {len(LINES)} lines, got {len(lines)}.")
    held = np.array([price for *_, price, _ in levels])
    seen = [columns[1], columns[2], *(np.asarray(line, float) for line in lines.values()), held]
    floor = 0.0 if volume is None else 62.0
    panel = _panel(seen, len(timestamps_ms), _TOP, height - _TOP - _BOTTOM - floor, width)
    parts = [*_grid(panel), *_days(panel, timestamps_ms, height)]
    for k, (label, values) in enumerate(lines.items()):
        parts.append(_line(panel, np.asarray(values, float), LINES[k], 1.4))
        parts.append(svg_text(_LEFT + 170 * k, 44, label, size=11, fill=LINES[k]))
    parts += _bodies(panel, columns)
    if volume is not None:
        below = _panel(
            [np.append(np.asarray(volume, float), 0.0)], panel.bars, height - 82.0, 50.0, width, 0.0
        )
        parts += _volumes(below, np.asarray(volume, float))
    parts += [part for level in levels for part in _level(panel, *level)]
    parts += [_mark(panel, *mark) for mark in marks]
    return _drawn(title or "Candles", width, height, parts)


def equity_svg(
    timestamps_ms: np.ndarray,
    equity: np.ndarray,
    market: np.ndarray | None = None,
    *,
    title: str = "Equity and drawdown",
    width: int = 860,
    height: int = 360,
) -> str:
    """Draw equity over holding the market, in log scale, and the drawdown below, as an SVG document.

    Parameters
    ----------
    timestamps_ms : int array (n,)
    equity : float array (n,)
        1 at the start. At and below 0 there is nothing to draw.
    market : float array (n,), optional
        Prices; drawn from 1 at the first that is known.
    title : str
    width, height : int
        Pixels. Of more bars than the width, one a stretch is drawn: its last equity, its deepest drawdown.

    Returns
    -------
    str
        An ``<svg>`` element on its own light background; the same bytes for the same input.

    Raises
    ------
    InputError
        The columns differ in length, or there is no bar.
    """
    _check(timestamps_ms, [equity, *([] if market is None else [market])])
    own = np.asarray(equity, float)
    below = own / np.maximum.accumulate(np.maximum(own, 1.0)) - 1.0
    first = np.arange(0, len(own), max(1, math.ceil(len(own) / width)))
    last = np.append(first[1:], len(own)) - 1
    deepest = np.minimum.reduceat(below, first)
    with np.errstate(divide="ignore", invalid="ignore"):
        lines = [np.log(own[last])]
        if market is not None:
            price = np.asarray(market, float)
            known = price[np.isfinite(price)]
            lines.append(np.log(price[last] / known[0]) if known.size else np.full(len(last), np.nan))
    lines = [np.where(np.isfinite(line), line, np.nan) for line in lines]
    times = np.asarray(timestamps_ms)[last]
    upper = _panel([*lines, np.zeros(1)], len(times), _TOP, height - _TOP - _BOTTOM - 90.0, width)
    lower = _Panel(height - 112.0, 82.0, min(float(deepest.min()), -0.01), 0.0, len(times), width)
    parts = [*_grid(upper, exponential=True), *_days(lower, times, height)]
    shown = zip(("equity", "market held"), (GAIN, MUTED), lines, strict=False)
    for k, (name, colour, line) in enumerate(shown):
        parts.append(_line(upper, line, colour, 1.6 - 0.6 * k))
        parts.append(svg_text(_LEFT + 90 * k, 44, name, size=11, weight=600, fill=colour))
    parts.append(_area(lower, deepest, np.zeros(len(times)), LOSS))
    for value in (0.0, lower.low):
        text = metric_text("max_drawdown", value)
        parts.append(svg_text(_LEFT - 8, lower.y(value) + 4, text, anchor="end", fill=MUTED, size=11))
    return _drawn(title, width, height, parts)


def regimes_svg(
    timestamps_ms: np.ndarray,
    close: np.ndarray,
    probability: np.ndarray,
    known: np.ndarray,
    colours: Mapping[str, str],
    *,
    title: str = "",
    width: int = 860,
    height: int = 380,
) -> str:
    """Draw the price over its regimes, and their probabilities below, as an SVG document.

    Parameters
    ----------
    timestamps_ms : int array (n,)
    close : float array (n,)
        Drawn in log scale; NaN where a bar was lost.
    probability : float array (n, regimes)
    known : bool array (n,)
        Where the most probable regime is said; its colour lies behind the price.
    colours : mapping of regime to colour
        One for each column of `probability`, in that order.
    title : str
    width, height : int
        Pixels. Of more bars than a third of the width only every so many are drawn.

    Returns
    -------
    str
        An ``<svg>`` element on its own light background; the same bytes for the same input.

    Raises
    ------
    InputError
        The columns differ in length or no bar has a price.
    """
    probability = np.asarray(probability, float)
    _check(timestamps_ms, [close, known, *probability.T])
    if probability.ndim != 2 or probability.shape[1] != len(colours):
        raise InputError(f"{len(colours)} colours need as many columns, got shape {probability.shape}.")
    every = max(1, math.ceil(3 * len(timestamps_ms) / width))
    times, price, p = (
        np.asarray(timestamps_ms)[::every],
        np.asarray(close, float)[::every],
        probability[::every],
    )
    shown = np.where(np.asarray(known)[::every], p.argmax(axis=1), -1)
    upper = _panel([np.log(price)], len(times), _TOP, height - _TOP - _BOTTOM - 90.0, width)
    lower = _Panel(height - 112.0, 82.0, 0.0, 1.0, len(times), width)
    names, fills = list(colours), list(colours.values())
    parts: list[str] = []
    for first, last, kind in _runs(shown):
        if kind >= 0:
            left, right = (_n(upper.x(bar - 0.5)) for bar in (first, last))
            box = f'x="{left}" y="{_n(upper.top)}" width="{_n(float(right) - float(left))}"'
            parts.append(f'<rect {box} height="{_n(upper.height)}" fill="{fills[kind]}" opacity="0.3"/>')
    parts += [*_grid(upper, exponential=True), *_days(upper, times, height)]
    parts.append(_line(upper, np.log(price), INK, 1.2))
    edges = np.cumsum(np.column_stack([np.zeros(len(times)), p]), axis=1)
    for k, name in enumerate(names):
        parts.append(_area(lower, edges[:, k], edges[:, k + 1], fills[k]))
        parts.append(svg_text(_LEFT + 90 * k, 44, name, size=11, weight=600, fill=fills[k]))
    for value in (0.0, 1.0):
        parts.append(
            svg_text(_LEFT - 8, lower.y(value) + 4, f"{value:.0f}", anchor="end", fill=MUTED, size=11)
        )
    return _drawn(title or "Regimes", width, height, parts)


def _check(times: np.ndarray, columns: Sequence[np.ndarray]) -> None:
    shapes = {np.shape(column) for column in (times, *columns)}
    if len(shapes) != 1 or not len(times) or not np.isfinite(np.asarray(columns[0], float)).any():
        raise InputError(f"a picture needs columns of one length with a price in them, got shapes {shapes}.")


def _panel(
    values: Sequence[np.ndarray],
    bars: int,
    top: float,
    height: float,
    width: float,
    margin: float = 0.05,
) -> _Panel:
    all_values = np.concatenate(values)
    low, high = float(np.nanmin(all_values)), float(np.nanmax(all_values))
    room = margin * (high - low) or (abs(high) * 0.01 or 1.0) * (high == low)
    return _Panel(top, height, low - room, high + room, bars, width)


def _drawn(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """The picture, its title above it."""
    return svg_document(title, width, height, [svg_text(_LEFT, 24, title, size=15, weight=600), *parts])


def _grid(panel: _Panel, exponential: bool = False) -> list[str]:
    """Horizontal rules at round prices."""
    low, high = (math.exp(v) if exponential else v for v in (panel.low, panel.high))
    raw = (high - low) / 4
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next(f for f in (1, 2, 5, 10) if f * step >= raw)
    parts = []
    for i in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = i * step
        if value <= 0 and exponential:
            continue
        y = panel.y(math.log(value) if exponential else value)
        end = panel.width - _RIGHT
        parts.append(f'<path d="M{_LEFT},{_n(y)}H{_n(end)}" stroke="{RULE}"/>')
        label = number_text(float(f"{value:.8g}"))
        parts.append(svg_text(_LEFT - 8, y + 4, label, anchor="end", fill=MUTED, size=11))
    return parts


def _days(panel: _Panel, timestamps_ms: np.ndarray, height: int) -> list[str]:
    """Dates below, about six of them."""
    count = min(6, panel.bars)
    parts, spans_days = [], int(timestamps_ms[-1] - timestamps_ms[0]) > 12 * 86_400_000
    for i in range(count):
        bar = int((i + 0.5) * panel.bars / count)
        moment = np.datetime_as_string(np.datetime64(int(timestamps_ms[bar]), "ms"), unit="m")
        shown = moment[:10] if spans_days else moment.replace("T", " ")
        parts.append(svg_text(panel.x(bar), height - 10, shown, anchor="middle", fill=MUTED, size=11))
    return parts


def _bodies(panel: _Panel, columns: Sequence[np.ndarray]) -> list[str]:
    """All candles in two paths: those that rose, hollow, and those that fell, full."""
    half = max(0.5, 0.32 * (panel.x(1) - panel.x(0)))
    paths: dict[bool, list[str]] = {True: [], False: []}
    for bar, (o, h, lo, c) in enumerate(zip(*columns, strict=True)):
        if not math.isnan(c):
            x, up = panel.x(bar), c >= o
            top, bottom = panel.y(max(o, c)), panel.y(min(o, c))
            wicks = f"M{_n(x)},{_n(panel.y(h))}V{_n(top)}M{_n(x)},{_n(bottom)}V{_n(panel.y(lo))}"
            box = f"M{_n(x - half)},{_n(top)}h{_n(2 * half)}v{_n(max(bottom - top, 0.4))}h{_n(-2 * half)}z"
            paths[up].append(wicks + box)
    return [
        f'<path d="{"".join(paths[up])}" fill="{fill}" stroke="{colour}" stroke-width="1"/>'
        for up, fill, colour in ((True, PAPER, GAIN), (False, LOSS, LOSS))
        if paths[up]
    ]


def _volumes(panel: _Panel, volume: np.ndarray) -> list[str]:
    wide = 0.64 * (panel.x(1) - panel.x(0))
    bars = [
        f"M{_n(panel.x(bar) - wide / 2)},{_n(panel.y(0))}V{_n(panel.y(v))}h{_n(wide)}V{_n(panel.y(0))}z"
        for bar, v in enumerate(volume)
        if v > 0
    ]
    label = svg_text(_LEFT - 8, panel.top + 12, "volume", anchor="end", fill=MUTED, size=11)
    return [f'<path d="{"".join(bars)}" fill="{RULE}"/>', label]


def _line(panel: _Panel, values: np.ndarray, colour: str, width: float) -> str:
    path, pen = [], "M"
    for bar, value in enumerate(values):
        if math.isfinite(value):
            path.append(f"{pen}{_n(panel.x(bar))},{_n(panel.y(value))}")
        pen = "L" if math.isfinite(value) else "M"
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _area(panel: _Panel, low: np.ndarray, high: np.ndarray, colour: str) -> str:
    over = [f"{_n(panel.x(bar))},{_n(panel.y(value))}" for bar, value in enumerate(high)]
    under = [f"{_n(panel.x(bar))},{_n(panel.y(value))}" for bar, value in enumerate(low)]
    return f'<polygon points="{" ".join(over + under[::-1])}" fill="{colour}" opacity="0.75"/>'


def _level(panel: _Panel, first: int, last: int, price: float, label: str) -> list[str]:
    y = _n(panel.y(price))
    line = f'<path d="M{_n(panel.x(first))},{y}H{_n(panel.x(last))}" stroke="{INK}" stroke-dasharray="5 3"/>'
    return [line, svg_text(panel.x(first), panel.y(price) - 4, label, size=11)]


def _mark(panel: _Panel, bar: int, price: float, kind: str) -> str:
    away = {"long": 6.0, "short": -6.0}.get(kind, 0.0)
    shape = _SHAPES[kind].format(_n(panel.x(bar)), _n(panel.y(price) + away))
    return f'<path d="{shape}" fill="{"none" if kind == "exit" else INK}" stroke="{INK}" stroke-width="1.6"/>'


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """First bar, bar after the last, and value of each run."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(a, b, int(values[a])) for a, b in pairwise(edges)]
