"""Figures that others published, reproduced by both engines. Each says where it is printed.

Facts only: GOOG's prices are read from the installed `backtesting` package (AGPL-3.0, a development
dependency), and nothing of it is copied here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from backtesting.test import GOOG
from generated_markets import Script, at, candles_of

import quantlab as ql
from quantlab import strategies
from quantlab.backtest import metrics
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Costs, Execution, Risk
from quantlab.backtest.replay import replay
from quantlab.backtest.trades import OPEN, Run
from quantlab.indicators import true_range
from quantlab.market.candles import Candles

ENGINES = pytest.mark.parametrize("engine", [run_cell, replay], ids=["kernel", "replay"])
Engine = Callable[..., Run]
DAY_MS = 86_400_000
FREE = Costs(0.0, 0.0, 0.0)
CASH = 10_000.0


def goog() -> Candles:
    """The sessions of GOOG on consecutive days: a bar is a place on a regular grid."""
    first = int(GOOG.index[0].timestamp() * 1000)
    columns = [GOOG[name].to_numpy(float) for name in ("Open", "High", "Low", "Close", "Volume")]
    return Candles.from_arrays("nasdaq", "GOOG/USD", "1d", first + DAY_MS * np.arange(len(GOOG)), *columns)


@dataclass(frozen=True)
class Book:
    """The books of backtesting.py on fills of ours: whole shares for all cash, cost of entry included."""

    equity: np.ndarray  # at the closes
    size: np.ndarray  # shares, negative for a short
    price: np.ndarray  # of entry, spread included
    gross: np.ndarray  # money won, before commissions
    paid: np.ndarray  # commissions of each trade
    entry_bar: np.ndarray
    exit_bar: np.ndarray

    @classmethod
    def of(
        cls, run: Run, market: Candles, commission: float = 0.0, spread: float = 0.0, finalize: bool = False
    ) -> Book:
        """`spread` worsens entries only; `finalize` closes what is open at the last open."""
        cash, equity, rows = CASH, np.full(len(market), CASH), []
        for trade in run.trades:
            price = trade["entry_price"] * (1 + trade["side"] * spread)
            size = trade["side"] * (cash // (price * (1 + commission)))
            entry_fee = commission * abs(size) * price
            entry, leave, exit_price = trade["entry_bar"], trade["exit_bar"], trade["exit_price"]
            if trade["reason"] == OPEN:
                leave, exit_price = (len(market) - 1, market.open[-1]) if finalize else (len(market), np.nan)
            equity[entry:leave] = cash - entry_fee + size * (market.close[entry:leave] - price)
            if leave < len(market):
                gross, exit_fee = size * (exit_price - price), commission * abs(size) * exit_price
                cash += gross - entry_fee - exit_fee
                equity[leave:] = cash
                rows.append((size, price, gross, entry_fee + exit_fee, entry, leave))
        return cls(equity, *(np.array(column) for column in zip(*rows, strict=True)))

    def figures(self, gross: bool) -> dict[str, float]:
        """Statistics under the names of backtesting.py; trades `gross` or net of commissions."""
        won = self.gross if gross else self.gross - self.paid
        returns = won / (abs(self.size) * self.price)
        held = np.zeros(len(self.equity), bool)
        for entry, leave in zip(self.entry_bar, self.exit_bar, strict=True):
            held[entry : leave + 1] = True
        days = (GOOG.index[self.exit_bar] - GOOG.index[self.entry_bar]).days
        return {
            "Exposure Time [%]": held.mean() * 100,
            "Equity Final [$]": self.equity[-1],
            "Equity Peak [$]": self.equity.max(),
            "Commissions [$]": self.paid.sum(),
            "Return [%]": metrics.net_profit(self.equity / CASH) * 100,
            "Max. Drawdown [%]": metrics.max_drawdown(self.equity / CASH) * 100,
            "# Trades": len(returns),
            "Win Rate [%]": (won > 0).mean() * 100,
            "Best Trade [%]": returns.max() * 100,
            "Worst Trade [%]": returns.min() * 100,
            "Avg. Trade [%]": np.expm1(np.log1p(returns).mean()) * 100,
            "Max. Trade Duration": days.max(),
            "Avg. Trade Duration": np.ceil(days.to_numpy().mean()),
            "Profit Factor": returns[returns > 0].sum() / -returns[returns < 0].sum(),
            "Expectancy [%]": returns.mean() * 100,
            "SQN": np.sqrt(len(won)) * won.mean() / won.std(ddof=1),
        }


COMMISSION = 0.002
CHARGED = Execution(costs=Costs(COMMISSION, COMMISSION, 0.0))
QUICK_START = {
    (10, 20): {
        "Exposure Time [%]": 94.27,
        "Equity Final [$]": 56263.52,
        "Equity Peak [$]": 56309.06,
        "Commissions [$]": 10563.95,
        "Return [%]": 462.64,
        "Max. Drawdown [%]": -33.93,
        "# Trades": 93,
        "Win Rate [%]": 54.84,
        "Best Trade [%]": 57.43,
        "Worst Trade [%]": -16.40,
        "Avg. Trade [%]": 2.16,
        "Max. Trade Duration": 121,
        "Avg. Trade Duration": 32,
        "Profit Factor": 2.27,
        "Expectancy [%]": 2.69,
        "SQN": 2.01,
    },
    (10, 15): {
        "Exposure Time [%]": 98.14,
        "Equity Final [$]": 77829.05,
        "Equity Peak [$]": 84982.19,
        "Commissions [$]": 30771.04,
        "Return [%]": 678.29,
        "Max. Drawdown [%]": -44.55,
        "# Trades": 152,
        "Win Rate [%]": 53.29,
        "Best Trade [%]": 61.89,
        "Worst Trade [%]": -19.54,
        "Avg. Trade [%]": 1.72,
        "Max. Trade Duration": 83,
        "Avg. Trade Duration": 21,
        "Profit Factor": 2.12,
        "Expectancy [%]": 2.16,
        "SQN": 1.92,
    },
}
"""https://kernc.github.io/backtesting.py/doc/examples/Quick%20Start%20User%20Guide.html, of version 0.6:
``Backtest(GOOG, SmaCross, cash=10_000, commission=.002)``, first as it is, then the best cell of
``bt.optimize(n1=range(5, 30, 5), n2=range(10, 70, 5))``. Its trades are before commissions."""


@ENGINES
@pytest.mark.parametrize("windows", QUICK_START, ids=str)
def test_sma_crossover_of_the_backtesting_py_quick_start(engine: Engine, windows: tuple[int, int]) -> None:
    market = goog()
    run = engine("sma_cross", market, dict(zip(("fast", "slow"), windows, strict=True)), CHARGED)
    found, printed = Book.of(run, market, COMMISSION).figures(gross=True), QUICK_START[windows]
    assert found == pytest.approx(printed, abs=0.005001)
    # what does not depend on whole shares is among our own metrics
    assert run.metrics["trades"] == printed["# Trades"]
    assert run.metrics["gross_win_rate"] * 100 == pytest.approx(printed["Win Rate [%]"], abs=0.005)
    assert run.closed["gross_return"].mean() * 100 == pytest.approx(printed["Expectancy [%]"], abs=0.005)


def test_best_cell_of_the_backtesting_py_quick_start() -> None:
    grid = strategies.get("sma_cross").grid(fast=np.arange(5, 30, 5), slow=np.arange(10, 70, 5))
    surface = ql.sweep("sma_cross", goog(), grid, CHARGED, progress=False)
    assert np.isfinite(surface["net_profit"]).sum() == 50  # as its progress bar says
    best = surface.best("net_profit")
    assert (best.params["fast"], best.params["slow"]) == (10, 15)


@ENGINES
def test_trade_table_of_the_backtesting_py_quick_start(engine: Engine) -> None:
    """The first and the last five of the 152 trades that the same page prints."""
    market = goog()
    book = Book.of(engine("sma_cross", market, {"fast": 10, "slow": 15}, CHARGED), market, COMMISSION)
    edge = np.r_[:5, -5:0]
    assert book.size[edge].tolist() == [87, -86, 95, -95, 96, -90, 104, -103, 101, -100]
    assert book.entry_bar[edge].tolist() == [20, 60, 69, 71, 75, 2056, 2085, 2111, 2113, 2121]
    assert book.exit_bar[edge].tolist() == [60, 69, 71, 75, 82, 2085, 2111, 2113, 2121, 2127]
    prices = [114.42, 185.23, 175.80, 180.71, 179.13, 740.13, 687.78, 735.54, 742.83, 735.99]
    np.testing.assert_allclose(book.price[edge], prices, atol=1e-9)
    won = [6160.47, 810.98, 466.45, 150.10, -109.44, 4711.50, 4967.04, -750.87, -690.84, -1452.00]
    np.testing.assert_allclose(book.gross[edge], won, atol=1e-9)


@ENGINES
def test_sma_crossover_of_the_backtesting_py_readme(engine: Engine) -> None:
    """https://pypi.org/project/backtesting/0.6.6: from before version 0.4, when only entries were charged."""
    market = goog()
    run = engine("sma_cross", market, {"fast": 10, "slow": 20}, Execution(costs=FREE))
    printed = {
        "Exposure Time [%]": 94.27,
        "Equity Final [$]": 68935.12,
        "Equity Peak [$]": 68991.22,
        "Return [%]": 589.35,
        "Max. Drawdown [%]": -33.08,
        "# Trades": 93,
        "Win Rate [%]": 53.76,
        "Best Trade [%]": 57.12,
        "Worst Trade [%]": -16.63,
        "Avg. Trade [%]": 1.96,
        "Max. Trade Duration": 121,
        "Avg. Trade Duration": 32,
        "SQN": 1.78,
    }
    found = Book.of(run, market, spread=COMMISSION).figures(gross=False)
    assert {name: found[name] for name in printed} == pytest.approx(printed, abs=0.005001)


