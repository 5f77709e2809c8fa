"""Figures of the chosen cell that the backtest's own table does not hold, each with its formula.

Undefined is NaN, never 0.
"""

from __future__ import annotations

import math

import numpy as np

from quantlab.backtest.trades import Run
from quantlab.configuration.live_contract import trades_by_day
from quantlab.market.candles import Candles

RECENT_DAYS = 30


def kelly_fraction(trade_returns: np.ndarray) -> float:
    """Kelly's fraction of a bet with two outcomes, W - (1 - W) / (average win / average loss).

    Parameters
    ----------
    trade_returns : float array, shape (n_trades,)
        Returns of closed trades after costs, fractions of equity at entry. W is the share above 0.

    Returns
    -------
    float
        Negative when the trades lose on average. NaN without a win or without a loss.

    Source: Kelly (1956), "A New Interpretation of Information Rate".
    """
    wins, losses = trade_returns[trade_returns > 0.0], trade_returns[trade_returns < 0.0]
    if not wins.size or not losses.size:
        return math.nan
    share = wins.size / trade_returns.size
    return float(share - (1.0 - share) / (wins.mean() / -losses.mean()))


def recent_sharpe(daily: np.ndarray, days_per_year: float) -> float:
    """Annualised Sharpe ratio of the last `RECENT_DAYS` daily returns.

    Parameters
    ----------
    daily : float array, shape (D,)
    days_per_year : float

    Returns
    -------
    float
        NaN for a shorter record or one without variation.
    """
    recent = daily[-RECENT_DAYS:]
    deviation = recent.std(ddof=1) if len(recent) == RECENT_DAYS else 0.0
    return float(recent.mean() / deviation * math.sqrt(days_per_year)) if deviation > 0.0 else math.nan


def trade_clustering(run: Run, candles: Candles) -> float:
    """Index of dispersion of closed trades per whole week: variance / mean, ddof=1.

    1 for trades that come independently of each other, above 1 for trades in clusters. NaN for fewer than
    two whole weeks or no trade in them.
    """
    trades, _ = trades_by_day(run, candles)
    weekly = trades[: len(trades) // 7 * 7].reshape(-1, 7).sum(axis=1)
    if len(weekly) < 2 or weekly.sum() == 0:
        return math.nan
    return float(weekly.var(ddof=1) / weekly.mean())


def stability(out_of_sample_sharpes: np.ndarray) -> float:
    """Share of walk-forward windows with a positive out-of-sample Sharpe ratio; NaN without windows.

    Parameters
    ----------
    out_of_sample_sharpes : float array, shape (folds,)
        NaN for a window that was spent flat: it does not count as positive.
    """
    return float(np.mean(out_of_sample_sharpes > 0.0)) if len(out_of_sample_sharpes) else math.nan
