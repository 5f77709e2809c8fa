"""Cut a set of cells into parts whose arrays fit a byte budget."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import ceil, log2, prod

import numpy as np

from quantlab.backtest.record import new_memo
from quantlab.backtest.request import Request
from quantlab.backtest.rows import clauses, find_entries
from quantlab.clauses import Bits, Clause, Comparison, FromBar
from quantlab.market.candles import Candles
from quantlab.signals import SignalFunction, Signals, Strategy
from quantlab.space import Cells, Choice, Grid, Points
from quantlab.threads import PROCESSORS, aside

DEFAULT_BUDGET = 256 * 2**20
BAR_BUDGET = 800
"""Bytes per bar, a hundred columns: with less, a long history is cut to few cells at a time, and every part
evaluates the same signals again."""

_PROBE_BARS = 8
_MOST_CELLS = 500_000
_SAMPLE_BARS, _SAMPLE_CELLS = 4_096, 16
_BOOLEAN_BYTES = 6
_FLOAT_BYTES = 24
_BIT_BYTES = 0.25
_ENTRY_BYTES = 16
_CELL_BYTES = 64

Place = tuple[slice, ...]
Part = tuple[Place, Cells]

Axes = tuple[bool, ...]
"""Which parameter axes an array varies over."""

Need = tuple[Axes, float]
"""Axes of an array and its bytes per row, temporaries included."""

Shape = tuple[Axes, bool, float]
"""Axes of an array, whether it varies over time, its bytes per value; the entry rows last."""

_SHAPES: dict[tuple[SignalFunction, tuple[str, ...] | None, Axes, str], list[Shape]] = {}
_MOST_KNOWN = 1_000


def plan(
    strategy: Strategy,
    candles: Candles,
    cells: Cells,
    budget: int | None,
    request: Request | None = None,
    *,
    least: int = 1,
    threads: int | None = None,
) -> Iterator[Part]:
    """Yield ``(place, part)``: the slices of the surface that a part fills, and its cells.

    The strategy is evaluated on a few bars to learn which axes each of its arrays has; a part is halved
    along the longest axis of its largest array until all fit the budget, the rows of its result included.
    What no cut makes smaller, above all the trades that each thread remembers, leaves it a quarter at least.

    Parameters
    ----------
    budget : int, optional
        Bytes that a part may hold; by default `DEFAULT_BUDGET`, and `BAR_BUDGET` per bar if that is more.
    request : Request, optional
        Rows of the result.
    least : int
        Least number of parts, if there are as many cells.
    threads : int, optional
        Threads that work on a part.
    """
    request, bars = request or Request(), len(candles)
    budget = max(DEFAULT_BUDGET, BAR_BUDGET * bars) if budget is None else budget
    most = max(1, min(_MOST_CELLS, cells.size // least))
    *arrays, (entries, _, each) = _shapes(strategy, candles, cells)
    needs = [(axes, size * (bars if timed else 1)) for axes, timed, size in arrays]
    needs.append(((True,) * len(cells.shape), _CELL_BYTES + 16.0 * request.rows))
    memory = (threads or PROCESSORS) * (1 + len(request.assumptions)) * 2.0 * _slot_bytes() * bars
    whole = _total(needs, cells.shape) + _total([(entries, each * bars)], cells.shape) + memory
    if whole <= budget and cells.size <= most:
        yield tuple(slice(0, n) for n in cells.shape), cells
        return
    # that was with a decision on every bar; how many are there really?
    share = _share(strategy, candles, cells) if whole > budget else 1.0
    needs.append((entries, each * bars * share))
    left = max(budget - memory * min(1.0, _SAMPLE_CELLS * share), budget / 4)
    if isinstance(cells, Grid):
        yield from _halves(cells, tuple(slice(0, n) for n in cells.shape), needs, most, left)
    else:
        yield from _slices(cells, needs, most, left)


@cache
def _slot_bytes() -> int:
    """Bytes in which a thread remembers the trade of one decision."""
    return sum(
        b.nbytes - a.nbytes for a, b in zip(*(new_memo(n, 1, 1, alone=True) for n in (1, 2)), strict=True)
    )


def _shapes(strategy: Strategy, candles: Candles, cells: Cells) -> list[Shape]:
    """The arrays of a strategy: they follow from the axes of the cells, so each kind is probed once."""
    names = tuple(cells.axes) if isinstance(cells, Grid) else None
    key = (strategy.signals, names, tuple(n > 1 for n in cells.shape), _choices(cells))
    if key not in _SHAPES:
        few = candles[: min(_PROBE_BARS, len(candles))]
        signals = aside(lambda: strategy.signals(few, cells.params()))
        if len(_SHAPES) >= _MOST_KNOWN:
            _SHAPES.clear()
        _SHAPES[key] = _arrays(signals, len(cells.shape))
    return _SHAPES[key]


def _choices(cells: Cells) -> str:
    """What the cells of a grid choose: an option may bring axes of its own."""
    if not isinstance(cells, Grid):
        return ""
    chosen = {n: cells.axes[n].tolist() if n in cells.axes else cells.fixed[n] for n in cells.space.names}
    return repr([(n, v) for n, v in chosen.items() if isinstance(cells.space[n], Choice)])


def _arrays(signals: Signals, k: int) -> list[Shape]:
    entries = [clause for signal in (signals.long, signals.short) for clause in clauses(signal)]
    found: list[tuple[np.ndarray | Clause, float]] = []
    for clause in entries:
        if isinstance(clause, Comparison):
            found += [(clause.greater, _FLOAT_BYTES), (clause.lesser, _FLOAT_BYTES), (clause, _BIT_BYTES)]
        else:
            found.append((clause, _BIT_BYTES if isinstance(clause, Bits | FromBar) else _BOOLEAN_BYTES))
    for value in (signals.stop, signals.target, signals.exit_long, signals.exit_short):
        if value is not None:
            found.append((np.asarray(value), _FLOAT_BYTES))
    shapes = [(_axes(a.shape, k), a.shape[-1] > 1, size) for a, size in found]
    together = tuple(any(on) for on in zip(*(_axes(a.shape, k) for a in entries), strict=True))
    return [*shapes, (together, True, _ENTRY_BYTES)]


def _axes(shape: tuple[int, ...], k: int) -> Axes:
    return tuple(n > 1 for n in (1,) * (k + 1 - len(shape)) + shape[:-1])


def _share(strategy: Strategy, candles: Candles, cells: Cells) -> float:
    """Share of the bars on which the busiest of some cells decides to enter, rounded up to a power of two."""
    bars = candles[-_SAMPLE_BARS:]
    order = np.unique(np.linspace(0, cells.size - 1, _SAMPLE_CELLS).astype(np.int64))
    places = zip(*(axis.tolist() for axis in np.unravel_index(order, cells.shape)), strict=True)
    few = cells.space.points([cells.cell(place) for place in places])

    def busiest() -> float:
        try:
            signals = strategy.signals(bars, few.params())
        except Exception:
            return 1.0  # the part that raises it names its cells
        counts = np.diff(find_entries(signals, ~bars.missing, few.allowed, 0).rows.start)
        return float(counts.max(initial=1)) / len(bars)

    # never remembered: a resumed sweep must be cut as it was, whatever its process did before
    return min(1.0, 2.0 ** ceil(log2(aside(busiest))))


def _slices(cells: Points, needs: list[Need], most: int, budget: float) -> Iterator[Part]:
    shared = sum(size for axes, size in needs if not axes[0])
    each = sum(size for axes, size in needs if axes[0])
    step = int(max(1, min(most, (budget - shared) // each)))
    for first in range(0, cells.size, step):
        stop = min(first + step, cells.size)
        yield (slice(first, stop),), cells.take(first, stop)


def _halves(grid: Grid, place: Place, needs: list[Need], most: int, budget: float) -> Iterator[Part]:
    lengths = grid.shape
    sizes = [_total([need], lengths) for need in needs]
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


def _total(needs: list[Need], lengths: tuple[int, ...]) -> float:
    return sum(size * prod(n for n, on in zip(lengths, axes, strict=True) if on) for axes, size in needs)


def _widest(needs: list[Need], sizes: list[float], lengths: tuple[int, ...]) -> Axes:
    """The axes of the largest array that can be made smaller."""
    can = [any(on and n > 1 for n, on in zip(lengths, axes, strict=True)) for axes, _ in needs]
    return needs[max(range(len(needs)), key=lambda i: sizes[i] if can[i] else -1)][0]
