"""Superior predictive ability: is the best of many cells better than the best of as many idle ones?

Each cell's performance is its **timing alpha**: what it earned beyond holding its own mean exposure. Tested
is the greatest studentised mean over all cells against its distribution when no cell has any, correlation
between cells included, from sums over blocks of days: no matrix of days x cells is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantlab.backtest.extras import Blocks
from quantlab.errors import InputError

_AT_ONCE = 2_048_000
"""Draws times cells held in memory."""
LEAST_BLOCKS = 20


@dataclass(frozen=True)
class SuperiorAbility:
    """Result of the test.

    Attributes
    ----------
    p : float
        Chance that the best of as many cells without an edge does as well.
    p_upper : float
        The same if every cell counts however bad it is (White's reality check, studentised): never below `p`.
    best : int
        Raveled index of the best cell.
    t : float
        Its studentised mean, of Student's distribution with as many degrees of freedom as blocks, less one.
    draws : int
    """

    p: float
    p_upper: float
    best: int
    t: float
    draws: int


def superior_ability(blocks: Blocks, bars: int, *, draws: int = 1_000, seed: int = 0) -> SuperiorAbility:
    """Hansen's test with studentised, exposure-matched block sums and a Gaussian multiplier bootstrap.

    Parameters
    ----------
    blocks : Blocks
        ``surface.blocks`` with more blocks than 20 and blocks that last longer than a trade: about 200.
    bars : int
        Bars of the candles: what mean exposure is a mean over.
    draws : int
    seed : int

    Returns
    -------
    SuperiorAbility

    Raises
    ------
    InputError
        Too few blocks, or no cell that ever traded.

    Notes
    -----
    A cell that is bad beyond ``sqrt(2 log log S)`` standard errors keeps its mean in the null (Hansen's
    consistent choice): it could not have been the best by luck. Blocks are taken as independent. The draws
    are normal but the greatest t is one of few blocks, so it is compared as the normal value that is as rare;
    without that, 5 % would be 6.4 % on 100 blocks.

    Source: Hansen (2005), "A Test for Superior Predictive Ability", Journal of Business & Economic Statistics
    23(4); White (2000), "A Reality Check for Data Snooping", Econometrica 68(5).
    """
    count = len(blocks.market)
    if count < LEAST_BLOCKS:
        raise InputError(f"at least {LEAST_BLOCKS} blocks are needed, got {count}: sweep with blocks=200.")
    sums, exposure = blocks.sum.reshape(count, -1), blocks.exposure.reshape(count, -1)
    weights = np.random.default_rng(seed).standard_normal((draws, count))
    bound = -math.sqrt(2.0 * math.log(math.log(count)))
    best, top = -1, -np.inf
    greatest, greatest_upper = np.full(draws, -np.inf), np.full(draws, -np.inf)
    columns = max(16, _AT_ONCE // draws)
    for first in range(0, sums.shape[1], columns):
        part = slice(first, first + columns)
        earned = sums[:, part] - np.outer(blocks.market, exposure[:, part].sum(axis=0) / bars)
        mean = earned.mean(axis=0)
        centred = earned - mean
        scale = np.sqrt(np.mean(centred**2, axis=0))
        usable = scale > 1e-15  # NaN: breaks a constraint; 0: never traded
        if not usable.any():
            continue
        t = math.sqrt(count - 1) * mean[usable] / scale[usable]
        if t.max() > top:
            best, top = first + int(np.flatnonzero(usable)[np.argmax(t)]), float(t.max())
        drawn = weights @ (centred[:, usable] / (scale[usable] * math.sqrt(count)))
        np.maximum(greatest_upper, drawn.max(axis=1), out=greatest_upper)
        drawn += np.where(t <= bound, t, 0.0)
        np.maximum(greatest, drawn.max(axis=1), out=greatest)
    if best < 0:
        raise InputError("no cell ever traded, so there is nothing to test: widen the grid.")

    z = _as_normal(top, count - 1)

    def share(values: np.ndarray) -> float:
        return (1 + int(np.count_nonzero(np.maximum(values, 0.0) >= max(z, 0.0)))) / (draws + 1)

    return SuperiorAbility(share(greatest), share(greatest_upper), best, top, draws)


def _as_normal(t: float, degrees: int) -> float:
    """The standard normal value that is exceeded as rarely as `t` is."""
    from scipy.special import ndtri, stdtr

    return -float(ndtri(stdtr(degrees, -t)))
