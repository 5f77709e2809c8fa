"""Counting what is searched through a lab, before it is evaluated, and what the ledger says of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.announce import announced
from quantlab.backtest.surface import CandlesIdentity, Surface
from quantlab.backtest.task import Task
from quantlab.market.candles import Candles, check_candles, iso
from quantlab.signals import Strategy
from quantlab.space import Cells, Grid, Points
from quantlab.store.store import Store
from quantlab.store.trials import Entry, Search
from quantlab.validation.budget import ALPHA, Standing, alpha_left, alpha_of

if TYPE_CHECKING:
    import pandas as pd

_UNTOLD = ("progress", "on_batch", "journal")
"""Options of a search that decide nothing of what it evaluates."""


@dataclass(frozen=True)
class Ledger:
    """All searches on a market and period, or in the whole lab.

    Attributes
    ----------
    searches : tuple of Search
        Oldest first. ``place`` of each is its k: which search it was on its own data.
    about : str
        What it is about, for the reader.
    one : bool
        Whether it is about one market and period, so that a budget can be told.
    """

    searches: tuple[Search, ...]
    about: str
    one: bool

    @property
    def trials(self) -> int:
        """Cells ever evaluated."""
        return sum(search.cells for search in self.searches)

    @property
    def alpha_next(self) -> float:
        """What the next search on this data may spend of the budget of 5 %."""
        return alpha_of(len(self.searches) + 1)

    @property
    def alpha_left(self) -> float:
        """What is left of the budget for all searches that will follow on this data."""
        return alpha_left(len(self.searches))

    def to_frame(self) -> pd.DataFrame:
        """One row per search, oldest first, with its k and its alpha_k."""
        import pandas as pd

        frame = pd.DataFrame(self.searches, columns=list(Search._fields))
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame.pop(f"{name}_ms"), unit="ms")
        frame["k"] = frame.pop("place")
        frame["alpha_k"] = [alpha_of(k) for k in frame["k"]]
        return frame.drop(columns="number")

    def __str__(self) -> str:
        counts = f"{self.about}: {self.trials:,} cells ever evaluated in {len(self.searches):,} searches"
        if not self.one:
            return counts
        return (
            f"{counts}.\nBudget of false approvals {ALPHA:g}: the next search (k = {len(self.searches) + 1}) "
            f"may spend {self.alpha_next:.2g}, {self.alpha_left:.2g} is left for it and all that follow."
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "<br>".join(str(self).splitlines())
        return f"<p>{lines}</p>{self.to_frame().to_html(index=False)}"


def read_ledger(store: Store, candles: Candles | None = None) -> Ledger:
    """The ledger of a store, all of it or what shares time with `candles`."""
    if candles is None:
        return Ledger(tuple(store.ledger()), "all markets", one=False)
    check_candles(candles)
    period = candles.first_ms, candles.last_ms
    about = f"{candles.family}, {iso(period[0])[:10]} to {iso(period[1])[:10]}, any timeframe"
    return Ledger(tuple(store.ledger(candles.family, *period)), about, one=True)


@contextmanager
def counted_sweeps(store: Store) -> Iterator[None]:
    """While this lasts, every sweep is counted when it begins: all cells, under each fill assumption."""

    with announced(lambda task: count_tasks(store, [task])):
        yield


def count_tasks(store: Store, tasks: Sequence[Task]) -> None:
    """Count sweeps before they begin: all cells, under each fill assumption; one without a cell is none."""
    begun = [task for task in tasks if task.cells.allowed.any()]
    if begun:
        store.count(*(_entry(task, key, "grid") for task in begun for key in task.plain_keys.values()))


@contextmanager
def counted_search(
    store: Store,
    strategy: Strategy,
    candles: Candles | Sequence[Candles],
    sampler: Any,
    trials: int,
    options: Mapping[str, Any],
) -> Iterator[str]:
    """Count a search by a sampler and, while this lasts, each of its batches before it is evaluated.

    On several markets it is one search on each family, whatever the timeframes and the shares of the history.

    Yields
    ------
    str
        The key of the search: the same search again has the same key, and its batches are counted once.
    """
    markets = [candles] if isinstance(candles, Candles) else list(candles)
    key = _search_key(strategy, markets, sampler, trials, options)
    kind = sampler if isinstance(sampler, str) else type(sampler).__name__.lower()
    for family in sorted({one.family for one in markets}):
        ours = [one for one in markets if one.family == family]
        period = min(one.first_ms for one in ours), max(one.last_ms for one in ours)
        own: dict[str, Any] = {"timeframe": ", ".join(one.timeframe for one in ours), "period": period}
        where = ours[0].fingerprint, family, strategy.name
        store.count(Entry(family_key(key, family), *where, 0, kind, in_batches=True, **own))

    def count(batch: Task) -> None:
        of = family_key(key, batch.job.candles.family)
        store.count(*(_entry(batch, plain, kind, of) for plain in batch.plain_keys.values()))

    with announced(count):
        yield key


def family_key(search: str, family: str) -> str:
    """The key in the ledger of a search on one of the families it ran on."""
    return hashlib.sha256(f"{search} on {family}".encode()).hexdigest()


def standing(store: Store, where: CandlesIdentity, search: str, outside: bool = False) -> Standing:
    """Where a search stands among all that touched its bars."""
    found = store.counted(where.family, where.first_ms, where.last_ms, search)
    return Standing(found.trials, found.searches, found.place or max(found.searches, 1), outside)


def count_outside(store: Store, surface: Surface, kind: str) -> bool:
    """Count a surface that was made without a lab, as late as it is; whether it was one."""
    if surface.counted or store.has_surface(surface.key):
        return False
    where, cells = surface.identity, int(np.count_nonzero(surface.cells.allowed))
    own: dict[str, Any] = {"timeframe": where.timeframe, "period": (where.first_ms, where.last_ms)}
    name = surface.strategy.name
    store.count(Entry(surface.key, where.fingerprint, where.family, name, max(cells, 1), kind, **own))
    return True


def count_others(store: Store, surface: Surface, points: Points, searches: Mapping[str, str]) -> None:
    """Count cells that are looked at one by one, as far as the surface that they go with does not hold them.

    They are trials of the search that made the surface: no search of their own, so that k stays as it is.
    """
    where, of = surface.identity, searches.get(surface.plain_key, surface.plain_key)
    own: dict[str, Any] = {"timeframe": where.timeframe, "period": (where.first_ms, where.last_ms)}
    common = where.fingerprint, where.family, surface.strategy.name, 1, "single", of
    params = [points.cell((i,)) for i in range(points.size)]
    others = [json.dumps(cell, sort_keys=True) for cell in params if not _holds(surface.cells, cell)]
    if others:
        keys = [hashlib.sha256(f"{surface.plain_key} {cell}".encode()).hexdigest() for cell in others]
        store.count(*(Entry(key, *common, **own) for key in keys))


def _holds(cells: Cells, cell: Mapping[str, Any]) -> bool:
    """Whether a cell is one of these."""
    if isinstance(cells, Grid):
        values = {**cells.fixed, **cells.axes}
        return all(np.any(np.asarray(values[name]) == value) for name, value in cell.items())
    same = [np.asarray(cells.columns[name]) == value for name, value in cell.items()]
    return bool(np.logical_and.reduce(same).any()) if same else True


def _entry(task: Task, key: str, kind: str, search: str | None = None) -> Entry:
    candles = task.job.candles
    cells = int(np.count_nonzero(task.cells.allowed))
    period = candles.first_ms, candles.last_ms
    where = candles.fingerprint, candles.family, task.job.strategy.name
    return Entry(key, *where, cells, kind, search, timeframe=candles.timeframe, period=period)


def _search_key(
    strategy: Strategy, markets: Sequence[Candles], sampler: Any, trials: int, options: Mapping[str, Any]
) -> str:
    what = {name: value for name, value in options.items() if name not in _UNTOLD}
    what |= {"strategy": strategy.name, "code": strategy.code_hash, "space": strategy.space.hash}
    what |= {"candles": [one.fingerprint for one in markets], "sampler": sampler, "trials": trials}
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
