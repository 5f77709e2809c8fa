"""The tests of one candidate: each a small function that returns a `Test` a non-statistician can read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from quantlab.backtest.daily import DAY_MS
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import ASSUMPTIONS, Execution
from quantlab.backtest.replay import replay
from quantlab.backtest.surface import Cell, Surface
from quantlab.backtest.trades import Run
from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.validation.budget import Standing
from quantlab.validation.lookahead import LookaheadReport, find_lookahead
from quantlab.validation.statistics import psr, upper_p
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Test
from quantlab.validation.walkforward import WalkForward, Window

P = ParamSpec("P")
TOLERANCE = 1e-9
_MOST_FINDINGS = 3


@dataclass(frozen=True)
class Candidate:
    """One cell on one market under one set of rules.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    params : mapping
    execution : Execution
    """

    strategy: Strategy
    candles: Candles
    params: Mapping[str, Any]
    execution: Execution

    def run(self, **changes: Any) -> Run:
        """The candidate on all candles by the sweep's engine, with `changes` to the execution."""
        return run_cell(self.strategy, self.candles, dict(self.params), replace(self.execution, **changes))


def timed(test: Callable[P, Test]) -> Callable[P, Test]:
    """Write into a test's result how long it took."""

    @wraps(test)
    def measured(*args: P.args, **kwargs: P.kwargs) -> Test:
        begin = time.perf_counter()
        return replace(test(*args, **kwargs), seconds=time.perf_counter() - begin)

    return measured


@timed
def enough_trades(run: Run, gate: Gate) -> Test:
    """At least `gate.min_trades` closed trades on the whole history."""
    trades = len(run.closed)
    return Test(
        "trades",
        trades,
        gate.min_trades,
        trades >= gate.min_trades,
        f"{trades:,} closed trades, at least {gate.min_trades} are needed: fewer say nothing about the next.",
    )


@timed
def enough_activity(run: Run, candles: Candles, gate: Gate) -> Test:
    """At least `gate.min_activity` of the days see an open position."""
    days = candles.timestamps // DAY_MS
    share = len(np.unique(days[run.exposure != 0.0])) / len(run.days)
    return Test(
        "activity",
        share,
        gate.min_activity,
        share >= gate.min_activity,
        f"a position was open on {share:.1%} of the days, at least {gate.min_activity:.1%} are needed.",
    )


@timed
def costs_charged(execution: Execution) -> Test:
    """Fees and slippage of a market order add up to something."""
    bps = execution.costs.taker * 1e4 + execution.costs.slippage_bps
    return Test(
        "costs",
        bps,
        0.0,
        bps > 0.0,
        f"a market order pays {bps:g} bps a side in fees and slippage; 0 is no market.",
    )


@timed
def few_missing(candles: Candles, gate: Gate) -> Test:
    """At most `gate.max_missing` of the bars were lost."""
    lost = int(candles.missing.sum())
    share = lost / len(candles)
    return Test(
        "missing_bars",
        share,
        gate.max_missing,
        share <= gate.max_missing,
        f"{lost:,} of {len(candles):,} bars were lost ({share:.2%}), at most {gate.max_missing:.0%} may be.",
    )


def time_rule(candidate: Candidate, cells: Cells) -> tuple[Test, Test]:
    """Two tests: no decision of `cells` knows later bars, and a bot with the warm-up alone decides the same.

    Parameters
    ----------
    candidate : Candidate
        Whose signals are replayed from the warm-up.
    cells : Grid or Points
        Of the search; thinned where they are many.
    """
    begin, cell = time.perf_counter(), dict(candidate.params)
    one = candidate.strategy.space.points([cell])
    found = find_lookahead(candidate.strategy, candidate.candles, one, live=[cell])
    if cells.size > 1 and all(finding.kind == "warmup" for finding in found.findings):
        wide = find_lookahead(candidate.strategy, candidate.candles, cells, replays=0)
        found = replace(found, findings=(*wide.findings, *found.findings))
    seconds = time.perf_counter() - begin
    return _causality(found, seconds), _live_parity(found)


