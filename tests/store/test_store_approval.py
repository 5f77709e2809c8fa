"""One door to activation; a list of wrong and hostile actions that the database itself refuses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from stored_configurations import columns, digest, payload

from quantlab.errors import IntegrityError, StoreError
from quantlab.store.store import Store
from quantlab.store.trials import Entry


def stored(store: Store, number: int = 1, **changes: object) -> tuple[str, str]:
    row = columns(number, **changes)
    document = payload(row)
    return store.put_configuration(row, document), digest(document)


def actions(sql: psycopg.Connection) -> list[tuple[str, str]]:
    return [
        (action, actor) for action, actor in sql.execute("select action, actor from audit order by number")
    ]


def test_an_approval_activates_and_shows_the_exact_bytes(store: Store, sql: psycopg.Connection) -> None:
    row = columns()
    document = payload(row)
    id = store.put_configuration(row, document)
    assert store.active_configurations() == []
    number = store.approve(id, digest(document).upper(), " ana ", "holds on all paths")
    (active,) = store.active_configurations()
    assert bytes(active["payload"]) == document
    assert (str(active["id"]), active["approved_by"], active["sha256"]) == (id, "ana", digest(document))
    after = store.configuration_row(id)
    assert after["is_active"]
    assert after["last_activated_at"] <= datetime.now(UTC)
    saw = sql.execute("select saw from configuration_approval where number = %s", [number]).fetchone()
    assert saw
    assert saw[0]["sharpe_ratio"] == 1.1
    assert store.approve(id, digest(document), "ana", "again") == number
    assert actions(sql) == [("approve", "ana")]
    assert store.verify_audit() == 1


def test_one_is_active_per_strategy_market_and_regime(store: Store, sql: psycopg.Connection) -> None:
    first, second, other = stored(store, 1), stored(store, 2), stored(store, 3, regime="bull")
    for id, sha in (first, other, second):
        store.approve(id, sha, "ana", "good")
    assert {str(row["id"]) for row in store.active_configurations()} == {second[0], other[0]}
    gone = store.configuration_row(first[0])
    assert not gone["is_active"]
    assert gone["last_deactivated_at"] is not None
    assert actions(sql) == [("approve", "ana")] * 2 + [("deactivate", "ana"), ("approve", "ana")]
    store.approve(*first, "ben", "back")
    assert {str(row["id"]) for row in store.active_configurations()} == {first[0], other[0]}
    assert store.verify_audit() == 6


def test_approvals_at_once_leave_one_active(store: Store) -> None:
    candidates = [stored(store, number) for number in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda candidate: store.approve(*candidate, "ana", "good"), candidates))
    assert len(store.active_configurations()) == 1
    assert store.verify_audit() == 15


def test_a_renewed_document_takes_over(store: Store, sql: psycopg.Connection) -> None:
    id, sha = stored(store)
    store.approve(id, sha, "ana", "good")
    longer = payload(columns(), days=90)
    store.put_configuration(columns(), longer)
    assert digest(store.configuration_document(id)) == sha, "the one in force, not the newest"
    store.approve(id, digest(longer), "ana", "renewed")
    assert [row["sha256"] for row in store.active_configurations()] == [digest(longer)]
    assert store.configuration_document(id) == longer
    assert sql.execute("select count(*) from configuration_approval where in_force").fetchone() == (1,)


def test_anybody_may_deactivate_and_it_is_recorded(store: Store, sql: psycopg.Connection) -> None:
    id, sha = stored(store)
    store.approve(id, sha, "ana", "good")
    sql.execute("update trained_configurations set is_active = false")
    assert store.active_configurations() == []
    assert [action for action, _ in actions(sql)] == ["approve", "deactivate"]
    store.approve(id, sha, "ana", "on again")
    assert len(store.active_configurations()) == 1


def test_a_revoked_configuration_is_off_and_stays_off(store: Store) -> None:
    id, sha = stored(store)
    store.approve(id, sha, "ana", "good")
    store.revoke(id, "ben", "feed was wrong")
    assert store.active_configurations() == []
    assert not store.configuration_row(id)["is_active"]
    with pytest.raises(StoreError, match="was revoked"):
        store.approve(id, sha, "ana", "good")
    with pytest.raises(StoreError):
        store.revoke(id, "ben", "twice")
    assert store.verify_audit() == 3


def test_an_expired_approval_is_not_shown(store: Store, sql: psycopg.Connection) -> None:
    row = columns()
    document = payload(row, days=1 / 86_400 * 2)
    id = store.put_configuration(row, document)
    store.approve(id, digest(document), "ana", "short")
    sql.execute("select pg_sleep(3)")
    assert store.active_configurations() == []


def changed(**sections: object) -> bytes:
    return payload(columns(), **sections)


REFUSED = {
    "other bytes than are stored": (None, "00" * 32, "ana", "good", "has no document"),
    "nobody": (None, None, "  ", "good", "needs the name"),
    "no reason": (None, None, "ana", "", "needs the name"),
    "expired": (payload(columns(), days=-1), None, "ana", "good", "has expired"),
    "no expiry": (changed(identity={}), None, "ana", "good", "never says when"),
    "not a date": (changed(identity={"expires_at": "soon"}), None, "ana", "good", "not a V3 document"),
    "not JSON": (b"{not json", None, "ana", "good", "not a V3 document"),
    "not UTF-8": (b"\xff\xfe{}", None, "ana", "good", "not a V3 document"),
    "another strategy": (payload(columns(strategy_name="other")), None, "ana", "good", "another strategy"),
    "another market": (payload(columns(pair="ETH/USD")), None, "ana", "good", "another strategy, market"),
    "other parameters": (payload(columns(2)), None, "ana", "good", "or parameters"),
    "refused by the gate": (
        changed(validation={"approved": False}),
        None,
        "ana",
        "good",
        "gate has not approved",
    ),
    "no verdict": (changed(validation={}), None, "ana", "good", "gate has not approved"),
}


def test_wrong_approvals_are_refused_and_change_nothing(store: Store, sql: psycopg.Connection) -> None:
    for number, (document, sha, actor, reason, said) in enumerate(REFUSED.values(), 1):
        row = columns(number, parameters_json=columns()["parameters_json"])
        document = document or payload(row)
        id = store.put_configuration(row, document)
        with pytest.raises(StoreError, match=said):
            store.approve(id, sha or digest(document), actor, reason)
        assert not store.configuration_row(id)["is_active"]
        assert sql.execute("select count(*) from configuration_approval").fetchone() == (0,)
    assert actions(sql) == []


def test_unknown_configurations_and_rows_without_a_document_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no configuration"):
        store.approve(str(columns()["id"]), "00" * 32, "ana", "good")
    with pytest.raises(StoreError, match="there is no configuration"):
        store.revoke(str(columns()["id"]), "ana", "good")
    id = store.put_configuration(columns())
    with pytest.raises(StoreError, match="has no document"):
        store.approve(id, digest(payload(columns())), "ana", "good")


HOSTILE = [
    "update trained_configurations set is_active = true where not is_active",
    "insert into trained_configurations (id, strategy_name, exchange, pair, timeframe, status, "
    "parameters_json, is_active) values (gen_random_uuid(), 's', 'e', 'p', '1h', 'PAPER', '{}', true)",
    "update trained_configurations set parameters_json = '{\"fast\": 99}' where is_active",
    "update trained_configurations set pair = 'ETH/USD' where is_active",
    "update trained_configurations set id = gen_random_uuid() where not is_active",
    "update trained_configurations set created_at = '2000-01-01'",
    "delete from trained_configurations",
    "truncate trained_configurations cascade",
    "update configuration_document set payload = 'evil'",
    "delete from configuration_document",
    "update configuration_approval set expires_at = 'infinity'",
    "update configuration_approval set in_force = true where not in_force",
    "update configuration_approval set in_force = false, actor = 'ben'",
    "delete from configuration_approval",
    "insert into configuration_approval (configuration_id, sha256, strategy_name, pair, exchange, timeframe, "
    "regime, actor, reason, saw, expires_at) select configuration_id, sha256, strategy_name, pair, exchange, "
    "timeframe, 'volatile', 'eve', 'mine', '{}', 'infinity' from configuration_approval",
    "delete from configuration_revocation",
    "update configuration_revocation set reason = 'x'",
    "update audit set actor = 'eve'",
    "delete from audit",
    "truncate audit",
    "delete from trial_ledger",
    "update trial_ledger set cells = 1",
    "truncate trial_ledger",
    "delete from series",
]


def test_hostile_statements_of_the_owner_are_refused(store: Store, sql: psycopg.Connection) -> None:
    store.approve(*stored(store, 1), "ana", "good")
    old, sha = stored(store, 2, regime="bull")
    store.approve(old, sha, "ana", "good")
    store.revoke(old, "ana", "bad")
    store.count(Entry("k", "f", "coinbase:BTC/USD", "s", 5, "grid"))
    before = state(sql)
    for role in ("origin", "replica"):
        sql.execute(f"set session_replication_role = {role}")
        for statement in HOSTILE:
            if role == "replica" and ("series" in statement):
                continue
            with pytest.raises(psycopg.Error) as caught:
                sql.execute(statement)
            assert caught.value.sqlstate in ("P0001", "23514", "23505", "23503"), statement
    assert state(sql) == before
    assert store.verify_audit() == 4


def state(sql: psycopg.Connection) -> list:
    tables = (
        "trained_configurations",
        "configuration_document",
        "configuration_approval",
        "audit",
        "trial_ledger",
    )
    return [sql.execute(f"select * from {table} order by 1").fetchall() for table in tables]


def test_a_forged_audit_row_gets_its_true_place_and_tampering_is_found(
    store: Store, sql: psycopg.Connection
) -> None:
    for number in range(1, 5):
        store.approve(*stored(store, number), "ana", "good")
    sql.execute(
        "insert into audit values (1, '2000-01-01', 'eve', 'approve', gen_random_uuid(), '{}', 'x', 'y'), "
        "(1, '2000-01-01', 'eve', 'approve', gen_random_uuid(), '{}', 'x', 'z')"
    )
    assert store.verify_audit() == 9
    sql.execute("alter table audit disable trigger all")
    rows = sql.execute("select * from audit order by number").fetchall()
    for tampering, first in (
        ("update audit set actor = 'eve' where number = 3", 3),
        ("delete from audit where number = 4", 5),
        ('update audit set detail = detail || \'{"reason": "fine"}\' where number = 2', 2),
        ("update audit set number = 90 where number = 9", 90),
    ):
        with sql.transaction(force_rollback=True):
            sql.execute(tampering)
            assert sql.execute("select audit_first_broken()").fetchone() == (first,)
    assert sql.execute("select * from audit order by number").fetchall() == rows
    sql.execute("delete from audit where number = 1")
    with pytest.raises(IntegrityError, match="from row 2 of 8 on"):
        store.verify_audit()


NOT_ALLOWED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
BOT_REFUSED = [
    "select * from trained_configurations",
    "select * from configuration_document",
    "select * from configuration_approval",
    "select * from audit",
    "select * from candle",
    "insert into approved_configuration (strategy_name) values ('x')",
    "update approved_configuration set status = 'MATURE'",
    "delete from approved_configuration",
    "update trained_configurations set is_active = true",
    "insert into audit (actor, action, detail) values ('eve', 'x', '{}')",
    "select approve_config('00000000-0000-0000-0000-000000000002', '{sha}', 'eve', 'mine')",
    "select revoke_config('00000000-0000-0000-0000-000000000001', 'eve', 'mine')",
    "create table mine (a int)",
    "create view approved_configuration_2 as select * from trained_configurations",
    "alter table audit disable trigger all",
    "copy (select * from trained_configurations) to stdout",
    "set role quantlab",
]


def test_the_bot_sees_one_view_and_nothing_else(store: Store, sql: psycopg.Connection) -> None:
    first, second = stored(store, 1), stored(store, 2)
    store.approve(*first, "ana", "good")
    with sql.transaction(force_rollback=True):
        sql.execute("create role some_bot login in role quantlab_bot")
        sql.execute("set session authorization some_bot")
        (row,) = sql.execute("select id, payload from approved_configuration").fetchall()
        assert str(row[0]) == first[0]
        assert json.loads(row[1])["strategy"]["name"] == "sma_cross"
        for statement in BOT_REFUSED:
            with pytest.raises(NOT_ALLOWED), sql.transaction():
                sql.execute(statement.replace("{sha}", second[1]))


def test_a_table_in_front_of_ours_does_not_fool_the_door(store: Store, sql: psycopg.Connection) -> None:
    id, sha = stored(store)
    store.revoke(id, "ana", "bad")
    with sql.transaction(force_rollback=True):
        sql.execute("create role clerk login")
        sql.execute("grant execute on function approve_config(uuid, text, text, text) to clerk")
        sql.execute("set session authorization clerk")
        sql.execute("create temp table configuration_revocation (configuration_id uuid)")
        sql.execute("set search_path = pg_temp, public")
        with pytest.raises(psycopg.errors.RaiseException, match="was revoked"):
            sql.execute("select approve_config(%s, %s, 'eve', 'mine')", [id, sha])


def test_a_clerk_may_approve_through_the_door_and_only_there(store: Store, sql: psycopg.Connection) -> None:
    id, sha = stored(store)
    with sql.transaction(force_rollback=True):
        sql.execute("create role clerk login")
        sql.execute("grant execute on function approve_config(uuid, text, text, text) to clerk")
        sql.execute("set session authorization clerk")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
            sql.execute("update trained_configurations set is_active = true")
        sql.execute("select approve_config(%s, %s, 'carl', 'good')", [id, sha])
        sql.execute("reset session authorization")
        audited = sql.execute("select actor, detail ->> 'role' from audit").fetchall()
        assert audited == [("carl", "clerk")]
