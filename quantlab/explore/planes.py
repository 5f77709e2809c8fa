"""Planes of a surface: two axes in view, every other one at a value, at its best or at its median.

All panes show **the same cells**. Where an axis is at its best, the best cell is chosen by the first pane
alone (in-sample, where the history is split), and the others show what that very cell did: an out-of-sample
plane whose own best cells were picked would promise what nobody could have chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantlab.backtest.plateau import kernel_moments
from quantlab.backtest.surface import Surface, is_ordered, sign
from quantlab.errors import InputError, UnknownNameError
from quantlab.figures.colours import ColourScale, colour_scale
from quantlab.figures.labels import metric_style
from quantlab.space import Grid

BEST, MEDIAN = "best", "median"
_SAMPLE = 60_000


@dataclass(frozen=True, eq=False)
class Searched:
    """What is looked at: a surface and, where its history is split, the same cells on both parts.

    Parameters
    ----------
    whole : Surface
        Of the whole history.
    parts : (Surface, Surface), optional
        In-sample and out-of-sample.
    split_ms : int, optional
        Open time of the first bar out of sample [epoch ms].
    """

    whole: Surface
    parts: tuple[Surface, Surface] | None = None
    split_ms: int | None = None
    _scores: dict[tuple[str, str], np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def first(self) -> Surface:
        """The surface that cells are chosen on: in-sample, or the whole."""
        return self.parts[0] if self.parts else self.whole

    def panes(self) -> dict[str, str]:
        """Key and title of the panes that are always there."""
        return {"in": "in-sample", "out": "out-of-sample"} if self.parts else {"own": "all of the history"}

    def extras(self) -> dict[str, str]:
        """Key and title of what a further pane may show, without the metrics themselves."""
        found = {"score": "plateau score (mean − 1 sd of the neighbourhood)"} if self.is_grid else {}
        if self.parts:
            found |= {"difference": "out-of-sample minus in-sample", "own": "all of the history"}
        extras = self.first.extras
        if extras is not None and extras.request.assumptions:
            found["worst"] = "worst fill assumption"
        if extras is not None and extras.request.n_regimes:
            names = extras.request.regime_names
            found |= {f"regime:{k}": f"decided in {name}" for k, name in enumerate(names)}
        return found

    @property
    def is_grid(self) -> bool:
        """Whether the cells have axes; else they are a list of points."""
        return isinstance(self.whole.cells, Grid)

    def values(self, key: str, metric: str) -> tuple[np.ndarray, str]:
        """A figure of every cell, and the metric that it is written as.

        Parameters
        ----------
        key : str
            ``in``, ``out``, ``own``, a key of `extras`, or ``metric:`` and a name.
        metric : str
        """
        surface = self.first
        if key.startswith("metric:"):
            metric = key.removeprefix("metric:")
            return surface[metric], metric
        if key.startswith("regime:"):
            shown = metric if metric in surface.regimes else "expectancy"
            return surface.regimes[shown][int(key.removeprefix("regime:"))], shown
        if key in self.panes() or key == "own":
            of = {"in": self.first, "own": self.whole}.get(key) or self.parts[1]  # type: ignore[index]
            return of[metric], metric
        if key not in self.extras():
            raise UnknownNameError("view of this surface", key, [*self.panes(), *self.extras()])
        if key == "difference" and self.parts:
            return self.parts[1][metric] - self.parts[0][metric], metric
        return (self._score(metric) if key == "score" else self._worst(metric)), metric

    def _worst(self, metric: str) -> np.ndarray:
        surface, side = self.first, sign(metric)
        others = surface.extras.request.assumptions if surface.extras else ()
        under = [surface[metric], *(surface.under(name)[metric] for name in others)]
        worst: np.ndarray = side * np.minimum.reduce([side * values for values in under])
        return worst

    def _score(self, metric: str) -> np.ndarray:
        surface, side, grid = self.first, sign(metric), self.whole.cells
        key = surface.key, metric
        if key not in self._scores and isinstance(grid, Grid):
            ordered = tuple(is_ordered(grid, name) for name in grid.axes)
            mean, sd, _ = kernel_moments(side * surface[metric], ordered)
            self._scores[key] = np.where(np.isnan(surface[metric]), np.nan, side * (mean - sd))
        return self._scores[key]


@dataclass(frozen=True, eq=False)
class Stage:
    """How far a sweep under other rules is.

    Parameters
    ----------
    searched : Searched
        What there is by now. As long as anything is left, the first part stands for the whole history.
    left : {"view", "whole", ""}
        ``view``: it holds a few cells only, those in view; ``whole``: all cells of both parts, the whole
        history is still swept; empty: that is everything.
    """

    searched: Searched
    left: str


@dataclass(frozen=True)
class View:
    """What is in view.

    Parameters
    ----------
    metric : str
    x, y : str
        Names of axes; `y` is empty where the grid has one axis only.
    at : mapping of str to int or str
        For every other axis the number of its value, ``"best"`` or ``"median"``.
    third : str
        Key of the further pane; empty for none.
    min_trades : int
        Cells with fewer closed trades (on the first pane) are shown as undefined.
    """

    metric: str
    x: str
    y: str
    at: Mapping[str, int | str]
    third: str = ""
    min_trades: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "at": dict(self.at)}


def check_view(searched: Searched, given: Mapping[str, Any]) -> View:
    """The view that is asked for, if there is such a one.

    Raises
    ------
    InputError
        It names a metric, an axis or a value that this surface does not have.
    """
    surface, metric = searched.whole, str(given["metric"])
    surface[metric]
    least = int(given.get("min_trades", 0))
    third = str(given.get("third") or "")
    if third:
        searched.values(third, metric)
    if not searched.is_grid:
        names = list(surface.cells.mesh())
        x, y = str(given.get("x", names[0])), str(given.get("y", names[-1]))
        for name in (x, y):
            if name not in names:
                raise UnknownNameError("parameter of these points", name, names)
        return View(metric, x, y, {}, third, least)
    axes = surface.axes
    x, y = str(given.get("x", "")), str(given.get("y", ""))
    for name in filter(None, (x, y)):
        if name not in axes:
            raise UnknownNameError("axis of this surface", name, axes)
    if x == y and x:
        raise InputError(f"x and y must be two different axes, got {x!r} twice.")
    at = {}
    for name in axes:
        if name not in (x, y):
            at[name] = _place(name, given.get("at", {}).get(name, 0), len(axes[name]))
    return View(metric, x, y, at, third, least)


def first_view(searched: Searched, given: Mapping[str, Any] | None = None) -> View:
    """The view to begin with: the two axes that move the metric most, through the plateau.

    Parameters
    ----------
    searched : Searched
    given : mapping, optional
        ``metric``, ``x``, ``y``, ``min_trades``, ``third``: what the caller has chosen.
    """
    given = {k: v for k, v in (given or {}).items() if v not in (None, "")}
    surface = searched.first
    metric = str(
        given.get("metric") or ("sharpe" if "sharpe" in surface.metrics else next(iter(surface.metrics)))
    )
    values, least = surface[metric], given.get("min_trades")
    if least is None:
        share = surface.identity.bars / searched.whole.identity.bars
        least = max(1, round(30 * share)) if "trades" in surface.metrics else 0
        least = least if np.isfinite(eligible(surface, metric, least)).any() else 0
    wanted = {**given, "metric": metric, "min_trades": least}
    if not isinstance(surface.cells, Grid):
        ranked = [n for n, v in surface.cells.columns.items() if len(np.unique(v)) > 1]
        pair = dict(zip(("x", "y"), [*ranked, *surface.cells.columns][:2], strict=False))
        return check_view(searched, pair | wanted)
    free = [name for name in _ranked(values, surface.cells) if name not in (given.get("x"), given.get("y"))]
    for side in ("x", "y"):
        if side not in wanted and free:
            wanted[side] = free.pop(0)
    middle = _middle(surface, metric, least)
    wanted.setdefault("at", dict(zip(surface.axes, middle, strict=True)))
    return check_view(searched, wanted)


def eligible(surface: Surface, metric: str, min_trades: int) -> np.ndarray:
    """A metric, NaN where a cell has fewer closed trades than that."""
    if min_trades <= 0 or "trades" not in surface.metrics:
        return surface[metric]
    return surface.eligible(metric, min_trades)


@dataclass(frozen=True, eq=False)
class Plane:
    """One pane: values of shape (ny, nx) and how they are coloured."""

    key: str
    title: str
    metric: str
    values: np.ndarray
    scale: ColourScale


@dataclass(frozen=True, eq=False)
class Planes:
    """All panes of a view, and which cells they show.

    Attributes
    ----------
    panes : tuple of Plane
        Each of shape (ny, nx); of a list of points (1, n).
    cell : int64 array (ny, nx)
        Flat number of the cell that is shown, -1 where none is.
    """

    panes: tuple[Plane, ...]
    cell: np.ndarray


def planes(searched: Searched, view: View) -> Planes:
    """Cut the planes of a view."""
    titles = {**searched.panes(), **({view.third: _title(searched, view.third)} if view.third else {})}
    found = {key: searched.values(key, view.metric) for key in titles}
    main = eligible(searched.first, view.metric, view.min_trades)
    if searched.is_grid:
        cut = Cut(searched.whole.cells, view, sign(view.metric) * main)  # type: ignore[arg-type]
        shown = {key: cut(values) for key, (values, _) in found.items()}
        cell = cut.cell
    else:
        shown = {k: np.where(np.isnan(main), np.nan, v)[None, :] for k, (v, _) in found.items()}
        cell = np.arange(searched.whole.size)[None, :]
    together = [
        shown[key] for key in shown if found[key][1] == view.metric and key in (*searched.panes(), "own")
    ]
    common = robust_scale(together, view.metric)
    made = []
    for key, values in shown.items():
        metric, alone = found[key][1], key not in (*searched.panes(), "own", "worst", "score")
        scale = robust_scale([values], metric) if alone or metric != view.metric else common
        made.append(Plane(key, titles[key], metric, values, scale))
    return Planes(tuple(made), cell)


class Cut:
    """Reduces arrays over all axes of a grid to the two in view, the same cells of every array.

    Parameters
    ----------
    grid : Grid
    view : View
    choose : float array, shape of the grid
        What the best is chosen by: the higher the better.
    """

    def __init__(self, grid: Grid, view: View, choose: np.ndarray) -> None:
        names = list(grid.axes)
        self._take = tuple(
            v if isinstance(v := view.at.get(n, slice(None)), int) else slice(None) for n in names
        )
        left = [n for n in names if not isinstance(view.at.get(n), int)]
        best = [n for n in left if view.at.get(n) == BEST]
        median = [n for n in left if view.at.get(n) == MEDIAN]
        order = [n for n in (view.y, view.x) if n] + best + median
        self._order = tuple(left.index(n) for n in order)
        size = {n: len(grid.axes[n]) for n in names}
        ny, nx = size.get(view.y, 1), size.get(view.x, 1)
        self._shape = ny, nx, int(np.prod([size[n] for n in best])), int(np.prod([size[n] for n in median]))
        lined = self._lined(choose)
        middle = lined[..., 0] if self._shape[3] == 1 else _median(lined)
        filled = np.where(np.isnan(middle), -np.inf, middle)
        self._pick = filled.argmax(axis=2)[..., None]
        self._none = np.isneginf(np.take_along_axis(filled, self._pick, 2)[..., 0])
        self._left_out = np.isnan(self._chosen(lined))
        self.cell = self._cells(grid, lined)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The plane of `values`, shape (ny, nx)."""
        lined = np.where(self._left_out, np.nan, self._chosen(self._lined(values)))
        return lined[..., 0] if self._shape[3] == 1 else _median(lined)

    def _lined(self, values: np.ndarray) -> np.ndarray:
        return np.transpose(values[self._take], self._order).reshape(self._shape)

    def _chosen(self, lined: np.ndarray) -> np.ndarray:
        if self._shape[2] == 1:
            return lined[:, :, 0]
        return np.take_along_axis(lined, self._pick[..., None], 2)[:, :, 0]

    def _cells(self, grid: Grid, lined: np.ndarray) -> np.ndarray:
        """The cell behind each place; where it is a median, one of those nearest to it."""
        numbers = self._chosen(self._lined(np.arange(grid.size).reshape(grid.shape)))
        if self._shape[3] == 1:
            return np.where(self._none, -1, numbers[..., 0])
        along = self._chosen(lined)
        away = np.abs(along - _median(along)[..., None])
        nearest = np.where(np.isnan(away), np.inf, away).argmin(axis=-1)[..., None]
        return np.where(self._none, -1, np.take_along_axis(numbers, nearest, -1)[..., 0])