def _causality(found: LookaheadReport, seconds: float) -> Test:
    leaks = [finding for finding in found.findings if finding.kind != "warmup"]
    detail = (
        "signals of the candidate and of the cells of the search stayed the same when all later bars were "
        "cut off, tripled or cut to a third."
    )
    if leaks:
        detail = " ".join(finding.detail for finding in leaks[:_MOST_FINDINGS])
    return Test("causality", float(len(leaks)), 0.0, not leaks, detail, seconds)


def _live_parity(found: LookaheadReport) -> Test:
    wrong = [finding for finding in found.findings if finding.kind == "warmup"]
    unknown = not found.replayed and not found.ok
    detail = (
        f"{found.changes_replayed:,} of {found.changes:,} signal changes, decided again by a bot that knows "
        "the warm-up alone, came out the same."
    )
    if wrong:
        detail = " ".join(finding.detail for finding in wrong[:_MOST_FINDINGS])
    elif unknown:
        detail = "the signals could not be replayed; see causality."
    return Test("live_parity", float(len(wrong)), 0.0, not wrong and not unknown, detail)


@timed
def second_engine(candidate: Candidate, run: Run) -> Test:
    """The plain replay, which is handed only the past, books the same trades and the same equity."""
    other = replay(candidate.strategy, candidate.candles, dict(candidate.params), candidate.execution)
    difference = first_difference(run, other)
    same = (
        f"{len(run.trades):,} trades and the equity of {len(run.equity):,} bars are the same in both engines."
    )
    detail = difference or same
    return Test("second_engine", float(difference is not None), 0.0, difference is None, detail)


def first_difference(run: Run, other: Run) -> str | None:
    """What differs first between two runs, in words; None if all trades and the equity agree to 1e-9."""
    if len(run.trades) != len(other.trades):
        return f"one engine books {len(run.trades):,} trades, the other {len(other.trades):,}."
    for name in run.trades.dtype.names or ():
        unequal = ~_close(run.trades[name], other.trades[name])
        if unequal.any():
            k = int(np.argmax(unequal))
            return f"trade {k + 1} differs in `{name}`: {run.trades[name][k]} and {other.trades[name][k]}."
    unequal = ~_close(run.equity, other.equity)
    if unequal.any():
        k = int(np.argmax(unequal))
        return f"the equity differs from bar {k:,} on: {run.equity[k]!r} and {other.equity[k]!r}."
    return None


@timed
def walk_forward(table: WalkForward) -> Test:
    """The p-value of the stitched out-of-sample timing alpha; reported."""
    if np.isnan(table.p):
        return Test("walk_forward", None, None, None, _idle(table.trades))
    detail = (
        f"refitted on the past {len(table.folds)} times and traded on what followed "
        f"({len(table.days):,} days, {table.trades:,} trades): Sharpe {table.sharpe:.2f}, "
        f"timing t = {table.timing_t:.2f}. Luck alone does as well in {_of_hundred(table.p)} of 100 cases."
    )
    return Test("walk_forward", table.p, None, None, detail)


@timed
def recently(window: Window, cell: Cell | None, gate: Gate) -> Test:
    """Chosen before the last part of the history, the choice has a timing alpha there."""
    name, p = "recency", upper_p(window.timing_t)
    if cell is None:
        detail = f"on the first {1 - gate.recent:.0%} no cell traded often enough to be chosen."
        return Test(name, None, gate.recency_p, False, detail)
    if np.isnan(p):
        return Test(name, None, gate.recency_p, False, _idle(window.trades))
    detail = (
        f"chosen on the first {1 - gate.recent:.0%}, traded on the last {gate.recent:.0%} "
        f"({len(window.days):,} days, {window.trades:,} trades): timing t = {window.timing_t:.2f}. "
        f"{_chance(p, gate.recency_p)}"
    )
    return Test(name, p, gate.recency_p, p <= gate.recency_p, detail)


@timed
def survives_costs(candidate: Candidate, gate: Gate) -> Test:
    """The timing alpha stays positive when fees and slippage are multiplied."""
    run = candidate.run(costs=candidate.execution.costs.times(gate.stress_costs))
    return _stress("double_costs", run, f"at {gate.stress_costs:g} times the costs")


@timed
def survives_delay(candidate: Candidate, gate: Gate) -> Test:
    """The timing alpha stays positive when every decision comes late."""
    run = candidate.run(delay_bars=candidate.execution.delay_bars + gate.stress_delay_bars)
    return _stress("delay", run, f"with every decision {gate.stress_delay_bars} bar(s) late")


