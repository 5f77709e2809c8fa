"""Cut a set of cells into parts whose arrays fit a byte budget."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from quantlab.backtest.metrics import METRICS
from quantlab.backtest.rows import clauses
from quantlab.backtest.team import aside
from quantlab.clauses import Clause, Comparison
from quantlab.market.candles import Candles
from quantlab.signals import SignalFunction, Signals, Strategy
from quantlab.space import Cells, Grid, Points

DEFAULT_BUDGET = 192 * 2**20
_PROBE_BARS = 8
_MOST_CELLS = 500_000
_BOOLEAN_BYTES = 6
_FLOAT_BYTES = 24
_BIT_BYTES = 1
_CELL_BYTES = 64

Place = tuple[slice, ...]
Part = tuple[Place, Cells]

Need = tuple[tuple[bool, ...], int]
"""Which parameter axes an array varies over, and its bytes per row (temporaries included)."""

Shape = tuple[tuple[bool, ...], bool, int]
"""Which parameter axes an array varies over, whether it varies over time, its bytes per value."""

_SHAPES: dict[tuple[SignalFunction, tuple[str, ...] | None, tuple[bool, ...]], list[Shape]] = {}
_MOST_KNOWN = 1_000


def plan(
    strategy: Strategy,
    candles: Candles,
    cells: Cells,
    budget: int,
    rows: int = len(METRICS),
    least: int = 1,
) -> Iterator[Part]:
    """Yield ``(place, part)``: the slices of the surface that a part fills, and its cells.

    The strategy is evaluated on a few bars to learn which axes each of its arrays has; a part is halved
    along the longest axis of its largest array until all fit the budget, the rows of its result included.

    Parameters
    ----------
    budget : int
        Bytes that a part may hold.
    rows : int
        Rows of the result.
    least : int
        Least number of parts, if there are as many cells.
    """
    bars = len(candles)
    needs = [(axes, size * (bars if timed else 1)) for axes, timed, size in _shapes(strategy, candles, cells)]
    needs.append(((True,) * len(cells.shape), _CELL_BYTES + 16 * rows))
    most = max(1, min(_MOST_CELLS, -(-cells.size // least)))
    if isinstance(cells, Grid):
        yield from _halves(cells, tuple(slice(0, n) for n in cells.shape), needs, most, budget)
    else:
        yield from _slices(cells, needs, most, budget)


def _shapes(strategy: Strategy, candles: Candles, cells: Cells) -> list[Shape]:
    """The arrays of a strategy: they follow from the axes of the cells, so each kind is probed once."""
    names = tuple(cells.axes) if isinstance(cells, Grid) else None
    key = (strategy.signals, names, tuple(n > 1 for n in cells.shape))
    if key not in _SHAPES:
        few = candles[: min(_PROBE_BARS, len(candles))]
        signals = aside(lambda: strategy.signals(few, cells.params()))
        if len(_SHAPES) >= _MOST_KNOWN:
            _SHAPES.clear()
        _SHAPES[key] = _arrays(signals, len(cells.shape))
    return _SHAPES[key]


def _arrays(signals: Signals, k: int) -> list[Shape]:
    found: list[tuple[np.ndarray | Clause, int]] = []
    for clause in (c for signal in (signals.long, signals.short) for c in clauses(signal)):
        if isinstance(clause, Comparison):
            found += [(clause.greater, _FLOAT_BYTES), (clause.lesser, _FLOAT_BYTES), (clause, _BIT_BYTES)]
        else:
            found.append((clause, _BOOLEAN_BYTES))
    for value in (signals.stop, signals.target, signals.exit_long, signals.exit_short):
        if value is not None:
            found.append((np.asarray(value), _FLOAT_BYTES))
    return [
        (tuple(n > 1 for n in (1,) * (k + 1 - a.ndim) + a.shape[:-1]), a.shape[-1] > 1, size)
        for a, size in found
    ]


def _slices(cells: Points, needs: list[Need], most: int, budget: int) -> Iterator[Part]:
    shared = sum(size for axes, size in needs if not axes[0])
    each = sum(size for axes, size in needs if axes[0])
    step = int(max(1, min(most, (budget - shared) // each)))
    for first in range(0, cells.size, step):
        stop = min(first + step, cells.size)
        yield (slice(first, stop),), cells.take(first, stop)


def _halves(grid: Grid, place: Place, needs: list[Need], most: int, budget: int) -> Iterator[Part]:
    lengths = grid.shape
    sizes = [size * prod(n for n, on in zip(lengths, axes, strict=True) if on) for axes, size in needs]
    if grid.size <= most and sum(sizes) <= budget:
        yield place, grid
        return
    whole = sum(sizes) <= budget  # only too many cells: any axis will do
    room = [
        n if n > 1 and (whole or on) else 0
        for n, on in zip(lengths, _widest(needs, sizes, lengths), strict=True)
    ]
    if not any(room):
        yield place, grid
        return
    longest = room.index(max(room))
    name, half = list(grid.axes)[longest], lengths[longest] // 2
    for first, stop in ((0, half), (half, lengths[longest])):
        offset = place[longest].start
        inner = (*place[:longest], slice(offset + first, offset + stop), *place[longest + 1 :])
        yield from _halves(grid.part(name, first, stop), inner, needs, most, budget)


def _widest(needs: list[Need], sizes: list[int], lengths: tuple[int, ...]) -> tuple[bool, ...]:
    """The axes of the largest array that can be made smaller."""
    can = [any(on and n > 1 for n, on in zip(lengths, axes, strict=True)) for axes, _ in needs]
    return needs[max(range(len(needs)), key=lambda i: sizes[i] if can[i] else -1)][0]
