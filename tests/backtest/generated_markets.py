"""Markets, scripted strategies and executions for the tests of the backtest room."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from quantlab.backtest.execution import ASSUMPTIONS, DIRECTIONS, AllIn, Costs, Execution, Risk
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import Run
from quantlab.market.candles import TIMEFRAMES, Candles
from quantlab.signals import Signals, Strategy
from quantlab.space import Int, Space

HOUR_MS = 3_600_000
PER_BAR = ("stop", "target", "trail", "break_even", "partial_target", "exit_long", "exit_short")
PER_ROW = ("partial_fraction", "max_holding")
EXIT_FIELDS = (*PER_BAR, *PER_ROW)
FREE = Costs(taker=0.0, maker=0.0, slippage_bps=0.0)


@dataclass(frozen=True)
class Script:
    """Signals read from arrays: entry rows (k, n) and exit rows (m, n), picked by two parameters."""

    timestamps: np.ndarray
    long: np.ndarray | None = None
    short: np.ndarray | None = None
    stop: np.ndarray | None = None
    target: np.ndarray | None = None
    trail: np.ndarray | None = None
    break_even: np.ndarray | None = None
    partial_target: np.ndarray | None = None
    partial_fraction: np.ndarray | None = None
    max_holding: np.ndarray | None = None
    exit_long: np.ndarray | None = None
    exit_short: np.ndarray | None = None
    on_opposite: str = "ignore"

    def rows(self, *names: str) -> int:
        return max([1] + [len(a) for name in names if (a := getattr(self, name)) is not None])

    @property
    def entry_rows(self) -> int:
        return self.rows("long", "short")

    @property
    def exit_rows(self) -> int:
        return self.rows(*EXIT_FIELDS)

    @property
    def strategy(self) -> Strategy:
        space = Space(
            Int("entry_row", 0, self.entry_rows - 1, 0, unit="rows"),
            Int("exit_row", 0, self.exit_rows - 1, 0, unit="rows", role="exit"),
            owner="scripted",
        )
        strategy = Strategy("scripted", space, self.signals, lambda params: 0)
        # A Strategy drops entries on lost bars by itself; the engines must refuse them without its help.
        object.__setattr__(strategy, "signals", self.signals)
        return strategy

    def signals(self, candles: Any, p: Any) -> Signals:
        bars = np.searchsorted(self.timestamps, candles.timestamps)

        def pick(name: str, row: np.ndarray) -> np.ndarray | None:
            array = getattr(self, name)
            return None if array is None else array[row[..., 0]][..., bars]

        entry, leave = p.entry_row, p.exit_row
        return Signals(
            long=pick("long", entry),
            short=pick("short", entry),
            **{name: pick(name, leave) for name in PER_BAR},
            **{name: a[leave] for name in PER_ROW if (a := getattr(self, name)) is not None},
            on_opposite=self.on_opposite,
        )


def candles_of(rows: list[tuple | None], timeframe: str = "1h", start_ms: int = HOUR_MS) -> Candles:
    """Candles from (open, high, low, close) tuples; None is a lost bar."""
    prices = np.array([[np.nan] * 4 if row is None else row for row in rows], np.float64)
    timestamps = start_ms + TIMEFRAMES[timeframe] * np.arange(len(rows))
    volume = np.where(np.isnan(prices[:, 0]), np.nan, 1.0)
    return Candles.from_arrays("test", "BTC/USD", timeframe, timestamps, *prices.T, volume)


def at(n: int, bars: int | list[int] | None) -> np.ndarray | None:
    if bars is None:
        return None
    row = np.zeros((1, n), bool)
    row[0, bars] = True
    return row


def always(n: int, value: Any) -> np.ndarray | None:
    return None if value is None else np.broadcast_to(np.asarray(value, float), (1, n))


def play(
    rows: list[tuple | None],
    *,
    long: Any = None,
    short: Any = None,
    stop: Any = None,
    target: Any = None,
    trail: float | None = None,
    break_even: float | None = None,
    partial: tuple[float, float] | None = None,
    hold: int | None = None,
    exit_long: Any = None,
    exit_short: Any = None,
    on_opposite: str = "ignore",
    timeframe: str = "1h",
    start_ms: int = HOUR_MS,
    start: int = 0,
    inner: list[tuple | None] | None = None,
    **execution: Any,
) -> Run:
    """Replay a market written by hand; `partial` is (distance, fraction), `inner` its quarters of an hour."""
    n = len(rows)
    candles = candles_of(rows, timeframe, start_ms)
    script = Script(
        candles.timestamps,
        long=at(n, long),
        short=at(n, short),
        stop=always(n, stop),
        target=always(n, target),
        trail=always(n, trail),
        break_even=always(n, break_even),
        partial_target=None if partial is None else always(n, partial[0]),
        partial_fraction=None if partial is None else np.array([partial[1]]),
        max_holding=None if hold is None else np.array([hold]),
        exit_long=at(n, exit_long),
        exit_short=at(n, exit_short),
        on_opposite=on_opposite,
    )
    rules = Execution(**{"costs": FREE, **execution})
    lower = None if inner is None else candles_of(inner, "15m", start_ms)
    return replay(script.strategy, candles, {}, rules, start=start, intrabar=lower)


def fills(run: Run) -> list[tuple[int, int, int, int, float, float]]:
    """(side, entry bar, exit bar, reason, entry price, exit price) of every trade."""
    names = ("side", "entry_bar", "exit_bar", "reason", "entry_price", "exit_price")
    return [tuple(trade[name].item() for name in names) for trade in run.trades]


def assert_equal_trades(a: np.ndarray, b: np.ndarray) -> None:
    """Equal in every field, where NaN equals NaN."""
    assert a.dtype == b.dtype
    for name in a.dtype.names:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@st.composite
def markets(draw: st.DrawFn, min_bars: int = 2, max_bars: int = 48) -> Candles:
    """Small candles on a tick grid: gaps, flat and lost bars, ties, and now and then a threefold move."""
    n = draw(st.integers(min_bars, max_bars))
    timeframe = draw(st.sampled_from(["15m", "1h", "4h", "1d"]))
    tick = draw(st.sampled_from([0.5, 0.1, 3.0]))
    moves = draw(hnp.arrays(np.int64, (n, 4), elements=st.integers(-4, 4), fill=st.nothing()))
    kinds = draw(
        hnp.arrays(np.int64, n, elements=st.sampled_from([0] * 12 + [1, 2, 3, 4]), fill=st.nothing())
    )
    step, start = TIMEFRAMES[timeframe], draw(st.integers(0, 30))
    prices, last = np.full((n, 4), np.nan), 40
    volume = np.ones(n)
    for row, (kind, (gap, body, up, down)) in enumerate(zip(kinds, moves, strict=True)):
        if kind == 1 and row > 0:  # lost
            volume[row] = np.nan
            continue
        if kind == 2:  # nothing traded
            prices[row], volume[row] = last, 0.0
            continue
        jump = {3: 3.0, 4: 1 / 3}.get(int(kind), 1.0)
        open_ = max(3, last + int(gap))
        close = max(3, int(open_ * jump) + int(body))
        prices[row] = (
            open_,
            max(open_, close) + abs(int(up)),
            min(open_, close) - min(2, abs(int(down))),
            close,
        )
        last = close
    timestamps = (start + np.arange(n)) * step
    return Candles.from_arrays("test", "BTC/USD", timeframe, timestamps, *(prices * tick).T, volume)


@st.composite
def inner_candles(draw: st.DrawFn, candles: Candles) -> Candles:
    """Candles of a lower timeframe whose bars make up these; some are lost, the end may be uncovered."""
    shorter = [name for name, step in TIMEFRAMES.items() if candles.step_ms % step == 0]
    timeframe = draw(st.sampled_from(shorter[-3:]))
    step, rng = TIMEFRAMES[timeframe], np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k = candles.step_ms // step
    rows = np.concatenate([_inner_rows(bar, k, rng) for bar in _prices(candles)])
    rows[1:][rng.random(len(rows) - 1) < draw(st.sampled_from([0.0, 0.2, 0.5]))] = np.nan
    rows = rows[: max(2, len(rows) - draw(st.integers(0, len(rows) // 2)))]
    timestamps = candles.first_ms + np.arange(len(rows)) * step
    volume = np.where(np.isnan(rows[:, 0]), np.nan, 1.0)
    return Candles.from_arrays("test", "BTC/USD", timeframe, timestamps, *rows.T, volume)


def _prices(candles: Candles) -> np.ndarray:
    return np.column_stack([candles.open, candles.high, candles.low, candles.close])


def _inner_rows(bar: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Prices of `k` bars that together are `bar`: they walk from its open to its close within its range."""
    open_, high, low, close = bar
    closes = np.append(rng.choice([low, open_, close, high], k - 1), close)
    opens = np.append(open_, closes[:-1])
    highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
    highs[rng.integers(k)], lows[rng.integers(k)] = high, low
    return np.column_stack([opens, highs, lows, closes])


