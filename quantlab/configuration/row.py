"""The row of ``trained_configurations``: 70 columns, each measured or NULL.

Of the 70, 29 need live execution, an order book or outside feeds and are NULL until those exist
(``NEEDS_LIVE``); 41 can be measured from candles. Of these, ``LATER`` waits for work that is not built yet;
everything else is filled here from the V3 document. No constant stands in for a measurement.

Units: fractions, never percent; ``drawdown_duration`` in days; fees and slippage as fractions of notional
per side; ``monte_carlo_var``, ``var_95`` and ``cvar_95`` are losses, positive; ``avg_loss`` is negative.

Of a member of an ensemble every figure is that of the member alone, on the share of the equity that it gets,
as in its document. The one exception is ``max_position_size``, which is a fraction of the **whole** equity,
the share included: the 70 columns name no weight, and who sized by the row would trade all members with
all of the equity, each.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from quantlab.configuration.canonical import sha256
from quantlab.configuration.moments import to_datetime

GROUPS: dict[str, tuple[str, ...]] = {
    "identity": ("id",),
    "context": ("strategy_name", "exchange", "pair", "timeframe", "regime"),
    "lifecycle": ("status", "is_active"),
    "parameters": ("parameters_json",),
    "performance": ("gross_win_rate", "avg_win", "avg_loss", "net_profit", "sample_size"),
    "costs": ("exchange_fees", "est_slippage", "actual_slippage"),
    "statistical validation": (
        "sharpe_ratio",
        "calmar_ratio",
        "sortino_ratio",
        "p_value",
        "z_score",
        "monte_carlo_var",
        "stability_score",
        "drawdown_duration",
        "trade_clustering",
        "rolling_30d_sharpe",
        "lifetime_sharpe_ratio",
    ),
    "execution": (
        "fill_rate",
        "partial_fill_rate",
        "time_to_fill_ms",
        "slippage_vs_mid_bps",
        "adverse_selection_score",
        "post_trade_drift_1m",
        "post_trade_drift_5m",
        "rejection_rate",
    ),
    "regime": ("regime_classification",),
    "alternative data": ("alternative_data_signals",),
    "adversarial": ("adversarial_score", "trap_probability", "smart_money_alignment"),
    "risk allocation": (
        "kelly_fraction",
        "correlation_adjusted_weight",
        "regime_adjusted_size",
        "max_position_size",
        "current_allocation",
        "var_95",
        "cvar_95",
    ),
    "microstructure": (
        "avg_spread_bps",
        "book_depth_ratio",
        "book_imbalance",
        "tick_size_impact",
        "maker_rebate",
        "taker_fee",
        "level2_depth_score",
        "microstructure_noise",
    ),
    "pattern health": (
        "months_since_discovery",
        "performance_degradation",
        "degradation_velocity",
        "death_signals",
        "death_signal_count",
        "resurrection_score",
    ),
    "metadata": ("model_version", "discovery_date", "engine_hash", "runtime_env"),
    "timestamps": ("created_at", "updated_at", "last_activated_at", "last_deactivated_at"),
}

COLUMNS: tuple[str, ...] = tuple(name for group in GROUPS.values() for name in group)
"""All 70 names, in the order of the table."""

NEEDS_LIVE: tuple[str, ...] = (
    "actual_slippage",
    *GROUPS["execution"],
    *GROUPS["alternative data"],
    *GROUPS["adversarial"],
    "correlation_adjusted_weight",
    "current_allocation",
    *GROUPS["microstructure"],
    *GROUPS["pattern health"],
)
"""The 29 columns that candles cannot tell."""

LATER: tuple[str, ...] = ("regime_adjusted_size", "last_activated_at", "last_deactivated_at")
"""Of the 41 others: no rule that sizes by regime has been tested, and the two moments are set when a
configuration is (de)activated."""

NAMESPACE = uuid.UUID("6f1c1f0a-7d0e-5c5e-9a59-3d7f5c2a8b11")


def candidate_id(document: Mapping[str, Any]) -> uuid.UUID:
    """The id of the row: the same for every document of the same candidate.

    A UUID (version 5) of what makes a candidate: strategy and its code, parameters, market, rules, costs,
    the candles' fingerprint, the engine's source, the regime, and the group if it trades in one. Dates,
    approvals and the evidence are left out: to validate again, or to approve, updates the row and makes no
    second one.
    """
    strategy, market = document["strategy"], document["market"]
    key = {
        "strategy": [strategy["name"], strategy["code_hash"]],
        "parameters": parameters(document),
        "market": [market["exchange"], market["symbol"], market["timeframe"]],
        "execution": document["execution"],
        "costs": {
            name: document["cost_model"][name] for name in ("maker", "taker", "slippage_bps", "funding_8h")
        },
        "candles": document["data_fingerprint"]["sha256"],
        "engine": document["identity"]["engine_hash"],
        "regime": _regime(document),
    }
    if "group" in document:  # the same cell alone would be another configuration: it has another weight
        key["group"] = document["group"]["id"]
    return uuid.uuid5(NAMESPACE, sha256(key))


def parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    """Name and value of every parameter."""
    return {name: entry["value"] for name, entry in document["strategy"]["parameters"].items()}


def columns(document: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a V3 document, approved or not.

    Parameters
    ----------
    document : mapping
        From `document.build` or `document.approve`.

    Returns
    -------
    dict
        All of ``COLUMNS``, in order. ``id`` is a UUID, the moments are datetimes aware of UTC, JSON columns
        are dicts; what was not measured is None. ``is_active`` is False: activation is a step of its own.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= _context(document) | _figures(document) | _metadata(document)
    return row


def _context(document: Mapping[str, Any]) -> dict[str, Any]:
    market = document["market"]
    return {
        "id": candidate_id(document),
        "strategy_name": document["strategy"]["name"],
        "exchange": market["exchange"],
        "pair": market["symbol"],
        "timeframe": market["timeframe"],
        "regime": _regime(document),
        "status": document["lifecycle"]["stage"],
        "is_active": False,
        "parameters_json": parameters(document),
        "regime_classification": document.get("regime"),
    }


def _figures(document: Mapping[str, Any]) -> dict[str, Any]:
    metrics = document["validation"]["fill_assumptions"]["neutral"]
    statistics, costs = document["validation"]["statistics"], document["cost_model"]
    names = ("gross_win_rate", "avg_win", "avg_loss", "net_profit", "drawdown_duration", "var_95", "cvar_95")
    return {
        **{name: metrics[name] for name in names},
        **{name: statistics[name] for name in statistics if name != "unmeasured"},
        "sample_size": metrics["trades"],
        "sharpe_ratio": metrics["sharpe"],
        "lifetime_sharpe_ratio": metrics["sharpe"],
        "calmar_ratio": metrics["calmar"],
        "sortino_ratio": metrics["sortino"],
        "exchange_fees": costs["taker"],
        "est_slippage": costs["slippage_bps"] / 10_000,
        "max_position_size": document["risk_limits"]["max_position_fraction"] * _weight(document),
    }


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    identity = document["identity"]
    created = to_datetime(identity["created_at"])
    moments = [created, *(to_datetime(approval["at"]) for approval in document["lifecycle"]["approvals"])]
    return {
        "model_version": f"quantlab {identity['producer']['version']}",
        "discovery_date": created,
        "engine_hash": identity["engine_hash"],
        "runtime_env": identity["runtime"],
        "created_at": created,
        "updated_at": max(moments),
    }


def _weight(document: Mapping[str, Any]) -> float:
    """The share of the equity that it gets: all of it, unless it trades in a group."""
    return float(document["group"]["weight"]) if "group" in document else 1.0


def _regime(document: Mapping[str, Any]) -> str:
    """The regime in which the configuration may trade, ``all`` unless it is exactly one."""
    allowed = document.get("regime", {}).get("may_trade", [])
    return allowed[0] if len(allowed) == 1 else "all"
