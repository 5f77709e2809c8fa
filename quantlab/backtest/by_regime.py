"""The figures of one run by regime: which kind of market its trades were decided in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quantlab.backtest.daily import last_bars
from quantlab.backtest.metrics import sharpe
from quantlab.backtest.trades import Run, closed
from quantlab.errors import InputError


def by_regime(
    run: Run, timestamps: np.ndarray, label: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Figures of a run by the regime that was known when a trade was decided, or when a day began.

    Parameters
    ----------
    run : Run
    timestamps : int array (n_bars,)
        Open times of the run's bars, epoch milliseconds.
    label : int array (n_bars,)
        Place in `names`, -1 where unknown; known at the close of its bar.
    names : sequence of str

    Returns
    -------
    dict
        By name: ``share_of_time`` (fraction of bars), those of `REGIME_METRICS`, and ``sharpe``, the annual
        Sharpe ratio of the days at whose beginning the last known label was this one. NaN where undefined.

    Raises
    ------
    InputError
        The labels are of other bars.
    """
    if not len(label) == len(timestamps) == len(run.equity):
        raise InputError(
            f"labels and timestamps must be of the run's {len(run.equity):,} bars, got {len(label):,} and "
            f"{len(timestamps):,}: detect the regimes on the candles it was run on."
        )
    ends = last_bars(timestamps)
    before = np.concatenate(([-1], label[ends[:-1]]))  # nothing was known before the first day
    found = {}
    for place, name in enumerate(names):
        trades = run.trades[label[run.trades["decision_bar"]] == place]
        days = run.daily[before == place]
        found[name] = {
            "share_of_time": float(np.mean(label == place)),
            **_figures(trades, len(run.equity)),
            "sharpe": sharpe(days, run.execution.days_per_year) if days.size else math.nan,
        }
    return found


def _figures(trades: np.ndarray, n_bars: int) -> dict[str, float]:
    done = closed(trades)
    won, lost = (float(done["profit"][done["profit"] * side > 0.0].sum()) for side in (1, -1))
    return {
        "trades": len(done),
        "net_profit": float(np.prod(1.0 + trades["trade_return"]) - 1.0),
        "win_rate": float(np.mean(done["trade_return"] > 0.0)) if len(done) else math.nan,
        "profit_factor": won / -lost if lost < 0.0 else math.nan,
        "expectancy": float(np.mean(done["trade_return"])) if len(done) else math.nan,
        "exposure": float(trades["bars_held"].sum() / n_bars),
    }
