"""What the kernels read and write: candles, rules, entry rows, exit rules and the record of a trade.

A simulated trade is one row of floats, one of integers and its daily marks. Multipliers are equity over
equity at entry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

OPEN, STOP, TARGET, TIME, SIGNAL, RUIN = range(6)
"""Why a trade ended; the numbers of `trades.REASONS`."""

M, MIN, MAX, DRAWDOWN, FEES, NOTIONAL, RATIO, SIZE, STOP_REL, ENTRY, EXIT, UNITS, LOG = range(13)
"""Floats of a record: multiplier at the exit; least and greatest mark at a close before it and the
deepest drawdown among these; fees and notional of all fills; raw exit / raw entry; signed notional at
entry; stop distance / raw entry; the two fill prices; units per unit of equity; log of the multiplier
before costs (NaN if there is none)."""

EXIT_BAR, REASON, HELD, MARK0, MARKS, REVERSES, DECISION, SIDE, DAY, NEXT = range(10)
"""Integers of a record: exit bar (-1: could not be entered); reason; bars held; where its daily marks
start and how many there are (one per day closed in the market, the exit day not); whether the opposite
decision that ended it may open the other side in the same bar; decision bar; side; day of the entry;
place in the union of decisions from which the next may be taken."""


NEUTRAL, PESSIMISTIC, OPTIMISTIC = range(3)
"""Fill assumptions, in the order of `execution.ASSUMPTIONS`."""

IGNORE, CLOSE, REVERSE = range(3)
"""What an opposite decision does."""


class Bars(NamedTuple):
    """Columns of one market, shape ``(n_bars,)``; `day` counts UTC days from the first bar."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    day: np.ndarray
    missing: np.ndarray
    settles_at_open: np.ndarray
    settles_inside: np.ndarray


class Rules(NamedTuple):
    """Numbers of an `Execution`, in the form that the kernels read."""

    taker: float
    maker: float
    slippage: float
    funding: float
    fraction: float
    risk: float
    leverage: float
    assumption: int
    on_opposite: int
    may_long: bool
    may_short: bool


class Exits(NamedTuple):
    """Exit rules: each a matrix of distinct rows (time last, length n_bars or 1) and a row per exit cell."""

    stop: np.ndarray
    stop_row: np.ndarray
    target: np.ndarray
    target_row: np.ndarray
    hold: np.ndarray
    hold_row: np.ndarray
    next_long: np.ndarray
    long_row: np.ndarray
    next_short: np.ndarray
    short_row: np.ndarray


class Rows(NamedTuple):
    """Distinct entry rows as lists into the sorted union of all (bar, side) decisions."""

    bar: np.ndarray
    side: np.ndarray
    first_at: np.ndarray
    start: np.ndarray
    entries: np.ndarray


class Memo(NamedTuple):
    """Records by slot. ``known[slot]`` is the exit rule a record was simulated under, -1 if none."""

    f: np.ndarray
    i: np.ndarray
    known: np.ndarray
    used: np.ndarray


class Work(NamedTuple):
    """Scratch arrays of one thread: daily returns, the negative ones, price ratios and stops of trades."""

    returns: np.ndarray
    losses: np.ndarray
    ratio: np.ndarray
    stop_rel: np.ndarray


class Span(NamedTuple):
    """What annualises and normalises: bars, days, years, days per year, mean daily market return."""

    bars: int
    days: int
    years: float
    days_per_year: float
    market_mean: float
    fraction: float
    risk: float
    leverage: float
