"""The loop of a search: ask, evaluate in one sweep call, tell; it ends at any moment and goes on later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.surface import Surface, identity
from quantlab.backtest.sweep import surface_key, sweep
from quantlab.errors import InputError
from quantlab.market.candles import Candles
from quantlab.search.codes import Seen, allowed, codes_of
from quantlab.search.grid import GridSampler
from quantlab.search.journal import Batch, Journal
from quantlab.search.objective import Objective, Searched
from quantlab.search.sampler import Proposed, Sampler
from quantlab.signals import Strategy
from quantlab.space import Cells, Grid, Points

if TYPE_CHECKING:
    import pandas as pd

Ended = Literal["budget", "exhausted", "interrupted"]
OnBatch = Callable[["pd.DataFrame"], None]


@dataclass(frozen=True, eq=False)
class Part:
    """One evaluated batch: its surface, the share of the history, and its scores.

    Attributes
    ----------
    surface : Surface or MarketSurface
    share : float
    scores : float64 array (allowed cells, objectives)
    asked : int
        Cells that the sampler was asked for.
    """

    surface: Searched
    share: float
    scores: np.ndarray
    asked: int

    @property
    def counted(self) -> bool:
        """Whether the ledger of a lab counted its cells."""
        return all(
            one.counted for one in ([self.surface] if isinstance(self.surface, Surface) else self.surface)
        )


class Loop:
    """Ask, evaluate and tell; holds the batches that are finished.

    Parameters
    ----------
    sampler : Sampler
    strategy : Strategy
    candles : Candles or sequence of Candles
    execution : Execution
    objective : Objective
    """

    def __init__(
        self,
        sampler: Sampler,
        strategy: Strategy,
        candles: Candles | Sequence[Candles],
        execution: Execution,
        objective: Objective,
    ) -> None:
        self._sampler, self._strategy, self._candles = sampler, strategy, candles
        self._execution, self._objective = execution, objective
        self._seen: dict[float, Seen] = {}
        self.parts: list[Part] = []
        self.done = 0

    def replay(self, batches: Sequence[Batch], trials: int, on_batch: OnBatch | None) -> None:
        """Take over batches of an earlier session, without evaluating them again."""
        recall = getattr(self._sampler, "recall", None)
        for batch in batches:
            if self.done >= trials:
                break
            if recall is None:
                cells, asked = self._ask(batch.asked)
                share = getattr(self._sampler, "history", 1.0)
                if cells is None or share != batch.share or not self._same(cells, batch.cells):
                    raise InputError(
                        f"the sampler {self._sampler.name} proposes other cells than when this search was "
                        f"begun (batch {len(self.parts) + 1}): a package that it uses has changed, so "
                        "search anew."
                    )
            else:
                asked = batch.cells
                self._check(batch.cells, batch.asked)
            surface = batch.surface(self._empty(batch.share))
            part = Part(surface, batch.share, self._objective.scores(surface, batch.share), batch.asked)
            self._tell(recall or self._sampler.tell, asked, part)
            if on_batch:
                on_batch(surface.to_frame())

    def until(
        self, trials: int, batch: int, progress: bool, on_batch: OnBatch | None, journal: Journal | None
    ) -> Ended:
        """Search until the budget is spent, no cell is left, or Ctrl-C; say which."""
        name = f"{self._strategy.name} {self._sampler.name}"
        with _bar(name, trials, self.done, progress) as show:
            try:
                while self.done < trials:
                    n = min(batch, trials - self.done)
                    cells, asked = self._ask(n)
                    if cells is None:
                        return "exhausted"
                    share = getattr(self._sampler, "history", 1.0)
                    market = self._history(share)
                    surface = sweep(self._strategy, market, cells, self._execution, progress=False)
                    part = Part(surface, share, self._objective.scores(surface, share), n)
                    if journal is not None:
                        journal.save(Batch.of(n, share, surface))
                    self._tell(self._sampler.tell, asked, part)
                    if on_batch:
                        on_batch(surface.to_frame())
                    show(len(part.scores))
            except KeyboardInterrupt:
                if not self.done:
                    raise
                return "interrupted" if self.done < trials else "budget"
            except Exception as error:
                error.add_note(f"while searching {name} after {self.done} of {trials} trials")
                raise
        return "budget"

    def _ask(self, n: int) -> tuple[Cells | None, Proposed]:
        """What the sampler proposes, as cells of the strategy's own space and as it came."""
        asked = self._sampler.ask(n)
        if asked is None or (isinstance(asked, Sequence) and not asked):
            return None, asked
        space = self._strategy.space
        if isinstance(asked, Grid):
            cells: Cells = replace(asked, space=space)
        elif isinstance(asked, Points):
            cells = Points(
                space, {p.name: p.check(asked.columns[p.name], space.owner) for p in space.parameters}
            )
        else:
            cells = space.points(asked)
        self._check(cells, n)
        return cells, asked

    def _tell(self, tell: Any, asked: Proposed, part: Part) -> None:
        scores = part.scores
        if isinstance(asked, Grid) and len(scores) < asked.size:
            scores = np.full((asked.size, scores.shape[1]), np.nan)
            scores[np.ravel(asked.allowed)] = part.scores
        tell(asked, scores if len(self._objective.metrics) > 1 else scores[:, 0])
        self.parts.append(part)
        self.done += len(part.scores)

    def _check(self, cells: Cells, n: int) -> None:
        """Refuse what would be counted wrongly: too many cells, a forbidden one, one evaluated before."""
        name, space = self._sampler.name, self._strategy.space
        if cells.size > n:
            raise InputError(f"the sampler {name} was asked for {n} cells and proposed {cells.size}.")
        if isinstance(self._sampler, GridSampler):
            return  # its blocks are parts of one grid: no cell comes twice, forbidden ones are left out
        codes = codes_of(space, cells)
        if isinstance(cells, Grid):
            codes = codes[np.ravel(cells.allowed)]
        elif not (holds := allowed(space, codes)).all():
            wrong = cells.cell((int(np.argmin(holds)),))
            raise InputError(f"the sampler {name} proposed {wrong}, which breaks {space.constraints}.")
        seen = self._seen.setdefault(getattr(self._sampler, "history", 1.0), Seen())
        fresh = seen.add(codes)
        if len(fresh) < len(codes):
            twice = int(np.setdiff1d(np.arange(len(codes)), fresh)[0])
            told = dict(zip(space.names, codes[twice].tolist(), strict=True))
            if isinstance(cells, Points):
                told = cells.cell((twice,))
            raise InputError(f"the sampler {name} proposed {told} twice: a trial counts once.")

    def _same(self, cells: Cells, others: Cells) -> bool:
        space = self._strategy.space
        return cells.shape == others.shape and np.array_equal(codes_of(space, cells), codes_of(space, others))

    def _history(self, share: float) -> Any:
        """The candles, or the first `share` of them."""
        if share == 1.0:
            return self._candles
        if isinstance(self._candles, Candles):
            return self._candles[: int(np.ceil(share * len(self._candles)))]
        return [market[: int(np.ceil(share * len(market)))] for market in self._candles]

    def _empty(self, share: float) -> Searched:
        """Strategy, rules and candles of the batches on a share of the history."""
        market = self._history(share)
        cells = self._strategy.space.points([{}])
        of = [market] if isinstance(market, Candles) else market
        found = tuple(
            Surface(self._strategy, cells, {}, self._execution, identity(one), key="") for one in of
        )
        return found[0] if isinstance(market, Candles) else MarketSurface(found)


