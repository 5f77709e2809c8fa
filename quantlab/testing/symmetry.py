"""Checks of symmetry: the unit of the price does not matter, and a market upside down swaps the sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from quantlab.market.candles import Candles
from quantlab.testing.case import DISTANCES, ENTRIES, Case, Decisions, read, sides

AGREEMENT = 0.95
"""Least share of the entries of both markets on which a market and its mirror image must agree."""
SAME_DISTANCE = 0.15
"""Greatest relative difference of a stop or target distance on the mirrored market."""
_SWAPS = (("long", "short"), ("short", "long"), ("exit_long", "exit_short"), ("exit_short", "exit_long"))


def check_scale(case: Case) -> None:
    """Prices in another unit (a power of two) leave the signals alone and scale the distances."""
    for factor in (1024.0, 1 / 64):
        scaled = case.decide(_scaled(case.candles, factor), case.grid, f"prices x {factor:g}")
        unscaled = {name: a / factor if name in DISTANCES else a for name, a in scaled.items()}
        rule = f"prices x {factor:g} must leave signals alone and scale stop and target"
        case.equal(case.whole, unscaled, case.grid, (rule, "compare prices with prices only"))


def check_mirror(case: Case) -> None:
    """On a market turned upside down the sides swap.

    The prices are first held within a few percent of a centre c, then p becomes 2 c - p. That mirrors sums,
    averages, ranges and levels to the last bit, but a fraction of a price only to within those few percent.
    So `AGREEMENT` of the entries of both markets must be the same, and distances up to `SAME_DISTANCE`.
    """
    held, upside_down = mirror_pair(case.candles)
    a = case.decide(held, case.grid, "a market held near its centre")
    b = case.decide(upside_down, case.grid, "a mirrored market")
    if len(sides(a)) == 1:
        return
    for name, other in _SWAPS:
        if name in a or other in b:
            _check_swap(case, a, b, name, other)


def _check_swap(case: Case, a: Decisions, b: Decisions, name: str, other: str) -> None:
    rule, remedy = (
        f"`{name}` must become `{other}` on mirrored prices",
        "mirror every clause, or mirrored=False",
    )
    if name not in a or other not in b:
        raise case.fault(rule, f"only {'one' if name in a else 'the other'} of them is returned", remedy)
    one, two = np.broadcast_arrays(a[name], b[other])
    one, two = (x & read(case.grid, x.shape) for x in (one, two))
    either, both = one | two, one & two
    if both.sum() < AGREEMENT * either.sum():
        place = case.place(case.grid, tuple(np.argwhere(one != two)[0]))
        raise case.fault(
            rule, f"only {both.sum()} of {either.sum()} do, one that does not is {place}", remedy
        )
    if name in ENTRIES:
        _check_distances(case, a, b, both)


def _check_distances(case: Case, a: Decisions, b: Decisions, both: np.ndarray) -> None:
    for name in DISTANCES:
        if name in a and name in b:
            far = both & ~np.isclose(a[name], b[name], rtol=SAME_DISTANCE, equal_nan=True)
            if far.any():
                place = case.place(case.grid, tuple(np.argwhere(far)[0]))
                rule = f"`{name}` must be as far on mirrored prices"
                raise case.fault(rule, f"it is not {place}", "measure both sides alike")


def _scaled(candles: Candles, factor: float | np.ndarray) -> Candles:
    columns: dict[str, Any] = {
        name: getattr(candles, name) * factor for name in ("open", "high", "low", "close")
    }
    return replace(candles, **columns)


def mirror_pair(candles: Candles) -> tuple[Candles, Candles]:
    """The candles divided by a centred mean of 25 closes, on ticks of 2**-12, and their mirror image.

    The centred mean knows the future, which does not matter: both markets are simply two markets.
    """
    centre, tick = 2.0**14, 2.0**-12
    known = np.flatnonzero(~candles.missing)
    close = np.interp(np.arange(len(candles)), known, candles.close[known])
    mean = np.convolve(np.pad(close, 12, mode="edge"), np.full(25, 1 / 25), mode="valid")
    near = _scaled(candles, centre / mean)
    columns = {name: np.round(getattr(near, name) / tick) * tick for name in ("open", "high", "low", "close")}
    held = _replaced(candles, **columns)
    columns |= {"high": columns["low"], "low": columns["high"]}
    return held, _replaced(candles, **{name: 2 * centre - p for name, p in columns.items()})


def _replaced(candles: Candles, **columns: Any) -> Candles:
    return replace(candles, **columns)