@ENGINES
def test_sma_crossover_of_the_backtesting_py_reference(engine: Engine) -> None:
    """`Backtest.run` of the API reference: windows 10 and 30, no costs, the last trade closed at the end.

    In full in its own test suite, `TestBacktest.test_compute_stats` of version 0.6.6.
    """
    market = goog()
    run = engine("sma_cross", market, {"fast": 10, "slow": 30}, Execution(costs=FREE))
    printed = {
        "Exposure Time [%]": 96.74115456238361,
        "Equity Final [$]": 51422.98999999996,
        "Equity Peak [$]": 75787.44,
        "Return [%]": 414.2298999999996,
        "Max. Drawdown [%]": -47.98012705007589,
        "# Trades": 66,
        "Win Rate [%]": 46.96969696969697,
        "Best Trade [%]": 53.59595229490424,
        "Worst Trade [%]": -18.39887353835481,
        "Avg. Trade [%]": 2.531715975158555,
        "Max. Trade Duration": 183,
        "Avg. Trade Duration": 46,
        "Profit Factor": 2.167945974262033,
        "Expectancy [%]": 3.2748078066748834,
        "SQN": 1.0766187356697705,
    }
    book = Book.of(run, market, finalize=True)
    found = book.figures(gross=True)
    assert {name: found[name] for name in printed} == pytest.approx(printed, rel=1e-12)
    growth = metrics.cagr(book.equity / CASH, years=3116 / 365.25)
    assert growth * 100 == pytest.approx(21.160245705962623, rel=1e-12)


