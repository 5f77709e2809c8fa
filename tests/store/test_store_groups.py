"""Members of a group are active together or not at all, whoever asks the database."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from stored_configurations import columns, digest, payload

from quantlab.errors import StoreError
from quantlab.store import migrate
from quantlab.store.store import Store

A, B = (str(uuid.UUID(int=1_000_000 + n)) for n in range(2))


def member(
    store: Store, number: int, group: str, weight: float, members: int, **changes: Any
) -> tuple[str, str]:
    row = columns(number, **changes)
    section = {"id": group, "members": members, "weight": weight}
    document = payload(row, group=section)
    return store.put_configuration(row, document), digest(document)


def group(store: Store, id: str, first: int, members: int = 3) -> dict[str, str]:
    return dict(member(store, first + n, id, 1 / members, members) for n in range(members))


def single(store: Store, number: int) -> tuple[str, str]:
    row = columns(number)
    document = payload(row)
    return store.put_configuration(row, document), digest(document)


def active(store: Store) -> set[str]:
    return {str(row["id"]) for row in store.active_configurations()}


def in_force(sql: psycopg.Connection) -> set[str]:
    query = "select configuration_id::text from configuration_approval where in_force"
    return {row[0] for row in sql.execute(query)}


def test_a_group_is_active_together(store: Store, sql: psycopg.Connection) -> None:
    members = group(store, A, 1)
    number = store.approve_group(A, members, "ana", "good")
    assert active(store) == in_force(sql) == set(members)
    shown = store.active_configurations()
    assert {str(row["group_id"]) for row in shown} == {A}
    assert [row["weight"] for row in shown] == [1 / 3] * 3
    assert store.approve_group(A, members, "ana", "again") == number
    assert store.verify_audit() == 3
    assert sql.execute("select distinct detail ->> 'group' from audit").fetchall() == [(A,)]


def test_groups_and_configurations_take_each_others_place(store: Store, sql: psycopg.Connection) -> None:
    first, second, alone = group(store, A, 1), group(store, B, 11, 5), single(store, 30)
    elsewhere = columns(40, pair="ETH/USD")
    other = store.put_configuration(elsewhere, payload(elsewhere))
    store.approve(other, digest(payload(elsewhere)), "ana", "good")
    store.approve(*alone, "ana", "good")
    for members, id in ((first, A), (second, B), (first, A)):
        store.approve_group(id, members, "ana", "good")
        assert active(store) == in_force(sql) == {*members, other}
    store.approve(*alone, "ana", "back")
    assert active(store) == {alone[0], other}
    assert [row["weight"] for row in store.active_configurations()] == [1.0, 1.0]


def test_only_the_whole_group_is_approved(store: Store) -> None:
    members = group(store, A, 1)
    ids = list(members)
    others = group(store, B, 11)
    wrong: list[tuple[str, Mapping[str, str]]] = [
        (A, {id: members[id] for id in ids[:2]}),
        (A, members | {single(store, 30)[0]: "ab" * 32}),
        (A, others),
        (B, members),
        (str(uuid.UUID(int=7)), members),
        (A, {}),
    ]
    for id, given in wrong:
        with pytest.raises(StoreError, match="approved whole or not at all"):
            store.approve_group(id, given, "ana", "good")
    with pytest.raises(StoreError, match="no document with SHA-256"):
        store.approve_group(A, members | {ids[2]: "ab" * 32}, "ana", "good")
    with pytest.raises(StoreError, match="a member of a group"):
        store.approve(ids[0], members[ids[0]], "ana", "good")
    with pytest.raises(StoreError, match="name of who approves"):
        store.approve_group(A, members, " ", "good")
    assert active(store) == set()


def test_a_group_that_is_not_whole_or_not_of_one_market_is_refused(store: Store) -> None:
    part = dict(member(store, n, A, 0.25, 3) for n in (1, 2))
    with pytest.raises(StoreError, match="it has 2 of 3 members"):
        store.approve_group(A, part, "ana", "good")
    light = dict(member(store, n, B, 0.25, 2) for n in (3, 4))
    with pytest.raises(StoreError, match=r"weights that sum to 0\.5"):
        store.approve_group(B, light, "ana", "good")
    mixed = str(uuid.UUID(int=8))
    ids = dict(member(store, n, mixed, 0.5, 2, pair=pair) for n, pair in ((5, "BTC/USD"), (6, "ETH/USD")))
    with pytest.raises(StoreError, match="a group is of one"):
        store.approve_group(mixed, ids, "ana", "good")


def test_who_revokes_a_member_stops_the_group(store: Store, sql: psycopg.Connection) -> None:
    members = group(store, A, 1)
    store.approve_group(A, members, "ana", "good")
    store.revoke(next(iter(members)), "ben", "a bad fill")
    assert active(store) == in_force(sql) == set()
    with pytest.raises(StoreError, match="was revoked"):
        store.approve_group(A, members, "ana", "again")
    assert active(store) == set()
    assert store.verify_audit() == 3 + 1 + 3


def test_a_bot_never_sees_a_part_of_a_group(store: Store, sql: psycopg.Connection) -> None:
    members = group(store, A, 1)
    store.approve_group(A, members, "ana", "good")
    one = next(iter(members))
    sql.execute("update trained_configurations set is_active = false where id = %s", [one])
    assert active(store) == set()
    store.approve_group(A, members, "ana", "repaired")
    assert active(store) == in_force(sql) == set(members)


def test_approvals_at_once_leave_one_group_or_one_configuration(
    store: Store, sql: psycopg.Connection
) -> None:
    ids = [str(uuid.UUID(int=2_000 + n)) for n in range(4)]
    groups = {id: group(store, id, 100 * (n + 1)) for n, id in enumerate(ids)}
    alone = [single(store, n) for n in range(1, 5)]
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(store.approve_group, id, members, "ana", "good") for id, members in groups.items()
        ]
        done += [pool.submit(store.approve, *one, "ana", "good") for one in alone]
        assert all(one.result() for one in done)
    left = active(store)
    assert left == in_force(sql)
    assert left in [set(members) for members in groups.values()] + [{one[0]} for one in alone]
    store.verify_audit()


def test_who_is_in_a_group_stays_in_it(store: Store) -> None:
    row = columns(1)
    member(store, 1, A, 0.5, 2)
    for other in ({"id": B, "members": 2, "weight": 0.5}, {"id": A, "members": 2, "weight": 0.4}):
        with pytest.raises(StoreError, match="it leaves it never"):
            store.put_configuration(row, payload(row, days=31, group=other))
    with pytest.raises(StoreError, match="it leaves it never"):
        store.put_configuration(row, payload(row, days=31))
    alone, sha = single(store, 2)
    store.approve(alone, sha, "ana", "good")
    with pytest.raises(StoreError, match="it joins no group"):
        member(store, 2, A, 0.5, 2)


HOSTILE = (
    "insert into configuration_member values ('{alone}', '{group}', 3, 0.3)",
    "delete from configuration_member",
    "update configuration_member set weight = 0.9",
    "truncate configuration_member",
    "update configuration_in_force set holder = '{alone}'",
    "insert into configuration_in_force values ('a', 'b', 'c', '1h', 'all', '{alone}')",
    "delete from configuration_in_force",
    "update configuration_approval set group_id = null where in_force",
    "update configuration_approval set weight = 1 where in_force",
    "select put_in_force(t, null, repeat('a', 64), 'x', 'y', now()) from trained_configurations t "
    "where not is_active",
    "select make_way(t, t.id, 'x', 'y') from trained_configurations t where not is_active",
    "update trained_configurations set is_active = true where id = '{alone}'",
)


@pytest.mark.parametrize("statement", HOSTILE)
def test_no_other_door_leads_there(store: Store, sql: psycopg.Connection, statement: str) -> None:
    members = group(store, A, 1)
    alone, _ = single(store, 30)
    store.approve_group(A, members, "ana", "good")
    with pytest.raises(psycopg.Error):
        sql.execute(statement.format(alone=alone, group=A).encode())
    assert active(store) == in_force(sql) == set(members)


def test_what_was_active_before_groups_stays_active(empty_dsn: str) -> None:
    steps = migrate.migrations()
    with psycopg.connect(empty_dsn, autocommit=True) as line:
        migrate.migrate(line, steps[:7])
        row = columns(1)
        document = payload(row)
        names = ", ".join(row)
        marks = ", ".join(f"%({name})s" for name in row)
        given = row | {"parameters_json": psycopg.types.json.Jsonb(row["parameters_json"])}
        line.execute(f"insert into trained_configurations ({names}) values ({marks})".encode(), given)
        line.execute(
            "insert into configuration_document (configuration_id, payload) values (%s, %b)",
            [row["id"], document],
        )
        line.execute("select approve_config(%s, %s, 'ana', 'good')", [row["id"], digest(document)])
        assert migrate.migrate(line, steps) == len(steps) - 7
        shown = line.execute("select id, group_id, weight from approved_configuration").fetchall()
        assert shown == [(row["id"], None, 1.0)]
        assert line.execute("select audit_first_broken()").fetchone() == (None,)