def fill_assumptions(candidate: Candidate) -> tuple[Test, dict[str, dict[str, float]]]:
    """Net profit and Sharpe under the three fill assumptions; reported."""
    begin = time.perf_counter()
    runs = {name: candidate.run(assumption=name) for name in ASSUMPTIONS}
    fills = {name: {m: float(run.metrics[m]) for m in ("net_profit", "sharpe")} for name, run in runs.items()}
    spread = fills["optimistic"]["sharpe"] - fills["pessimistic"]["sharpe"]
    parts = [f"{n} {f['net_profit']:+.1%} (Sharpe {f['sharpe']:.2f})" for n, f in fills.items()]
    detail = f"net profit {', '.join(parts)}: what is not known about fills inside a bar."
    return Test("fills", spread, None, None, detail, time.perf_counter() - begin), fills


@timed
def sharpe_probability(run: Run, table: WalkForward) -> Test:
    """Probabilistic Sharpe ratio of the out-of-sample returns; reported, because drift alone can earn it."""
    value = psr(np.array(table.daily))
    detail = (
        f"{value:.1%} out of sample ({psr(run.daily):.1%} in sample) that the true Sharpe is above 0, "
        "skew and fat tails considered; a rising market alone can do that."
    )
    return Test("psr", value, None, None, detail)


@timed
def plateau_or_peak(surface: Surface, cell: Cell, gate: Gate) -> Test:
    """The chosen cell beside the best one; reported."""
    metric = gate.metric
    chosen, values = float(cell.metrics[metric]), surface.eligible(metric, gate.min_trades)
    if np.isnan(values).all():
        detail = f"no cell traded {gate.min_trades} times; shown is the one that trades most."
        return Test("plateau", chosen, None, None, detail)
    around, peak = surface.plateau(metric, gate.min_trades).mean, np.nanmax(values)
    detail = (
        f"{metric} {chosen:.2f} at the chosen cell, {around:.2f} on average around it, {peak:.2f} at the "
        f"single best of {surface.size:,} cells. Expect less than all of them: they were picked because they "
        "looked good."
    )
    return Test("plateau", chosen, None, None, detail)


@timed
def efficiency(table: WalkForward) -> Test:
    """Out-of-sample Sharpe over in-sample Sharpe of the walk-forward; reported."""
    value = table.efficiency
    kept = (
        "cannot be measured"
        if np.isnan(value)
        else f"the Sharpe out of sample was {value:.0%} of that in sample"
    )
    return Test("efficiency", value, None, None, f"{kept} (one refit a fold).")


@timed
def trials(search: int, ever: int | None, standing: Standing | None, alpha: float) -> Test:
    """How many cells were tried, and which search on these candles this was; reported."""
    if standing is None:
        before = "no ledger was asked how many before" if ever is None else f"{ever:,} ever on these candles"
        return Test("trials", search, None, None, f"{search:,} cells in this search, {before}.")
    late = " It was made without a lab and counted now." if standing.outside else ""
    detail = (
        f"{search:,} cells in this search, {standing.trials:,} ever on these candles. Search number "
        f"{standing.k} on them: of the budget of {alpha:g} for false approvals it may spend "
        f"{standing.share(alpha):.2g}.{late}"
    )
    return Test("trials", search, None, None, detail)


def _stress(name: str, run: Run, how: str) -> Test:
    t = float(run.metrics["timing_t"])
    profit = run.metrics["net_profit"]
    detail = f"{how} the timing t is {t:.2f} (above 0 is needed) and the net profit {profit:+.1%}."
    return Test(name, t, 0.0, t > 0.0, detail)


def _chance(p: float, allowed: float) -> str:
    return f"Luck alone does as well in {_of_hundred(p)} of 100 cases, {_of_hundred(allowed)} are allowed."


def _of_hundred(p: float) -> str:
    return f"{100 * p:.1f}".rstrip("0").rstrip(".") if p >= 0.001 else "fewer than 0.1"


def _idle(trades: int) -> str:
    return f"{trades:,} trades were taken on data that the choice had not seen: nothing to judge by."


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