TURTLE = np.array(
    [  # high, low, close, true range
        (0.7220, 0.7124, 0.7124, 0.0096),
        (0.7170, 0.7073, 0.7073, 0.0097),
        (0.7099, 0.6923, 0.6923, 0.0176),
        (0.6930, 0.6800, 0.6838, 0.0130),
        (0.6960, 0.6736, 0.6736, 0.0224),
        (0.6820, 0.6706, 0.6706, 0.0114),
        (0.6820, 0.6710, 0.6710, 0.0114),
        (0.6795, 0.6720, 0.6744, 0.0085),
        (0.6760, 0.6550, 0.6616, 0.0210),
        (0.6650, 0.6585, 0.6627, 0.0065),
        (0.6701, 0.6620, 0.6701, 0.0081),
        (0.6965, 0.6750, 0.6965, 0.0264),
        (0.7065, 0.6944, 0.6944, 0.0121),
        (0.7115, 0.6944, 0.7087, 0.0171),
        (0.7168, 0.7100, 0.7124, 0.0081),
        (0.7265, 0.7120, 0.7265, 0.0145),
        (0.7265, 0.7098, 0.7098, 0.0167),
        (0.7184, 0.7110, 0.7184, 0.0086),
        (0.7280, 0.7200, 0.7228, 0.0096),
        (0.7375, 0.7227, 0.7359, 0.0148),
        (0.7447, 0.7310, 0.7389, 0.0137),
        (0.7420, 0.7140, 0.7162, 0.0280),
    ]
)
"""Heating oil, March 2003 contract, 2002-11-01 to 2002-12-04: C. M. Faith, "Way of the Turtle" (2007),
appendix "Original Turtle Trading Rules", p. 253."""


