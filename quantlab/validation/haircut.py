"""How much of a Sharpe ratio is left when its p-value pays for all the trials that were made.

A Sharpe ratio is turned into a t value and a p-value, the p-value is made larger for the number of trials,
and what came out is turned back into a Sharpe ratio. **The trap**: the corrections know the number of tests
and not that neighbouring cells of a grid are nearly the same test, so they cut too much on grids; on the
other hand, they know nothing of trials that were never counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

CORRECTIONS = ("bonferroni", "holm", "bhy")


def adjusted_p(p: np.ndarray) -> dict[str, np.ndarray]:
    """P-values that account for all tests together, by three corrections.

    Parameters
    ----------
    p : float array (n,)
        One per test, without NaN.

    Returns
    -------
    dict of str to float array (n,)
        ``bonferroni`` and ``holm`` bound the chance of any false discovery, ``bhy`` (Benjamini, Hochberg,
        Yekutieli) the expected share of false ones among all discoveries, whatever the dependence.

    Source: Harvey, Liu & Zhu (2016), "... and the Cross-Section of Expected Returns", Review of Financial
    Studies 29(1), section 3.
    """
    count = len(p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, count + 1)
    sorted_p = p[order]
    holm = np.maximum.accumulate((count - rank + 1) * sorted_p)
    scaled = count * float(np.sum(1.0 / rank)) / rank * sorted_p
    bhy = np.minimum.accumulate(scaled[::-1])[::-1]
    back = np.empty(count, np.int64)
    back[order] = np.arange(count)
    found = {"bonferroni": count * p, "holm": holm[back], "bhy": bhy[back]}
    return {name: np.minimum(values, 1.0) for name, values in found.items()}


def two_sided_p(ratio: float | np.ndarray, returns: int) -> np.ndarray:
    """Two-sided p-value of a Sharpe ratio **per period** measured on so many returns (Student's t)."""
    from scipy.special import stdtr

    return np.asarray(2.0 * stdtr(returns - 1, -np.abs(ratio) * math.sqrt(returns)))


def sharpe_of_p(p: float, returns: int) -> float:
    """The Sharpe ratio per period whose two-sided p-value this is; 0 at p = 1."""
    from scipy.special import stdtrit

    return float(-stdtrit(returns - 1, min(p, 1.0) / 2.0)) / math.sqrt(returns) if p > 0.0 else math.inf


def haircut_sharpe(ratio: float, returns: int, others: np.ndarray) -> Mapping[str, float]:
    """What is left of a Sharpe ratio after each of `CORRECTIONS`.

    Parameters
    ----------
    ratio : float
        Observed, per period.
    returns : int
        Number of returns.
    others : float array (n,)
        Sharpe ratios per period of all other trials on as many returns; NaN ones are left out.

    Returns
    -------
    dict of str to float
        Per period, with the sign of `ratio` and never larger; NaN if `ratio` is NaN or there are fewer than
        three returns.

    Source: Harvey & Liu (2015), "Backtesting", Journal of Portfolio Management 42(1).
    """
    if math.isnan(ratio) or returns < 3:
        return dict.fromkeys(CORRECTIONS, math.nan)
    trials = np.append(others[~np.isnan(others)], ratio)
    found = {name: float(p[-1]) for name, p in adjusted_p(two_sided_p(trials, returns)).items()}
    # a p-value of 0 is one below the smallest number there is: nothing can be cut from it
    left = {name: min(sharpe_of_p(p, returns), abs(ratio)) for name, p in found.items()}
    return {name: math.copysign(value, ratio) for name, value in left.items()}
