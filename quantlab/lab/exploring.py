"""The part of the lab that shows a surface in a notebook: see `Lab.explore`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.daily import DAY_MS
from quantlab.backtest.engine import run_under
from quantlab.backtest.execution import ASSUMPTIONS
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.surface import Surface
from quantlab.backtest.sweep import surfaces
from quantlab.backtest.task import Task, make_tasks, surface_key
from quantlab.backtest.trades import Run
from quantlab.errors import InputError
from quantlab.explore.planes import Searched, Stage
from quantlab.explore.stops import stop_levels
from quantlab.lab.given import as_surface
from quantlab.lab.keeping import Keeper
from quantlab.lab.ledger import count_tasks
from quantlab.lab.sweeps import read
from quantlab.market.candles import Candles, iso, parse_ms
from quantlab.progress import heard
from quantlab.search.study import Study
from quantlab.space import Cells, Grid
from quantlab.store.store import Store
from quantlab.store.trials import Entry
from quantlab.validation.verdict import Verdict

if TYPE_CHECKING:
    from quantlab.explore.widget import SurfaceExplorer
    from quantlab.lab.lab import Lab

_LEAST_BARS = 50


class Exploring:
    """What a `Lab` shows in a notebook."""

    def explore(
        self,
        searched: Surface | Study,
        *,
        split: str | None = None,
        metric: str = "",
        x: str = "",
        y: str = "",
        third: str = "",
        min_trades: int | None = None,
    ) -> SurfaceExplorer:
        """Look at a surface: planes, cells, trades; re-sweep it under other rules, ask the gate, approve.

        Parameters
        ----------
        searched : Surface or Study
        split : str, optional
            ISO date (UTC) of the first day out of sample. The same cells are then swept before it and from it
            on, stored, and counted in the ledger as the two searches that they are; indicators of the
            second part begin anew.
        metric, x, y : str, optional
            What is in view at first; by default the Sharpe ratio over the two axes that move it most.
        third : str, optional
            A further pane: ``"metric:break_even_cost_bps"`` (or any metric), ``"score"``, ``"worst"``,
            ``"regime:0"``, and with a split ``"difference"`` or ``"own"``.
        min_trades : int, optional
            Cells with fewer closed trades are shown as undefined; by default 30 on a whole history.

        Raises
        ------
        InputError
            Several markets at once, or a split that leaves a part without bars.
        """
        from quantlab.explore.explorer import Explorer
        from quantlab.explore.widget import SurfaceExplorer

        surface = as_surface(searched)
        if isinstance(surface, MarketSurface):
            raise InputError("the explorer shows one market: pass surface.market(label).")
        actions = LabActions(self, surface, searched)  # type: ignore[arg-type]
        given = {"metric": metric, "x": x, "y": y, "third": third, "min_trades": min_trades}
        return SurfaceExplorer(Explorer(actions.split(surface, parse_ms(split)), actions, **given))


class LabActions:
    """What an explorer asks of a lab.

    Parameters
    ----------
    lab : Lab
    surface : Surface
        The surface that is explored first; its candles bound the dates.
    searched : Surface or Study
        What the gate is to judge as long as nothing else was swept.
    """

    def __init__(self, lab: Lab, surface: Surface, searched: Surface | Study) -> None:
        self._lab, self._searched = lab, {surface.key: searched}
        self._base = lab._known(surface.identity)
        self._labels = _labels(surface, len(self._base))
        self._counted: set[str] = set()
        self._keeper = lab._keeper

    def candles(self, surface: Surface) -> Candles:
        """The candles of a surface."""
        return self._lab._known(surface.identity)

    def opened(self, surface: Surface, params: Mapping[str, Any]) -> tuple[dict[str, Run], np.ndarray | None]:
        """One cell under every fill assumption, and its stops; what was not swept is counted as a trial."""
        own, extras = surface.execution.assumption, surface.extras
        swept = (own, *(extras.request.assumptions if extras else ()))
        self._count(surface, params, [name for name in ASSUMPTIONS if name not in swept])
        candles, detail = self.candles(surface), self._detail(surface)
        signals = surface.strategy.signals(candles, surface.strategy.space.points([params]).params())
        names = [own, *(name for name in ASSUMPTIONS if name != own)]
        how: dict[str, Any] = {"intrabar": detail, "signals": signals}
        with self._keeper.busy():
            runs = run_under(surface.strategy, candles, params, surface.execution, names, **how)
        return runs, stop_levels(runs[own], candles, surface.strategy, signals)

    def sweep(
        self, searched: Searched, rules: Mapping[str, Any], in_view: Mapping[str, Any] | None = None
    ) -> Iterator[Stage]:
        """Sweep the same cells under other rules, what is looked at first; all is counted before any of it.

        Parameters
        ----------
        searched : Searched
        rules : mapping
            As of `quantlab.explore.rules.read_rules`.
        in_view : mapping of axis to values, optional
            Cells to begin with; only where they are few.
        """
        with self._keeper.busy():
            yield from self._swept(searched, rules, in_view)

    def _swept(
        self, searched: Searched, rules: Mapping[str, Any], in_view: Mapping[str, Any] | None
    ) -> Iterator[Stage]:
        cells, before = searched.whole.cells, searched.whole
        if isinstance(cells, Grid):
            cells = cells.space.grid(**cells.axes, **rules["fixed"])
        candles = self._between(rules["first"], rules["last"])
        cut, split_ms = self._cut(candles, rules["split"])
        markets = [candles, *(() if cut is None else (candles[:cut], candles[cut:]))]
        tasks = [self._task(before, market, cells, rules) for market in markets]
        whole, *parts = wanted = [_Later(self._lab.store, self._keeper, task) for task in tasks]
        left = [one for one in wanted if one.missing]
        count_tasks(self._lab.store, [one.task for one in left])
        shown = parts or wanted
        if in_view is not None and any(one.missing for one in shown):
            few = before.cells.space.grid(**in_view, **rules["fixed"])
            ahead = [_evaluated(self._task(before, one.task.job.candles, few, rules)) for one in shown]
            yield Stage(_searched(ahead, split_ms), "view")
        if parts:
            yield Stage(_searched([one() for one in parts], split_ms), "whole")
        yield Stage(_searched([whole(), *(one() for one in parts)], split_ms), "")
        self._keeper.keep([one() for one in left])

    def split(self, surface: Surface, split_ms: int | None) -> Searched:
        """The surface, and the same cells before a moment and from it on."""
        candles = self.candles(surface)
        cut, split_ms = self._cut(candles, split_ms)
        if cut is None:
            return Searched(surface)
        tasks = [self._task(surface, part, surface.cells) for part in (candles[:cut], candles[cut:])]
        parts = [_Later(self._lab.store, self._keeper, task) for task in tasks]
        left = [one for one in parts if one.missing]
        count_tasks(self._lab.store, [one.task for one in left])
        found = _searched([surface, *(one() for one in parts)], split_ms)
        self._keeper.keep([one() for one in left])
        return found

    def validate(self, surface: Surface, tell: Callable[[float, str], None]) -> Verdict:
        """`Lab.validate`, telling its steps."""
        with heard(tell):
            return self._lab.validate(self._searched.get(surface.key, surface), progress=False)

    def approve(self, verdict: Verdict, by: str, reason: str) -> Any:
        """`Lab.approve`."""
        return self._lab.approve(verdict, by=by, reason=reason)

    def approved(self, surface: Surface) -> list[Mapping[str, Any]]:
        """Parameters of what is in force for the same strategy and market."""
        where = surface.identity
        wanted = (surface.strategy.name, where.exchange, where.symbol, where.timeframe)
        names = ("strategy_name", "exchange", "pair", "timeframe")
        return [
            dict(row["parameters_json"])
            for row in self._lab.store.active_configurations()
            if tuple(str(row[name]) for name in names) == wanted
        ]

    def counted(self, surface: Surface) -> tuple[int, int]:
        """Cells and searches that touched the bars of a surface."""
        where = surface.identity
        found = self._lab.store.counted(where.family, where.first_ms, where.last_ms)
        return found.trials, found.searches

    def notes(self, searched: Searched) -> list[str]:
        """That other code made it, that no ledger counted it, that nobody can trade so."""
        surface, found = searched.whole, []
        made_today = surface_key(
            surface.strategy,
            self.candles(surface),
            surface.cells,
            surface.execution,
            None,
            self._detail(surface),
        )
        if made_today != surface.plain_key:
            found.append(
                "This surface is a part of a search, or other code made it: what a click shows is made by "
                "today's code and may differ. Sweep again to be sure."
            )
        if not surface.counted and not self._lab.store.has_surface(surface.key):
            found.append("This surface was made without a lab: the ledger counts it when it is validated.")
        if surface.execution.caveat:
            found.append(f"{surface.execution.caveat}: the gate refuses to judge it.")
        return found

    def _detail(self, surface: Surface) -> Candles | None:
        return None if surface.intrabar is None else self._lab._known(surface.intrabar)

    def _task(
        self, like: Surface, candles: Candles, cells: Cells, rules: Mapping[str, Any] | None = None
    ) -> Task:
        """Cells on candles, asked for as a surface was, or under other rules."""
        execution = rules["execution"] if rules else like.execution
        fills = rules["fills"] if rules else like.extras is not None and bool(like.extras.request.assumptions)
        how: dict[str, Any] = {"assumptions": ASSUMPTIONS if fills else (), "regimes": self._regimes(candles)}
        (task,) = make_tasks(like.strategy, self._lab._remember(candles), cells, execution, **how)
        return task

    def _cut(self, candles: Candles, split_ms: int | None) -> tuple[int | None, int | None]:
        """Bar and moment from which on bars are out of sample; None and None without a split."""
        if split_ms is None:
            return None, None
        cut = int(np.searchsorted(candles.timestamps, split_ms))
        if not _LEAST_BARS <= cut <= len(candles) - _LEAST_BARS:
            raise InputError(
                f"a split leaves {_LEAST_BARS} bars or more on either side, {iso(split_ms)} leaves {cut:,} "
                f"and {len(candles) - cut:,} of {iso(candles.first_ms)} to {iso(candles.last_ms)}: choose "
                "another day."
            )
        return cut, int(candles.timestamps[cut])

    def _regimes(self, candles: Candles) -> Any:
        """The regimes that the first surface was swept with, on these of its candles."""
        if self._labels is None:
            return None
        import pandas as pd

        first = int(np.searchsorted(self._base.timestamps, candles.first_ms))
        codes, names = self._labels
        return pd.Series(
            pd.Categorical.from_codes(codes[first : first + len(candles)], categories=list(names))
        )

    def _between(self, first_ms: int | None, last_ms: int | None) -> Candles:
        """The candles from one day to another, both included."""
        base = self._base
        a = 0 if first_ms is None else int(np.searchsorted(base.timestamps, first_ms))
        b = len(base)
        if last_ms is not None:
            b = int(np.searchsorted(base.timestamps, last_ms - last_ms % DAY_MS + DAY_MS))
        if b - a < _LEAST_BARS:
            raise InputError(
                f"a sweep needs {_LEAST_BARS} bars or more, these dates leave {max(b - a, 0)} of "
                f"{iso(base.first_ms)} to {iso(base.last_ms)}: choose others."
            )
        return base if (a, b) == (0, len(base)) else base[a:b]

    def _count(self, surface: Surface, params: Mapping[str, Any], assumptions: Sequence[str]) -> None:
        """Count one cell under each of these fill assumptions, once."""
        where, lab = surface.identity, self._lab
        of = lab._searches.get(surface.plain_key, surface.plain_key)
        names = [json.dumps({**params, " assumption": name}, sort_keys=True) for name in assumptions]
        keys = [hashlib.sha256(f"{surface.plain_key} {name}".encode()).hexdigest() for name in names]
        new = [key for key in keys if key not in self._counted]
        own: dict[str, Any] = {"timeframe": where.timeframe, "period": (where.first_ms, where.last_ms)}
        about = where.fingerprint, where.family, surface.strategy.name, 1, "single", of
        if new:
            lab.store.count(*(Entry(key, *about, **own) for key in new))
            self._counted.update(new)


class _Later:
    """A surface that was stored, or is computed when it is asked for, once."""

    def __init__(self, store: Store, keeper: Keeper, task: Task) -> None:
        waits = keeper.find(task.key)
        kept = read(store, task) if waits is None else waits
        self.task, self._found = task, None if kept is None else replace(kept, counted=True)

    @property
    def missing(self) -> bool:
        """Whether it has still to be computed."""
        return self._found is None

    def __call__(self) -> Surface:
        if self._found is None:
            self._found = _evaluated(self.task)
        return self._found


def _evaluated(task: Task) -> Surface:
    """A surface that was counted."""
    return replace(dict(surfaces([task], [None], progress=False))[0], counted=True)


def _searched(found: Sequence[Surface], split_ms: int | None) -> Searched:
    """The whole and its parts, or the parts alone: the first of them stands for the whole then."""
    if split_ms is None:
        return Searched(found[0])
    *_, first, second = found
    return Searched(found[0], (first, second), split_ms)


def _labels(surface: Surface, bars: int) -> tuple[np.ndarray, tuple[str, ...]] | None:
    request = surface.extras.request if surface.extras else None
    if request is None or request.regimes is None or len(request.regimes) != bars:
        return None
    return request.regimes, request.regime_names
