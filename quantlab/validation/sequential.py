"""When enough null markets are drawn: a Monte Carlo test that ends early both ways and keeps its level.

All of B draws would reject at a level alpha if at most h of them did as well as the real market, with h the
greatest number for which (h + 1) / (B + 1) <= alpha. After n draws of which l did as well, the number in the
end is known up to its distribution: without an edge the real market is one of B + 1 that are alike, so the
draws to come are those of Polya's urn (beta-binomial). Drawing ends with a yes once "more than h" has a
chance of at most `RISK`, and with a no once a yes is out of reach.

Ending early changes the level a little, so p is the chance, under that very urn, of ending with a yes as
early or earlier: exact, whatever `RISK` is. A yes is ``p <= alpha``. Where an early yes would spend more than
alpha, because (h + 1) / (B + 1) leaves nothing to spend, only what is certain is ended early: see `enough`.

Sources: Besag & Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78(2), who end early with a no
alone; Lan, Simon & Halperin (1982), "Stochastically curtailed tests in long-term clinical trials",
Communications in Statistics C 1(3), for ending early both ways; Jennison & Turnbull (2000), "Group Sequential
Methods with Applications to Clinical Trials", section 8.4, for p by the order of the endings.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

RISK = 0.01
"""Greatest chance that all draws would have said no where an early yes is given."""

ENOUGH = 10
"""Draws as good as the real market after which a test without a level has answered: p is no small one."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Draws:
    """How long to draw.

    Parameters
    ----------
    most : int
        Draws at most.
    alpha : float, optional
        Level of the test. Without one p is estimated as by Besag and Clifford: all draws are made, or as many
        as it takes until `ENOUGH` of them did as well.
    """

    most: int
    alpha: float | None = None

    def answered(self, as_good: int, drawn: int) -> bool:
        """Whether further draws would change nothing, or hardly ever."""
        if drawn >= self.most:
            return True
        if self.alpha is None:
            return as_good >= ENOUGH
        times, _ = endings(self.most, self.alpha)
        return as_good >= len(times) or drawn >= times[as_good]

    def p(self, as_good: int, drawn: int) -> float:
        """Chance of such an answer, or a clearer one, where there is no edge.

        An estimate, ``(as_good + 1) / (drawn + 1)``, unless the answer is a yes.
        """
        if self.alpha is None:
            return as_good / drawn if as_good >= ENOUGH else (as_good + 1) / (drawn + 1)
        times, ps = endings(self.most, self.alpha)
        if as_good < len(times) and drawn >= times[as_good]:
            return ps[as_good]
        return (as_good + 1) / (drawn + 1)


def enough(few: int, alpha: float) -> int:
    """Draws with which `few` that did as well are just a yes, an early yes paid for: 202 for 9 and 0.05."""
    return math.ceil((few + 1) / ((1.0 - RISK) * alpha)) - 1


@functools.lru_cache(maxsize=64)
def endings(most: int, alpha: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The draws at which a test may end with a yes, and its p-value there.

    Parameters
    ----------
    most : int
        Draws at most.
    alpha : float
        Level.

    Returns
    -------
    tuple of int
        Entry l is the draw at which l that did as well are few enough; none where `most` can say no yes.
    tuple of float
        The chance of having ended there or earlier, without an edge; at most `alpha`.
    """
    few = math.floor(alpha * (most + 1) * (1.0 + _ROUNDING)) - 1
    for risk in (RISK, 0.0):
        times = tuple(_time(as_good, few, most, risk) for as_good in range(few + 1))
        ps = _spent(times)
        if not ps or ps[-1] <= alpha:
            break
    return times, tuple(min(p, alpha) for p in ps)  # which only rounding could exceed


def _spent(times: tuple[int, ...]) -> tuple[float, ...]:
    """The chance, without an edge, of having ended at each time or earlier."""
    left = np.full(len(times), 1.0)
    before, spent, found = 0, 0.0, []
    for few, time in enumerate(times):
        if few == 0:
            left[:] = (np.arange(len(times)) <= time) / (time + 1.0)
        else:
            left = _later(left, before, time - before)
        spent, before = spent + float(left[few]), time
        left[few] = 0.0
        found.append(spent)
    return tuple(found)


def _time(as_good: int, few: int, most: int, risk: float) -> int:
    """The first draw at which more than `few` in the end have a chance of at most `risk`."""
    early, late = as_good, most
    while early < late:
        middle = (early + late) // 2
        to_come = np.arange(few - as_good + 1)
        at_most = float(np.exp(_log_chance(to_come, most - middle, as_good, middle)).sum())
        early, late = (early, middle) if 1.0 - at_most <= risk + _ROUNDING else (middle + 1, late)
    return late


def _later(left: np.ndarray, drawn: int, further: int) -> np.ndarray:
    """How likely each number as good is after further draws."""
    found = np.zeros_like(left)
    for as_good in np.flatnonzero(left):
        more = np.arange(len(left) - as_good)
        found[as_good:] += left[as_good] * np.exp(_log_chance(more, further, int(as_good), drawn))
    return found


def _log_chance(more: np.ndarray, draws: int, as_good: int, drawn: int) -> np.ndarray:
    """Log of the chance that so many of further draws do as well, where `as_good` of `drawn` did."""
    a, b = as_good + 1.0, drawn - as_good + 1.0
    possible = more <= draws
    k = np.where(possible, more, 0)
    ways = -betaln(1.0 + draws - k, 1.0 + k) - math.log(draws + 1.0)
    return np.where(possible, ways + betaln(k + a, draws - k + b) - betaln(a, b), -np.inf)
