"""The sections of a V3 document that follow from candles, execution rules and runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantlab.backtest.execution import AllIn, Execution
from quantlab.backtest.trades import Run
from quantlab.configuration import live_contract
from quantlab.configuration.nulls import stated
from quantlab.errors import ConfigurationError, UnknownNameError
from quantlab.market.candles import FLAT, MISSING, NO_TRADE, SUSPICIOUS, Candles
from quantlab.signals import Signals, Strategy

CIRCUIT_BREAKERS: dict[str, float] = {
    "max_daily_loss": 0.02,
    "max_correlation_spike": 0.8,
    "unusual_market_threshold": 3.0,
    "latency_threshold_ms": 500,
    "max_adverse_selection": 0.6,
    "consecutive_losses_limit": 5,
    "regime_break_threshold": 0.3,
}

_UNSAID = ("trail", "break_even", "partial_target")
_NOT_IN_CANDLES = "candles do not tell; ask the exchange's list of markets"
_MARKET_FACTS = ("market_type", "exchange_symbol", "tick_size", "lot_size", "least_notional")
_ORDERS_PER_BAR = 6  # an exit and an entry, two new protective orders, two old ones cancelled
_HOUR_MS = 3_600_000


def market(candles: Candles, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The section ``market``.

    Parameters
    ----------
    candles : Candles
    facts : mapping, optional
        What the exchange says: market_type, exchange_symbol, tick_size, lot_size (units of the base
        currency), least_notional (units of the quote currency). Null with a reason where absent.
    """
    known = dict(facts or {})
    for name in known:
        if name not in _MARKET_FACTS:
            raise UnknownNameError("fact of a market", name, _MARKET_FACTS)
    base, slash, rest = candles.symbol.partition("/")
    names = {"base_currency": base if slash else None, "quote_currency": rest.split(":")[0] or None}
    values = {
        "exchange": candles.exchange,
        "symbol": candles.symbol,
        "timeframe": candles.timeframe,
        **names,
        **{name: known.get(name) for name in _MARKET_FACTS},
    }
    unnamed = dict.fromkeys(names, "the symbol is not of the form BASE/QUOTE")
    return stated(values, unnamed | dict.fromkeys(_MARKET_FACTS, _NOT_IN_CANDLES))


def execution(rules: Execution, signals: Signals, warmup_bars: int) -> dict[str, Any]:
    """The section ``execution``: the rules of the backtest as orders of a bot.

    Parameters
    ----------
    rules : Execution
    signals : Signals
        Of the chosen cell: which exits it has at all.
    warmup_bars : int
        Bars of history that a decision needs.

    Raises
    ------
    ConfigurationError
        An exit rule that a V3 document has no words for.
    """
    unsaid = [name for name in _UNSAID if getattr(signals, name) is not None]
    if unsaid:
        raise ConfigurationError(
            f"a V3 configuration states stop, target, holding limit and signals, got a strategy with "
            f"{', '.join(unsaid)}: a bot would not know the rule, so it cannot be exported."
        )
    by_signal = not (
        signals.exit_long is None and signals.exit_short is None and signals.on_opposite == "ignore"
    )
    exits = {
        "stop": None if signals.stop is None else "stop_market",
        "target": None if signals.target is None else "limit",
        "signal_exit": "market" if by_signal else None,
        "time_exit": None if signals.max_holding is None else "market",
    }
    optimistic, pessimistic = rules.assumption == "optimistic", rules.assumption == "pessimistic"
    return {
        "decision": "bar_close",
        "fill": "next_bar_open",
        "delay_bars": rules.delay_bars,
        "direction": rules.direction,
        "assumption": rules.assumption,
        "order_types": stated({"entry": "market", **exits}, "the strategy has no such exit"),
        "time_in_force": {"entry": "IOC", "stop": "GTC", "target": "GTC"},
        "warmup_bars": int(warmup_bars),
        "on_opposite_signal": signals.on_opposite,
        "stop_rule": "at_level_or_open_beyond",
        "target_gap_rule": "level" if pessimistic else "open",
        "both_in_bar_rule": "target_first" if optimistic else "stop_first",
        "missing_bar_rule": "no_entry_no_fill_position_carried",
        "sizing": rules.to_json()["sizing"],
        "days_per_year": rules.days_per_year,
    }


