"""The same trades in other luck: what drawdown and profit would have been, had they come otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 4_000_000
"""Trades that are drawn in all; many trades get fewer histories."""
LEAST = 100
_AT_ONCE = 500_000


@dataclass(frozen=True)
class Histories:
    """What the drawn histories came to.

    Attributes
    ----------
    profit : float array (draws,)
        Final profit of trades drawn with replacement, a fraction of the initial equity.
    drawdown : float array (draws,)
        Greatest drawdown of the same histories, at most 0.
    shuffled : float array (draws,)
        Greatest drawdown of the very same trades in another order; their profit is always the same.
    """

    profit: np.ndarray
    drawdown: np.ndarray
    shuffled: np.ndarray


def trade_histories(trade_returns: np.ndarray, *, draws: int = 1_000, seed: int = 0) -> Histories:
    """Draw histories from closed trades, with replacement and shuffled.

    Parameters
    ----------
    trade_returns : float array (n,)
        Profit of each trade as a fraction of the equity before it, at least one.
    draws : int
        Fewer are made where `draws` times n exceeds `MOST`, but `LEAST` at least.
    seed : int

    Returns
    -------
    Histories

    Notes
    -----
    **The trap**: trades are drawn one by one, so losses that come in rows (a regime that turned, one crash
    that hit three trades) are torn apart and drawdowns come out too small; what a position lost before it
    recovered does not count either. And the trades are those of a cell that was chosen because they were
    good: no resampling takes that away.
    """
    rng = np.random.default_rng(seed)
    count = len(trade_returns)
    draws = max(LEAST, min(draws, MOST // count))
    factors = np.maximum(1.0 + trade_returns, 0.0)
    profit, drawdown, shuffled = (np.empty(draws) for _ in range(3))
    rows = max(1, _AT_ONCE // count)
    for first in range(0, draws, rows):
        part = slice(first, min(first + rows, draws))
        shape = (part.stop - first, count)
        drawn = factors[rng.integers(0, count, shape)]
        profit[part], drawdown[part] = _outcome(drawn)
        shuffled[part] = _outcome(rng.permuted(np.broadcast_to(factors, shape), axis=1))[1]
    return Histories(profit, drawdown, shuffled)


def _outcome(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Final profit and greatest drawdown of each row."""
    equity = np.cumprod(factors, axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    return equity[:, -1] - 1.0, np.minimum((equity / peak).min(axis=1) - 1.0, 0.0)
