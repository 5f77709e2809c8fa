"""Cut a set of cells into parts whose arrays fit a byte budget."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantlab.backtest.rows import clauses
from quantlab.clauses import Clause, Comparison
from quantlab.market.candles import Candles
from quantlab.signals import Signals, Strategy
from quantlab.space import Cells, Grid, Points

DEFAULT_BUDGET = 192 * 2**20
_PROBE_BARS = 8
_MOST_CELLS = 500_000
_BOOLEAN_BYTES = 6
_FLOAT_BYTES = 24
_BIT_BYTES = 1

Place = tuple[slice, ...]
Part = tuple[Place, Cells]


def plan(strategy: Strategy, candles: Candles, cells: Cells, budget: int) -> Iterator[Part]:
    """Yield ``(place, part)``: the slices of the surface that a part fills, and its cells.

    The strategy is evaluated on a few bars to learn which axes each of its arrays has; a part is halved
    along the longest axis of its largest array until all fit the budget.
    """
    probe = strategy.signals(candles[: min(_PROBE_BARS, len(candles))], cells.params())
    arrays = _arrays(probe, len(cells.shape))
    if isinstance(cells, Points):
        width = sum(size for _, size in arrays) * len(candles)
        most = int(max(1, min(_MOST_CELLS, budget // max(width, 1))))
        for first in range(0, cells.size, most):
            stop = min(first + most, cells.size)
            yield (slice(first, stop),), cells.take(first, stop)
        return
    yield from _halves(cells, tuple(slice(0, n) for n in cells.shape), arrays, len(candles), budget)


def _arrays(signals: Signals, k: int) -> list[tuple[tuple[bool, ...], int]]:
    """Which parameter axes each array varies over, and its bytes per row and bar (temporaries included)."""
    found: list[tuple[np.ndarray | Clause, int]] = []
    for clause in (c for signal in (signals.long, signals.short) for c in clauses(signal)):
        if isinstance(clause, Comparison):
            found += [(clause.greater, _FLOAT_BYTES), (clause.lesser, _FLOAT_BYTES), (clause, _BIT_BYTES)]
        else:
            found.append((clause, _BOOLEAN_BYTES))
    for value in (signals.stop, signals.target, signals.exit_long, signals.exit_short):
        if value is not None:
            found.append((np.asarray(value), _FLOAT_BYTES))
    return [(tuple(n > 1 for n in (1,) * (k + 1 - a.ndim) + a.shape[:-1]), size) for a, size in found]


def _halves(
    grid: Grid, place: Place, arrays: list[tuple[tuple[bool, ...], int]], bars: int, budget: int
) -> Iterator[Part]:
    lengths = grid.shape
    sizes = [
        size * bars * int(np.prod([n for n, on in zip(lengths, axes, strict=True) if on]))
        for axes, size in arrays
    ]
    if grid.size <= _MOST_CELLS and sum(sizes) <= budget:
        yield place, grid
        return
    axes = arrays[int(np.argmax(sizes))][0] if sum(sizes) > budget else (True,) * len(lengths)
    longest = max(range(len(lengths)), key=lambda i: lengths[i] if axes[i] else 0) if lengths else 0
    if not lengths or lengths[longest] == 1:
        yield place, grid
        return
    name, half = list(grid.axes)[longest], lengths[longest] // 2
    for first, stop in ((0, half), (half, lengths[longest])):
        offset = place[longest].start
        inner = (*place[:longest], slice(offset + first, offset + stop), *place[longest + 1 :])
        yield from _halves(grid.part(name, first, stop), inner, arrays, bars, budget)
