"""Does a strategy look into the future? Cut the candles, change what follows, replay, compare, and say where.

A decision at bar t may depend on bars up to t only. So two runs must be equal; the decisions on a prefix
must be the prefix of the decisions; whatever replaces the bars after a cut must leave those before it
alone; and a bot that knows the warm-up and no more must decide the same at every signal. What breaks one
of these is located: how many bars ahead, which column, which clause.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.signals import Strategy, find_strategy
from quantlab.space import Cells, Points
from quantlab.validation.battery import Battery, Change, leak
from quantlab.validation.decisions import Decider, Part, different
from quantlab.validation.findings import Finding, LookaheadReport, field_words, moment_words, plain_words
from quantlab.validation.live import Mismatch, Replayed, Watch, at, replay, window
from quantlab.validation.locate import locate
from quantlab.validation.thinning import busiest, thinned

CUTS = 4
REPLAYS = 5_000
_EXAMPLES = 3
_LEAST_BARS = 20


def find_lookahead(
    strategy: str | Strategy,
    candles: Candles,
    cells: Cells | None = None,
    *,
    live: Sequence[Mapping[str, Any]] | None = None,
    cuts: int = CUTS,
    replays: int = REPLAYS,
    seed: int | None = None,
    progress: bool = False,
) -> LookaheadReport:
    """Look for decisions that know later bars, on whole grids at once, and say where they look.

    Parameters
    ----------
    strategy : str or Strategy
        Its name in the registry, or the strategy itself.
    candles : Candles
        At least 20 bars. More bars and more signals show more.
    cells : Grid or Points, optional
        By default the reference grid, thinned where it is large; the report says to how many cells.
    live : sequence of mapping, optional
        Cells whose signals are replayed from the warm-up. By default four, from many entries to few.
    cuts : int
        Each costs three evaluations of all cells.
    replays : int
        Windows, at most; 0 replays nothing.
    seed : int, optional
        Of the cuts and the wild futures. By default it follows from the candles, so that the same call
        gives the same report.
    progress : bool
        Show a progress bar.

    Returns
    -------
    LookaheadReport
        Findings are a result, not an exception.

    Raises
    ------
    InputError
        Fewer than 20 bars, or no cell satisfies the constraints.
    """
    from tqdm.auto import tqdm

    began, found = time.perf_counter(), find_strategy(strategy)
    if len(candles) < _LEAST_BARS:
        raise InputError(
            f"look-ahead is looked for on at least {_LEAST_BARS} bars, got {len(candles)}: load more."
        )
    seed = int(candles.fingerprint[:8], 16) if seed is None else seed
    given = cells if cells is not None else found.grid()
    cells = thinned(given, len(candles))
    if not cells.allowed.any():
        raise InputError(f"no cell of {found.name} satisfies {found.space.constraints}: choose other values.")
    with tqdm(disable=not progress, desc=f"look-ahead of {found.name}", leave=False) as bar:

        def watch(total: int) -> None:
            bar.total = total
            bar.update()

        battery = Battery(found, candles, cells, cuts, seed)
        findings = battery.findings()
        replayed = Replayed(0, 0, 0, 0, 0, ())
        if replays and not any(finding.kind == "repetition" for finding in findings):
            chosen = found.space.points(list(live)) if live is not None else busiest(battery.whole, cells)
            findings, replayed = _with_replay(battery, findings, chosen, replays, watch)
    order = ("repetition", "raises", "lookahead", "fields", "warmup")
    return LookaheadReport(
        strategy=found.name,
        market=f"{candles.exchange} {candles.symbol} {candles.timeframe}",
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.kind))),
        looked_at=_looked_at(battery, given.size, replayed),
        evaluations=battery.evaluations + replayed.evaluations,
        replayed=replayed.bars,
        changes=replayed.changes,
        changes_replayed=replayed.changes_replayed,
        seconds=time.perf_counter() - began,
    )


def _with_replay(
    battery: Battery, findings: list[Finding], cells: Points, most: int, watch: Watch
) -> tuple[list[Finding], Replayed]:
    """The findings with what the replay adds."""
    strategy, candles = battery.strategy, battery.candles
    try:
        replayed = replay(strategy, candles, cells, most, battery.seed, watch)
    except Exception as error:
        note = "; ".join(getattr(error, "__notes__", ()))
        detail = f"on the warm-up alone it raised {type(error).__name__}: {error} ({note})"
        return [*findings, Finding("raises", "", detail)], Replayed(cells.size, 0, 0, 0, 0, ())
    known = {finding.field for finding in findings if finding.kind == "lookahead"}
    return [*findings, *replay_findings(strategy, candles, replayed, battery.seed, known)], replayed


def replay_findings(
    strategy: Strategy, candles: Candles, replayed: Replayed, seed: int, known: Collection[str] = ()
) -> list[Finding]:
    """What the mismatches of a replay mean: leaks, or a warm-up that is too short and one that is enough.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    replayed : Replayed
    seed : int
    known : collection of str
        Fields that leak: what their warm-up lacks can be told when the leak is closed.
    """
    found: list[Finding] = []
    for name in dict.fromkeys(mismatch.field for mismatch in replayed.mismatches):
        mismatches = [mismatch for mismatch in replayed.mismatches if mismatch.field == name]
        short: list[tuple[Mismatch, int]] = []
        if name in known:
            continue
        for mismatch in _examples(mismatches):
            judged = _judge(strategy, candles, mismatch, seed)
            if isinstance(judged, Finding):
                found.append(replace(judged, seen=len(mismatches), of_runs=replayed.bars))
                break
            short.append((mismatch, judged))
        else:
            found.append(_short_warmup(candles, short, len(mismatches), replayed.bars))
    return found


def _examples(mismatches: list[Mismatch]) -> list[Mismatch]:
    """A few mismatches, spread, those first on which something was decided."""
    told = sorted(mismatches, key=lambda mismatch: mismatch.was is not True)
    return [told[i] for i in sorted({*np.linspace(0, len(told) - 1, _EXAMPLES).astype(int).tolist()})]


def _judge(strategy: Strategy, candles: Candles, mismatch: Mismatch, seed: int) -> Finding | int:
    """Look-ahead, or the bars of history with which the decision is right (all before it: ``bar + 1``)."""
    decider, bar = Decider(strategy, strategy.space.points([mismatch.params])), mismatch.bar

    def right(bars: int) -> bool:
        now = at(decider.arrays(window(candles, bar, bars)).get(mismatch.field, np.zeros(1)), -1)
        return not different(np.asarray(mismatch.was), now, 1e-6).any()

    if not right(bar + 1):
        part = Part(mismatch.field)
        change = Change(
            part, mismatch.params, bar, mismatch.was, mismatch.now, True, bar + 1, "not known yet", candles
        )
        return leak(change, locate(decider, candles, mismatch.field, [bar], seed))
    low, high = mismatch.warmup, mismatch.warmup
    while high < bar + 1 and not right(high):
        low, high = high, min(2 * high, bar + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if right(middle) else (middle, high)
    return high


def _short_warmup(candles: Candles, short: list[tuple[Mismatch, int]], mismatches: int, bars: int) -> Finding:
    mismatch, needed = max(short, key=lambda pair: pair[1])
    moment = moment_words(int(candles.timestamps[mismatch.bar]), mismatch.bar)
    everything = needed > 0.9 * (mismatch.bar + 1)
    remedy = (
        "it remembers all history: let it forget, or a bot that starts later decides otherwise"
        if everything
        else f"declare a warm-up of at least {needed:,} bars, or read fewer"
    )
    what, was, now = field_words(mismatch.field), plain_words(mismatch.was), plain_words(mismatch.now)
    detail = (
        f"{what} at {moment} of the cell {mismatch.params} is {was} on the whole history and {now} on the "
        f"{mismatch.warmup:,} bars of its warm-up; no later bar is involved: {remedy}. {mismatches:,} of "
        f"{bars:,} replayed decisions differ."
    )
    return Finding(
        "warmup",
        mismatch.field,
        detail,
        mismatch.bar,
        int(candles.timestamps[mismatch.bar]),
        mismatch.params,
        needed_bars=needed,
        seen=mismatches,
        of_runs=bars,
    )


def _looked_at(battery: Battery, cells: int, replayed: Replayed) -> str:
    candles = battery.candles
    of = f"{cells:,} cell{'s' * (cells > 1)}"
    if battery.cells.size < cells:
        of = f"{battery.cells.size:,} of {of}"
    cuts = f"{len(battery.cuts)} cuts (bars {', '.join(f'{cut:,}' for cut in battery.cuts)})"
    live = f"{replayed.cells} cell{'s' * (replayed.cells != 1)} replayed from their warm-up"
    return (
        f"Looked at {of} on {len(candles):,} bars: two runs; bars cut off, three times and a third as high "
        f"after {cuts}, after one with lost bars too; {replayed.changes_replayed:,} of {replayed.changes:,} "
        f"signal changes of {live}, {replayed.bars:,} bars in all. "
        f"{battery.evaluations + replayed.evaluations:,} evaluations."
    )
