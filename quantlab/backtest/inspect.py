"""A cell as a `vectorbt.Portfolio`: its records, statistics and plots, and a third check of the books.

vectorbt's own stops begin a bar later than ours, so it cannot find our fills from signals: it is handed them
(`Portfolio.from_orders`) and keeps the books itself. It takes one order per row, where one of our bars may
have three (a reversal at the open, then a stop inside the bar), so **every bar becomes three rows**, in the
order of time:

==========  ====================  =======================  ==========  ==================================
row         stamped               may hold                 valued at   with ``fill="close"``
==========  ====================  =======================  ==========  ==================================
``3b``      open of bar b         an exit at the open      the open    any exit; valued at the close
``3b + 1``  1 ms later            an entry at the open     the open    an entry; valued at the close
``3b + 2``  1 ms before the end   an exit inside the bar   the close   the end of an entry that ruins
==========  ====================  =======================  ==========  ==================================

Where a run has partial fills, a row for these comes before each row of exits: five rows a bar, with
``fill="close"`` four. The last row of a bar is always its close.

On lost bars all rows are valued at the last known close. What vectorbt annualises, it annualises over these
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
from quantlab.backtest.position import FUNDING_MS
from quantlab.backtest.trades import OPEN, SIGNAL, STOP, TARGET, TIME, Run, closed, last_fill
from quantlab.errors import InputError, IntegrityError
from quantlab.market.candles import Candles

if TYPE_CHECKING:
    import vectorbt


@dataclass(frozen=True)
class Rows:
    """Which order of a bar goes into which of its rows.

    Parameters
    ----------
    names : tuple of str
        In order of time; those that end in "at open" are stamped and valued at the open, others at the close.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, run: Run) -> Rows:
        """The rows that the orders of a run need."""
        partial = (run.trades["partial_bar"] >= 0).any()
        if run.execution.fill == "close":
            return cls(("partial", "exit", "entry", "ruin") if partial else ("exit", "entry", "ruin"))
        if partial:
            return cls(("partial at open", "exit at open", "entry at open", "partial", "exit"))
        return cls(("exit at open", "entry at open", "exit"))

    def __len__(self) -> int:
        return len(self.names)

    def values(self, prices: _Prices) -> np.ndarray:
        """Price at which each row is valued, shape (n_bars * rows,)."""
        columns = [prices.open if name.endswith("at open") else prices.close for name in self.names]
        return np.column_stack(columns).ravel()

    def stamps(self, candles: Candles) -> np.ndarray:
        """Time of each row, epoch ms, shape (n_bars * rows,)."""
        early = sum(name.endswith("at open") for name in self.names)
        offsets = [i if i < early else candles.step_ms + i - len(self) for i in range(len(self))]
        return np.asarray((candles.timestamps[:, None] + np.array(offsets)).ravel())

    def entries(self, trades: np.ndarray) -> np.ndarray:
        """Row of each trade's entry."""
        place = [i for i, name in enumerate(self.names) if name.startswith("entry")]
        return len(self) * trades["entry_bar"] + place[0]

    def exits(self, trades: np.ndarray) -> np.ndarray:
        """Row of each closed trade's last fill."""
        if "ruin" in self.names:
            ruined = trades["exit_bar"] == trades["entry_bar"]
            place = np.where(ruined, self.names.index("ruin"), self.names.index("exit"))
        else:
            place = np.where(
                _left_at_open(trades), self.names.index("exit at open"), self.names.index("exit")
            )
        return np.asarray(len(self) * trades["exit_bar"] + place)

    def partials(self, trades: np.ndarray) -> np.ndarray:
        """Row of each partial fill."""
        place = np.full(len(trades), self.names.index("partial"))
        if "partial at open" in self.names:
            together = _left_at_open(trades) & (trades["partial_bar"] == trades["exit_bar"])
            place[together] = self.names.index("partial at open")
        return np.asarray(len(self) * trades["partial_bar"] + place)


