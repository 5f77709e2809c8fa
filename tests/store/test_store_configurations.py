from __future__ import annotations

import math
import re
from pathlib import Path

import psycopg
import pytest
from stored_configurations import columns, payload

from quantlab.configuration.lifecycle import STAGES, TRANSITIONS
from quantlab.configuration.row import COLUMNS
from quantlab.errors import ConfigurationError, InputError, NotStoredError, StoreError, UnknownNameError
from quantlab.store.store import Store

# The contract with the execution bot, name by name.
# fmt: off
CONTRACT = [
    "id", "strategy_name", "exchange", "pair", "timeframe", "regime", "status", "is_active",
    "parameters_json", "gross_win_rate", "avg_win", "avg_loss", "net_profit", "sample_size",
    "exchange_fees", "est_slippage", "actual_slippage", "sharpe_ratio", "calmar_ratio", "sortino_ratio",
    "p_value", "z_score", "monte_carlo_var", "stability_score", "drawdown_duration", "trade_clustering",
    "rolling_30d_sharpe", "lifetime_sharpe_ratio", "fill_rate", "partial_fill_rate", "time_to_fill_ms",
    "slippage_vs_mid_bps", "adverse_selection_score", "post_trade_drift_1m", "post_trade_drift_5m",
    "rejection_rate", "regime_classification", "alternative_data_signals", "adversarial_score",
    "trap_probability", "smart_money_alignment", "kelly_fraction", "correlation_adjusted_weight",
    "regime_adjusted_size", "max_position_size", "current_allocation", "var_95", "cvar_95",
    "avg_spread_bps", "book_depth_ratio", "book_imbalance", "tick_size_impact", "maker_rebate", "taker_fee",
    "level2_depth_score", "microstructure_noise", "months_since_discovery", "performance_degradation",
    "degradation_velocity", "death_signals", "death_signal_count", "resurrection_score", "model_version",
    "discovery_date", "engine_hash", "runtime_env", "created_at", "updated_at", "last_activated_at",
    "last_deactivated_at",
]
# fmt: on

INDEXES = {
    "(strategy_name)",
    "(exchange)",
    "(pair)",
    "(status)",
    "(is_active) WHERE is_active",
    "(exchange, pair, timeframe)",
    "(net_profit DESC, sharpe_ratio DESC)",
    "(status, months_since_discovery)",
    "gin (parameters_json)",
    "gin (death_signals)",
}


def test_the_table_has_the_seventy_columns_of_the_contract(sql: psycopg.Connection) -> None:
    described = sql.execute("select * from trained_configurations").description or ()
    assert len(CONTRACT) == 70
    assert [column.name for column in described] == CONTRACT == list(COLUMNS)


def test_the_table_has_ten_indexes_beside_its_primary_key(sql: psycopg.Connection) -> None:
    query = (
        "select indexdef from pg_indexes where tablename = 'trained_configurations' and indexname !~ 'pkey'"
    )
    found = [re.split(r" USING (?:btree )?", text)[1] for (text,) in sql.execute(query)]
    assert len(found) == 10
    assert set(found) == INDEXES


def test_a_row_and_its_document_come_back(store: Store) -> None:
    row = columns(
        death_signals=["slippage"], regime_classification={"b": 1, "a": [None, 0.5]}, sortino_ratio=math.nan
    )
    document = payload(row)
    id = store.put_configuration(row, document)
    assert store.configuration_document(id) == document
    back = store.configuration_row(id)
    assert list(back) == CONTRACT
    assert {name: back[name] for name in row if name != "sortino_ratio"} == {
        k: v for k, v in row.items() if k != "sortino_ratio"
    }
    given = {*row, "created_at", "updated_at"} - {"sortino_ratio"}
    assert {name for name, value in back.items() if value is not None} == given, (
        "what was not measured is NULL"
    )


