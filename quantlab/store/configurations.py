"""Configurations: the 70 columns, the exact bytes of their documents, stages, approvals, the audit.

What must hold is held by the database itself (``migrations/0002`` and ``0003``): nothing here could set
``is_active`` if it wanted to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from quantlab.configuration.lifecycle import check_transition
from quantlab.configuration.row import COLUMNS
from quantlab.errors import InputError, IntegrityError, NotStoredError, UnknownNameError

if TYPE_CHECKING:
    import psycopg

_JSON = {"parameters_json", "regime_classification", "alternative_data_signals", "death_signals"}
_KEPT = {"id", "is_active", "created_at", "updated_at", "last_activated_at", "last_deactivated_at"}


def put(connection: psycopg.Connection, columns: Mapping[str, Any], payload: bytes | None) -> str:
    """Store or update a configuration; it stays as active or inactive as it is.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    columns : mapping
        Some of the 70 columns, with ``id``. None and NaN become NULL: not measured. Of a configuration that
        was approved, neither market nor parameters may change.
    payload : bytes or None
        The V3 document; another one than before is kept beside it.

    Returns
    -------
    str
        The id.
    """
    row = {name: _value(name, value, columns) for name, value in columns.items()}
    if "id" not in row:
        raise InputError("a configuration needs an `id` (a UUID): configuration.row.candidate_id makes it.")
    if row.get("updated_at") is None:
        row.pop("updated_at", None)
    if row.get("created_at") is None:
        row.pop("created_at", None)
    names, marks = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    changing = [name for name in row if name not in _KEPT]
    changes = ", ".join(f"{name} = excluded.{name}" for name in changing)
    old, new = ", ".join(f"t.{name}" for name in changing), ", ".join(f"excluded.{name}" for name in changing)
    query = f"""
        insert into trained_configurations as t ({names}) values ({marks})
        on conflict (id) do update set {changes} where ({old}) is distinct from ({new})"""
    connection.execute(query.encode(), row)
    if payload is not None:
        connection.execute(
            "insert into configuration_document (configuration_id, payload) values (%s, %b) "
            "on conflict do nothing",
            [row["id"], payload],
        )
    return str(row["id"])


def row(connection: psycopg.Connection, id: str) -> dict[str, Any]:
    """All 70 columns of a configuration; NULL is None.

    Raises
    ------
    NotStoredError
        There is no such configuration.
    """
    from psycopg.rows import dict_row

    cursor = connection.cursor(row_factory=dict_row)
    found = cursor.execute("select * from trained_configurations where id = %s", [_uuid(id)]).fetchone()
    if found is None:
        raise NotStoredError(f"no configuration {id} is stored: list them with active_configurations().")
    return found


def document(connection: psycopg.Connection, id: str) -> bytes:
    """The exact bytes of the document in force, else of the newest one.

    Raises
    ------
    NotStoredError
        There is none.
    """
    query = """
        select d.payload from configuration_document d
        left join configuration_approval a
            on a.in_force and (a.configuration_id, a.sha256) = (d.configuration_id, d.sha256)
        where d.configuration_id = %s order by a.in_force desc nulls last, d.number desc limit 1"""
    found = connection.execute(query, [_uuid(id)], binary=True).fetchone()
    if found is None:
        raise NotStoredError(
            f"no document of configuration {id} is stored: put_configuration(columns, payload) stores one."
        )
    return found[0]


def approve(connection: psycopg.Connection, id: str, sha: str, actor: str, reason: str) -> int:
    """Activate a configuration through the one door, ``approve_config``; the one it replaces is deactivated.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    id : str
        The configuration.
    sha : str
        SHA-256 (hex) of the document that was looked at.
    actor, reason : str
        Who approves, and why.

    Returns
    -------
    int
        Number of the approval; of the existing one if this document is in force already.

    Raises
    ------
    StoreError
        Refused, with the reason: unknown, other bytes, revoked, expired, not approved by the gate ...
    """
    found = connection.execute(
        "select approve_config(%s, %s, %s, %s)", [_uuid(id), sha, actor, reason]
    ).fetchone()
    return found[0] if found else 0


def approve_group(
    connection: psycopg.Connection, group: str, members: Mapping[str, str], actor: str, reason: str
) -> int:
    """Activate every member of a group through ``approve_group``; what was active there is deactivated.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    group : str
        Its id.
    members : mapping of str to str
        Id of each member's configuration, and the SHA-256 (hex) of its document.
    actor, reason : str

    Returns
    -------
    int
        Number of the first approval; of the existing one if these documents are in force already.

    Raises
    ------
    StoreError
        Refused, with the reason: not all of the group, or one of them is refused.
    """
    ids, shas = [_uuid(id) for id in members], list(members.values())
    found = connection.execute(
        "select approve_group(%s, %s, %s, %s, %s)", [_uuid(group), ids, shas, actor, reason]
    ).fetchone()
    return found[0] if found else 0


def revoke(connection: psycopg.Connection, id: str, actor: str, reason: str) -> None:
    """Withdraw a configuration for ever; in the same transaction it becomes inactive, as does its group."""
    connection.execute("select revoke_config(%s, %s, %s)", [_uuid(id), actor, reason])


def active(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """What a bot may see: approved, unrevoked, unexpired configurations with their documents, by market."""
    from psycopg.rows import dict_row

    query = "select * from approved_configuration order by strategy_name, exchange, pair, timeframe, regime"
    return connection.cursor(row_factory=dict_row).execute(query).fetchall()


def record_stage(connection: psycopg.Connection, id: str, stage: str, reason: str) -> None:
    """Pass a configuration to another stage; the database records the step.

    Raises
    ------
    NotStoredError
        There is no such configuration.
    ConfigurationError
        The lifecycle has no such step.
    """
    if not reason.strip():
        raise InputError("a step to another stage needs a reason, got none: say what was measured.")
    found = connection.execute(
        "select status from trained_configurations where id = %s for update", [_uuid(id)]
    ).fetchone()
    if found is None:
        raise NotStoredError(f"no configuration {id} is stored: put_configuration stores one.")
    if found[0] == stage:
        return
    check_transition(found[0], stage)
    connection.execute("select set_config('quantlab.reason', %s, true)", [reason.strip()])
    connection.execute("update trained_configurations set status = %s where id = %s", [stage, _uuid(id)])
    connection.execute("select set_config('quantlab.reason', '', true)")


def stages(connection: psycopg.Connection, id: str) -> list[tuple[str, str]]:
    """Every (stage, reason) a configuration ever had, oldest first."""
    query = "select to_stage, reason from stage_transition where configuration_id = %s order by number"
    return [(stage, reason) for stage, reason in connection.execute(query, [_uuid(id)])]


def verify_audit(connection: psycopg.Connection) -> int:
    """Recompute the hash chain of the audit; returns its length.

    Raises
    ------
    IntegrityError
        A row was altered, removed or forged; names the first one.
    """
    found = connection.execute("select audit_first_broken(), (select count(*) from audit)").fetchone()
    broken, length = found or (None, 0)
    if broken is not None:
        raise IntegrityError(
            f"the audit does not hold from row {broken} of {length} on: a row was altered or removed. Do not "
            "trust approvals after it; compare with a backup."
        )
    return length


def _value(name: str, value: Any, columns: Mapping[str, Any]) -> Any:
    from psycopg.types.json import Jsonb

    if name not in COLUMNS:
        raise UnknownNameError("column of trained_configurations", name, COLUMNS)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return Jsonb(value) if name in _JSON else value


def _uuid(id: str) -> UUID:
    try:
        return UUID(str(id))
    except ValueError:
        raise InputError(f"the id of a configuration is a UUID, got {id!r}: see put_configuration.") from None
