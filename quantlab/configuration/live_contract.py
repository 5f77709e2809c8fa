"""What to expect live: bands of the backtest's own record, by a seeded bootstrap of its days.

Days are drawn in blocks (with wrap-around), each day with its return, its closed trades and its wins
together, so that runs of losses and busy weeks stay whole. Every resample is one possible stretch of
`HORIZON_DAYS` days. The bands say how the *backtest* scatters; they know neither selection bias nor a market
that changes, so live results in the bad half of a band are to be expected.

Source: Politis and Romano (1992), "A circular block-resampling procedure for stationary data".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quantlab.backtest.trades import Run
from quantlab.market.candles import Candles

HORIZON_DAYS = 90
BLOCK_DAYS = 10
RESAMPLES = 2000
SEED = 20_240_229
LEAST_DAYS = 3 * BLOCK_DAYS
"""Fewer days of record than this are not resampled."""

DAY_MS = 86_400_000
PERCENTILES = {"p05": 5.0, "p50": 50.0, "p95": 95.0}

METHOD = (
    f"circular block bootstrap of the days of the neutral backtest: {RESAMPLES} resamples of {HORIZON_DAYS} "
    f"days in blocks of {BLOCK_DAYS} days, each day with its return, closed trades and wins; "
    "p05 of max_drawdown is the worst"
)

WHEN_ANY = (
    "the drawdown of any 90 days falls below max_drawdown_below",
    "performance_degradation falls below its limit",
    "death_signals reach their limit",
    "the rolling 30-day Sharpe falls below its share of the lifetime Sharpe",
)

DEMOTION: dict[str, Any] = {
    "to": "DECAY",
    "performance_degradation_below": -0.2,
    "death_signals_at_least": 2,
    "rolling_30d_sharpe_below_share_of_lifetime": 0.5,
}


def bands(run: Run, candles: Candles) -> dict[str, dict[str, float] | None]:
    """Bands at 5, 50 and 95 percent of what `HORIZON_DAYS` days may bring.

    Parameters
    ----------
    run : Run
        Of the chosen cell under the neutral assumption, on all of `candles`.
    candles : Candles

    Returns
    -------
    dict
        ``trades_per_week`` (closed), ``win_rate`` (fraction, after costs; of the resamples with a trade),
        ``max_drawdown`` (fraction, at most 0, daily marks), ``return`` (fraction of equity at the start).
        None where the record is shorter than `LEAST_DAYS` or has no closed trade.
    """
    names = ("trades_per_week", "win_rate", "max_drawdown", "return")
    trades, wins = trades_by_day(run, candles)
    if len(run.daily) < LEAST_DAYS or trades.sum() == 0:
        return dict.fromkeys(names)
    drawn = _resample(len(run.daily))
    count, won = trades[drawn].sum(axis=1), wins[drawn].sum(axis=1)
    equity = np.cumprod(1.0 + run.daily[drawn], axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    samples = (
        count * 7.0 / HORIZON_DAYS,
        won[count > 0] / count[count > 0],
        (equity / peak - 1.0).min(axis=1),
        equity[:, -1] - 1.0,
    )
    return {name: _band(sample) for name, sample in zip(names, samples, strict=True)}


def trades_by_day(run: Run, candles: Candles) -> tuple[np.ndarray, np.ndarray]:
    """Closed trades, and those of them with a positive return, on the UTC day of their exit bar.

    Returns
    -------
    trades, wins : int arrays, shape (D,)
        Aligned with ``run.days``.
    """
    closed = run.closed
    day = candles.timestamps[closed["exit_bar"]] // DAY_MS - run.days[0]
    trades = np.bincount(day, minlength=len(run.days))
    wins = np.bincount(day[closed["trade_return"] > 0.0], minlength=len(run.days))
    return trades, wins


def _resample(n_days: int) -> np.ndarray:
    """Indices of days, int array of shape (RESAMPLES, HORIZON_DAYS)."""
    rng = np.random.default_rng(SEED)
    starts = rng.integers(0, n_days, (RESAMPLES, -(-HORIZON_DAYS // BLOCK_DAYS), 1))
    days = (starts + np.arange(BLOCK_DAYS)).reshape(RESAMPLES, -1)[:, :HORIZON_DAYS]
    return days % n_days


def _band(sample: np.ndarray) -> dict[str, float] | None:
    if not sample.size or not np.isfinite(sample).all():
        return None
    return {name: float(np.percentile(sample, q)) for name, q in PERCENTILES.items()}
