import dataclasses
import json
import math

import configuration_samples as samples
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from quantlab.backtest.execution import AllIn, Costs, Execution, Risk
from quantlab.backtest.metrics import METRICS
from quantlab.backtest.sweep import sweep
from quantlab.configuration import sections
from quantlab.configuration.agreement import compare
from quantlab.configuration.canonical import config_id, sha256
from quantlab.configuration.document import approve, build
from quantlab.configuration.nulls import stated
from quantlab.configuration.provenance import collect, environment_hash
from quantlab.configuration.schema import load, validate
from quantlab.configuration.searched import Search, parameter_entry
from quantlab.errors import ConfigurationError, IntegrityError, UnknownNameError
from quantlab.market.candles import Candles
from quantlab.market.sample import sample_candles
from quantlab.regimes import REGIMES, detect
from quantlab.signals import Signals
from quantlab.space import Choice, Float
from quantlab.strategies import get

SECTIONS = (
    "schema",
    "identity",
    "strategy",
    "market",
    "execution",
    "cost_model",
    "data_fingerprint",
    "search",
)
SECTIONS += ("validation", "risk_limits", "live_contract", "lifecycle")


def objects(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_the_schema_is_one_and_closed():
    schema = load()
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == list(SECTIONS)
    assert set(schema["properties"]) == {*SECTIONS, "group", "regime", "signature"}
    closed = [
        item for item in objects(schema) if "object" in (item.get("type") or ()) and "allOf" not in item
    ]
    assert len(closed) > 40
    for item in closed:
        assert item["additionalProperties"] is False
        assert set(item["required"]) <= set(item["properties"])
    assert set(schema["$defs"]["metrics"]["properties"]) == {*METRICS, "unmeasured"}


def test_every_section_is_there_and_the_same_run_has_the_same_id():
    document = samples.candidate()
    assert tuple(document) == SECTIONS
    assert document["identity"]["config_id"] == config_id(document) == config_id(samples.candidate())
    validate(document)
    later = samples.candidate(created_at="2026-01-31T12:00:01Z")
    assert config_id(later) != config_id(document)


def test_seconds_spent_do_not_reach_the_id():
    slow = samples.verdict().to_json()
    for test in slow["evidence"]["tests"]:
        test["seconds"] = 99.0
    assert config_id(samples.candidate(verdict=slow)) == config_id(samples.candidate())


def test_what_the_document_says_is_what_was_measured():
    document, run, candles = samples.candidate(), samples.runs()["neutral"], samples.market()
    figures = document["validation"]["fill_assumptions"]["neutral"]
    for name in METRICS:
        assert figures[name] == run.metrics[name] or (figures[name] is None and math.isnan(run.metrics[name]))
    data = document["data_fingerprint"]
    assert (data["sha256"], data["rows"], data["missing"]) == (candles.fingerprint, len(candles), 0)
    assert document["market"]["quote_currency"] == "USD"
    assert document["market"]["tick_size"] is None
    assert "exchange" in document["market"]["unmeasured"]["tick_size"]
    assert document["search"]["trials_ever"] == 70
    assert document["search"]["trials_in_run"] == 25
    walk = samples.walk_forward()
    assert document["validation"]["walk_forward"]["p"] == walk.p
    figures = document["validation"]["statistics"]
    assert figures["p_value"] == samples.verdict().evidence["search_rerun"].value
    assert figures["z_score"] == run.metrics["timing_t"]
    assert document["validation"]["statistics"]["stability_score"] == 0.5  # one window of two
    assert document["validation"]["walk_forward"]["folds"][1]["params"] is None
    assert document["execution"]["warmup_bars"] == 21
    assert document["execution"]["on_opposite_signal"] == "reverse"
    assert document["execution"]["order_types"]["stop"] is None
    assert document["risk_limits"]["circuit_breakers"] == {
        "max_daily_loss": 0.02,
        "max_correlation_spike": 0.8,
        "unusual_market_threshold": 3.0,
        "latency_threshold_ms": 500,
        "max_adverse_selection": 0.6,
        "consecutive_losses_limit": 5,
        "regime_break_threshold": 0.3,
    }
    assert document["lifecycle"]["approvals"] == []
    assert document["identity"]["expires_at"] == "2026-05-01T12:00:00Z"  # 90 days


def test_parameters_carry_type_unit_bounds_and_half_width():
    parameters = samples.candidate()["strategy"]["parameters"]
    assert parameters["fast"] == {
        "type": "int",
        "value": 5,
        "unit": "bars",
        "role": "entry",
        "meaning": "window of the fast average",
        "bounds": {"low": 2, "high": 200},
        "searched": {"low": 5, "high": 12, "values": 3},
        "half_width": 3.0,
    }
    assert parameters["slow"]["half_width"] is None
    assert "fixed" in parameters["slow"]["unmeasured"]["half_width"]


def test_other_kinds_of_parameters():
    search = dataclasses.replace(
        samples.search(), values={"k": [0.5, 1.5], "mode": ["a", "b"]}, half_width={"k": 0.25}
    )
    entry = parameter_entry(Float("k", 0.1, 3.0, 1.0, "atr"), np.float64(1.5), search)
    assert (entry["type"], entry["value"], entry["half_width"]) == ("float", 1.5, 0.25)
    assert type(entry["value"]) is float
    entry = parameter_entry(Choice("mode", ("a", "b", "c"), "a"), np.str_("b"), search)
    assert (entry["type"], entry["value"], entry["searched"], entry["half_width"]) == (
        "choice",
        "b",
        ["a", "b"],
        None,
    )
    document = samples.candidate()
    document["strategy"]["parameters"]["mode"] = entry
    validate(document)
    entry["value"] = "c"
    with pytest.raises(ConfigurationError, match="outside what was searched"):
        validate(document)


def test_a_refused_candidate_is_a_document_too():
    document = samples.candidate(failed="recency")
    assert document["validation"]["approved"] is False
    assert document["lifecycle"]["stage"] != "MATURE"
    with pytest.raises(ConfigurationError, match=r"the gate refused .* failed: \['recency'\]"):
        approve(document, by="ana", reason="please", at=samples.APPROVED)


def test_approval_names_who_when_why_and_what_they_saw():
    candidate = samples.candidate()
    document = approve(candidate, by="ana", reason="holds on all paths", at=samples.APPROVED)
    assert document["lifecycle"]["approvals"] == [
        {
            "by": "ana",
            "at": samples.APPROVED,
            "reason": "holds on all paths",
            "evidence_sha256": sha256(document["validation"]),
        }
    ]
    assert candidate["lifecycle"]["approvals"] == []  # a copy
    assert document["identity"]["config_id"] != candidate["identity"]["config_id"]
    assert approve(candidate, by="ana", reason="holds on all paths", at=samples.APPROVED) == document
    second = approve(document, by="bo", reason="agree", at="2026-02-01T09:00:00Z")
    assert [approval["by"] for approval in second["lifecycle"]["approvals"]] == ["ana", "bo"]


@pytest.mark.parametrize(("by", "reason"), [("", "x"), (" ", "x"), ("ana", ""), ("ana", "\n")])
def test_an_approval_without_a_name_or_a_reason_is_refused(by, reason):
    with pytest.raises(ConfigurationError, match="who and why"):
        approve(samples.candidate(), by=by, reason=reason, at=samples.APPROVED)


def test_an_expired_candidate_cannot_be_approved():
    with pytest.raises(ConfigurationError, match="expired"):
        approve(samples.candidate(), by="ana", reason="late", at="2026-05-01T12:00:00Z")


def test_parts_of_different_runs_are_refused():
    runs = samples.runs()
    other = dataclasses.replace(runs["neutral"], params={"fast": 8, "slow": 20})
    costly = dataclasses.replace(runs["neutral"], execution=Execution(costs=Costs(taker=0.002)))
    richer = samples.verdict().to_json()
    richer["cell"]["metrics"]["net_profit"] += 0.01
    for changes, what in (
        ({"strategy": get("liquidity_sweep")}, "strategy is"),
        ({"candles": samples.market()[:-1]}, "candles is"),
        ({"search": dataclasses.replace(samples.search(), surface_key="6" * 64)}, "surface is"),
        ({"search": dataclasses.replace(samples.search(), space_hash="6" * 64)}, "space is"),
        ({"runs": runs | {"neutral": other}}, "neutral run is"),
        ({"runs": runs | {"optimistic": runs["neutral"]}}, "execution of the optimistic run"),
        ({"runs": runs | {"pessimistic": costly}}, "execution of the pessimistic run"),
        ({"runs": {"neutral": runs["neutral"]}}, "runs under"),
        ({"verdict": richer}, "net profit of the cell"),
    ):
        with pytest.raises(IntegrityError, match=what):
            samples.candidate(**changes)


def test_the_regime_at_export_and_the_figures_by_regime():
    candles, run = samples.market(), samples.runs()["neutral"]
    regimes = detect(candles)
    document = samples.candidate(regimes=regimes, may_trade=["bull"])
    section, last = document["regime"], regimes.at()
    assert {name: section[name] for name in last} == last
    assert (section["as_of_ms"], section["may_trade"]) == (candles.last_ms, ["bull"])
    assert section["unmeasured"].keys() == {"fitted_until_ms"}
    assert section["label"] == max(REGIMES, key=lambda name: section[f"p_{name}"])
    by = document["validation"]["regimes"]
    assert by.keys() == set(REGIMES)
    assert sum(figures["trades"] for figures in by.values()) > 0.5 * run.metrics["trades"]
    shares = sum(figures["share_of_time"] for figures in by.values())
    assert shares == pytest.approx(1.0 - regimes.share["unknown"])
    assert set(document["validation"].get("unmeasured", {})) == {"hold_out_touches"}


def test_regimes_are_checked():
    regimes = detect(samples.market())
    with pytest.raises(ConfigurationError, match=r"\$\.regime"):
        samples.candidate(regimes=regimes, may_trade=[])
    with pytest.raises(IntegrityError, match="not of the candles of the run"):
        samples.candidate(regimes=detect(samples.market()[:-1]))
    without = samples.candidate()
    assert "regime" not in without
    assert without["validation"]["unmeasured"]["regimes"] == "no regimes were detected"


def test_an_unknown_regime_says_why():
    section = samples.candidate(regimes=detect(samples.market(), duration_bars=6_000))["regime"]
    assert section["label"] is section["trend_z"] is None
    assert section["p_bull"] == section["confidence"] == 0.25
    assert section["unmeasured"].keys() == {"label", "trend_z", "fitted_until_ms"}


def test_facts_of_the_exchange():
    market = sections.market(samples.market(), {"tick_size": 0.01, "market_type": "spot"})
    assert (market["tick_size"], market["market_type"]) == (0.01, "spot")
    assert set(market["unmeasured"]) == {"exchange_symbol", "lot_size", "least_notional"}
    with pytest.raises(UnknownNameError, match="tick_size"):
        sections.market(samples.market(), {"ticksize": 0.01})


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [("BTC/USD", "BTC", "USD"), ("BTC/USDT:USDT", "BTC", "USDT"), ("XBTUSD", None, None)],
)
def test_currencies_of_a_symbol(symbol, base, quote):
    market = sections.market(dataclasses.replace(samples.market(), symbol=symbol))
    assert (market["base_currency"], market["quote_currency"]) == (base, quote)
    assert ("base_currency" in market["unmeasured"]) is (base is None)