def test_the_same_candidate_again_is_the_same_row(store: Store, sql: psycopg.Connection) -> None:
    row = columns()
    document = payload(row)
    first = store.put_configuration(row, document)
    before = store.configuration_row(first)
    assert store.put_configuration(row, document) == first
    assert store.configuration_row(first) == before
    store.put_configuration(row | {"sharpe_ratio": 1.3})
    after = store.configuration_row(first)
    assert after["sharpe_ratio"] == 1.3
    assert after["created_at"] == before["created_at"] < after["updated_at"]
    assert store.configuration_document(first) == document
    renewed = payload(row, days=60)
    store.put_configuration(row, renewed)
    assert store.configuration_document(first) == renewed
    counts = (
        "select (select count(*) from trained_configurations), (select count(*) from configuration_document)"
    )
    assert sql.execute(counts).fetchone() == (1, 2)


WRONG = [
    {"status": "READY"},
    {"status": "DECAY"},
    {"regime": "crab"},
    {"timeframe": "2h"},
    {"is_active": True},
    {"gross_win_rate": 55.0},
    {"p_value": -0.1},
    {"sample_size": -1},
    {"engine_hash": "short"},
    {"parameters_json": [1]},
    {"pair": ""},
    {"strategy_name": None},
]


def test_checks_refuse(store: Store, sql: psycopg.Connection) -> None:
    for wrong in WRONG:
        with pytest.raises(StoreError):
            store.put_configuration(columns(**wrong))
        assert sql.execute("select count(*) from trained_configurations").fetchone() == (0,), wrong


def test_wrong_calls_say_what_is_wrong(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sharpe_ratio'"):
        store.put_configuration(columns(sharp_ratio=1.0))
    with pytest.raises(InputError, match="needs an `id`"):
        store.put_configuration({"strategy_name": "x"})
    with pytest.raises(InputError, match="is a UUID, got 'seven'"):
        store.configuration_row("seven")
    absent = str(columns(9)["id"])
    for call in (store.configuration_row, store.configuration_document):
        with pytest.raises(NotStoredError, match=absent):
            call(absent)
    with pytest.raises(NotStoredError, match=absent):
        store.record_stage(absent, "PAPER", "lost money")


def test_every_stage_is_recorded_whoever_changes_it(store: Store, sql: psycopg.Connection) -> None:
    id = store.put_configuration(columns(status="DISCOVERY"))
    store.record_stage(id, "VALIDATION", "30 trades")
    store.record_stage(id, "VALIDATION", "again")
    sql.execute("update trained_configurations set status = 'MATURE' where id = %s", [id])
    store.put_configuration(columns(status="PAPER"))
    assert store.stages(id) == [
        ("DISCOVERY", "measured"),
        ("VALIDATION", "30 trades"),
        ("MATURE", "measured"),
        ("PAPER", "measured"),
    ]
    with pytest.raises(ConfigurationError, match="cannot pass from PAPER to MATURE"):
        store.record_stage(id, "MATURE", "wishful")
    with pytest.raises(InputError, match="reason"):
        store.record_stage(id, "DISCOVERY", " ")
    with pytest.raises(psycopg.errors.RaiseException, match="cannot pass from PAPER to MATURE"):
        sql.execute("update trained_configurations set status = 'MATURE' where id = %s", [id])
    for statement in (
        "update stage_transition set reason = 'x'",
        "delete from stage_transition",
        "truncate stage_transition",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="refused"):
            sql.execute(statement)
    assert store.configuration_row(id)["status"] == "PAPER"


def test_the_database_and_the_lifecycle_allow_the_same_steps(sql: psycopg.Connection) -> None:
    query = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'stage_transition_allowed'"
    (text,) = sql.execute(query).fetchone() or ("",)
    pairs = re.findall(r"'([A-Z]+) ([A-Z]+)'", text)
    assert set(pairs) == {(old, new) for old in STAGES for new in TRANSITIONS[old]}


def test_only_the_store_speaks_sql() -> None:
    package = Path(__file__).parents[2] / "quantlab"
    speaks = re.compile(
        r"psycopg\.connect\b|\.cursor\(|\bselect\b.{1,200}\bfrom\b.{1,80}\bwhere\b|\binsert into\b",
        re.I | re.S,
    )
    guilty = [
        path
        for path in package.rglob("*.py")
        if "store" not in path.relative_to(package).parts and re.search(speaks, path.read_text())
    ]
    assert not guilty
