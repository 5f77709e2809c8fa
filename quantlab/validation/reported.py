"""What is reported of a candidate and never decides: each a known statistic with a known trap.

None of these may approve or refuse. Measured on markets without an edge and with one, they either say yes to
noise (a median path above 0 is a coin toss) or no to everything (a deflated Sharpe ratio of all trials); see
docs/honesty.md. They tell a reader how the candidate looks from other sides.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from quantlab.backtest.surface import Cell, Surface
from quantlab.backtest.trades import Run
from quantlab.errors import InputError
from quantlab.validation.cpcv import cross_validated_paths
from quantlab.validation.evidence import Candidate, efficiency, sharpe_probability, timed
from quantlab.validation.expected import expected_sharpe
from quantlab.validation.rerun import Rerun
from quantlab.validation.resampling import trade_histories
from quantlab.validation.robust import noise, sensitivity
from quantlab.validation.statistics import (
    deflated_sharpe,
    kurtosis,
    minimum_track_record,
    sharpe,
    sharpe_of_autocorrelated,
    skewness,
)
from quantlab.validation.thresholds import Gate
from quantlab.validation.trials import SYMMETRIC, Trials, merged, trial_blocks
from quantlab.validation.verdict import Test
from quantlab.validation.walkforward import Search, WalkForward

CONFIDENCE = 0.95
LEAST_CLOSED = 10
"""Closed trades below which no history is drawn from them."""


def reported(
    one: Candidate,
    surface: Surface,
    run: Run,
    table: WalkForward,
    gate: Gate,
    search: Search | None = None,
    *,
    nulls: Rerun | None = None,
) -> list[Test]:
    """Every test that this module knows, in the order of the page on honesty.

    Parameters
    ----------
    one : Candidate
    surface : Surface
        The search that chose it, on all candles. Its cells, or a sample of many, are swept once more here.
    run : Run
        The candidate on all candles.
    table : WalkForward
    gate : Gate
    search : Search, optional
        The complete search, if it is more than the cells of `surface`: what is said of the cells is then said
        of those that it evaluated, and the text says so.
    nulls : Rerun, optional
        What the search found on markets without an edge.

    Returns
    -------
    list of Test
        The same for the same arguments: what is drawn is drawn from the candles' fingerprint.
    """
    seed = int(one.candles.fingerprint[:12], 16)
    begin = time.perf_counter()
    trials = _trials(surface, one)
    tests = [
        sharpe_probability(run, table),
        replace(deflated(run, surface, trials), seconds=time.perf_counter() - begin),
        track_record(run, table),
        autocorrelation(run, table),
        overfitted(trials),
        paths(trials, run),
        efficiency(table),
        monte_carlo(run, seed),
        noise(one, run, seed),
        sensitivity(surface, _cell(surface, one), gate),
        expected_sharpe(run, surface, trials, nulls),
    ]
    return [_said_of_evaluated(test) if search is not None else test for test in tests]


@timed
def deflated(run: Run, surface: Surface, trials: Trials | str) -> Test:
    """Deflated Sharpe ratio in two conventions; `value` is the first.

    1. The spread of the trials' Sharpe ratios is that of pure noise, V = 1 / T, and trials that move alike
       count once. 2. The spread is the one measured over all trials of the search.

    **The trap**: neighbouring cells are no independent trials, so it hangs on how they are counted; and by
    the second convention a search that contains an edge spreads wider and deflates its own find.
    """
    if isinstance(trials, str):
        return _unmeasured("dsr", trials)
    count = trials.independent()
    daily = run.daily
    ratio = sharpe(daily, 1.0)
    if math.isnan(ratio) or count < 1:
        return _unmeasured("dsr", "the candidate's returns do not vary")
    moments = (ratio, len(daily), skewness(daily), kurtosis(daily))
    over = surface["sharpe"][surface["trades"] > 0] / math.sqrt(run.execution.days_per_year)
    spread = float(np.nanstd(over, ddof=1)) if np.count_nonzero(~np.isnan(over)) > 1 else math.nan
    noise, measured = deflated_sharpe(*moments, count), deflated_sharpe(*moments, count, spread)
    said = "" if math.isnan(measured) else f" ({measured:.0%} if the trials' own spread is taken)"
    detail = (
        f"{trials.words} moved like {count:,} independent trials. The chance that the true Sharpe is above "
        f"what the luckiest of so many idle ones would show is {noise:.0%}{said}."
    )
    return Test("dsr", noise, None, None, detail)


@timed
def track_record(run: Run, table: WalkForward) -> Test:
    """Days of such returns that are needed to be sure, at 95 %, of a true Sharpe above 0.

    Of the walk-forward's record; that of the candidate is in the text. **The trap**: it takes the Sharpe seen
    for the true one. A Sharpe that was picked because it was high needs a longer record than this says.
    """
    needed, there = _needed(np.array(table.daily)), len(table.daily)
    seen = _needed(run.daily)
    year = table.days_per_year
    own = "no length" if math.isinf(seen) else "unknown" if math.isnan(seen) else f"{seen / year:.1f} years"
    if not math.isfinite(needed):
        why = "its Sharpe out of sample is not above 0" if math.isinf(needed) else "it has no returns"
        return _unmeasured("min_track_record", f"{why}, no length of record would do (in sample: {own})")
    detail = (
        f"{needed / year:.1f} years of such returns are needed to be 95 % sure that the Sharpe out of sample "
        f"is above 0; there are {there / year:.1f} (as seen in sample it would take {own})."
    )
    return Test("min_track_record", needed, None, None, detail)


@timed
def autocorrelation(run: Run, table: WalkForward) -> Test:
    """Annual Sharpe ratio of the candidate, corrected for days that follow each other (Lo 2002).

    **The trap**: returns of positions that are held long repeat themselves, and a plain Sharpe counts every
    day as new evidence; but the correction is an estimate itself, and on few years a rough one.
    """
    year = run.execution.days_per_year
    plain, value = sharpe(run.daily, year), sharpe_of_autocorrelated(run.daily, year)
    if math.isnan(value):
        return _unmeasured("lo", "the candidate's returns do not vary")
    forward = sharpe_of_autocorrelated(np.array(table.daily), year)
    paid = "" if math.isnan(forward) else f"; out of sample {forward:.2f} instead of {table.sharpe:.2f}"
    detail = (
        f"Sharpe {value:.2f} instead of {plain:.2f} if days that resemble the day before count for less"
        f"{paid}."
    )
    return Test("lo", value, None, None, detail)


@timed
def overfitted(trials: Trials | str) -> Test:
    """Probability of backtest overfitting over all 12,870 symmetric splits of 16 blocks.

    **The trap**: where all cells share one small edge the best is no better than its neighbours, and the
    probability is high although nothing is wrong; where one cell alone has an edge it is low by luck too.
    """
    if isinstance(trials, str):
        return _unmeasured("pbo", trials)
    try:
        found = trials.halves
    except InputError as error:
        return _unmeasured("pbo", str(error).rstrip("."))
    detail = (
        f"chosen on one half of the time, the best of {trials.words} was below the middle in the other half "
        f"in {found.probability:.0%} of {len(found.ranks):,} ways to halve it (50 % is chance), and lost "
        f"money there in {found.probability_of_loss:.0%}."
    )
    return Test("pbo", found.probability, None, None, detail)


@timed
def paths(trials: Trials | str, run: Run) -> Test:
    """Median annual Sharpe of combinatorial cross-validation: 16 blocks, two of them tested, 15 histories.

    **The trap**: the histories share nearly all of their training, so that fifteen good ones are not fifteen
    proofs; on markets without an edge the median is above 0 half of the time.
    """
    if isinstance(trials, str):
        return _unmeasured("cpcv", trials)
    try:
        found = cross_validated_paths(merged(trials.blocks, SYMMETRIC))
    except InputError:
        return _unmeasured("cpcv", "no cell satisfies its constraints")
    year = math.sqrt(run.execution.days_per_year)
    low, middle, high = (found.quantile(share) * year for share in (0.05, 0.5, 0.95))
    detail = (
        f"{len(found.sharpe)} histories in which the cell was always chosen without the block that it "
        f"trades: Sharpe {middle:.2f} in the middle, {low:.2f} to {high:.2f} for nine in ten of them."
    )
    return Test("cpcv", middle, None, None, detail)


@timed
def monte_carlo(run: Run, seed: int) -> Test:
    """Greatest drawdown that one in twenty histories of the same trades exceeds; see `trade_histories`.

    **The trap**: trades are drawn one by one, so losses that come in rows are torn apart; and all histories
    are made of trades that were chosen for being good.
    """
    trades = run.closed["trade_return"]
    if len(trades) < LEAST_CLOSED:
        return _unmeasured(
            "monte_carlo", f"{len(trades)} closed trades are too few to draw from, {LEAST_CLOSED} are needed"
        )
    drawn = trade_histories(trades, seed=seed)
    deep, usual, mild = (f"{v:.0%}" for v in np.quantile(drawn.drawdown, [0.05, 0.5, 0.95]))
    poor, middling, rich = (f"{v:+.0%}" for v in np.quantile(drawn.profit, [0.05, 0.5, 0.95]))
    same = f"{np.quantile(drawn.shuffled, 0.05):.0%}"
    detail = (
        f"{len(drawn.profit):,} histories of {len(trades):,} trades drawn from its own: drawdown {deep} or "
        f"worse in one of twenty, {usual} in the middle, {mild} in the luckiest; profit {poor} or worse, "
        f"{middling}, {rich} or better. The very same trades in another order: {same} or worse in one of "
        "twenty."
    )
    return Test("monte_carlo", float(np.quantile(drawn.drawdown, 0.05)), None, None, detail)


def _trials(surface: Surface, one: Candidate) -> Trials | str:
    """Block sums, or why there are none."""
    try:
        return trial_blocks(surface, one.candles)
    except InputError as error:
        return str(error).rstrip(".")


def _cell(surface: Surface, one: Candidate) -> Cell:
    """The candidate on its surface."""
    mesh = surface.cells.mesh()
    same = np.ones(surface.shape, bool)
    for name, value in one.params.items():
        same &= np.broadcast_to(mesh[name] == value, surface.shape)
    if not same.any():
        raise InputError(
            f"{dict(one.params)} is no cell of {surface!r}: give the surface that it was chosen on."
        )
    return surface.cell(tuple(int(i) for i in np.unravel_index(int(np.argmax(same)), surface.shape)))


def _needed(returns: np.ndarray) -> float:
    return minimum_track_record(sharpe(returns, 1.0), skewness(returns), kurtosis(returns), 0.0, CONFIDENCE)


_OF_CELLS = {"dsr", "pbo", "cpcv", "expected_sharpe"}


def _said_of_evaluated(test: Test) -> Test:
    if test.name not in _OF_CELLS or test.value is None:
        return test
    return replace(test, detail=f"{test.detail} Said of the cells that the search evaluated, no more.")


def _unmeasured(name: str, why: str) -> Test:
    return Test(name, None, None, None, f"not measured: {why}.")
