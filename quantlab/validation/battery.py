"""Determinism, prefixes and other futures on whole grids at once: what changes with bars that come later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantlab.market.candles import Candles
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.validation.decisions import FLAGS, Decider, Decisions, Part, different, read
from quantlab.validation.findings import Finding, distance_words, field_words, moment_words, plain_words
from quantlab.validation.futures import FACTORS, choose_cuts, futures, losing
from quantlab.validation.live import at
from quantlab.validation.locate import Location, locate

_EXAMPLES = 3


@dataclass(frozen=True)
class Change:
    """A part of the decisions that changed with the future, in one comparison.

    Parameters
    ----------
    part : Part
    params : mapping
        A cell that shows it.
    bar : int
        The last decision before the cut that shows it, of an entry that was taken where there is one.
    was, now : scalar
        Of the field where it changed itself, else of the part.
    decided : bool
        Whether the field changed itself and not only a clause of it.
    cut : int
    future : str
        What was done to the bars from `cut` on.
    candles : Candles
        The candles that were cut.
    others : tuple of int
        More bars of the cell that show it.
    """

    part: Part
    params: dict[str, Any]
    bar: int
    was: Any
    now: Any
    decided: bool
    cut: int
    future: str
    candles: Candles
    others: tuple[int, ...] = ()


def leak(shown: Change, where: Location | None) -> Finding:
    """The finding for a change, with where it looks if that is known."""
    clause, of = (where.clause, where.of) if where else (shown.part.clause, shown.part.of)
    moment = moment_words(int(shown.candles.timestamps[shown.bar]), shown.bar)
    goes = f"goes from {plain_words(shown.was)} to {plain_words(shown.now)}"
    if not shown.decided:
        goes = "stays on these candles, but a clause of it changes"
    looks = "It looks ahead among other cells only."
    if where:
        columns = f" ({', '.join(where.columns)})" if where.columns else ""
        through = f", through clause {clause} of {of}" if clause else ""
        looks = f"It depends {distance_words(where.nearest, where.furthest, where.to_end)}{columns}{through}."
    detail = (
        f"{field_words(shown.part.field)} at {moment} of the cell {shown.params} {goes} when the bars "
        f"from {shown.cut:,} on are {shown.future}. {looks}"
    )
    return Finding(
        kind="lookahead",
        field=shown.part.field,
        detail=detail,
        bar=shown.bar,
        time_ms=int(shown.candles.timestamps[shown.bar]),
        params=shown.params,
        clause=clause,
        of=of,
        nearest=where.nearest if where else None,
        furthest=where.furthest if where else None,
        to_end=bool(where and where.to_end),
        columns=where.columns if where else (),
        decided=shown.decided,
    )


class Battery:
    """Determinism, prefixes and other futures on all cells at once.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
    cells : Grid or Points
    cuts : int
        At least one more is made than there are kinds of signals.
    seed : int
    """

    def __init__(self, strategy: Strategy, candles: Candles, cells: Cells, cuts: int, seed: int) -> None:
        self.strategy, self.candles, self.cells, self.seed = strategy, candles, cells, seed
        self._decider = Decider(strategy, cells)
        self._others = 0
        self.whole = self._decider(candles)
        flags = {name: self.whole.whole(name) for name in FLAGS}
        fired = [np.asarray(a.any(axis=tuple(range(a.ndim - 1)))) for a in flags.values() if a is not None]
        rng = np.random.default_rng(seed)
        self.cuts = choose_cuts(candles, [f for f in fired if f.any()], max(cuts, len(fired) + 1), rng)
        self.lossy = self.cuts[int(rng.integers(len(self.cuts)))]

    @property
    def evaluations(self) -> int:
        """Of the strategy so far."""
        return self._decider.evaluations + self._others

    @property
    def runs(self) -> int:
        """Comparisons with another future."""
        return (len(FACTORS) + 1) * (len(self.cuts) + 1)

    def findings(self) -> list[Finding]:
        """All findings, one per field and clause; if two runs differ, that alone."""
        again = self._decider(self.candles)
        for change in self._changes(self.candles, self.whole, again, len(self.candles), "run again"):
            if not isinstance(change, Finding):
                change = self._repetition(change)
            return [change]
        seen: dict[tuple[str, int], list[Change]] = {}
        odd: dict[tuple[str, str], Finding] = {}
        for found in self._all_changes():
            if isinstance(found, Finding):
                odd.setdefault((found.kind, found.field), found)
            else:
                seen.setdefault((found.part.field, found.part.clause), []).append(found)
        return [*odd.values(), *(self._leak(changes) for changes in seen.values())]

    def _all_changes(self) -> Iterator[Change | Finding]:
        for cut in self.cuts:
            yield from self._cut_changes(self.candles, self.whole, cut, "")
        lossy = losing(self.candles, self.lossy)
        where = "lost bars before the cut, and the bars after it "
        try:
            whole = self._decider(lossy)
        except Exception as error:
            yield self._raised(error, f"candles with lost bars before bar {self.lossy:,}")
            return
        yield from self._cut_changes(lossy, whole, self.lossy, where)

    def _cut_changes(
        self, candles: Candles, whole: Decisions, cut: int, words: str
    ) -> Iterator[Change | Finding]:
        for future, other in futures(candles, cut, self.seed):
            try:
                decided = self._decider(other)
            except Exception as error:
                yield self._raised(error, f"candles whose bars from {cut:,} on are {words}{future}")
                continue
            yield from self._changes(candles, whole, decided, cut, words + future)

    def _changes(
        self, candles: Candles, before: Decisions, after: Decisions, cut: int, future: str
    ) -> Iterator[Change | Finding]:
        """One change per field and clause."""
        if odd := {part.field for part in {*before.parts} ^ {*after.parts}}:
            name = min(odd)
            detail = (
                f"`{name}` is returned only sometimes, or not always with the same clauses: otherwise when "
                f"the bars from {cut:,} on are {future}. Always return the same fields and clauses."
            )
            yield Finding("fields", name, detail)
            return
        done = set()
        for part, a in before.parts.items():
            if (part.field, part.clause) in done:
                continue
            a, b = a[..., :cut], after.parts[part][..., :cut]
            mask = different(a, b)
            if mask.any():
                ready = before.ready(part.field)
                mask = mask & ready[..., : mask.shape[-1]] & read(self.cells, mask.shape)
            if mask.any():
                done.add((part.field, part.clause))
                yield self._change(part, (a, b), mask, (before, after), cut, future, candles)

    def _change(
        self,
        part: Part,
        values: tuple[np.ndarray, np.ndarray],
        mask: np.ndarray,
        runs: tuple[Decisions, Decisions],
        cut: int,
        future: str,
        candles: Candles,
    ) -> Change:
        """What to show of a part that changed: the last entry that is gone, else the last change."""
        was, now = values
        decided = True
        if part.clause or part.side:  # does the entry itself change?
            before, after = (run.whole(part.field) for run in runs)
            assert before is not None  # the part is of this field
            assert after is not None
            before, after = before[..., :cut], after[..., :cut]
            both = (
                different(before, after)
                & mask
                & read(self.cells, np.broadcast_shapes(before.shape, mask.shape))
            )
            decided = bool(both.any())
            if decided:
                mask, was, now = both, before, after
        first = mask & was if was.dtype == np.bool_ and (mask & was).any() else mask
        bar = int(np.flatnonzero(first.any(axis=tuple(range(first.ndim - 1))))[-1])
        cells = np.broadcast_to(at(first, bar), self.cells.shape) & self.cells.allowed
        cell = np.unravel_index(int(np.argmax(cells)), cells.shape) if cells.shape else ()
        index = tuple(int(i) for i in cell)
        one, other = (np.broadcast_to(at(x, bar), self.cells.shape)[index].item() for x in (was, now))
        bars = np.flatnonzero(np.broadcast_to(mask, (*self.cells.shape, mask.shape[-1]))[index])
        others = (*bars[-_EXAMPLES:].tolist(), int(bars[len(bars) // 2]))
        return Change(part, self.cells.cell(index), bar, one, other, decided, cut, future, candles, others)

    def _leak(self, changes: list[Change]) -> Finding:
        shown = next((change for change in changes if change.decided), changes[0])
        decider = Decider(self.strategy, self.strategy.space.points([shown.params]))
        bars = sorted({shown.bar, *shown.others})
        where = locate(decider, shown.candles, shown.part.field, bars, self.seed, shown.part.clause)
        self._others += decider.evaluations
        finding = leak(shown, where)
        return replace(finding, seen=len(changes), of_runs=self.runs)

    def _repetition(self, change: Change) -> Finding:
        moment = moment_words(int(self.candles.timestamps[change.bar]), change.bar)
        detail = (
            f"{field_words(change.part.field)} at {moment} of the cell {change.params} differs between two "
            "runs on the same candles: keep no state, draw no random numbers. Nothing else can be looked for."
        )
        return Finding("repetition", change.part.field, detail, change.bar, params=change.params)

    def _raised(self, error: Exception, situation: str) -> Finding:
        return Finding("raises", "", f"on {situation} it raised {type(error).__name__}: {error}")
