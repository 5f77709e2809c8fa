"""Assemble a V3 document, and approve it.

`build` joins what the rooms below found out into one candidate document: nothing is measured twice and
nothing is invented. `approve` adds who approved it, when, why and what they saw. Neither reads a clock, so
the same run and the same approval give the same bytes and the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.backtest.execution import ASSUMPTIONS
from quantlab.backtest.trades import Run
from quantlab.configuration import live_contract, regime, sections, statistics
from quantlab.configuration.agreement import TOLERANCE
from quantlab.configuration.canonical import sha256, with_id
from quantlab.configuration.lifecycle import stage
from quantlab.configuration.moments import to_datetime, to_text
from quantlab.configuration.nulls import stated
from quantlab.configuration.provenance import Provenance
from quantlab.configuration.reader import check
from quantlab.configuration.schema import NAME, VERSION, validate
from quantlab.configuration.searched import Search, parameter_entry
from quantlab.errors import ConfigurationError, IntegrityError
from quantlab.market.candles import Candles
from quantlab.regimes import REGIMES, Regimes
from quantlab.signals import Strategy

if TYPE_CHECKING:
    from quantlab.validation.walkforward import WalkForward

VALID_DAYS = 90
"""A document expires so many days after its creation: a strategy that nobody looks at again must stop."""

_READS_GROUPS = 1  # a reader of 3.0 would trade a member with all of the equity

_NO_GIT = "not run from a git checkout"


def build(
    strategy: Strategy,
    candles: Candles,
    search: Search,
    verdict: Mapping[str, Any],
    runs: Mapping[str, Run],
    replay: Mapping[str, Any],
    *,
    provenance: Provenance,
    created_at: datetime | str,
    expires_at: datetime | str | None = None,
    source: str,
    market_facts: Mapping[str, Any] | None = None,
    effective_trials: float | None = None,
    regimes: Regimes | None = None,
    may_trade: Sequence[str] = REGIMES,
    parent_config_id: str | None = None,
    generation: int = 0,
    hold_out_touches: int | None = None,
    group: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The candidate document of a validated cell, approved by nobody yet.

    Parameters
    ----------
    strategy : Strategy
    candles : Candles
        All candles of the search.
    search : Search
        `Search.of` the surface.
    verdict : mapping
        `quantlab.validation.verdict.Verdict.to_json`, approved or refused.
    runs : mapping
        The chosen cell on all candles under each assumption: keys neutral, pessimistic, optimistic.
    replay : mapping
        `quantlab.configuration.agreement.compare` of the cell on both engines.
    provenance : Provenance
    created_at : datetime or str
        When the run was made, from its record; never the clock, or the id differs each time.
    expires_at : datetime or str, optional
        By default `VALID_DAYS` after `created_at`.
    source : str
        Where the candles come from, for a reader.
    market_facts : mapping, optional
        See `sections.market`.
    effective_trials : float, optional
        Effective number of independent trials.
    regimes : Regimes, optional
        Of all candles: the section ``regime`` and the figures by regime. Without it there is neither.
    may_trade : sequence of str
        Regimes in which the configuration may trade; all of them: it is not conditioned on one.
    parent_config_id : str, optional
        Id of the configuration that this one succeeds, and to roll back to.
    generation : int
        0 for the first of its line.
    hold_out_touches : int, optional
        How often the market's hold-out was touched; None if none was kept apart.
    group : mapping, optional
        The section ``group`` of a member of an ensemble: see `group_section`.

    Returns
    -------
    dict
        Valid by the schema, with its id. The reader refuses it until it is approved.

    Raises
    ------
    IntegrityError
        The parts are not of one and the same run.
    ConfigurationError
        The document would not be valid.
    """
    from quantlab.validation.walkforward import WalkForward

    _check_parts(strategy, candles, search, verdict, runs)
    params, evidence = verdict["cell"]["params"], verdict["evidence"]
    rules, figures = runs["neutral"].execution, runs["neutral"].metrics
    bands = live_contract.bands(runs["neutral"], candles)
    headline = runs[verdict["execution"]["assumption"]].execution
    parameters = {
        name: parameter_entry(strategy.space[name], params[name], search) for name in strategy.space.names
    }
    signals = strategy.signals(candles, strategy.space.points([params]).params())
    walk = WalkForward.from_json(evidence["walk_forward"])
    document = {
        "schema": {
            "name": NAME,
            "version": f"{VERSION[0]}.{VERSION[1]}",
            "least_reader": f"{VERSION[0]}.{0 if group is None else _READS_GROUPS}",
        },
        "identity": _identity(provenance, created_at, expires_at, parent_config_id, generation),
        "strategy": {**sections.strategy_head(strategy), "parameters": parameters},
        "market": sections.market(candles, market_facts),
        "execution": sections.execution(headline, signals, strategy.warmup(params)),
        "cost_model": sections.cost_model(rules, figures),
        "data_fingerprint": sections.data_fingerprint(candles, source),
        "search": search.section(evidence["trials_ever"], effective_trials),
        "validation": _validation(verdict, walk, runs, replay, candles, bands, regimes, hold_out_touches),
        "risk_limits": sections.risk_limits(rules, candles, (bands["max_drawdown"] or {}).get("p05")),
        "live_contract": sections.live(bands),
        "lifecycle": _lifecycle(figures, verdict["approved"], parent_config_id),
    }
    if regimes is not None:
        document["regime"] = regime.section(regimes, may_trade)
    if group is not None:
        document["group"] = dict(group)
    document = with_id(document)
    validate(document)
    return document


