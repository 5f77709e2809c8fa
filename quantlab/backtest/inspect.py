"""A cell as a `vectorbt.Portfolio`: its records, statistics and plots, and a third check of the books.

vectorbt's own stops begin a bar later than ours, so it cannot find our fills from signals: it is handed them
(`Portfolio.from_orders`) and keeps the books itself. It takes one order per row, where one of our bars may
have three (a reversal at the open, then a stop inside the bar), so **every bar becomes three rows**, in the
order of time:

==========  ====================  =====================  ======================
row         stamped               may hold               valued at
==========  ====================  =====================  ======================
``3b``      open of bar b         an exit at the open    the open
``3b + 1``  1 ms later            an entry at the open   the open
``3b + 2``  1 ms before the end   an exit inside the bar  the close
==========  ====================  =====================  ======================

On lost bars all three are valued at the last known close. What vectorbt annualises, it annualises over these
rows: quote Sharpe and the like from ``run.metrics``.

vectorbt has no funding and no margin. Funding is booked with the exit, as a fixed fee: until then the
portfolio is ahead of our equity by what has accrued. Where a position needs more cash than there is
(leverage, or a short that ends below zero), a **reserve** is added to the initial cash, idle otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.execution import Costs, Execution
from quantlab.backtest.law import FUNDING_MS
from quantlab.backtest.trades import OPEN, RUIN, TARGET, Run, closed
from quantlab.errors import InputError, IntegrityError
from quantlab.market.candles import Candles

if TYPE_CHECKING:
    import vectorbt

ROWS = 3


def portfolio(
    run: Run, candles: Candles, execution: Execution | None = None, *, capital: float = 100.0
) -> vectorbt.Portfolio:
    """Book the fills of a run in vectorbt.

    Parameters
    ----------
    run : Run
    candles : Candles
        Those of the run.
    execution : Execution, optional
        Default: that of the run.
    capital : float
        What an equity of 1 is, in the quote currency.

    Returns
    -------
    vectorbt.Portfolio
        Three rows a bar, tz-naive UTC index; ``init_cash`` is `capital` plus the reserve.

    Raises
    ------
    InputError
        The candles are not those of the run.
    vectorbt.portfolio.enums.RejectedOrderError
        vectorbt refused a fill, e.g. funding that eats up the proceeds of a long.
    """
    import pandas as pd
    from vectorbt import Portfolio

    execution = execution or run.execution
    _check_length(run, candles)
    prices = _Prices.of(candles)
    stamps = candles.timestamps[:, None] + np.array([0, 1, candles.step_ms - 1])
    index = pd.DatetimeIndex(stamps.ravel().astype("datetime64[ms]"), name="timestamp")
    values = np.column_stack([prices.open, prices.open, prices.close]).ravel()
    return Portfolio.from_orders(
        pd.Series(values, index, name=f"{run.strategy} {candles.symbol}"),
        **_orders(run.trades, prices, execution.costs, capital, values.size),
        init_cash=capital * (1.0 + reserve(run, execution.costs)),
        direction="both",
        slippage=0.0,
        min_size=0.0,
        lock_cash=False,
        allow_partial=False,
        raise_reject=True,
        freq=pd.Timedelta(candles.step_ms / ROWS, unit="ms"),
    )


def check(run: Run, candles: Candles, execution: Execution | None = None) -> dict[str, float]:
    """Largest absolute differences between the run and vectorbt's books of the same fills.

    Parameters
    ----------
    run, candles, execution
        As for `portfolio`.

    Returns
    -------
    dict
        ``profit`` (per trade), ``equity`` (per bar close), ``total_return``; in units of initial equity.

    Raises
    ------
    IntegrityError
        vectorbt counts another number of trades.
    """
    execution = execution or run.execution
    capital = 100.0
    booked = portfolio(run, candles, execution, capital=capital)
    records = np.sort(booked.trades.values, order="entry_idx")
    if len(records) != len(run.trades):
        raise IntegrityError(
            f"vectorbt must book every trade of the run, but books {len(records)} of {len(run.trades)}: "
            f"the fills contradict each other."
        )
    accrued = accrued_funding(run, candles, execution.costs)
    equity = booked.value().to_numpy()[ROWS - 1 :: ROWS] / capital - reserve(run, execution.costs) - accrued
    still_open = run.trades["reason"] == OPEN
    profit = records["pnl"] / capital - np.where(still_open, accrued[-1], 0.0)
    total = booked.total_profit() / capital - accrued[-1]
    return {
        "profit": float(np.abs(profit - run.trades["profit"]).max(initial=0.0)),
        "equity": float(np.abs(equity - run.equity).max()),
        "total_return": float(abs(total - (run.equity[-1] - 1.0))),
    }


def reserve(run: Run, costs: Costs) -> float:
    """Cash beyond the initial equity of 1 that the fills need where nothing can be borrowed."""
    trades = run.trades
    bought = trades["units"] * trades["entry_price"] * (1.0 + costs.taker) * (trades["side"] > 0)
    shortfalls = np.concatenate(
        [bought - trades["equity_before"], -(trades["equity_before"] + trades["profit"])]
    )
    needed = float(shortfalls.max(initial=0.0))
    return needed * 1.01 if needed > 1e-12 else 0.0


def accrued_funding(run: Run, candles: Candles, costs: Costs) -> np.ndarray:
    """Funding of the open position that is due but not yet booked by vectorbt, at each bar's close.

    Returns
    -------
    float array, shape (n_bars,)
        In units of initial equity; 0 without a position and from the bar of its exit on.
    """
    accrued = np.zeros(len(candles))
    if costs.funding_8h == 0.0:
        return accrued
    prices = _Prices.of(candles)
    for trade in run.trades:
        end = trade["exit_bar"] + (trade["reason"] == OPEN)
        payments = _funding(trade, prices, costs)
        accrued[trade["entry_bar"] : end] = payments.cumsum()[: end - trade["entry_bar"]]
    return accrued


@dataclass(frozen=True)
class _Prices:
    """Opens and closes without gaps, and where funding is due; arrays of shape (n_bars,)."""

    open: np.ndarray
    close: np.ndarray
    due_at_open: np.ndarray
    due_inside: np.ndarray

    @classmethod
    def of(cls, candles: Candles) -> _Prices:
        known = np.where(candles.missing, -1, np.arange(len(candles)))
        last = np.maximum.accumulate(known)
        close = np.where(last >= 0, candles.close[last], candles.open[np.argmax(known >= 0)])
        start, end = candles.timestamps, candles.timestamps + candles.step_ms
        return cls(
            np.where(candles.missing, close, candles.open),
            close,
            start % FUNDING_MS == 0,
            (end - 1) // FUNDING_MS - start // FUNDING_MS,
        )


def _funding(trade: Any, prices: _Prices, costs: Costs) -> np.ndarray:
    """What the position paid on each bar from its entry to its exit, in units of initial equity."""
    held = slice(trade["entry_bar"], trade["exit_bar"] + 1)
    at_open = prices.due_at_open[held] * prices.open[held]
    inside = prices.due_inside[held] * prices.close[held]
    at_open[0] = 0.0
    if trade["reason"] not in (OPEN, RUIN):
        inside[-1] = 0.0
    return trade["side"] * costs.funding_8h * trade["units"] * (at_open + inside)


def _orders(
    trades: np.ndarray, prices: _Prices, costs: Costs, capital: float, n_rows: int
) -> dict[str, np.ndarray]:
    """Size, price and fees of the order in each row; a size of NaN is no order."""
    size, price, fees, fixed_fees = np.full((4, n_rows), np.nan)
    fees[:], fixed_fees[:] = costs.taker, 0.0
    entries = ROWS * trades["entry_bar"] + 1
    size[entries] = trades["side"] * trades["units"] * capital
    price[entries] = trades["entry_price"]
    done = closed(trades)
    at_open = done["bars_held"] == done["exit_bar"] - done["entry_bar"]
    exits = ROWS * done["exit_bar"] + np.where(at_open, 0, ROWS - 1)
    size[exits] = -done["side"] * done["units"] * capital
    price[exits] = done["exit_price"]
    fees[exits] = np.where(done["reason"] == TARGET, costs.maker, costs.taker)
    fixed_fees[exits] = [capital * _funding(trade, prices, costs).sum() for trade in done]
    return {"size": size, "price": price, "fees": fees, "fixed_fees": fixed_fees}


def _check_length(run: Run, candles: Candles) -> None:
    if len(candles) != len(run.equity):
        raise InputError(
            f"the candles must be those of the run, got {len(candles)} bars for a run of {len(run.equity)}."
        )
