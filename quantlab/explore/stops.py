"""Where the stop of each trade was placed."""

from __future__ import annotations

import numpy as np

from quantlab.backtest.trades import Run
from quantlab.market.candles import Candles
from quantlab.signals import Signals, Strategy


def stop_levels(
    run: Run, candles: Candles, strategy: Strategy, signals: Signals | None = None
) -> np.ndarray | None:
    """Price of the stop of each trade as it was placed at entry; None for a strategy without stops.

    A stop that follows, or moves to break even, begins there. Of stop and trail it is the tighter one.

    Parameters
    ----------
    run : Run
    candles : Candles
        Those it was run on.
    strategy : Strategy
        The one that was run.
    signals : Signals, optional
        What it says of the run's parameters, if that is known already.

    Returns
    -------
    float array (trades,), or None
        NaN where the stop is not defined at the decision.
    """
    if signals is None:
        signals = strategy.signals(candles, strategy.space.points([dict(run.params)]).params())
    given = [np.asarray(d, np.float64) for d in (signals.stop, signals.trail) if d is not None]
    if not given:
        return None
    rows = [np.broadcast_to(distance.reshape(-1), len(candles)) for distance in given]
    trades, distance = run.trades, np.fmin.reduce(rows)
    at_close = trades["entry_bar"] == trades["decision_bar"]
    raw = np.where(at_close, candles.close[trades["entry_bar"]], candles.open[trades["entry_bar"]])
    decided = np.maximum(trades["decision_bar"] - run.execution.delay_bars, 0)
    return raw - trades["side"] * distance[decided]