def robust_scale(values: list[np.ndarray], metric: str) -> ColourScale:
    """Colours for planes that share them; of very large ones the limits follow from a part of their cells."""
    parts = [v.ravel()[:: max(1, v.size * len(values) // _SAMPLE)] for v in values]
    return colour_scale(np.concatenate(parts), metric)


def _title(searched: Searched, key: str) -> str:
    if key.startswith("metric:"):
        return metric_style(key.removeprefix("metric:")).label
    return searched.extras()[key]


def _place(name: str, given: Any, length: int) -> int | str:
    if given in (BEST, MEDIAN):
        return str(given)
    if not isinstance(given, int) or not 0 <= given < length:
        raise InputError(
            f"{name} is at the number of one of its {length} values, 'best' or 'median', got {given!r}."
        )
    return given


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the last axis, NaN left out; NaN where nothing is left."""
    ordered = np.sort(values, axis=-1)  # NaN last
    known = (~np.isnan(values)).sum(axis=-1)
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    low, high = (np.minimum(k, values.shape[-1] - 1)[..., None] for k in (low, high))
    middle = (np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1))[..., 0] / 2
    return np.where(known == 0, np.nan, middle)


def _ranked(values: np.ndarray, grid: Grid) -> list[str]:
    """Axes by how much the mean over all others moves along them, the most first."""
    known, sums = ~np.isnan(values), np.nan_to_num(values, posinf=0.0, neginf=0.0)
    moved = {}
    for k, (name, axis) in enumerate(grid.axes.items()):
        others = tuple(i for i in range(values.ndim) if i != k)
        count = known.sum(axis=others)
        mean = sums.sum(axis=others)[count > 0] / count[count > 0]
        moved[name] = (len(axis) > 1, float(mean.std()) if mean.size else 0.0)
    return sorted(moved, key=lambda name: moved[name], reverse=True)


def _middle(surface: Surface, metric: str, min_trades: int) -> tuple[int, ...]:
    """The cell that the first view goes through: the plateau, or the middle of the grid."""
    values = sign(metric) * eligible(surface, metric, min_trades)
    if not np.isfinite(values).any():
        return tuple(n // 2 for n in surface.shape)
    if "trades" in surface.metrics and surface.size <= 2_000_000:
        return surface.plateau(metric, min_trades).cell.index
    return tuple(map(int, np.unravel_index(int(np.nanargmax(values)), surface.shape)))
