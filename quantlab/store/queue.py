"""The queue of jobs as the store shows it, and connections that a lease fences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from quantlab.store import jobs
from quantlab.store.connection import Connections
from quantlab.store.jobs import JobRow

if TYPE_CHECKING:
    import psycopg


class Transactions(Protocol):
    """Hands out connections in a transaction."""

    def transaction(self) -> contextlib.AbstractContextManager[psycopg.Connection]:
        """A connection in a transaction."""
        ...


class Fenced:
    """Connections of the worker that holds a job: every transaction begins with a check of its lease.

    Parameters
    ----------
    connections : Connections
    job : str
    attempt : int
        The fencing token of the lease.
    """

    def __init__(self, connections: Connections | Fenced, job: str, attempt: int) -> None:
        self._connections, self._job, self._attempt = connections, job, attempt

    @contextlib.contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Yield a connection in a transaction.

        Raises
        ------
        LeaseLostError
            The job is another worker's by now, or has ended: nothing was done.
        """
        with self._connections.transaction() as connection:
            jobs.check_lease(connection, self._job, self._attempt)
            yield connection

    def close(self) -> None:
        """The connections are not ours: whoever opened them closes them."""


class Jobs:
    """The queue. Every method is one transaction; see `quantlab.store.jobs` for what each does and raises.

    Parameters
    ----------
    connections : Transactions
    """

    def __init__(self, connections: Transactions) -> None:
        self._connections = connections

    def submit(self, columns: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Queue a job; returns its id."""
        with self._connections.transaction() as connection:
            return jobs.submit(connection, columns, spec)

    def lease(self, worker: str, seconds: float, campaign: str | None = None) -> JobRow | None:
        """Take the oldest job that waits or whose lease ran out; None if there is none."""
        with self._connections.transaction() as connection:
            return jobs.lease(connection, worker, seconds, campaign)

    def beat(self, id: str, attempt: int, seconds: float, progress: float, stage: str) -> bool:
        """Renew a lease and tell the progress; whether somebody asked to cancel the job."""
        with self._connections.transaction() as connection:
            return jobs.beat(connection, id, attempt, seconds, progress, stage)

    def finish(self, id: str, attempt: int, status: str, **how: Any) -> None:
        """End a job, or put it back into the queue; only for who holds it."""
        with self._connections.transaction() as connection:
            jobs.finish(connection, id, attempt, status, **how)

    def complete(
        self,
        id: str,
        attempt: int,
        result: Mapping[str, Any],
        row: Mapping[str, Any],
        config: str | None = None,
    ) -> None:
        """End a job with its result, and keep what it came to, both or neither."""
        with self._connections.transaction() as connection:
            jobs.finish(connection, id, attempt, "completed", stage="done", result=result, config=config)
            jobs.put_result(connection, **row)

    def cancel(self, id: str) -> str:
        """Cancel a job; the status it has now."""
        with self._connections.transaction() as connection:
            return jobs.cancel(connection, id)

    def get(self, id: str) -> JobRow:
        """A job."""
        with self._connections.transaction() as connection:
            return jobs.get(connection, id)

    def listed(
        self, campaign: str | None = None, status: Sequence[str] = (), limit: int | None = None
    ) -> list[JobRow]:
        """Jobs in the order in which they were submitted, the last `limit` of them."""
        with self._connections.transaction() as connection:
            return jobs.listed(connection, campaign, status, limit)

    def resolve(self, start: str) -> str:
        """The id of the one job whose id begins with `start`."""
        with self._connections.transaction() as connection:
            return jobs.resolve(connection, start)

    def put_result(self, row: Mapping[str, Any]) -> None:
        """Keep what a sweep or a search came to, once per surface."""
        with self._connections.transaction() as connection:
            jobs.put_result(connection, **row)

    def speed(self, strategy: str, method: str) -> float | None:
        """Cells times bars per second of a strategy's last jobs without a gate; None if there were none."""
        with self._connections.transaction() as connection:
            return jobs.speed(connection, strategy, method)
