"""The part of the lab that tells, before a search, what it could find: see `Lab`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantlab import strategies
from quantlab.backtest.execution import Execution
from quantlab.backtest.surface import Surface
from quantlab.backtest.task import as_execution
from quantlab.errors import InputError
from quantlab.lab.given import as_gate, check_options
from quantlab.lab.ledger import read_ledger
from quantlab.market.candles import Candles, check_candles
from quantlab.search.run import search
from quantlab.signals import Strategy
from quantlab.space import Cells
from quantlab.store.store import Store
from quantlab.validation.again import SameCells
from quantlab.validation.budget import alpha_of
from quantlab.validation.power import Detectable, detectable_sharpe
from quantlab.validation.thresholds import Gate


class Planning:
    """What a `Lab` knows before it searches."""

    store: Store

    def power(
        self,
        strategy: str | Strategy,
        candles: Candles,
        grid: Cells | Mapping[str, Any] | None = None,
        *,
        sampler: Any = None,
        trials: int = 1_000,
        execution: Execution | None = None,
        years: float | None = None,
        draws: int = 99,
        alpha: float | None = None,
        gate: Gate | None = None,
        progress: bool = True,
        **options: Any,
    ) -> Detectable:
        """What true Sharpe ratio a search could detect on these candles, told before it is made.

        The search runs on markets without an edge that are made of the candles, never on the candles
        themselves: asking is no trial, and the ledger does not count it.

        Parameters
        ----------
        strategy, candles, grid
            As of `sweep`.
        sampler, trials, **options
            As of `search`, where the search is one with a sampler.
        execution : Execution, optional
        years : float, optional
            Ask about a history of another length.
        draws : int
            Markets of each of two kinds.
        alpha : float, optional
            By default what the next search on these data may spend of the budget of the gate.
        gate : Gate, optional
        progress : bool
        """
        found, gate = strategies.get(strategy), as_gate(gate)
        check_candles(candles)
        check_options(options)
        if options and sampler is None:
            raise InputError(f"a sweep has no options {', '.join(options)}: they need a `sampler`.")
        if alpha is None:
            alpha = alpha_of(len(read_ledger(self.store, candles).searches) + 1, gate.alpha)
        cells = found.space.grid(**grid) if isinstance(grid, Mapping) else grid

        if cells is None:
            cells = found.grid()

        def searching(market: Candles) -> Surface:
            how: dict[str, Any] = {"sampler": sampler, "trials": trials, "execution": execution, **options}
            return search(found, market, progress=False, **how).surface

        return detectable_sharpe(
            SameCells(found, cells, as_execution(execution)) if sampler is None else searching,
            candles,
            years=years,
            draws=draws,
            alpha=alpha,
            gate=gate,
            about=f"{found.name} on {candles.exchange} {candles.symbol} {candles.timeframe}",
            progress=progress,
        )