def test_limits_follow_from_sizing_and_timeframe():
    candles = samples.market()
    limits = sections.risk_limits(Execution(sizing=AllIn(0.5)), candles, -0.2)
    assert (limits["max_position_fraction"], limits["max_leverage"], limits["drawdown_stop"]) == (
        0.5,
        1.0,
        -0.2,
    )
    limits = sections.risk_limits(Execution(sizing=Risk(0.01, 3.0)), candles, 0.0)
    assert (limits["max_position_fraction"], limits["max_leverage"], limits["drawdown_stop"]) == (
        3.0,
        3.0,
        None,
    )
    assert limits["max_orders_per_hour"] == 6
    minute = dataclasses.replace(candles, timeframe="1m")
    assert sections.risk_limits(Execution(), minute, -0.2)["max_orders_per_hour"] == 360


@pytest.mark.parametrize(
    ("assumption", "gap", "both"),
    [
        ("neutral", "open", "stop_first"),
        ("pessimistic", "level", "stop_first"),
        ("optimistic", "open", "target_first"),
    ],
)
def test_rules_of_the_assumption(assumption, gap, both):
    strategy = get("liquidity_sweep")
    signals = strategy.signals(samples.market(), strategy.space.points([{}]).params())
    section = sections.execution(Execution(assumption=assumption), signals, 5)
    assert (section["target_gap_rule"], section["both_in_bar_rule"]) == (gap, both)
    assert section["order_types"]["stop"] == "stop_market"
    assert section["order_types"]["target"] == "limit"


