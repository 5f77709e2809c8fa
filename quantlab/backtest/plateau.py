"""Plateaus rather than peaks: the cell whose whole neighbourhood is good.

The score of a cell is the mean minus one standard deviation of its neighbours' metric: on a grid under a
narrow Gaussian kernel (one grid step per axis), in a list of points over the nearest of them. Against
planted edges the kernel never lost to the peak by two standard errors, and its in-sample value is the
less biased forecast (see docs/honesty.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.surface import Cell, Surface, is_ordered, sign
from quantlab.space import Choice, Grid, Points

if TYPE_CHECKING:
    import pandas as pd

REACH = 2
"""Grid steps on either side that count as the neighbourhood."""

BANDWIDTH = 1.0
"""Standard deviation of the kernel, in grid steps."""

LEAST_KNOWN = 0.5
"""Share of its neighbourhood that must have the metric for a cell to be chosen, if any cell has as much."""

HOLDS = 0.5
"""A parameter still holds where the metric keeps this share of the chosen cell's."""


@dataclass(frozen=True)
class Plateau:
    """A cell chosen for its neighbourhood.

    Attributes
    ----------
    cell : Cell
    metric : str
    score : float
        Mean minus one standard deviation of `metric` over the neighbourhood.
    mean : float
        Mean of `metric` over the neighbourhood: the headline forecast.
    half_width : mapping of str to float
        Per axis, the distance (in the parameter's unit) to the nearer side's last value at which the
        metric keeps half of the chosen cell's; 0 where a direct neighbour loses it. None for choices and
        in a list of points.
    neighbours : DataFrame
        On a grid the neighbours along each axis: parameter, its value, metrics, whether chosen. In a list
        of points the nearest ones, the chosen first, as `Surface.to_frame` has them.
    """

    cell: Cell
    metric: str
    score: float
    mean: float
    half_width: Mapping[str, float | None]
    neighbours: pd.DataFrame


