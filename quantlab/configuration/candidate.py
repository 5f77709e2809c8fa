"""From a verdict to the candidate document: run the cell, replay it on the second engine, assemble."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from quantlab.backtest.engine import run_under
from quantlab.backtest.execution import ASSUMPTIONS
from quantlab.backtest.replay import replay
from quantlab.configuration.agreement import compare
from quantlab.configuration.document import build
from quantlab.configuration.provenance import collect
from quantlab.configuration.searched import Search
from quantlab.market.candles import Candles
from quantlab.regimes import detect
from quantlab.validation.verdict import cell_json

if TYPE_CHECKING:
    from quantlab.backtest.surface import Cell, Surface
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
    member: Cell | None = None,
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
    member : Cell, optional
        The member of the verdict's ensemble that the document is about; by default the verdict's cell.
    **extras
        Optional arguments of `document.build`: expires_at, market_facts, effective_trials, may_trade,
        parent_config_id, generation, hold_out_touches, group.

    Returns
    -------
    dict
        See `document.build`.

    Raises
    ------
    IntegrityError
        The parts are not of one run.
    """
    cell = verdict.cell if member is None else member
    strategy, rules, params = surface.strategy, surface.execution, dict(cell.params)
    gate = verdict.evidence.gate
    runs = run_under(strategy, candles, params, rules, ASSUMPTIONS)
    second = replay(strategy, candles, params, rules)
    how: dict[str, Any] = {"objective": gate.metric, "min_trades": gate.min_trades}
    how |= {"method": method, "seed": seed}
    if verdict.members:
        search = Search.of_member(surface, cell.index, **how)
    else:
        search = Search.of(surface, params, **how)
    return build(
        strategy,
        candles,
        search,
        {**verdict.to_json(), "cell": cell_json(cell)},
        runs,
        compare(runs[rules.assumption], second),
        provenance=collect(),
        created_at=created_at,
        source=source,
        regimes=detect(candles),
        **extras,
    )