@pytest.mark.parametrize("rule", ["trail", "break_even", "partial_target"])
def test_a_rule_that_the_document_cannot_state_is_refused(rule):
    fraction = np.array([0.5]) if rule == "partial_target" else None
    signals = Signals(long=np.ones(9, bool), **{rule: np.ones(9)}, partial_fraction=fraction)
    with pytest.raises(ConfigurationError, match=f"got a strategy with {rule}: .* cannot be exported"):
        sections.execution(Execution(), signals, 5)


def test_a_null_needs_a_reason():
    assert stated({"a": 1}) == {"a": 1}
    assert stated({"a": np.float64("nan"), "b": np.int64(2)}, {"a": "why"}) == {
        "a": None,
        "b": 2,
        "unmeasured": {"a": "why"},
    }
    with pytest.raises(ConfigurationError, match="'a' was not measured and has no reason"):
        stated({"a": math.inf}, {"b": "why"})


def test_engines_that_disagree_make_a_document_that_is_refused():
    run = samples.runs()["neutral"]
    disagreement = compare(run, dataclasses.replace(run, trades=run.trades[:-1]))
    document = samples.candidate(replay=disagreement)
    with pytest.raises(ConfigurationError, match="second engine disagreed"):
        approve(document, by="ana", reason="so what", at=samples.APPROVED)