def cost_model(rules: Execution, metrics: Mapping[str, float]) -> dict[str, Any]:
    """The section ``cost_model``: fractions of notional per side, and basis points."""
    costs = rules.costs
    return stated(
        {
            "maker": costs.maker,
            "taker": costs.taker,
            "slippage_bps": costs.slippage_bps,
            "funding_8h": costs.funding_8h,
            "break_even_cost_bps": metrics["break_even_cost_bps"],
        },
        {"break_even_cost_bps": "undefined: no closed trade, or no cost breaks even"},
    )


def data_fingerprint(candles: Candles, source: str) -> dict[str, Any]:
    """The section ``data_fingerprint``: which candles, how many, what is wrong with them.

    Parameters
    ----------
    candles : Candles
    source : str
        Where they come from, for a reader.
    """
    counts = {
        name: int(np.count_nonzero(candles.flags & bit))
        for name, bit in (
            ("missing", MISSING),
            ("suspicious", SUSPICIOUS),
            ("no_trade", NO_TRADE),
            ("flat", FLAT),
        )
    }
    edges = {"first_bar_ms": candles.first_ms, "last_bar_ms": candles.last_ms}
    return stated(
        {
            "sha256": candles.fingerprint,
            "family": candles.family,
            "ranges": [{"source": source, **edges}],
            **edges,
            "rows": len(candles),
            **counts,
            "disagreement_bps": None,
        },
        {"disagreement_bps": "no second exchange was compared"},
    )


def metrics(run: Run) -> dict[str, Any]:
    """The figures of a run; those that are undefined are null."""
    values = {**run.metrics, "trades": int(run.metrics["trades"])}
    return stated(values, "undefined for this cell: too few closed trades, or a zero denominator")


def risk_limits(rules: Execution, candles: Candles, drawdown_stop: float | None) -> dict[str, Any]:
    """The section ``risk_limits``.

    Parameters
    ----------
    rules : Execution
        Its sizing limits the position.
    candles : Candles
        Its timeframe limits the orders per hour.
    drawdown_stop : float or None
        Drawdown (negative fraction) at which trading stops: the 5 % worst of the bootstrap.
    """
    sizing = rules.sizing
    fraction, leverage = (
        (sizing.fraction, 1.0) if isinstance(sizing, AllIn) else (sizing.leverage, sizing.leverage)
    )
    return stated(
        {
            "max_position_fraction": fraction,
            "max_leverage": leverage,
            "drawdown_stop": drawdown_stop if drawdown_stop is not None and drawdown_stop < 0.0 else None,
            "max_orders_per_hour": _ORDERS_PER_BAR * max(1, _HOUR_MS // candles.step_ms),
            "circuit_breakers": dict(CIRCUIT_BREAKERS),
        },
        {"drawdown_stop": "the record is too short or without a drawdown to measure one"},
    )


def live(bands: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``live_contract`` from the bands of `live_contract.bands`."""
    short = f"fewer than {live_contract.LEAST_DAYS} days of record, or no closed trade"
    drawdown = bands["max_drawdown"]
    return {
        "method": live_contract.METHOD,
        "horizon_days": live_contract.HORIZON_DAYS,
        "resamples": live_contract.RESAMPLES,
        "block_days": live_contract.BLOCK_DAYS,
        "seed": live_contract.SEED,
        "bands": stated(
            {**bands, "slippage_bps": None},
            dict.fromkeys(bands, short)
            | {"slippage_bps": "needs live fills; the backtest charges cost_model.slippage_bps"},
        ),
        "demote": stated(
            {
                **live_contract.DEMOTION,
                "when_any": list(live_contract.WHEN_ANY),
                "max_drawdown_below": drawdown["p05"] if drawdown else None,
            },
            {"max_drawdown_below": short},
        ),
    }


def strategy_head(strategy: Strategy) -> dict[str, Any]:
    """Name, code hash and constraints of the section ``strategy``."""
    return {
        "name": strategy.name,
        "code_hash": strategy.code_hash,
        "constraints": list(strategy.space.constraints),
    }
