"""The gate: run the evidence on one search and say yes or no, with reasons.

Order: integrity first (trades, activity, costs, missing bars, look-ahead, a second engine), then the
statistics that decide (the whole search again on markets without an edge, superior ability, the most recent
data, higher costs, a delay), then what is only reported. The gate reads the candles it is handed and nothing
else.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.backtest.daily import DAY_MS
from quantlab.backtest.markets import plain_surface
from quantlab.backtest.surface import Cell, Surface
from quantlab.backtest.sweep import surface_key
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.progress import tell
from quantlab.space import Grid
from quantlab.validation import evidence, together
from quantlab.validation.again import SameCells
from quantlab.validation.budget import Standing
from quantlab.validation.ensemble import chosen
from quantlab.validation.reported import reported
from quantlab.validation.rerun import Rerun
from quantlab.validation.snooping import search_rerun, superior
from quantlab.validation.splits import Split, day_starts, walk_forward
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Evidence, Test, Verdict, conclude
from quantlab.validation.walkforward import Search, WalkForward, at_rate, refit, trade_together

__all__ = ["Gate", "candidate", "validate", "verdict_key", "windows"]

LEAST_TEST_DAYS = 10

_NULLS, _NULLS_WEIGH = "markets without an edge", 40


def validate(
    surface: Surface,
    candles: Candles,
    *,
    alpha: float | None = None,
    folds: int | None = None,
    gate: Gate | None = None,
    search: Search | None = None,
    trials_ever: int | None = None,
    standing: Standing | None = None,
    earlier: Rerun | None = None,
    drawn: Callable[[Rerun], None] | None = None,
    progress: bool = True,
    cluster: Any = None,
) -> Verdict:
    """Judge what a search would export, its plateau or its ensemble, on the candles it was made on.

    The search is run again on markets without an edge, hundreds of times where it found something, on each
    walk-forward training slice and on the history without its most recent part. What is drawn follows from
    fixed seeds: the same call gives the same verdict.

    Parameters
    ----------
    surface : Surface
        What the search found on all of `candles`.
    candles : Candles
        The same candles, known by their fingerprint.
    alpha, folds : optional
        Shortcuts for the settings of `gate` of that name.
    gate : Gate, optional
        Every threshold; recorded in the verdict.
    search : callable ``(candles) -> Surface``, optional
        The complete search. By default the grid of the surface is swept again. A search that looked at
        results on its way (a sampler, a list of points picked by hand) must be given.
    trials_ever : int, optional
        Trials ever made on these candles; follows from `standing`.
    standing : Standing, optional
        Where the search stands in the ledger: the k-th search may spend its share of `alpha` and no more.
        Without it the verdict says that no ledger was asked, and all of `alpha` may be spent.
    earlier : Rerun, optional
        What an interrupted call had drawn, to go on from there.
    drawn : callable ``(Rerun) -> None``, optional
        Told once a second what was drawn so far.
    progress : bool
        Show a progress bar.
    cluster : distributed.Client, Dask cluster or str, optional
        Run the search on null markets on its workers, to the same verdict.

    Returns
    -------
    Verdict
        A refusal is a result, not an exception.

    Raises
    ------
    InputError
        If the candles are not those of the surface, it was filled at the close, the history is too short
        for the folds, no cell of the search satisfies its constraints, or the surface is a part of a search,
        a list of points, or the work of other code, and no `search` was given.
    Interrupted
        On Ctrl-C while null markets were drawn, with what was drawn: hand it over as `earlier`.
    """
    surface = plain_surface(surface)
    gate = gate or Gate()
    gate = replace(gate, alpha=gate.alpha if alpha is None else alpha)
    gate = replace(gate, folds=gate.folds if folds is None else folds)
    _check_same_candles(surface, candles)
    if surface.execution.fill == "close":
        raise InputError(
            'a surface with fill="close" is for comparison only, because nobody can trade at the close that '
            'decides: sweep with fill="open" to have it judged.'
        )
    if surface.intrabar is not None:
        raise InputError(
            f"the gate judges fills by whole bars, this surface was swept with {surface.intrabar.timeframe} "
            "candles inside them: sweep without `intrabar` to have it judged."
        )
    adaptive, search = search is not None, search or _same_search(surface, candles)
    level = standing.share(gate.alpha) if standing else gate.alpha
    cut = windows(candles, gate)
    members = chosen(surface, gate) if gate.choice == "ensemble" else ()
    cell = candidate(surface, gate)
    ones = [
        evidence.Candidate(surface.strategy, candles, each.params, surface.execution)
        for each in members or (cell,)
    ]
    runs = [one.run() for one in ones]
    with _Steps(gate.folds + 3, progress) as step:
        step("integrity")
        tests = together.integrity(ones, surface.cells, runs, gate)
        step(_NULLS)
        drawing: dict[str, Any] = {"earlier": earlier, "drawn": step.hears(drawn), "progress": progress}
        again, nulls = search_rerun(surface, search, candles, gate, level, cluster=cluster, **drawing)
        tests += [again] if adaptive else [again, superior(surface, candles, gate, level)]
        step("most recent data")
        tests.append(_recent(surface, candles, search, gate))
        step("stress and fills")
        tests += together.stress(ones, gate)
        table, walked = _walk(surface, candles, search, cut, gate, step)
        filled, fills = evidence.fill_assumptions(ones[0])
    tried = int(np.count_nonzero(surface.cells.allowed))
    trials_ever = standing.trials if standing else trials_ever
    tests += [
        walked,
        filled,
        *reported(ones[0], surface, runs[0], table, gate, search if adaptive else None, nulls=nulls),
        evidence.plateau_or_peak(surface, cell, gate),
        together.beside(surface, candles, cell, gate),
        evidence.trials(tried, trials_ever, standing, gate.alpha),
    ]
    return conclude(
        Evidence(tuple(tests), table, fills, tried, trials_ever, gate, standing, nulls, adaptive),
        cell=cell,
        strategy=surface.strategy.name,
        surface_key=surface.key,
        market=surface.identity.to_json(),
        execution=surface.execution.to_json(),
        members=members,
    )


@functools.cache
def code_hash() -> str:
    """SHA-256 (hex) over the sources of the gate and of the choice of a cell, besides the engine."""
    package = Path(__file__).resolve().parents[1]
    chosen_by = [package / "backtest" / f"{name}.py" for name in ("plateau", "timing", "score_kernels")]
    files = [*sorted((package / "validation").glob("*.py")), *chosen_by]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def verdict_key(surface: Surface, gate: Gate) -> str:
    """SHA-256 (hex) of everything that decides a verdict: the surface, the settings, the gate's own code."""
    what = [surface.key, code_hash(), asdict(gate)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def candidate(surface: Surface, gate: Gate) -> Cell:
    """The cell that is judged: the middle of the plateau among cells that trade enough.

    Of an ensemble it is the best member. If no cell trades enough it is the one that trades most, so that
    there is something to show; the test of the number of trades refuses it.

    Parameters
    ----------
    surface : Surface
    gate : Gate

    Raises
    ------
    InputError
        If every cell breaks a constraint.
    """
    trades = surface["trades"]
    if np.isnan(trades).all():
        raise InputError(
            f"at least one cell must satisfy the constraints {surface.strategy.space.constraints}."
        )
    cells = chosen(surface, gate)
    if cells:
        return cells[0]
    most = np.unravel_index(int(np.nanargmax(trades)), surface.shape)
    return surface.cell(tuple(int(i) for i in most))


def windows(candles: Candles, gate: Gate) -> list[Split]:
    """The walk-forward splits of the gate: windows begin with a UTC day and last at least ten days.

    Parameters
    ----------
    candles : Candles
    gate : Gate

    Raises
    ------
    InputError
        If the history is too short.
    """
    starts = day_starts(candles.timestamps)
    days = len(starts) * (1.0 - gate.first) / gate.folds
    if days < LEAST_TEST_DAYS:
        raise InputError(
            f"each of {gate.folds} test windows needs {LEAST_TEST_DAYS} days, got {days:.1f} from "
            f"{len(starts)} days of candles: use fewer folds or a longer history."
        )
    embargo = gate.embargo_days * max(1, DAY_MS // candles.step_ms)
    return walk_forward(len(candles), gate.folds, gate.first, embargo, rolling=gate.rolling, borders=starts)


def _check_same_candles(surface: Surface, candles: Candles) -> None:
    if surface.identity.fingerprint != candles.fingerprint:
        of = surface.identity
        raise InputError(
            f"a surface is judged on the candles it was made on ({of.exchange} {of.symbol} {of.timeframe}, "
            f"{of.bars:,} bars, fingerprint {of.fingerprint[:12]}), got {candles!r} with fingerprint "
            f"{candles.fingerprint[:12]}: load those candles or sweep these."
        )


def _same_search(surface: Surface, candles: Candles) -> Search:
    if not isinstance(surface.cells, Grid):
        raise InputError(
            f"a list of {surface.size:,} points may have been picked by looking at these candles: "
            "give the search that picked them as `search`, a function of candles."
        )
    if surface.key != surface_key(surface.strategy, candles, surface.cells, surface.execution):
        raise InputError(
            "a surface is judged whole and by the code that made it, but this one is a part of a search "
            f"(key {surface.key[:12]}) or was made by other code: sweep the grid again."
        )

    return SameCells(surface.strategy, surface.cells, surface.execution)


def _walk(
    surface: Surface,
    candles: Candles,
    search: Search,
    folds: list[Split],
    gate: Gate,
    step: Callable[[str], None],
) -> tuple[WalkForward, Test]:
    begin = time.perf_counter()
    table = refit(
        surface.strategy,
        candles,
        search,
        surface.execution,
        folds,
        metric=gate.metric,
        min_trades=gate.min_trades,
        choice=lambda found, least: chosen(found, gate, least),
        step=step,
    )
    test = evidence.walk_forward(table)
    return table, replace(test, seconds=time.perf_counter() - begin)


def _recent(surface: Surface, candles: Candles, search: Search, gate: Gate) -> Test:
    begin = time.perf_counter()
    share = replace(gate, folds=1, first=1.0 - gate.recent)
    split = windows(candles, share)[0]
    known = candles[split.train]
    cells = chosen(search(known), gate, at_rate(gate.min_trades, len(known), len(candles)))
    params = [cell.params for cell in cells]
    window = trade_together(surface.strategy, candles, params, surface.execution, split.test)
    found = evidence.recently(window, cells[0] if cells else None, gate)
    return replace(found, seconds=time.perf_counter() - begin)


class _Steps:
    """A progress bar of named steps; the step that is told begins. Whoever listens hears how far it is.

    The null markets take as long as `_NULLS_WEIGH` other steps.
    """

    def __init__(self, others: int, shown: bool) -> None:
        from tqdm.auto import tqdm

        self._total = others + _NULLS_WEIGH
        self._bar = tqdm(total=self._total, disable=not shown, desc="validate", leave=False)
        self._weight, self._done = 0, 0

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()

    def __call__(self, name: str) -> None:
        self._bar.update(self._weight)
        self._done += self._weight
        self._weight = _NULLS_WEIGH if name == _NULLS else 1
        tell(self._done / self._total, name)
        self._bar.set_description(name)

    def hears(self, drawn: Callable[[Rerun], None] | None) -> Callable[[Rerun], None]:
        """`drawn`, and whoever listens is told how many null markets there were."""

        def told(found: Rerun) -> None:
            if drawn is not None:
                drawn(found)
            tell((self._done + self._weight * found.share) / self._total, found.so_far)

        return told
