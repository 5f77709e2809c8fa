"""What the kernels read and write: candles, rules, entry rows, exit rules and the record of a trade.

A simulated trade is one row of floats, one of colder floats, one of integers, its daily marks and the
losses among its daily returns. Multipliers are equity over equity at entry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

OPEN, STOP, TARGET, TIME, SIGNAL, RUIN = range(6)
"""Why a trade ended; the numbers of `trades.REASONS`."""

NEUTRAL, PESSIMISTIC, OPTIMISTIC = range(3)
"""Fill assumptions, in the order of `execution.ASSUMPTIONS`."""

IGNORE, CLOSE_OUT, REVERSE = range(3)
"""What an opposite decision does."""

BLOCK, SHIFT, GREAT_SHIFT = 32, 5, 10
"""Bars of a block whose extremes are known and their binary logarithm; that of a great block, 32 blocks."""

(BAR_OPEN, LAST, ADJUSTED, PAID_OPEN, PAID, DAY_OF, KNOWN_FROM, INSIDE_FROM, BAR_HIGH, BAR_LOW, TOP, BOTTOM,
 TOP_ON, BOTTOM_ON) = range(14)  # fmt: skip
"""Columns of `Market.points`: open, high, low (NaN on lost bars); last known close; the same less the funding
that one unit has paid since the first bar; what one unit has paid in funding up to the open of a bar, and
up to its close; greatest and least adjusted close from the start of its block up to a bar, and from a bar
to the end of its block; UTC days since the first bar; first bar at or after this one that is not lost;
first column of `Market.inside` that belongs to a bar. The last three also stand behind the last bar."""

DAY_MARK, DAY_CLOSE, DAY_END = range(3)
"""Columns of `Market.daily`: adjusted close and last known close of the last bar of a UTC day, and the bar
after it."""

LOWEST, HIGHEST, LEAST, GREATEST = range(4)
"""Rows of `Market.blocks` and `Market.great`: extremes of low and high, and of the adjusted close."""

(HELD, WEIGHT, NOTIONAL, SUM, SQUARES, BELOW, EARNED, WON_RETURN, LOST_RETURN, P1, P2, P3, P4, P5, P6, CLOSED,
 WINS, GROSS_WINS, LOSSES, GAINS) = range(20)  # fmt: skip
SUMS = 20
"""The first floats of a record are sums that only have to be added up. Bars held; sum of the exposure
over them; notional of all fills; sum, sum of squares and sum of squared losses of the inner daily returns
(of all days but the first and the last); of a closed trade its return, that if it won, that if it lost,
the powers of gamma (see `metric_kernels.cost_near_zero`), 1 for the trade, 1 if it won, 1 if it won before
costs, 1 if it lost; number of gains among the inner daily returns."""

M, MAX, MIN, DRAWDOWN, FEES, WON, FORGONE, FREE, FIRST, FINAL, DAYMAX, WORST = range(SUMS, 32)
FLOATS = 32
"""The other floats: multiplier at the exit; greatest and least mark at a close before it and the deepest
drawdown among these (NaN: not looked for yet); fees; what a closed trade won or lost; its multiplier at no
cost, NaN if there is none and 1 while it is open; mark at the end of the first day; multiplier at the exit
over the mark of the day before; greatest daily mark; worst of the inner daily returns, 0 if none lost.
Without a daily mark the two after `FREE` are the multiplier and `DAYMAX` is -inf."""

A, H, A2, H2, STOP_REL, ENTRY, EXIT, UNITS, SIZE, PART_PRICE, PART_UNITS, GROSS = range(12)
"""Colder floats: the mark at the close of bar t is ``A + H * adjusted[t]``, from the partial target on
``A2 + H2 * adjusted[t]``; stop distance / raw entry; mean fill prices; units per unit of equity; signed
notional at entry; price and units of the partial target; side x (raw exit / raw entry - 1)."""

(EXIT_BAR, ENTRY_BAR, REASON, BARS, MARK0, MARKS, FALL0, FALLS, DAY, UNSURE, DECISION, SIDE, REVERSES,
 PART_BAR) = range(14)  # fmt: skip
"""Integers: exit bar (-1: could not be entered); entry bar; reason; bars held; where its daily marks start
and how many there are (one per day closed in the market, the exit day not); the same for the losses among
its inner daily returns; day of the entry; whether another fill assumption may end it otherwise; decision
bar; side; whether the opposite decision that ended it may open the other side at once; bar of the partial
target (-1: none)."""

ROOM, NEAR_ROOM = 1 << 18, 1 << 15
"""Daily marks kept for reuse; beyond it a memo starts afresh, which bounds the memory of a thread."""

NEAR_RECORDS = 1 << 10
"""Records that a processor's own cache holds."""

TAG, NEXT, BORN = range(3)
"""What the latest trade of a decision was simulated under; the place in the union of decisions from which
the next may be taken, -1 less that place where the trade could not be entered; the number of its record."""

MARKS_USED, FALLS_USED, RECORDS, OLDEST = range(4)
"""Places in `Memo.used`."""

(TAKER, MAKER, SLIPPAGE, FUNDING, FRACTION, RISK, LEVERAGE, ASSUMPTION, ON_OPPOSITE, MAY_LONG, MAY_SHORT,
 AT_CLOSE) = range(12)  # fmt: skip
"""Places in the array of `rules`: the numbers of an `Execution`."""