def kernel_moments(
    values: np.ndarray, ordered: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and weight of the Gaussian neighbourhood of every cell.

    Parameters
    ----------
    values : float array
        NaN cells are left out of their neighbours' averages.
    ordered : tuple of bool
        Axes along which neighbours are near; the others are not smoothed.

    Returns
    -------
    mean, sd, share : float arrays, shape of `values`
        `share` is the part of the kernel's weight, inside the grid, that fell on cells with a value.
    """
    from scipy.ndimage import correlate1d

    steps = np.arange(-REACH, REACH + 1)
    weights = np.exp(-0.5 * (steps / BANDWIDTH) ** 2)
    weights /= weights.sum()
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    sums = [np.ones(values.shape), filled, filled**2]
    if not present.all():
        sums.append(present.astype(np.float64))
    for axis, smooth in enumerate(ordered):
        if smooth and values.shape[axis] > 1:
            sums = [correlate1d(s, weights, axis=axis, mode="constant") for s in sums]
    whole, known = sums[0], sums[-1] if len(sums) == 4 else sums[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[1] / known
        sd = np.sqrt(np.maximum(sums[2] / known - mean**2, 0.0))
    return mean, sd, known / whole


def find_plateau(surface: Surface, metric: str, min_trades: int) -> Plateau:
    """The cell with the highest plateau score among those with enough trades.

    Cells with too few trades cannot be chosen but count as neighbours: a cell is not better for lying
    beside them.

    Raises
    ------
    InputError
        No cell has the metric and enough trades.
    """
    surface.best(metric, min_trades)
    grid, side = surface.cells, sign(metric)
    values = side * surface.eligible(metric, min_trades)
    mean, score = _around(surface, metric, values)
    index = tuple(map(int, np.unravel_index(int(np.nanargmax(score)), surface.shape)))
    widths: dict[str, float | None]
    if isinstance(grid, Points):
        widths, neighbours = dict.fromkeys(_varying(grid)), _nearest(surface, metric, index)
    else:
        widths = {name: _half_width(values, grid, index, i) for i, name in enumerate(grid.axes)}
        neighbours = _neighbours(surface, values, grid, index)
    return Plateau(
        cell=surface.cell(index),
        metric=metric,
        score=side * float(score[index]),
        mean=side * float(mean[index]),
        half_width=widths,
        neighbours=neighbours,
    )


def plateau_index(surface: Surface, metric: str, min_trades: int) -> tuple[int, ...] | None:
    """The index of the cell that `find_plateau` chooses, or None: the choice without what is told of it."""
    values = sign(metric) * surface.eligible(metric, min_trades)
    if np.isnan(values).all():
        return None
    _, score = _around(surface, metric, values)
    return tuple(map(int, np.unravel_index(int(np.nanargmax(score)), surface.shape)))


def _around(surface: Surface, metric: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the neighbourhood of every cell, and its score: NaN where a cell can't be chosen."""
    grid, side = surface.cells, sign(metric)
    if isinstance(grid, Points):
        return _around_points(surface, grid, metric, values)
    ordered = tuple(is_ordered(grid, name) for name in grid.axes)
    mean, sd, share = kernel_moments(side * surface[metric], ordered)
    score = np.where(np.isnan(values), np.nan, mean - sd)
    if not np.isnan(score[share >= LEAST_KNOWN]).all():
        score = np.where(share >= LEAST_KNOWN, score, np.nan)
    return mean, score


def nearest_points(points: Points, count: int) -> np.ndarray:
    """For every point the `count` nearest ones, itself first: int64 array (points, count).

    Distance is Euclidean in parameters scaled to their bounds; a differing choice counts as the whole range.
    """
    columns = []
    for parameter in points.space.parameters:
        column = points.columns[parameter.name]
        if isinstance(parameter, Choice):
            columns += [np.where(column == option, np.sqrt(0.5), 0.0) for option in parameter.options]
        else:
            columns.append((column - parameter.low) / max(parameter.high - parameter.low, 1e-300))
    scaled = np.stack(columns, axis=1)
    near = np.empty((points.size, count), np.int64)
    for first in range(0, points.size, 256):
        block = slice(first, first + 256)
        distance = ((scaled[block, None, :] - scaled[None, :, :]) ** 2).sum(axis=-1)
        distance[np.arange(len(distance)), first + np.arange(len(distance))] = -1.0
        near[block] = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return near


def _around_points(
    surface: Surface, points: Points, metric: str, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As `_around`, over the nearest points, two per parameter that varies."""
    present = np.flatnonzero(~np.isnan(surface[metric]))
    around = sign(metric) * surface[metric][_near(points, present)]
    mean, score = np.full((2, points.size), np.nan)
    mean[present] = around.mean(axis=1)
    score[present] = mean[present] - around.std(axis=1)
    return mean, np.where(np.isnan(values), np.nan, score)


def _varying(points: Points) -> list[str]:
    return [name for name in points.space.names if len(np.unique(points.columns[name])) > 1]


def _near(points: Points, present: np.ndarray) -> np.ndarray:
    """For each of the points at `present` the nearest of them, itself first: indices of all points."""
    kept = Points(points.space, {name: column[present] for name, column in points.columns.items()})
    return np.asarray(present[nearest_points(kept, min(2 * len(_varying(points)) + 1, kept.size))])


def _nearest(surface: Surface, metric: str, index: tuple[int, ...]) -> pd.DataFrame:
    assert isinstance(surface.cells, Points)
    present = np.flatnonzero(~np.isnan(surface[metric]))
    near = _near(surface.cells, present)[int(np.flatnonzero(present == index[0])[0])]
    return surface.to_frame().iloc[near].reset_index(drop=True)


def _line(values: np.ndarray, index: tuple[int, ...], axis: int) -> np.ndarray:
    place: list[Any] = list(index)
    place[axis] = slice(None)
    return np.asarray(values[tuple(place)])


def _half_width(values: np.ndarray, grid: Grid, index: tuple[int, ...], axis: int) -> float | None:
    name = list(grid.axes)[axis]
    if not is_ordered(grid, name):
        return None
    order = np.argsort(grid.axes[name])
    along, line = grid.axes[name][order], _line(values, index, axis)[order]
    here = int(np.flatnonzero(order == index[axis])[0])
    holds = line >= HOLDS * line[here] if line[here] > 0 else line >= line[here]
    reach = []
    for step, end in ((-1, 0), (1, len(line) - 1)):
        i = here
        while i != end and holds[i + step]:
            i += step
        if i != here or here != end:
            reach.append(abs(float(along[i] - along[here])))
    return min(reach, default=0.0)


def _neighbours(surface: Surface, values: np.ndarray, grid: Grid, index: tuple[int, ...]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for axis, (name, along) in enumerate(grid.axes.items()):
        for i in range(max(index[axis] - REACH, 0), min(index[axis] + REACH + 1, len(along))):
            place = (*index[:axis], i, *index[axis + 1 :])
            row = {"parameter": name, "value": along[i].item(), "chosen": i == index[axis]}
            rows.append(row | {m: float(surface[m][place]) for m in ("sharpe", "net_profit", "trades")})
    return pd.DataFrame(rows)
