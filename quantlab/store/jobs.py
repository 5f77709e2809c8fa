"""Jobs: a queue in the database. A worker holds a lease; its attempt number is the fencing token.

A lease that is not renewed in time may be taken by another worker, which makes the attempt one higher.
Whoever writes under an attempt that is no longer the job's is refused by the database, in the same
transaction as what it wanted to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from quantlab.errors import JobError, LeaseLostError, NotStoredError

if TYPE_CHECKING:
    import psycopg

MOST_ATTEMPTS = 5

_OURS = "id = %(id)s and attempt = %(attempt)s and status = 'running'"


class JobRow(NamedTuple):
    """A job as it is stored; times are UTC, None where it has not happened."""

    id: str
    campaign: str | None
    status: str
    strategy_id: str
    exchange: str
    pair: str
    timeframe: str
    optimization_method: str
    seed: int | None
    work: int
    spec: dict[str, Any]
    progress: float
    current_stage: str
    submitted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    worker: str | None
    attempt: int
    heartbeat: datetime | None
    cancel_requested: bool
    result: dict[str, Any] | None
    result_config_id: str | None
    error_message: str | None


_COLUMNS = ", ".join(
    f"{name}::text" if name in ("id", "campaign", "result_config_id") else name for name in JobRow._fields
)


def submit(connection: psycopg.Connection, columns: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """Queue a job; returns its id."""
    given = {**columns, "spec": json.dumps(spec, allow_nan=False)}
    names, marks = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    query = f"insert into training_jobs ({names}) values ({marks}) returning id::text"
    row = connection.execute(query.encode(), given).fetchone()
    assert row is not None, "an insert returns its row"
    return str(row[0])


def lease(
    connection: psycopg.Connection, worker: str, seconds: float, campaign: str | None = None
) -> JobRow | None:
    """Take the oldest job that waits, or whose lease ran out; None if there is none.

    A job whose lease ran out is cancelled where that was asked, and failed if it has already cost the life
    of `MOST_ATTEMPTS` workers.
    """
    expired = "status = 'running' and leased_until < clock_timestamp()"
    given = {"worker": worker, "seconds": seconds, "most": MOST_ATTEMPTS, "campaign": campaign}
    give_up = f"""
        update training_jobs set completed_at = clock_timestamp(), leased_until = null,
            status = case when cancel_requested then 'cancelled' else 'failed' end,
            error_message = case when cancel_requested then null else 'its worker ended or fell silent ' ||
                attempt || ' times, last ' || worker || ', at the stage "' || current_stage || '": look at '
                'the memory and the log of that machine, then submit it anew.' end
        where id in (select id from training_jobs where {expired}
            and (cancel_requested or attempt >= %(most)s) for update skip locked)"""
    connection.execute(give_up.encode(), given)
    query = f"""
        update training_jobs set status = 'running', attempt = attempt + 1, worker = %(worker)s,
            current_stage = 'loading', started_at = coalesce(started_at, clock_timestamp()),
            heartbeat = clock_timestamp(),
            leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
        where id = (
            select id from training_jobs where (status = 'queued' or {expired})
                and (%(campaign)s::uuid is null or campaign = %(campaign)s::uuid)
            order by number limit 1 for update skip locked)
        returning {_COLUMNS}"""
    row = connection.execute(query.encode(), given).fetchone()
    return JobRow(*row) if row else None


def beat(
    connection: psycopg.Connection, id: str, attempt: int, seconds: float, progress: float, stage: str
) -> bool:
    """Renew a lease and tell the progress; whether somebody asked to cancel the job.

    Raises
    ------
    LeaseLostError
        The job is another worker's by now, or has ended.
    """
    given = {"id": id, "attempt": attempt, "seconds": seconds, "progress": progress, "stage": stage}
    query = f"""
        update training_jobs set heartbeat = clock_timestamp(), progress = %(progress)s,
            current_stage = %(stage)s,
            leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
        where {_OURS} returning cancel_requested"""
    row = connection.execute(query.encode(), given).fetchone()
    if row is None:
        raise _lost(connection, id, attempt)
    return bool(row[0])


def check_lease(connection: psycopg.Connection, id: str, attempt: int) -> None:
    """Refuse this transaction unless the job is held under this attempt, and keep it so until its end.

    The lock lets a takeover wait for the transaction: what it writes is written before the other begins.

    Raises
    ------
    LeaseLostError
        The job is another worker's by now, or has ended.
    """
    query = f"select from training_jobs where {_OURS} for share"
    if connection.execute(query.encode(), {"id": id, "attempt": attempt}).rowcount != 1:
        raise _lost(connection, id, attempt)


def finish(
    connection: psycopg.Connection,
    id: str,
    attempt: int,
    status: str,
    *,
    stage: str | None = None,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
    config: str | None = None,
) -> None:
    """End a job, or put it back into the queue (status ``"queued"``); only for who holds it.

    Raises
    ------
    LeaseLostError
        The job is another worker's by now, or has ended.
    """
    given = {
        "id": id,
        "attempt": attempt,
        "status": status,
        "stage": stage,
        "result": None if result is None else json.dumps(result, allow_nan=False),
        "error": error,
        "config": config,
    }
    query = f"""
        update training_jobs set status = %(status)s, result = %(result)s, error_message = %(error)s,
            result_config_id = %(config)s::uuid, leased_until = null, heartbeat = clock_timestamp(),
            current_stage = coalesce(%(stage)s, current_stage),
            progress = case when %(status)s = 'completed' then 100 else progress end,
            completed_at = case when %(status)s = 'queued' then null else clock_timestamp() end
        where {_OURS}"""
    if connection.execute(query.encode(), given).rowcount != 1:
        raise _lost(connection, id, attempt)


def cancel(connection: psycopg.Connection, id: str) -> str:
    """Cancel a job: one that waits at once, one that runs as soon as its worker hears of it.

    Returns
    -------
    str
        The status it has now.

    Raises
    ------
    NotStoredError
        There is no such job.
    JobError
        It has ended already.
    """
    query = """
        update training_jobs set cancel_requested = true,
            completed_at = case when status = 'queued' or leased_until < clock_timestamp()
                then clock_timestamp() end,
            status = case when status = 'queued' or leased_until < clock_timestamp()
                then 'cancelled' else status end
        where id = %s and status in ('queued', 'running') returning status"""
    row = connection.execute(query, [_uuid(connection, id)]).fetchone()
    if row is None:
        found = get(connection, id)
        raise JobError(f"job {id} is {found.status} already: there is nothing to cancel.")
    return str(row[0])


def get(connection: psycopg.Connection, id: str) -> JobRow:
    """A job.

    Raises
    ------
    NotStoredError
        There is no such job.
    """
    query = f"select {_COLUMNS} from training_jobs where id = %s"
    row = connection.execute(query.encode(), [_uuid(connection, id)]).fetchone()
    if row is None:
        raise _unknown(connection, id)
    return JobRow(*row)


def listed(
    connection: psycopg.Connection,
    campaign: str | None = None,
    status: Sequence[str] = (),
    limit: int | None = None,
) -> list[JobRow]:
    """Jobs in the order in which they were submitted, the last `limit` of them."""
    query = f"""
        select * from (
            select {_COLUMNS}, number from training_jobs
            where (%(campaign)s::uuid is null or campaign = %(campaign)s::uuid)
                and (cardinality(%(status)s::text[]) = 0 or status = any(%(status)s))
            order by number desc limit %(limit)s) last order by number"""
    given = {"campaign": campaign, "status": list(status), "limit": limit}
    return [JobRow(*row[:-1]) for row in connection.execute(query.encode(), given)]


def resolve(connection: psycopg.Connection, start: str) -> str:
    """The id of the one job whose id begins with `start`.

    Raises
    ------
    NotStoredError
        There is none, or more than one.
    """
    query = "select id::text from training_jobs where starts_with(id::text, %s) limit 3"
    found = [row[0] for row in connection.execute(query, [start.lower()])]
    if len(found) > 1:
        raise NotStoredError(f"several jobs begin with {start!r}, such as {found[0]}: give more of the id.")
    if not found:
        raise _unknown(connection, start)
    return str(found[0])


def put_result(
    connection: psycopg.Connection,
    where: Mapping[str, str],
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    key: str,
    cells: int,
) -> None:
    """Keep what a sweep or a search came to, once per surface.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    where : mapping
        strategy_name, exchange, symbol, timeframe.
    parameters, metrics : mapping
        Of the chosen cell; None where undefined.
    key : str
        Key of the surface.
    cells : int
    """
    given: dict[str, Any] = {
        **where,
        "parameters": json.dumps(parameters),
        "performance_metrics": json.dumps(metrics),
    }
    given |= {"surface_key": key, "cells": cells}
    names, marks = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    query = f"insert into strategy_training_results ({names}) values ({marks}) on conflict do nothing"
    connection.execute(query.encode(), given)


def speed(connection: psycopg.Connection, strategy: str, method: str) -> float | None:
    """Cells times bars per second of a strategy's last jobs that ran through at once; None if none did.

    Jobs that asked the gate do not count: it makes the same search many times over.
    """
    query = """
        select sum(work) / sum(extract(epoch from completed_at - started_at))::float8 from (
            select * from training_jobs
            where status = 'completed' and attempt = 1 and strategy_id = %s and optimization_method = %s
                and not coalesce((result ->> 'found')::boolean, false) and spec ->> 'gate' is null
            order by number desc limit 20) last"""
    row = connection.execute(query, [strategy, method]).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def _lost(connection: psycopg.Connection, id: str, attempt: int) -> LeaseLostError:
    row = connection.execute(
        "select status, attempt, worker from training_jobs where id = %s", [id]
    ).fetchone()
    if row is None:
        return LeaseLostError(f"job {id} does not exist: nothing of it was written.")
    now = f"is held by {row[2]} as attempt {row[1]}" if row[0] == "running" else f"is {row[0]}"
    return LeaseLostError(
        f"job {id} was leased as attempt {attempt} and {now} by now: the lease was not renewed in time, and "
        "nothing was written under it. Give workers a longer --lease if they were only slow."
    )


def _uuid(connection: psycopg.Connection, id: str) -> str:
    try:
        return str(UUID(str(id)))
    except ValueError:
        raise _unknown(connection, id) from None


def _unknown(connection: psycopg.Connection, id: str) -> NotStoredError:
    last = listed(connection, limit=3)
    known = ", ".join(f"{job.id} ({job.strategy_id} {job.pair}, {job.status})" for job in last)
    if not known:
        return NotStoredError(
            f"there is no job {id}, no job was ever submitted: `quantlab submit` queues one."
        )
    return NotStoredError(f"there is no job {id}: the last ones are {known}. See `quantlab jobs`.")
