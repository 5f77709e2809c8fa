"""The cost at which a cell's raw fills would have earned exactly nothing."""

from __future__ import annotations

import numpy as np

from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.trades import closed
from quantlab.errors import InputError


def break_even_cost_bps(
    trades: np.ndarray, execution: Execution, stop_distances: np.ndarray | None = None
) -> float:
    """Fee per side [bps] at which the closed trades, re-priced at their raw fills, break even.

    Formula: the root c of prod(m_i(c)) = 1, in bps, where m_i is the equity multiplier of closed trade i
    filled at its raw prices P and q (the mean of its exit fills, weighted by their units) with maker =
    taker = c, no slippage and no funding. With the notional U = u P (AllIn: f / (1 + c); Risk:
    min(r P / stop, L / (1 + c))) it is
    long: 1 - U (1 + c) + U (q/P) (1 - c); short: 1 + U (1 - c) - U (q/P) (1 + c).

    Every m_i falls as c grows, so the root in (-1, 1) where all m_i are positive exists and is the only one:
    at c = -1 each trade gains, at c = 1 each trade loses.

    Parameters
    ----------
    trades : record array of `TRADE_DTYPE`
    execution : Execution
    stop_distances : float array, shape (n_trades,), optional
        Distance of the stop of each trade at entry in price units; needed for `Risk` sizing.

    Returns
    -------
    float
        bps; negative when the raw fills lose. NaN: no closed trade.

    Raises
    ------
    InputError
        `Risk` sizing without `stop_distances`.
    """
    done = closed(trades)
    if not done.size:
        return float("nan")
    if stop_distances is not None:
        stop_distances = stop_distances[: done.size]
    side = done["side"].astype(np.float64)
    ratio = 1.0 + side * done["gross_return"]
    notional_at_risk = _notional_at_risk(done, execution.sizing, execution.costs, stop_distances)
    low, high = -1.0, 1.0
    while True:
        cost = 0.5 * (low + high)
        if high - low < 1e-17 or cost in (low, high):
            return cost * 1e4
        if _log_growth(cost, side, ratio, notional_at_risk, execution.sizing) > 0:
            low = cost
        else:
            high = cost


def _notional_at_risk(
    trades: np.ndarray, sizing: AllIn | Risk, costs: Costs, stop_distances: np.ndarray | None
) -> np.ndarray:
    """Notional (per unit of equity) at which the stop loses the fraction at risk; infinite for AllIn."""
    if isinstance(sizing, AllIn):
        return np.full(trades.size, np.inf)
    if stop_distances is None:
        raise InputError(
            "break_even_cost_bps with Risk sizing needs `stop_distances`, got None: pass one per trade."
        )
    raw_entry = trades["entry_price"] / (1.0 + trades["side"] * costs.slippage_bps / 1e4)
    return sizing.risk * raw_entry / stop_distances


def _log_growth(
    cost: float, side: np.ndarray, ratio: np.ndarray, notional_at_risk: np.ndarray, sizing: AllIn | Risk
) -> float:
    limit = sizing.fraction if isinstance(sizing, AllIn) else sizing.leverage
    notional = np.minimum(notional_at_risk, limit / (1.0 + cost))
    multipliers = 1.0 + side * notional * (ratio * (1.0 - side * cost) - (1.0 + side * cost))
    if (multipliers <= 0).any():
        return -np.inf
    return float(np.log(multipliers).sum())
