"""The class `Lab`: every sweep and search made through it is stored and counted, nothing computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np

from quantlab import strategies
from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Execution
from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.series import daily_returns_of
from quantlab.backtest.surface import CandlesIdentity, Cell, Surface
from quantlab.backtest.task import check_markets, make_tasks
from quantlab.backtest.trades import Run
from quantlab.errors import InputError
from quantlab.lab.documents import Judged
from quantlab.lab.exploring import Exploring
from quantlab.lab.given import as_surface, check_options
from quantlab.lab.judging import Judging
from quantlab.lab.keeping import Keeper
from quantlab.lab.ledger import count_others, family_key
from quantlab.lab.planning import Planning
from quantlab.lab.searches import stored_search
from quantlab.lab.sweeps import How, stored_sweep
from quantlab.lab.training import Training
from quantlab.lab.views import Views
from quantlab.market.candles import Candles
from quantlab.search.study import Study
from quantlab.settings import Settings
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.store.candles import Market
from quantlab.store.store import Store
from quantlab.validation.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd


class Lab(Judging, Training, Planning, Exploring, Views):
    """A research lab on one database. Close it, or use it as a context manager.

    Parameters
    ----------
    settings : Settings, optional
        By default read from the environment; see `Settings`.
    store : Store, optional
        Use this one, which stays open when the lab is closed.
    """

    def __init__(self, settings: Settings | None = None, store: Store | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self.store = store or Store(self.settings)
        self._owns_store = store is None
        self._keeper = Keeper(self.store)
        self._candles: dict[str, Candles] = {}
        self._judged: dict[str, Judged] = {}
        self._searches: dict[str, str] = {}

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "QUANTLAB_DSN" if self.settings.dsn else f"embedded PostgreSQL under {self.settings.home}"
        return f"Lab({where})"

    def close(self) -> None:
        """Let go of the database; the embedded server stops when nobody else uses it."""
        self._keeper.flush()
        if self._owns_store:
            self.store.close()

    def markets(self) -> pd.DataFrame:
        """The candles that are stored: exchange, symbol, timeframe, first and last bar, rows, revision."""
        import pandas as pd

        frame = pd.DataFrame(self.store.markets(), columns=list(Market._fields))
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame.pop(f"{name}_ms"), unit="ms")
        return frame

    def put_candles(
        self,
        candles: Candles | pd.DataFrame,
        exchange: str = "",
        symbol: str = "",
        timeframe: str = "",
        absent: Literal["lost", "no_trade"] = "lost",
    ) -> int:
        """Store candles, or a frame of the market named; new bars are added, changed ones replaced.

        Parameters
        ----------
        candles : Candles or pandas.DataFrame
            Columns and times of a frame: see `Candles.from_frame`.
        exchange, symbol, timeframe : str
            Of a frame: ``"kraken"``, ``"BTC/USD"``, ``"1h"``.
        absent : {"lost", "no_trade"}
            What it means that a frame has no row for a bar: see `Candles.from_arrays`.

        Returns
        -------
        int
            The revision of the series, one more than before if anything changed.

        Raises
        ------
        InputError
            A frame that does not say of which market it is.
        CandlesError
            A frame that cannot be trusted, with the first row at fault.
        """
        if not isinstance(candles, Candles):
            if hasattr(candles, "columns") and not (exchange and symbol and timeframe):
                raise InputError(
                    f"a frame needs exchange, symbol and timeframe, got {exchange!r}, {symbol!r} and "
                    f"{timeframe!r}: lab.put_candles(frame, 'kraken', 'BTC/USD', '1h')."
                )
            candles = Candles.from_frame(
                candles, exchange=exchange, symbol=symbol, timeframe=timeframe, absent=absent
            )
        return self.store.put_candles(candles)

    @overload
    def sweep(
        self,
        strategy: str | Strategy,
        candles: Candles,
        grid: Cells | Mapping[str, Any] | None = None,
        **how: Unpack[How],
    ) -> Surface: ...

    @overload
    def sweep(
        self,
        strategy: str | Strategy,
        candles: Sequence[Candles],
        grid: Cells | Mapping[str, Any] | None = None,
        **how: Unpack[How],
    ) -> MarketSurface: ...

    def sweep(
        self,
        strategy: str | Strategy,
        candles: Candles | Sequence[Candles],
        grid: Cells | Mapping[str, Any] | None = None,
        *,
        execution: Execution | None = None,
        assumptions: Sequence[str] = (),
        regimes: Any = None,
        blocks: int = 0,
        intrabar: Any = None,
        progress: bool = True,
        cluster: Any = None,
        spend_hold_out: bool = False,
    ) -> Surface | MarketSurface:
        """Every cell of a grid in one pass; stored, counted, and resumed where it was interrupted.

        Parameters
        ----------
        strategy : str or Strategy
        candles : Candles or sequence of Candles
            Several markets, timeframes or periods make a `MarketSurface`.
        grid : Grid, Points or mapping, optional
            A mapping names the values of each axis; by default the strategy's reference grid.
        execution : Execution, optional
            Costs, sides, fill assumption, sizing.
        assumptions, regimes, blocks, intrabar
            What else is asked for: see `quantlab.sweep`.
        progress : bool
        cluster : distributed.Client, Dask cluster or str, optional
            Compute on its workers instead of here: see `quantlab.sweep`.
        spend_hold_out : bool
            Search bars of a hold-out too: recorded, and it answers nothing any more.

        Raises
        ------
        InputError
            The candles reach into a hold-out.
        KeyboardInterrupt
            What was finished is kept; the same call goes on from there.
        """
        found = strategies.get(strategy)
        tasks = make_tasks(
            found,
            candles,
            found.space.grid(**grid) if isinstance(grid, Mapping) else grid,
            execution,
            assumptions=assumptions,
            regimes=regimes,
            blocks=blocks,
            intrabar=intrabar,
        )
        for task in tasks:
            for used in (task.job.candles, task.job.intrabar):
                if used is not None:
                    self._remember(used, spend_hold_out)
        surfaces = stored_sweep(self.store, tasks, progress=progress, cluster=cluster)
        return surfaces[0] if isinstance(candles, Candles) else MarketSurface(surfaces)

    def search(
        self,
        strategy: str | Strategy,
        candles: Candles | Sequence[Candles],
        *,
        sampler: Any = "tpe",
        trials: int = 1_000,
        name: str | None = None,
        restart: bool = False,
        spend_hold_out: bool = False,
        **options: Any,
    ) -> Study:
        """Search with a sampler; every trial is stored and counted. Interrupted or killed, it goes on by the
        same call and ends as if it had never stopped.

        Parameters
        ----------
        strategy : str or Strategy
        candles : Candles or sequence of Candles
        sampler : str, Grid or callable
            One of `quantlab.search.choose.SAMPLERS`, or ``"grid"``; with at most `trials` cells.
        trials : int
        name : str, optional
            It is kept under it also when it has ended, and refused with the reason if anything changed.
        restart : bool
            Begin anew.
        spend_hold_out : bool
            As of `sweep`.
        **options
            As of `quantlab.search.run.search`.
        """
        check_options(options)
        markets = [candles] if isinstance(candles, Candles) else candles
        check_markets(markets)
        for market in markets:
            self._remember(market, spend_hold_out)
        options |= {"sampler": sampler, "trials": trials, "name": name, "restart": restart}
        study, key = stored_search(self.store, strategies.get(strategy), candles, **options)
        for surface in study.surfaces:
            self._searches[surface.key] = family_key(key, surface.identity.family)
        return study

    def run(self, surface: Surface, cell: Cell | Mapping[str, Any]) -> Run:
        """Backtest one cell: its trades, its equity, its metrics. One that the surface lacks is a trial.

        Parameters
        ----------
        surface : Surface
            Whose strategy, candles and rules are used.
        cell : Cell or mapping of parameter to value
            Parameters that it does not name stay at their default.

        Raises
        ------
        InputError
            A value or combination that the strategy does not allow, or stored candles that have changed.
        """
        params = cell.params if isinstance(cell, Cell) else cell
        count_others(self.store, surface, surface.strategy.space.points([params]), self._searches)
        detail = None if surface.intrabar is None else self._known(surface.intrabar)
        candles = self._known(surface.identity)
        return run_cell(surface.strategy, candles, params, surface.execution, intrabar=detail)

    def daily_returns(self, surface: Surface, cells: Sequence[Cell | Mapping[str, Any]]) -> np.ndarray:
        """Equity returns per UTC day of chosen cells, after costs. Those that the surface lacks are trials.

        Parameters
        ----------
        surface : Surface
            Whose strategy, candles and rules are used.
        cells : sequence of Cell or mapping of parameter to value

        Returns
        -------
        float64 array, shape (cells, n_days)
            Fractions, known at the end of their day; NaN for a cell that breaks a constraint.
        """
        points = surface.strategy.space.points([c.params if isinstance(c, Cell) else c for c in cells])
        count_others(self.store, surface, points, self._searches)
        detail = None if surface.intrabar is None else self._known(surface.intrabar)
        candles = self._known(surface.identity)
        return daily_returns_of(
            surface.strategy, candles, points, surface.execution, intrabar=detail, progress=False
        )

    def inspect(self, surface: Surface, cell: Cell | Mapping[str, Any]) -> Any:
        """One cell booked as a ``vectorbt.Portfolio``, for its records, statistics and plots."""
        from quantlab.backtest.inspect import portfolio

        return portfolio(self.run(surface, cell), self._known(surface.identity), surface.execution)

    def report(
        self,
        *verdicts: Verdict,
        path: Path | str | None = None,
        commands: Sequence[str] = (),
        small: bool = False,
    ) -> Path:
        """Write one self-contained HTML file about one or more verdicts of this lab; returns its path.

        Of an ensemble it shows all members together, a table of them, and the trades of the best one.

        Parameters
        ----------
        *verdicts : Verdict
            From `validate`, a section each.
        path : path-like, optional
            By default in ``reports/`` of the lab, named after the first verdict's strategy and surface.
        commands : sequence of str
            What to type to get this again; shown at the end of each section.
        small : bool
            For a mail: static pictures, no script.

        Returns
        -------
        Path
            The file, absolute. An older one of that name is replaced when the new one is complete.

        Raises
        ------
        InputError
            No verdict, or one that this lab did not make.
        OSError
            The file cannot be written; nothing is left behind.
        """
        from quantlab.explore.report import ReportData, write
        from quantlab.explore.section import section

        if not verdicts:
            raise InputError("a report needs at least one verdict, got none: lab.validate(...) returns one.")
        sections = []
        for verdict in verdicts:
            judged = self._origin(verdict)
            members = [self.run(judged.surface, cell) for cell in verdict.members]
            run = members[0] if members else self.run(judged.surface, verdict.cell)
            about = judged.surface, judged.candles, run
            sections.append(
                section(
                    verdict,
                    *about,
                    members=members,
                    searched=judged.searched,
                    commands=commands,
                    provenance=self._held_out(verdict),
                )
            )
        name = f"{verdicts[0].strategy}-{verdicts[0].surface_key[:12]}{'-small' if small else ''}.html"
        return write(ReportData(tuple(sections)), Path(path or self.settings.home / "reports" / name), small)

    def fingerprint(self, searched: Surface | Study) -> None:
        """Print what identifies a result to six digits: the last cell of a checked notebook."""
        print(as_surface(searched).fingerprint())

    def _known(self, where: CandlesIdentity) -> Candles:
        if where.fingerprint not in self._candles:
            stored = self.store.candles(
                where.exchange, where.symbol, where.timeframe, where.first_ms, where.last_ms
            )
            self._remember(stored)
        if where.fingerprint not in self._candles:
            raise InputError(
                f"the stored candles of {where.family} {where.timeframe} changed since this surface was "
                "made: sweep again, or pass the candles to validate."
            )
        return self._remember(self._candles[where.fingerprint])


def open(settings: Settings | None = None) -> Lab:
    """Open the lab on the embedded PostgreSQL, or on the server that ``QUANTLAB_DSN`` names."""
    return Lab(settings)
