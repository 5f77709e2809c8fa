"""How a surface draws itself: its arrays and labels handed down to `quantlab.figures`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from quantlab.errors import InputError
from quantlab.space import Choice, Grid

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from quantlab.backtest.surface import Cell, Surface

Reduce = Literal["max", "median", "mean", "min"]
Profile = tuple[str, list[Any], np.ndarray, Any, float | None]


class Drawing:
    """The figures of a `Surface`."""

    def heatmap(
        self,
        metric: str = "sharpe",
        *,
        x: str,
        y: str,
        reduce: Reduce = "max",
        regime: str | int | None = None,
    ) -> go.Figure:
        """A heatmap of `metric` over the axes `x` and `y`; `reduce` says what happens to the others.

        With `regime` only the trades decided in it count: see `Surface.in_regime`.
        """
        from quantlab.figures.heatmap import heatmap

        surface = cast("Surface", self)
        plane, title = (
            surface.plane(metric, x, y, reduce, regime),
            _title(surface, metric, x, y, reduce, regime),
        )
        axes = surface.axes[x], surface.axes[y]
        return heatmap(plane, *axes, x_label=x, y_label=y, metric=metric, title=title)

    def surface3d(
        self,
        metric: str = "sharpe",
        *,
        x: str,
        y: str,
        reduce: Reduce = "max",
        regime: str | int | None = None,
    ) -> go.Figure:
        """The plane of `heatmap` as a relief: is it a hill or a needle?"""
        from quantlab.figures.surface3d import surface3d

        surface = cast("Surface", self)
        plane, title = (
            surface.plane(metric, x, y, reduce, regime),
            _title(surface, metric, x, y, reduce, regime),
        )
        axes = surface.axes[x], surface.axes[y]
        return surface3d(plane, *axes, x_label=x, y_label=y, metric=metric, title=title)

    def parallel(self, metric: str = "sharpe", *, top: int = 300, min_trades: int = 30) -> go.Figure:
        """The `top` best cells as lines across their parameters: what do they have in common?

        Parameters
        ----------
        metric : str
        top : int
            Of a grid or of a list of points.
        min_trades : int
            Fewest closed trades of a cell that is drawn.

        Raises
        ------
        InputError
            No cell has the metric with so many trades, or no parameter varies.
        """
        from quantlab.backtest.surface import sign
        from quantlab.figures.parallel import parallel

        surface = cast("Surface", self)
        if top < 1:
            raise InputError(f"parallel axes need a cell to draw, got top={top}.")
        values = surface.eligible(metric, min_trades).ravel()
        order = np.argsort(-sign(metric) * values, kind="stable")  # NaN last
        best = order[: min(top, int(np.count_nonzero(~np.isnan(values))))][::-1]
        columns = {
            name: np.broadcast_to(column, surface.shape).ravel()[best]
            for name, column in surface.cells.mesh().items()
            if len(np.unique(column)) > 1
        }
        title = f"{surface.subject}: the {len(best):,} best of {surface.size:,} cells by {metric}"
        return parallel(columns, values[best], metric=metric, title=title + _caveat(surface))

    def slices(
        self, metric: str = "sharpe", at: Cell | Mapping[str, Any] | None = None, *, min_trades: int = 30
    ) -> go.Figure:
        """`metric` along each parameter through one cell, the others held: a plateau or a needle?

        Parameters
        ----------
        metric : str
        at : Cell or mapping of parameter to value, optional
            A cell of this grid; by default that of its plateau, how far it holds is shaded.
        min_trades : int
            Of the plateau.

        Raises
        ------
        InputError
            The cell is not one of this grid, no axis has two values, or these are points.
        """
        from quantlab.figures.slices import slices

        surface = cast("Surface", self)
        widths: Mapping[str, float | None] = {}
        if at is None:
            plateau = surface.plateau(metric, min_trades)
            at, widths = plateau.cell, plateau.half_width
        found = profiles(surface, at, metric, widths)
        return slices(found, metric=metric, title=f"{surface.subject}: {metric} along each parameter")


def profiles(
    surface: Surface, at: Cell | Mapping[str, Any], metric: str, half_width: Mapping[str, float | None]
) -> list[Profile]:
    """The metric along each axis of a grid through one of its cells.

    Parameters
    ----------
    surface : Surface
    at : Cell or mapping of parameter to value
        Axes that it doesn't name stay at the strategy's default, which must be one of their values.
    metric : str
    half_width : mapping of axis to float or None
        How far a plateau holds.

    Raises
    ------
    InputError
        The cell is not one of this grid, or these are points.
    """
    axes, params = surface.axes, dict(at if isinstance(at, Mapping) else at.params)
    chosen = {name: params.get(name, surface.cells.space.defaults[name]) for name in axes}
    place = {name: np.flatnonzero(axis == chosen[name]) for name, axis in axes.items()}
    for name, found in place.items():
        if not found.size:
            known = axes[name].tolist()
            raise InputError(f"{name} has no value {chosen[name]!r} on this surface: it has {known}.")
    index = [int(found[0]) for found in place.values()]
    values, result = surface[metric], []
    for k, (name, axis) in enumerate(axes.items()):
        through = values[tuple(slice(None) if i == k else j for i, j in enumerate(index))]
        ordered = isinstance(surface.cells, Grid) and not isinstance(surface.cells.space[name], Choice)
        width = half_width.get(name) if ordered else None
        result.append((name, axis.tolist(), through, axis[index[k]].item(), width))
    return [profile for profile in result if len(profile[1]) > 1]


def _title(surface: Surface, metric: str, x: str, y: str, reduce: Reduce, regime: str | int | None) -> str:
    rest = [name for name in surface.axes if name not in (x, y)]
    title = f"{surface.subject}: {metric}" + (f", {reduce} over {', '.join(rest)}" if rest else "")
    return title + ("" if regime is None else f", decided in {regime}") + _caveat(surface)


def _caveat(surface: Surface) -> str:
    return f" ({surface.execution.caveat})" if surface.execution.caveat else ""