@st.composite
def scripts(
    draw: st.DrawFn,
    candles: Candles,
    entry_rows: int = 1,
    exit_rows: int = 1,
    rules: Collection[str] = (),
) -> Script:
    """Arbitrary signals for some candles; every array may be absent, but for the exit `rules`."""
    n = len(candles)
    tick = 0.5

    def flags(rows: int, dense: bool) -> np.ndarray:
        elements = st.sampled_from([False, True] if dense else [False, False, False, True])
        return draw(hnp.arrays(bool, (rows, n), elements=elements, fill=st.nothing()))

    def distances(rows: int) -> np.ndarray:
        usual = [1.0, 2.0, 3.0, 5.0, 8.0, 20.0, 60.0, 0.73]
        odd = [np.nan, 0.0, -1.0, np.inf]
        constant = draw(st.booleans())
        elements = st.sampled_from(usual if constant else usual * 3 + odd)
        shape = (rows, 1 if constant else n)
        array = draw(hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing())) * tick
        return np.broadcast_to(array, (rows, n)).copy()

    def maybe(build: Any, *args: Any) -> np.ndarray | None:
        return build(*args) if draw(st.booleans()) else None

    def fractions() -> np.ndarray:
        elements = st.sampled_from([0.5, 0.25, 0.9, 0.01])
        return draw(hnp.arrays(np.float64, exit_rows, elements=elements, fill=st.nothing()))

    limits, both = st.integers(1, 12), "intrabar" in rules
    return Script(
        candles.timestamps,
        long=flags(entry_rows, draw(st.booleans())),
        short=maybe(flags, entry_rows, True),
        stop=distances(exit_rows) if both else maybe(distances, exit_rows),
        target=distances(exit_rows) if both else maybe(distances, exit_rows),
        trail=distances(exit_rows) if "trail" in rules else None,
        break_even=distances(exit_rows) if "break_even" in rules else None,
        partial_target=distances(exit_rows) if "partial" in rules else None,
        partial_fraction=fractions() if "partial" in rules else None,
        max_holding=maybe(lambda: draw(hnp.arrays(np.int64, exit_rows, elements=limits))),
        exit_long=maybe(flags, exit_rows, False),
        exit_short=maybe(flags, exit_rows, False),
        on_opposite=draw(st.sampled_from(["ignore", "close", "reverse"])),
    )