def approve(document: Mapping[str, Any], *, by: str, reason: str, at: datetime | str) -> dict[str, Any]:
    """A copy of the document with one more approval, and therefore another id.

    Parameters
    ----------
    document : mapping
        From `build`, or approved by others before.
    by : str
        Who takes responsibility.
    reason : str
        Why.
    at : datetime or str
        When.

    Raises
    ------
    ConfigurationError
        Nobody or no reason is named, or the reader would refuse the result: the gate refused the
        candidate, its stage may not trade, it has expired.
    """
    if not by.strip() or not reason.strip():
        raise ConfigurationError(
            f"an approval names who and why, got by={by!r}, reason={reason!r}: write both."
        )
    lifecycle = document["lifecycle"]
    approval = {
        "by": by,
        "at": to_text(at),
        "reason": reason,
        "evidence_sha256": sha256(document["validation"]),
    }
    approved = with_id(
        {**document, "lifecycle": {**lifecycle, "approvals": [*lifecycle["approvals"], approval]}}
    )
    check(approved, now=to_datetime(approval["at"]))
    return approved


def _identity(
    provenance: Provenance,
    created_at: datetime | str,
    expires_at: datetime | str | None,
    parent: str | None,
    generation: int,
) -> dict[str, Any]:
    created = to_text(created_at)
    expires = to_datetime(created) + timedelta(days=VALID_DAYS) if expires_at is None else expires_at
    return stated(
        {
            "config_id": "0" * 64,  # replaced by the hash of everything else
            "parent_config_id": parent,
            "generation": generation,
            "created_at": created,
            "expires_at": to_text(expires),
            "producer": {"name": "quantlab", "version": provenance.version},
            "commit": provenance.commit,
            "dirty": provenance.dirty,
            "environment_hash": provenance.environment_hash,
            "engine_hash": provenance.engine_hash,
            "runtime": provenance.runtime,
        },
        {"parent_config_id": "the first of its line", "commit": _NO_GIT, "dirty": _NO_GIT},
    )


def _validation(
    verdict: Mapping[str, Any],
    walk: WalkForward,
    runs: Mapping[str, Run],
    replay: Mapping[str, Any],
    candles: Candles,
    bands: Mapping[str, Any],
    regimes: Regimes | None,
    touches: int | None,
) -> dict[str, Any]:
    evidence = verdict["evidence"]
    return stated(
        {
            "approved": verdict["approved"],
            "reasons": list(verdict["reasons"]),
            "tests": [_test(test) for test in evidence["tests"]],
            "gate": dict(evidence["gate"]),
            "walk_forward": _walk_forward(walk, evidence["gate"]["embargo_days"]),
            "fill_assumptions": {name: sections.metrics(runs[name]) for name in ASSUMPTIONS},
            "statistics": _statistics(evidence, walk, runs["neutral"], candles, bands),
            "regimes": regime.figures(runs["neutral"], candles, regimes),
            "replay": dict(replay),
            "hold_out_touches": touches,
        },
        {
            "regimes": "no regimes were detected",
            "hold_out_touches": "no hold-out was kept apart from these candles",
        },
    )