def test_true_range_of_the_turtles() -> None:
    found = true_range(*TURTLE[:, :3].T)
    assert np.isnan(found[0])  # the close before is not printed
    np.testing.assert_allclose(found[1:], TURTLE[1:, 3], atol=1e-12)


@ENGINES
def test_unit_of_the_turtles(engine: Engine) -> None:
    """The same book, p. 254: 1 % of $1,000,000 over N = 0.0141 at $42,000 a point is a unit of 16.88."""
    highs, lows, closes = TURTLE[:, :3].T * 42_000  # dollars per contract; opens and the last bar are made up
    opens = np.clip(np.r_[closes[0], closes[:-1]], lows, highs)
    rows: list[Any] = [*zip(opens, highs, lows, closes, strict=True), (closes[-1],) * 4]
    market = candles_of(rows, "1d", 0)
    script = Script(
        market.timestamps,
        long=at(len(rows), len(TURTLE) - 1),
        stop=np.full((1, len(rows)), 0.0141 * 42_000),
    )
    run = engine(script.strategy, market, {}, Execution(costs=FREE, sizing=Risk(0.01)))
    (contracts,) = run.trades["units"] * 1_000_000
    assert int(contracts * 100) / 100 == 16.88
    assert int(contracts) == 16


EMPYRICAL = {
    # periods per year: annual return, Calmar ratio, Sortino ratio
    52: (0.24690830513998208, 2.4690830513998208, 1.1158901056866439),
    12: (0.052242061386048144, 0.52242061386048144, 0.53605626741889756),
}
"""`weekly_returns` and `monthly_returns` in the test suite of Quantopian's empyrical, version 0.5.5:
https://github.com/quantopian/empyrical/blob/master/empyrical/tests/test_stats.py."""


@ENGINES
@pytest.mark.parametrize("periods", EMPYRICAL)
def test_returns_of_the_empyrical_test_suite(engine: Engine, periods: int) -> None:
    """Its nine returns as days on which a position is held; the first one, 0, is the day of the decision."""
    closes = 100 * np.cumprod(1 + np.array([0.0, 1.0, 10.0, -4.0, 2.0, 3.0, 2.0, 1.0, -10.0]) / 100)
    opens = np.r_[100.0, closes[:-1]]
    rows: list[Any] = [*zip(opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, strict=True)]
    market = candles_of(rows, "1d", 0)
    script = Script(market.timestamps, long=at(len(rows), 0))
    run = engine(script.strategy, market, {}, Execution(costs=FREE, days_per_year=periods))
    growth, calmar, sortino = EMPYRICAL[periods]
    assert run.metrics["cagr"] == pytest.approx(growth, abs=1e-12)
    assert run.metrics["calmar"] == pytest.approx(calmar, abs=1e-12)
    assert run.metrics["sortino"] == pytest.approx(sortino, abs=1e-12)
    assert run.metrics["max_drawdown"] == pytest.approx(-0.1, abs=1e-12)


def test_sharpe_ratio_of_the_empyrical_test_suite() -> None:
    """`mixed_returns`, 252 days a year."""
    mixed = np.array([1.0, 10.0, -4.0, 2.0, 3.0, 2.0, 1.0, -10.0]) / 100
    assert metrics.sharpe(mixed, 252) == pytest.approx(1.7238613961706866, abs=1e-12)
    assert metrics.sortino(mixed, 252) == pytest.approx(2.605531251673693, abs=1e-12)