@st.composite
def costs(draw: st.DrawFn) -> Costs:
    return Costs(
        taker=draw(st.sampled_from([0.0, 0.001, 0.02])),
        maker=draw(st.sampled_from([0.001, 0.0, -0.0002])),
        slippage_bps=draw(st.sampled_from([0.0, 2.0, 100.0])),
        funding_8h=draw(st.sampled_from([0.0, 0.0001, -0.001, 0.03])),
    )


@st.composite
def executions(draw: st.DrawFn, risk: bool = True, fill: str = "open") -> Execution:
    """Every rule of execution; `risk` allows sizing by risk, which needs a stop or a trail."""
    fractions = st.sampled_from([1.0, 0.5, 0.3]).map(AllIn)
    risks = st.builds(Risk, st.sampled_from([0.01, 0.1, 0.5]), st.sampled_from([1.0, 3.0, 10.0]))
    return Execution(
        costs=draw(costs()),
        direction=draw(st.sampled_from(DIRECTIONS)),
        assumption=draw(st.sampled_from(ASSUMPTIONS)),
        delay_bars=draw(st.sampled_from([0, 0, 1, 3])),
        sizing=draw(fractions | risks if risk else fractions),
        days_per_year=draw(st.sampled_from([365.0, 252.0])),
        fill=fill,
    )


@st.composite
def backtests(draw: st.DrawFn, entry_rows: int = 1, exit_rows: int = 1) -> tuple[Candles, Script, Execution]:
    """Candles, signals and an execution that fit each other."""
    candles = draw(markets())
    script = draw(scripts(candles, entry_rows, exit_rows))
    return candles, script, draw(executions(risk=script.stop is not None))


RULES = ("close", "trail", "break_even", "partial", "intrabar")
"""Rules of a `Case` that may be left out: fills at the close, three exit rules, a lower timeframe."""


@dataclass(frozen=True)
class Case:
    """Candles, signals, an execution and perhaps lower candles that fit each other."""

    candles: Candles
    script: Script
    execution: Execution
    intrabar: Candles | None = None
    start: int = 0

    def replay(self, **options: Any) -> Run:
        """The plain replay of its first cell."""
        options = {"start": self.start, "intrabar": self.intrabar, **options}
        return replay(self.script.strategy, self.candles, {}, self.execution, **options)

    def but(self, **changes: Any) -> Case:
        """The same with other fields: of the case, else of its script, else of its execution."""
        whole = {name: changes.pop(name) for name in tuple(changes) if name in self.__dataclass_fields__}
        drawn = {name: changes.pop(name) for name in tuple(changes) if name in Script.__dataclass_fields__}
        execution = replace(self.execution, **changes)
        return replace(self, **{"script": replace(self.script, **drawn), "execution": execution} | whole)


@st.composite
def cases(
    draw: st.DrawFn,
    rules: Collection[str] = RULES,
    always: Collection[str] = (),
    entry_rows: int = 1,
    exit_rows: int = 1,
) -> Case:
    """A case under any of the `rules` (none, one alone, some together) and under all of `always`."""
    chosen = {*always, *(draw(st.sets(st.sampled_from(sorted(rules)))) if rules else ())}
    candles = draw(markets())
    script = draw(scripts(candles, entry_rows, exit_rows, chosen))
    risk = script.stop is not None or script.trail is not None
    execution = draw(executions(risk, "close" if "close" in chosen else "open"))
    intrabar = draw(inner_candles(candles)) if "intrabar" in chosen else None
    return Case(candles, script, execution, intrabar, draw(st.sampled_from([0, 0, 0, len(candles) // 2])))
