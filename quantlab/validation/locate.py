"""How far into the future does a decision look, at which column, through which clause?

Bars after the decision are changed, fewer and fewer of them, and the border is found by bisection. What
is found is true whatever the strategy does: changing the bars up to that one moves the decision, changing
those up to the bar before it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quantlab.market.candles import COLUMNS, Candles
from quantlab.validation.decisions import Decider, Decisions, Part, different
from quantlab.validation.futures import probes
from quantlab.validation.live import at


@dataclass(frozen=True)
class Location:
    """What some decisions depend on.

    Parameters
    ----------
    clause, of : int
        Clause of the entry, counted from 1, of how many; 0 if the field is one array.
    nearest, furthest : int or None
        Bars after a decision on which it depends: the nearest and the furthest that were found to matter.
        None: only the number of bars that follow does.
    to_end : bool
        The last bar of the candles matters.
    columns : tuple of str
        Columns that move a decision when they alone are changed.
    """

    clause: int
    of: int
    nearest: int | None
    furthest: int | None
    to_end: bool
    columns: tuple[str, ...]


def locate(
    decider: Decider, candles: Candles, field: str, bars: Sequence[int], seed: int, clause: int | None = None
) -> Location | None:
    """Where the decisions of one cell look; None if no change of later bars moves one of them.

    Parameters
    ----------
    decider : Decider
        Of one cell.
    candles : Candles
    field : str
        Of `Signals`.
    bars : sequence of int
        Of the decisions. A yes or no hides most of what it depends on: several show more.
    seed : int
        Of the wild paths.
    clause : int, optional
        The clause to look at, as counted in `Part`; by default the first that depends on later bars.

    Notes
    -----
    Costs about 60 evaluations a bar for a near leak and 200 for one over the whole history.
    """
    whole = decider(candles)
    found = [
        _one(decider, candles, whole, field, bar, seed, clause) for bar in bars if bar + 1 < len(candles)
    ]
    places = [place for place in found if place is not None]
    if not places:
        return None
    places = [place for place in places if place.clause == places[0].clause]
    near = [place.nearest for place in places if place.nearest is not None]
    far = [place.furthest for place in places if place.furthest is not None]
    return Location(
        places[0].clause,
        places[0].of,
        min(near, default=None),
        max(far, default=None),
        any(place.to_end for place in places),
        tuple(c for c in COLUMNS if any(c in place.columns for place in places)),
    )


def _one(
    decider: Decider, candles: Candles, whole: Decisions, field: str, bar: int, seed: int, clause: int | None
) -> Location | None:
    n, left = len(candles), len(candles) - 1 - bar
    parts = [part for part in whole.parts if part.field == field and clause in (None, part.clause)]

    def variants(first: int) -> Iterator[Candles]:
        yield candles[:first]
        yield from probes(candles, first, n, seed)

    moved = _moved_by(decider, whole, parts, bar)
    parts = next(filter(None, map(moved, variants(bar + 1))), [])
    if not parts:
        return None
    clause, of = parts[0].clause, parts[0].of
    moved = _moved_by(
        decider, whole, [part for part in whole.parts if part.field == field and part.clause == clause], bar
    )

    def by_these(k: int) -> bool:
        return any(map(moved, probes(candles, bar + 1, bar + 1 + k, seed)))

    def enough(r: int) -> bool:
        return r >= left or not any(map(moved, variants(bar + 1 + r)))

    columns = tuple(c for c in COLUMNS if any(map(moved, probes(candles, bar + 1, n, seed, (c,)))))
    near = _fewest(by_these, left)
    if near is None:
        return Location(clause, of, None, None, False, columns)
    far = _fewest(enough, left) or left
    return Location(clause, of, min(near, far), max(near, far), far == left, columns)


def _moved_by(
    decider: Decider, whole: Decisions, parts: list[Part], bar: int
) -> Callable[[Candles], list[Part]]:
    def moved(candles: Candles) -> list[Part]:
        try:
            found = decider(candles).parts
        except Exception:  # on other futures it raises: that is a finding of its own
            return []
        gone = [part for part in parts if part not in found]
        return gone or [p for p in parts if different(at(whole.parts[p], bar), at(found[p], bar)).any()]

    return moved


def _fewest(holds: Callable[[int], bool], most: int) -> int | None:
    """A k in 1..most that holds while k - 1 does not (0 is taken not to), small ones first; or None."""
    low, k = 0, 1
    while k < most and not holds(k):
        low, k = k, 2 * k
    high = min(k, most)
    if k >= most and not holds(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
