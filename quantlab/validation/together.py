"""The tests of cells that would trade together: each must hold for every one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from quantlab.backtest.surface import Cell, Surface, sign
from quantlab.backtest.trades import Run
from quantlab.market.candles import Candles
from quantlab.space import Cells
from quantlab.validation import evidence
from quantlab.validation.ensemble import LEAST, choose_ensemble, record, runs_of
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Test


def integrity(
    ones: Sequence[evidence.Candidate], cells: Cells, runs: Sequence[Run], gate: Gate
) -> list[Test]:
    """Trades, activity, costs, missing bars, the time rule and the second engine, of every candidate.

    Parameters
    ----------
    ones : sequence of Candidate
        At least one, all on the same candles.
    cells : Grid or Points
        Of the search, looked at once.
    runs : sequence of Run
        Of each candidate.
    gate : Gate
    """
    one, both = ones[0], list(zip(ones, runs, strict=True))
    own = [cells, *(other.strategy.space.points([dict(other.params)]) for other in ones[1:])]
    rules = [evidence.time_rule(other, looked) for other, looked in zip(ones, own, strict=True)]
    return [
        every([evidence.enough_trades(run, gate) for run in runs]),
        every([evidence.enough_activity(run, one.candles, gate) for run in runs]),
        evidence.costs_charged(one.execution),
        evidence.few_missing(one.candles, gate),
        every([causality for causality, _ in rules]),
        every([parity for _, parity in rules]),
        every([evidence.second_engine(other, run) for other, run in both]),
    ]


def stress(ones: Sequence[evidence.Candidate], gate: Gate) -> list[Test]:
    """Higher costs and a delay, survived by every candidate."""
    asked: tuple[Callable[[evidence.Candidate, Gate], Test], ...] = (
        evidence.survives_costs,
        evidence.survives_delay,
    )
    return [every([test(one, gate) for one in ones]) for test in asked]


def every(tests: Sequence[Test]) -> Test:
    """One test that passes if each of these does: the first that failed, else the first."""
    if len(tests) == 1:
        return tests[0]
    failed = [place for place, test in enumerate(tests) if not test.passed]
    seconds = sum(test.seconds for test in tests)
    if not failed:
        said = f"holds for each of {len(tests)} members; of the best one: {tests[0].detail}"
        return replace(tests[0], detail=said, seconds=seconds)
    shown = tests[failed[0]]
    said = f"fails for {len(failed)} of {len(tests)} members; of member {failed[0] + 1}: {shown.detail}"
    return replace(shown, detail=said, seconds=seconds)


def beside(surface: Surface, candles: Candles, cell: Cell, gate: Gate) -> Test:
    """The ensemble beside the chosen cell and the single best one, on the whole history; reported."""
    begin, name = time.perf_counter(), "ensemble"
    members = choose_ensemble(surface, gate.metric, gate.min_trades)
    if not members:
        detail = f"fewer than {LEAST} cells traded {gate.min_trades} times: there is no ensemble."
        return Test(name, None, None, None, detail)
    values = sign(gate.metric) * surface.eligible(gate.metric, gate.min_trades)
    peak = surface.cell(tuple(int(i) for i in np.unravel_index(int(np.nanargmax(values)), surface.shape)))
    runs = runs_of(surface.strategy, candles, (*members, cell, peak), surface.execution)
    found = record(runs[: len(members)])
    detail = (
        f"the {len(members)} best cells together: {found}; the chosen cell: {record(runs[-2:-1])}; "
        f"the single best: {record(runs[-1:])}. All of them on the history they were chosen on."
    )
    return Test(name, found.sharpe, None, None, detail, time.perf_counter() - begin)
