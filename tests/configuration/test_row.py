import json
import uuid
from collections import Counter
from datetime import UTC, datetime

import configuration_samples as samples
import pytest

from quantlab.configuration.document import approve
from quantlab.configuration.row import COLUMNS, GROUPS, LATER, NEEDS_LIVE, candidate_id, columns
from quantlab.regimes import detect

CONTRACT = """
id
strategy_name exchange pair timeframe regime
status is_active
parameters_json
gross_win_rate avg_win avg_loss net_profit sample_size
exchange_fees est_slippage actual_slippage
sharpe_ratio calmar_ratio sortino_ratio p_value z_score monte_carlo_var stability_score drawdown_duration
trade_clustering rolling_30d_sharpe lifetime_sharpe_ratio
fill_rate partial_fill_rate time_to_fill_ms slippage_vs_mid_bps adverse_selection_score post_trade_drift_1m
post_trade_drift_5m rejection_rate
regime_classification
alternative_data_signals
adversarial_score trap_probability smart_money_alignment
kelly_fraction correlation_adjusted_weight regime_adjusted_size max_position_size current_allocation
var_95 cvar_95
avg_spread_bps book_depth_ratio book_imbalance tick_size_impact maker_rebate taker_fee level2_depth_score
microstructure_noise
months_since_discovery performance_degradation degradation_velocity death_signals death_signal_count
resurrection_score
model_version discovery_date engine_hash runtime_env
created_at updated_at last_activated_at last_deactivated_at
"""


def test_the_70_columns_in_their_14_groups():
    assert tuple(CONTRACT.split()) == COLUMNS
    assert len(COLUMNS) == 70
    assert [len(group) for group in GROUPS.values()] == [1, 5, 2, 1, 5, 3, 11, 8, 1, 1, 3, 7, 8, 6, 4, 4]
    assert max(Counter(COLUMNS).values()) == 1


def test_29_columns_need_live_data_and_41_do_not():
    assert len(set(NEEDS_LIVE)) == 29
    assert set(NEEDS_LIVE) <= set(COLUMNS)
    assert set(LATER) <= set(COLUMNS) - set(NEEDS_LIVE)


def test_what_is_measured_is_filled_and_the_rest_is_null():
    row = columns(samples.approved())
    assert tuple(row) == COLUMNS
    unfilled = {name for name, value in row.items() if value is None}
    assert unfilled == {*NEEDS_LIVE, *LATER, "regime_classification"}


def test_values_and_units():
    document = samples.approved()
    row, metrics = columns(document), samples.runs()["neutral"].metrics
    assert row["strategy_name"] == "sma_cross"
    assert (row["exchange"], row["pair"], row["timeframe"]) == ("synthetic", "MOMENTUM-5/USD", "1d")
    assert (row["regime"], row["is_active"]) == ("all", False)
    assert row["status"] == document["lifecycle"]["stage"]
    assert row["parameters_json"] == samples.PARAMS
    for column, metric in (
        ("sharpe_ratio", "sharpe"),
        ("lifetime_sharpe_ratio", "sharpe"),
        ("calmar_ratio", "calmar"),
        ("sortino_ratio", "sortino"),
        ("sample_size", "trades"),
        ("net_profit", "net_profit"),
        ("gross_win_rate", "gross_win_rate"),
        ("avg_win", "avg_win"),
        ("avg_loss", "avg_loss"),
        ("drawdown_duration", "drawdown_duration"),
        ("var_95", "var_95"),
        ("cvar_95", "cvar_95"),
    ):
        assert row[column] == metrics[metric]
    assert type(row["sample_size"]) is int
    assert row["avg_loss"] < 0 < row["avg_win"]
    assert row["exchange_fees"] == 0.001
    assert row["est_slippage"] == pytest.approx(0.0002)
    assert row["monte_carlo_var"] == -document["live_contract"]["bands"]["return"]["p05"]
    assert row["p_value"] == samples.verdict().evidence["search_rerun"].value
    assert row["created_at"] == row["discovery_date"] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert row["updated_at"] == datetime(2026, 2, 1, 8, 30, tzinfo=UTC)
    assert len(row["engine_hash"]) == 64
    json.dumps(row["parameters_json"], allow_nan=False)


def test_the_row_is_the_same_before_and_after_approval_and_on_a_second_run():
    candidate = samples.candidate()
    later = samples.candidate(created_at="2026-03-01T00:00:00Z")
    approved = approve(candidate, by="ana", reason="good", at=samples.APPROVED)
    refused = samples.candidate(failed="recency")
    ids = {candidate_id(document) for document in (candidate, later, approved, refused, samples.approved())}
    assert len(ids) == 1
    (one,) = ids
    assert isinstance(one, uuid.UUID)
    assert one.version == 5
    assert columns(approved)["id"] == one


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("strategy", "code_hash", "9" * 64),
        ("market", "symbol", "ETH/USD"),
        ("execution", "direction", "long"),
        ("cost_model", "taker", 0.0005),
        ("data_fingerprint", "sha256", "9" * 64),
        ("identity", "engine_hash", "9" * 64),
    ],
)
def test_another_candidate_has_another_row(section, key, value):
    document = samples.approved()
    document[section][key] = value
    assert candidate_id(document) != candidate_id(samples.approved())


def test_other_parameters_are_another_candidate():
    document = samples.approved()
    document["strategy"]["parameters"]["fast"]["value"] = 8
    assert candidate_id(document) != candidate_id(samples.approved())


def test_one_regime_is_named_and_several_are_all():
    regimes = detect(samples.market())
    document = samples.candidate(regimes=regimes, may_trade=["bull"])
    row = columns(document)
    assert (row["regime"], row["regime_classification"]) == ("bull", document["regime"])
    assert row["regime_classification"]["p_bull"] == regimes.probability[-1, 0]
    assert columns(samples.candidate(regimes=regimes))["regime"] == "all"


def test_a_member_that_risks_with_leverage_holds_its_share_of_it():
    alone = samples.approved()
    limits = {**alone["risk_limits"], "max_position_fraction": 3.0}
    member = {**alone, "risk_limits": limits, "group": {"id": str(uuid.uuid4()), "weight": 0.05}}
    assert columns(member)["max_position_size"] == pytest.approx(0.15)
    assert columns({**alone, "risk_limits": limits})["max_position_size"] == 3.0
    others = {"max_position_size", "id"}
    assert {n: v for n, v in columns(member).items() if n not in others} == {
        n: v for n, v in columns(alone).items() if n not in others
    }
