"""From a verdict to the candidate document: run the cell, replay it on the second engine, assemble."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import ASSUMPTIONS, Assumption
from quantlab.backtest.replay import replay
from quantlab.configuration.agreement import compare
from quantlab.configuration.document import build
from quantlab.configuration.provenance import collect
from quantlab.configuration.searched import Search
from quantlab.market.candles import Candles
from quantlab.regimes import detect

if TYPE_CHECKING:
    from quantlab.backtest.surface import Surface
    from quantlab.validation.verdict import Verdict


def candidate(
    surface: Surface,
    candles: Candles,
    verdict: Verdict,
    *,
    created_at: datetime | str,
    source: str,
    method: str = "grid",
    seed: int | None = None,
    **extras: Any,
) -> dict[str, Any]:
    """The V3 document of a verdict, approved or refused by the gate, approved by nobody yet.

    Parameters
    ----------
    surface : Surface
        The search that the verdict is on.
    candles : Candles
        The same candles.
    verdict : Verdict
    created_at : datetime or str
        When the run was made, from its record; never the clock, or the id differs each time.
    source : str
        Where the candles come from, for a reader.
    method, seed : optional
        Of the search.
    **extras
        Optional arguments of `document.build`: expires_at, market_facts, effective_trials, may_trade,
        parent_config_id, generation, hold_out_touches.

    Returns
    -------
    dict
        See `document.build`.

    Raises
    ------
    IntegrityError
        The parts are not of one run.
    """
    strategy, rules, params = surface.strategy, surface.execution, dict(verdict.cell.params)
    gate = verdict.evidence.gate
    runs = {
        name: run_cell(strategy, candles, params, replace(rules, assumption=cast(Assumption, name)))
        for name in ASSUMPTIONS
    }
    second = replay(strategy, candles, params, rules)
    search = Search.of(
        surface, params, objective=gate.metric, min_trades=gate.min_trades, method=method, seed=seed
    )
    return build(
        strategy,
        candles,
        search,
        verdict.to_json(),
        runs,
        compare(runs[rules.assumption], second),
        provenance=collect(),
        created_at=created_at,
        source=source,
        regimes=detect(candles),
        **extras,
    )