def test_provenance_of_this_checkout():
    here = collect()
    assert here == collect()
    assert here.version.count(".") == 2
    assert len(here.engine_hash) == len(here.environment_hash) == 64
    assert (here.commit is None) == (here.dirty is None)
    assert here.commit is None or len(here.commit) == 40
    assert environment_hash() == here.environment_hash


def test_a_surface_whose_plateau_is_another_cell_is_refused():
    class Other:
        cells = get("sma_cross").space.grid(fast=[5, 8], slow=[20])

        def eligible(self, metric, min_trades):
            return np.array([[1.0], [2.0]])

        def plateau(self, metric, min_trades):
            from quantlab.backtest.surface import Cell

            cell = Cell((1, 0), {"fast": 8, "slow": 20}, {})
            return type("Plateau", (), {"cell": cell, "score": 1.0, "half_width": {}})

    with pytest.raises(IntegrityError, match="validate this surface again"):
        Search.of(Other(), samples.PARAMS)


@pytest.mark.parametrize("objective", ["sharpe", "fees_paid"])
def test_the_rank_counts_the_cells_that_are_better(objective):
    strategy, candles = get("sma_cross"), sample_candles()[:3_000]
    grid = strategy.space.grid(fast=[5, 8, 12, 16], slow=[30, 50, 70, 90])
    surface = sweep(strategy, candles, grid, progress=False)
    found = surface.plateau(objective, min_trades=5).cell
    search = Search.of(surface, found.params, objective=objective, min_trades=5)
    own, others = found.metrics[objective], surface.eligible(objective, 5)
    better = others < own if objective == "fees_paid" else others > own
    assert search.rank == 1 + np.count_nonzero(better)
    assert (search.rank, search.ranked) == (
        Search.of_member(surface, found.index, objective=objective, min_trades=5).rank,
        np.count_nonzero(np.isfinite(others)),
    )


def test_documents_are_plain_json():
    document = samples.candidate()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_few_trades_on_few_days_make_a_document_that_may_not_trade():
    assert isinstance(samples.market(), Candles)
    strategy, candles = get("sma_cross"), samples.market()
    run = samples.runs()["neutral"]
    none = dict.fromkeys(METRICS, math.nan) | dict.fromkeys(("net_profit", "trades", "max_drawdown"), 0.0)
    idle = {
        name: dataclasses.replace(r, trades=run.trades[:0], daily=np.zeros(len(run.daily)), metrics=none)
        for name, r in samples.runs().items()
    }
    verdict = samples.verdict(failed="trades").to_json()
    verdict["cell"]["metrics"] = {"net_profit": 0.0}
    document = build(
        strategy,
        candles,
        dataclasses.replace(samples.search(), rule="most_trades", score=math.nan, half_width={}),
        verdict,
        idle,
        compare(idle["neutral"], idle["neutral"]),
        provenance=samples.HERE,
        created_at=samples.CREATED,
        source="generated",
    )
    assert document["lifecycle"]["stage"] == "DISCOVERY"
    assert document["risk_limits"]["drawdown_stop"] is None
    assert document["search"]["chosen"]["score"] is None