def joined(surfaces: Sequence[Searched]) -> Searched:
    """The allowed cells of several surfaces of one search, as one list of points in their order."""
    first = surfaces[0]
    if isinstance(first, MarketSurface):
        each = zip(*(list(one) for one in surfaces if isinstance(one, MarketSurface)), strict=True)
        return MarketSurface(tuple(_one(market) for market in each))
    return _one([one for one in surfaces if isinstance(one, Surface)])


def _one(surfaces: Sequence[Surface]) -> Surface:
    first = surfaces[0]
    columns: dict[str, list[np.ndarray]] = {}
    for one in surfaces:
        held = one.cells.allowed
        for name, values in {**one.cells.mesh(), **one.metrics}.items():
            columns.setdefault(name, []).append(np.broadcast_to(values, one.shape)[held])
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    cells = Points(first.strategy.space, {name: whole.pop(name) for name in first.strategy.space.names})
    key = surface_key(first.strategy, first.identity, cells, first.execution)
    counted = all(one.counted for one in surfaces)
    return replace(first, cells=cells, metrics=whole, key=key, counted=counted)


@contextlib.contextmanager
def _bar(name: str, total: int, done: int, show: bool) -> Iterator[Callable[[int], object]]:
    """A progress bar; what is yielded counts trials."""
    if not show:
        yield lambda trials: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, initial=done, desc=name, unit=" trials", leave=False) as bar:
        yield bar.update