def _left_at_open(trades: np.ndarray) -> np.ndarray:
    """Whether a trade entered at an open ended at one."""
    return (trades["reason"] != OPEN) & (trades["bars_held"] == trades["exit_bar"] - trades["entry_bar"])


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
        Three rows a bar or more, tz-naive UTC index; ``init_cash`` is `capital` plus the reserve.

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
    prices, rows = _Prices.of(candles), Rows.of(run)
    index = pd.DatetimeIndex(rows.stamps(candles).astype("datetime64[ms]"), name="timestamp")
    return Portfolio.from_orders(
        pd.Series(rows.values(prices), index, name=f"{run.strategy} {candles.symbol}"),
        **_orders(run, rows, prices, execution.costs, capital),
        init_cash=capital * (1.0 + reserve(run, execution.costs)),
        direction="both",
        slippage=0.0,
        min_size=0.0,
        lock_cash=False,
        allow_partial=False,
        raise_reject=True,
        freq=pd.Timedelta(candles.step_ms / len(rows), unit="ms"),
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
    records = np.sort(booked.positions.values, order="entry_idx")
    if len(records) != len(run.trades):
        raise IntegrityError(
            f"vectorbt must book every trade of the run, but books {len(records)} of {len(run.trades)}: "
            f"the fills contradict each other."
        )
    accrued, rows = accrued_funding(run, candles, execution.costs), len(Rows.of(run))
    equity = booked.value().to_numpy()[rows - 1 :: rows] / capital - reserve(run, execution.costs) - accrued
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
    bars = np.arange(trade["entry_bar"], trade["exit_bar"] + 1)
    part = trade["partial_units"]
    at_open = prices.due_at_open[bars] * prices.open[bars]
    at_open *= trade["units"] - part * (bars > trade["partial_bar"])
    inside = prices.due_inside[bars] * prices.close[bars]
    inside *= trade["units"] - part * (bars >= trade["partial_bar"])
    at_open[0] = 0.0
    at_close = trade["entry_bar"] == trade["decision_bar"]
    if at_close:
        inside[0] = 0.0
    if trade["reason"] in (STOP, TARGET) or (trade["reason"] in (TIME, SIGNAL) and not at_close):
        inside[-1] = 0.0
    return trade["side"] * costs.funding_8h * (at_open + inside)


def _orders(run: Run, rows: Rows, prices: _Prices, costs: Costs, capital: float) -> dict[str, np.ndarray]:
    """Size, price and fees of the order in each row; a size of NaN is no order."""
    size, price, fees, fixed_fees = np.full((4, len(rows) * len(run.equity)), np.nan)
    fees[:], fixed_fees[:] = costs.taker, 0.0
    trades, done, cut = run.trades, closed(run.trades), run.trades[run.trades["partial_bar"] >= 0]
    entries = rows.entries(trades)
    size[entries] = trades["side"] * trades["units"] * capital
    price[entries] = trades["entry_price"]
    exits = rows.exits(done)
    size[exits] = -size[rows.entries(done)]
    price[exits] = last_fill(done)
    fees[exits] = np.where(done["reason"] == TARGET, costs.maker, costs.taker)
    fixed_fees[exits] = [capital * _funding(trade, prices, costs).sum() for trade in done]
    if len(cut):
        partials = rows.partials(cut)
        size[partials] = -cut["side"] * cut["partial_units"] * capital
        price[partials], fees[partials] = cut["partial_price"], costs.maker
        both = cut["reason"] != OPEN
        size[rows.exits(cut[both])] -= size[partials[both]]  # to the last bit what is left
    return {"size": size, "price": price, "fees": fees, "fixed_fees": fixed_fees}


def _check_length(run: Run, candles: Candles) -> None:
    if len(candles) != len(run.equity):
        raise InputError(
            f"the candles must be those of the run, got {len(candles):,} bars for a run of "
            f"{len(run.equity):,}: pass the candles it was run on, or call lab.inspect."
        )
