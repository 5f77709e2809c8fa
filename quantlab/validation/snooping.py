"""The tests that pay for having searched: what would the same search have found where there is no edge?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from quantlab.backtest.daily import day_numbers
from quantlab.backtest.plateau import plateau_index
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import sweep
from quantlab.backtest.timing import TIMING
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.validation.again import SameCells, SideBySide
from quantlab.validation.ensemble import chosen, record, runs_of
from quantlab.validation.rerun import Rerun, Score, rerun
from quantlab.validation.sequential import enough
from quantlab.validation.spa import LEAST_BLOCKS, superior_ability
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Test
from quantlab.validation.walkforward import Search

_MANY = 999
_FEW, _LEAST_FEW = 9, 1
"""Null markets that may do as well as the real one; fewer cost power."""

_MOST_BLOCKS = 208
_BLOCK_DAYS = 5


def ensemble_timing_t(surface: Surface, candles: Candles, gate: Gate) -> float:
    """Timing alpha t of what the ensemble of a search earned on its candles; -inf if there is none."""
    members = chosen(surface, gate)
    if not members:
        return -math.inf
    t = record(runs_of(surface.strategy, candles, members, surface.execution)).timing_t
    return t if math.isfinite(t) else -math.inf


def winner_timing_t(gate: Gate) -> Score:
    """Score of a search: timing alpha t of the cell that the gate would choose; -inf if there is none."""

    def score(surface: Surface) -> float:
        index = plateau_index(surface, gate.metric, gate.min_trades)
        t = -math.inf if index is None else float(surface["timing_t"][index])
        return t if math.isfinite(t) else -math.inf

    return score


def earned_by(search: Search, gate: Gate) -> Callable[[Candles], float]:
    """What the gate would score a search with, as a function of candles; `SideBySide` where timing t does.

    Parameters
    ----------
    search : callable ``(candles) -> Surface``
    gate : Gate
    """
    if gate.choice == "ensemble":

        def score(found: Surface, market: Candles) -> float:
            return ensemble_timing_t(found, market, gate)
    else:
        cell = winner_timing_t(gate)

        def score(found: Surface, market: Candles) -> float:
            return cell(found)

    if isinstance(search, SameCells) and gate.metric in TIMING:
        timing = search.timing
        return SideBySide(lambda market: score(timing(market), market))
    return lambda market: score(search(market), market)


def null_draws(gate: Gate, level: float) -> int:
    """How many markets of each null are drawn at most.

    As many as let nine do as well, but beyond 999 as let one: the tenth search on the same data would need
    33,000, which buys a few points of power over 6,600.
    """
    wanted = max(min(enough(_FEW, level), _MANY), enough(_LEAST_FEW, level))
    return max(gate.draws, wanted)


def search_rerun(
    surface: Surface,
    search: Search,
    candles: Candles,
    gate: Gate,
    level: float,
    *,
    earlier: Rerun | None = None,
    drawn: Callable[[Rerun], None] | None = None,
    progress: bool = True,
    cluster: Any = None,
) -> tuple[Test, Rerun | None]:
    """The whole search on mirrored and on shuffled markets, by what its winner earned beyond holding.

    Parameters
    ----------
    surface : Surface
        What the search found on the real candles.
    search : callable ``(candles) -> Surface``
    candles : Candles
    gate : Gate
    level : float
        Highest p-value that is allowed.
    earlier : Rerun, optional
        What an interrupted call had drawn.
    drawn : callable ``(Rerun) -> None``, optional
        Told now and then what was drawn so far.
    progress : bool
    cluster
        As of `rerun`.

    Returns
    -------
    Test
        Not passed, with the reason, where no null can be made or the search is not the same twice.
    Rerun or None
    """
    begin, name = time.perf_counter(), "search_rerun"
    draws = null_draws(gate, level)
    if draws > gate.most_draws:
        return Test(name, None, level, False, _spent(level, draws, gate)), None
    score = winner_timing_t(gate)
    real = score(surface) if gate.choice == "plateau" else ensemble_timing_t(surface, candles, gate)
    try:
        found = rerun(
            earned_by(search, gate),
            candles,
            score=float,
            real=real,
            draws=draws,
            alpha=level,
            earlier=earlier,
            drawn=drawn,
            progress=progress,
            cluster=cluster,
        )
    except InputError as error:
        return Test(name, None, level, False, str(error), time.perf_counter() - begin), None
    detail = (
        f"the whole search was run again on markets without an edge, made of this one: {_said(found)}. "
        f"The greater p is {found.p:.3g}, at most {level:.3g} is allowed."
    )
    return Test(name, found.p, level, found.p <= level, detail, time.perf_counter() - begin), found


def superior(surface: Surface, candles: Candles, gate: Gate, level: float) -> Test:
    """Hansen's test of the best cell of a fixed list, after what its own mean exposure earned.

    Parameters
    ----------
    surface : Surface
        Of a grid that was fixed before the candles were looked at.
    candles : Candles
    gate : Gate
    level : float
        Highest p-value that is allowed.
    """
    begin, name = time.perf_counter(), "superior_ability"
    if null_draws(gate, level) > gate.most_draws:
        return Test(name, None, level, False, _spent(level, null_draws(gate, level), gate))
    days = len(day_numbers(candles.timestamps))
    count = min(_MOST_BLOCKS, days // _BLOCK_DAYS)
    if count < LEAST_BLOCKS:
        detail = f"{days} days of candles make {count} blocks, at least {LEAST_BLOCKS} are needed."
        return Test(name, None, level, False, detail)
    blocks = sweep(
        surface.strategy, candles, surface.cells, surface.execution, blocks=count, progress=False
    ).blocks
    try:
        found = superior_ability(blocks, len(candles), draws=max(_MANY + 1, null_draws(gate, level)))
    except InputError as error:
        return Test(name, None, level, False, str(error), time.perf_counter() - begin)
    detail = (
        f"of {int(surface.cells.allowed.sum()):,} cells the best has t = {found.t:.2f} beyond its mean "
        f"position; as many cells without an edge do as well with p = {found.p:.3g}, at most {level:.3g} "
        "is allowed."
    )
    return Test(name, found.p, level, found.p <= level, detail, time.perf_counter() - begin)


def _spent(level: float, draws: int, gate: Gate) -> str:
    return (
        f"a p-value of at most {level:.2g} would need {draws:,} null markets, more than `most_draws` of the "
        f"gate ({gate.most_draws:,}): the budget of false approvals on these candles is spent, wait for new "
        "ones."
    )


def _said(found: Rerun) -> str:
    return ", and ".join(null.said for null in found.nulls)
