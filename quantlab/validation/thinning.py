"""Fewer cells: a grid thinned until it fits, a grid over a whole space, and the cells worth a closer look."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.space import Cells, Choice, Grid, Int, Parameter, Points, Space
from quantlab.validation.decisions import ENTRIES, Decisions

MOST_CELL_BARS = 40_000_000
"""Cells times bars that are compared at once: 320 MB if one field varies over all of them."""
MOST_ENTRY_CELLS = 2_500
"""Entry cells of a moderate grid, at most."""
_LIVE_CELLS = 4


def thinned(cells: Cells, n_bars: int) -> Cells:
    """The cells, or evenly spread ones of them where there are too many for `n_bars` bars.

    Of a grid the longest axis is thinned first, exits before entries; first and last values stay.
    """
    return thinned_to(cells, max(1, MOST_CELL_BARS // n_bars))


def thinned_to(cells: Cells, most: int) -> Cells:
    """`most` cells or fewer, spread as by `thinned`."""
    if cells.size <= most:
        return cells
    if isinstance(cells, Points):
        kept = np.unique(np.linspace(0, cells.size - 1, most).astype(int))
        return Points(cells.space, {name: column[kept] for name, column in cells.columns.items()})
    lengths = {name: len(values) for name, values in cells.axes.items()}
    while np.prod(list(lengths.values())) > most:
        longest = max(reversed(lengths), key=lambda name: lengths[name])
        lengths[longest] -= 1
    axes = {
        name: values[np.linspace(0, len(values) - 1, lengths[name]).round().astype(int)]
        for name, values in cells.axes.items()
    }
    return Grid(cells.space, axes, cells.fixed)


def moderate_grid(space: Space) -> Grid:
    """Lowest, default and highest value of every entry parameter, two of every exit parameter.

    Where that makes more than `MOST_ENTRY_CELLS` entry cells, the last parameters have two values.
    """
    axes = {p.name: spread(p, 3 if p.role == "entry" else 2) for p in space.parameters}
    entry = [p for p in space.parameters if p.role == "entry"]
    for p in reversed(entry):
        if np.prod([len(axes[q.name]) for q in entry]) > MOST_ENTRY_CELLS:
            axes[p.name] = spread(p, 2)
    return space.grid(**axes)


def spread(p: Parameter, k: int) -> list[Any]:
    """About `k` values of a parameter: bounds, default and some between; all options of a choice."""
    if isinstance(p, Choice):
        return list(p.options)
    if k == 2:
        return [p.low, p.default] if p.low < p.default else sorted({p.default, p.high})
    between = np.linspace(p.low, p.high, k - 1)
    values = {round(v) for v in between} if isinstance(p, Int) else {float(v) for v in between}
    return sorted(values | {p.default})


def busiest(decided: Decisions, cells: Cells, k: int = _LIVE_CELLS) -> Points:
    """`k` allowed cells from many entries to few; fewer if fewer enter at all."""
    sides = [a for name in ENTRIES if (a := decided.whole(name)) is not None]
    counts = sum(np.broadcast_to(side.sum(axis=-1), cells.shape) for side in sides)
    counts = np.where(cells.allowed, counts, -1).ravel()
    order = np.argsort(-counts, kind="stable")[: max(1, int((counts > 0).sum()))]
    ranks = np.unique(np.linspace(0, len(order) - 1, k).astype(int))
    where = [np.unravel_index(int(order[rank]), cells.shape) if cells.shape else () for rank in ranks]
    return cells.space.points([cells.cell(tuple(int(i) for i in index)) for index in where])
