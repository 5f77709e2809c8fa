"""What a bot would have decided: each decision again from the warm-up window that ends at its bar.

The bot that trades live knows ``warmup`` bars and no more. So the replay finds look-ahead however rare it
is, as long as it makes a signal, and besides it a warm-up that is too short and recursions that drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Points
from quantlab.validation.decisions import FLAGS, Arrays, Decider, different

RTOL = 1e-6
"""Relative difference of a distance that counts as the same: a recursion starts from another value."""
_OTHERS = 16

Watch = Callable[[int], None]


@dataclass(frozen=True)
class Mismatch:
    """A decision that the warm-up alone does not give.

    Parameters
    ----------
    field : str
    params : mapping
        The cell.
    bar : int
    was, now : scalar
        On the whole history, and on the warm-up window that ends at `bar`.
    warmup : int
        Bars of that window.
    """

    field: str
    params: dict[str, Any]
    bar: int
    was: Any
    now: Any
    warmup: int


@dataclass(frozen=True)
class Replayed:
    """What was replayed.

    Parameters
    ----------
    cells, bars, changes, changes_replayed, evaluations : int
        Cells; windows computed; bars on which some signal of these cells changes, and how many of those
        were replayed; evaluations of the strategy.
    mismatches : tuple of Mismatch
        The first of every field, cell and bar.
    """

    cells: int
    bars: int
    changes: int
    changes_replayed: int
    evaluations: int
    mismatches: tuple[Mismatch, ...]


def replay(
    strategy: Strategy, candles: Candles, cells: Points, most: int, seed: int = 0, watch: Watch | None = None
) -> Replayed:
    """Replay the signal changes of some cells, and the bars on either side, from their warm-up.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    cells : Points
        Cells with the same warm-up are replayed together.
    most : int
        Windows, at most. Where there are more, they are drawn: changes first, evenly over time.
    seed : int
    watch : callable, optional
        Told after every window how many there are in all.

    Raises
    ------
    Exception
        Whatever the strategy raises on a window, with a note that names the bar.
    """
    groups = list(_by_warmup(strategy, cells))
    total, done, seen, evaluations = 0, 0, 0, 0
    found: list[Mismatch] = []
    for place, (warmup, group) in enumerate(groups):
        decider = Decider(strategy, group)
        whole = decider.arrays(candles)
        bars, changes = telling_bars(whole, warmup - 1, len(candles))
        share = (most - done) // (len(groups) - place)
        chosen = _drawn(bars, changes, share, np.random.default_rng([seed, place]))
        for bar in chosen.tolist():
            found += _compare(decider, candles, whole, bar, warmup)
            if watch is not None:
                watch(len(chosen))
        total += len(changes)
        done += len(chosen)
        seen += len(np.intersect1d(chosen, changes))
        evaluations += decider.evaluations
    return Replayed(cells.size, done, total, seen, evaluations, tuple(found))


def window(candles: Candles, bar: int, warmup: int) -> Candles:
    """The bars that a bot with `warmup` bars of history knows at the close of `bar`."""
    return candles[max(bar + 1 - warmup, 0) : bar + 1]


def _by_warmup(strategy: Strategy, cells: Points) -> Iterator[tuple[int, Points]]:
    each = [cells.cell((i,)) for i in range(cells.size)]
    needed = [int(np.max(strategy.warmup(cell))) for cell in each]
    for bars in sorted(set(needed)):
        alike = [cell for cell, n in zip(each, needed, strict=True) if n == bars]
        yield bars, strategy.space.points(alike)


def telling_bars(whole: Arrays, first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Bars from `first` on that are worth a replay, and those on which a signal of any cell changes.

    Returns
    -------
    bars, changes : int array
        Changes with the bar on either side, and some others spread over the history; the changes alone.
    """
    moved = np.zeros(n, bool)
    for name in set(FLAGS) & set(whole):
        rows = np.broadcast_to(whole[name], (*whole[name].shape[:-1], n)).reshape(-1, n)
        moved[0] |= rows[:, 0].any()
        moved[1:] |= (rows[:, 1:] != rows[:, :-1]).any(axis=0)
    changes = np.flatnonzero(moved)
    changes = changes[changes >= first]
    others = np.linspace(first, n - 1, _OTHERS).astype(int) if first < n else np.zeros(0, int)
    bars = np.unique(np.concatenate([changes - 1, changes, changes + 1, others]))
    return bars[(bars >= first) & (bars < n)], changes


def _drawn(bars: np.ndarray, changes: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    if len(bars) <= most:
        return bars
    rest = np.setdiff1d(bars, changes)
    kept = changes if len(changes) <= most else _spread(changes, most, rng)
    return np.sort(np.concatenate([kept, _spread(rest, most - len(kept), rng)]))


def _spread(bars: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """One of each of `k` stretches of equal length."""
    edges = np.linspace(0, len(bars), k + 1).astype(int)
    return bars[[int(rng.integers(a, b)) for a, b in pairwise(edges)]]


def _compare(decider: Decider, candles: Candles, whole: Arrays, bar: int, warmup: int) -> list[Mismatch]:
    try:
        live = decider.arrays(window(candles, bar, warmup))
    except Exception as error:
        error.add_note(f"the window was the {warmup:,} bars that end at bar {bar:,}.")
        raise
    found = []
    for name, a in whole.items():
        then, now = at(a, bar), at(live[name], -1) if name in live else np.full_like(at(a, bar), False)
        unequal = different(then, now, RTOL)
        if unequal.any():
            unequal = np.broadcast_to(unequal, decider.cells.shape) & decider.cells.allowed
            for cell in np.flatnonzero(unequal)[:1]:
                was, is_ = (np.broadcast_to(x, decider.cells.shape)[cell].item() for x in (then, now))
                params = decider.cells.cell((int(cell),))
                found.append(Mismatch(name, params, bar, was, is_, warmup))
    return found


def at(array: np.ndarray, bar: int) -> np.ndarray:
    """The decisions of one bar; those that do not change over time have one for all."""
    return array[..., bar if array.shape[-1] > 1 else 0]