EXIT_KINDS = ("stop", "target", "trail", "break_even", "partial_target", "partial_fraction", "max_holding")
STOP_AT, TARGET_AT, TRAIL_AT, BREAK_EVEN_AT, PARTIAL_AT, FRACTION_AT, HOLD_AT, LONG_AT, SHORT_AT = range(9)
"""Columns of `Exits.row` (and, but for the last two, of `Exits.constant`)."""


def new_points(rows: int) -> np.ndarray:
    """Room for `Market.points`: float array (rows, 16), the hot half of a row in one line of cache."""
    buffer = np.empty(16 * rows + 7)
    first = -(buffer.ctypes.data // 8) % 8
    return buffer[first : first + 16 * rows].reshape(rows, 16)


class Market(NamedTuple):
    """Columns of one market with the extremes of its blocks.

    Attributes
    ----------
    points : float array (n_bars + 1, 16)
        Everything about one bar, side by side.
    low, high, adjusted : float arrays (n_bars,)
        Columns of `points` that are scanned.
    blocks, great : float arrays (4, n_blocks)
        Extremes of 32 and of 1,024 bars.
    daily : float array (n_days, 3)
        How each UTC day ends.
    inside : float array (2, bars of a lower timeframe)
        Low and high; empty where none was given.
    """

    points: np.ndarray
    low: np.ndarray
    high: np.ndarray
    adjusted: np.ndarray
    blocks: np.ndarray
    great: np.ndarray
    daily: np.ndarray
    inside: np.ndarray


class Memo(NamedTuple):
    """Records of simulated trades: record i lies in slot ``i % slots`` until that is needed again.

    Attributes
    ----------
    f : float array (slots, 32)
    cold : float array (slots, 12)
    g : int32 array (slots, 14)
    key : int64 array (decisions, 3)
    marks, falls : float arrays
        Daily marks and losing daily returns of all trades.
    used : int64 array (4,)
        How much of both is taken; records made, and the first of these that is still there.
    room : int64 array (2,)
        Daily marks beyond which to start afresh; the most records that may be made while one is in use.
    """

    f: np.ndarray
    cold: np.ndarray
    g: np.ndarray
    key: np.ndarray
    marks: np.ndarray
    falls: np.ndarray
    used: np.ndarray
    room: np.ndarray


def new_memo(decisions: int, days: int, trades: int, alone: bool) -> Memo:
    """An empty memo, over so many days, where a cell takes at most so many trades.

    A trade that is `alone` is the same for all cells under one exit rule, so it is worth keeping. Where the
    next opposite decision ends it, the cells that share it are mostly next to each other: few records that
    stay near are faster than many.
    """
    near = min(decisions, max(NEAR_RECORDS, 2 * trades))
    slots, most = trades + (decisions if alone else near), ROOM if alone else NEAR_ROOM
    room = most + days + trades
    return Memo(
        np.empty((slots, FLOATS)),
        np.empty((slots, 12)),
        np.empty((slots, 14), np.int32),
        np.full((decisions, 3), -1),
        np.empty(room),
        np.empty(room + 2),
        np.zeros(4, np.int64),
        np.array([most, slots - trades]),
    )


class Work(NamedTuple):
    """Arrays that one thread works in: losses, scratch and returns by day; sums; slot, ratio, stop by trade.

    `guess` is about where the tail of a cell like the last one begins: it saves work and changes no result.
    """

    losses: np.ndarray
    scratch: np.ndarray
    returns: np.ndarray
    guess: np.ndarray
    sums: np.ndarray
    taken: np.ndarray
    ratio: np.ndarray
    stop_rel: np.ndarray


def new_work(days: int, trades: int) -> Work:
    """Arrays to work in, over so many days, where a cell takes at most so many trades."""
    taken = np.empty(trades, np.uint64)
    by_day = np.empty(days + 3), np.empty(days + 3), np.empty(days), np.zeros(1)
    return Work(*by_day, np.empty(SUMS), taken, np.empty(trades), np.empty(trades))


class Exits(NamedTuple):
    """Exit rules of the exit cells.

    Attributes
    ----------
    constant : float array (exit cells, 7)
        Values that do not change over time; inf where a rule is absent.
    row : int64 array (exit cells, 9)
        Row of `matrix` (of `leave` for the last two) that is read instead, -1 where none is.
    matrix : float array (distinct rows, n_bars)
    leave : int32 array (distinct rows, n_bars + 1)
        First bar at or after each whose close decides to leave; n_bars if there is none.
    """

    constant: np.ndarray
    row: np.ndarray
    matrix: np.ndarray
    leave: np.ndarray


class Rows(NamedTuple):
    """Distinct entry rows as lists into the sorted union of all (bar, side) decisions."""

    bar: np.ndarray
    side: np.ndarray
    first_at: np.ndarray
    start: np.ndarray
    entries: np.ndarray


class Span(NamedTuple):
    """What annualises and normalises: bars, days, years, days per year, mean daily market return."""

    bars: int
    days: int
    years: float
    days_per_year: float
    market_mean: float


class Extra(NamedTuple):
    """What a sweep measures beside the metrics.

    Attributes
    ----------
    assumptions : float array (further fill assumptions,)
    regime : int64 array (n_bars,) or empty
        Label of each bar, -1 unknown.
    regimes : int
    day_edges : int64 array (blocks + 1,) or empty
        First day of each block.
    """

    assumptions: np.ndarray
    regime: np.ndarray
    regimes: int
    day_edges: np.ndarray