def _test(test: Mapping[str, Any]) -> dict[str, Any]:
    """A test without its seconds: they differ from run to run."""
    names = ("name", "value", "threshold", "passed", "detail")
    return stated(
        {name: test[name] for name in names},
        {
            "value": test["detail"] or "could not be measured",
            "threshold": "no threshold: a figure to look at",
            "passed": "reported; it never decides",
        },
    )


def _walk_forward(walk: WalkForward, embargo_days: int) -> dict[str, Any]:
    summary = {
        "purge_bars": 0,
        "embargo_days": embargo_days,
        "days": len(walk.days),
        "trades": walk.trades,
        "sharpe": walk.sharpe,
        "timing_t": walk.timing_t,
        "p": walk.p,
        "efficiency": walk.efficiency,
        "mean_exposure": float(np.mean(walk.exposure)),
    }
    folds = [
        stated(
            {**fold, "params": None if fold["params"] is None else dict(fold["params"])},
            {
                "params": "no cell traded enough in the training window",
                "in_sample_sharpe": "no cell was chosen",
                "out_of_sample_sharpe": "undefined: no position, or no variation, in the test window",
            },
        )
        for fold in walk.to_json()["folds"]
    ]
    return {**stated(summary, "undefined: too few positions in the test windows"), "folds": folds}


def _statistics(
    evidence: Mapping[str, Any],
    walk: WalkForward,
    run: Run,
    candles: Candles,
    bands: Mapping[str, Any],
) -> dict[str, Any]:
    values = {test["name"]: test["value"] for test in evidence["tests"]}
    out_of_sample = np.array([fold.out_of_sample_sharpe for fold in walk.folds])
    horizon = bands["return"]
    return stated(
        {
            "p_value": values.get("search_rerun"),
            "z_score": run.metrics["timing_t"],
            "kelly_fraction": statistics.kelly_fraction(run.closed["trade_return"]),
            "monte_carlo_var": -horizon["p05"] if horizon else None,
            "rolling_30d_sharpe": statistics.recent_sharpe(run.daily, run.execution.days_per_year),
            "stability_score": statistics.stability(out_of_sample),
            "trade_clustering": statistics.trade_clustering(run, candles),
        },
        "undefined: too few days or trades, or no variation in them",
    )


def _lifecycle(figures: Mapping[str, float], approved: bool, parent: str | None) -> dict[str, Any]:
    return stated(
        {
            "stage": stage(figures["net_profit"], figures["sharpe"], int(figures["trades"]), approved),
            "approvals": [],
            "rollback_to": parent,
            "revoked": False,
        },
        {"rollback_to": "the first of its line: stop trading instead"},
    )


def _check_parts(
    strategy: Strategy, candles: Candles, search: Search, verdict: Mapping[str, Any], runs: Mapping[str, Run]
) -> None:
    """Raise IntegrityError unless all parts are of one run."""
    params = verdict["cell"]["params"]
    if set(runs) != set(ASSUMPTIONS):
        raise IntegrityError(f"runs under {sorted(ASSUMPTIONS)} are needed, got {sorted(runs)}.")
    pairs: dict[str, tuple[Any, Any]] = {
        "strategy": (strategy.name, verdict["strategy"]),
        "candles": (candles.fingerprint, verdict["market"]["fingerprint"]),
        "surface": (search.surface_key, verdict["surface_key"]),
        "space": (search.space_hash, strategy.space.hash),
        "parameters": (sorted(strategy.space.names), sorted(params)),
    }
    for assumption, run in runs.items():
        pairs[f"{assumption} run"] = ((run.strategy, dict(run.params)), (strategy.name, dict(params)))
        pairs[f"execution of the {assumption} run"] = (
            run.execution.to_json(),
            {**verdict["execution"], "assumption": assumption},
        )
        pairs[f"bars of the {assumption} run"] = (len(run.equity), len(candles))
    headline = runs[verdict["execution"]["assumption"]].metrics["net_profit"]
    stated_profit = verdict["cell"]["metrics"]["net_profit"]
    if not abs(headline - stated_profit) <= TOLERANCE:
        pairs["net profit of the cell"] = (headline, stated_profit)
    for what, (one, other) in pairs.items():
        if one != other:
            raise IntegrityError(
                f"the parts are not of one run: {what} is {one} and {other}; validate it again."
            )
