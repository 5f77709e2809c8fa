"""Connections to the database, embedded or by DSN: one per call, whatever happened to the server."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from quantlab.errors import StoreError, StoreUnavailableError, StoreVersionError
from quantlab.store.embedded import EmbeddedServer
from quantlab.store.migrate import migrate
from quantlab.store.sockets import gone

if TYPE_CHECKING:
    import psycopg

    from quantlab.settings import Settings

_MOST_IDLE = 4
_LEAST_SERVER = 15


class Connections:
    """Hands out connections to one database, to any thread.

    Parameters
    ----------
    settings : Settings
        ``dsn`` names a server; without it the embedded server in ``home/postgres`` is started.

    Raises
    ------
    StoreUnavailableError
        The server does not answer or cannot be started; the password is never shown.
    StoreVersionError
        The server or the schema is of a version that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._server = None if settings.dsn else EmbeddedServer(settings.home / "postgres")
        self._parameters = parsed(settings.dsn) if settings.dsn else {}
        self._idle: list[psycopg.Connection] = []
        self._inherited: list[psycopg.Connection] = []
        self._mutex = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        atexit.register(self.close)
        try:
            with self._mapped_errors() as connection:
                self._check_server(connection)
                migrate(connection)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Yield a connection in a transaction: committed at the end, rolled back by any exception.

        Raises
        ------
        StoreUnavailableError
            The server does not answer, or went away meanwhile; the next call starts or finds it again.
        StoreError
            The database refused; its reason is the message.
        """
        with self._mapped_errors() as connection, connection.transaction():
            yield connection

    def close(self) -> None:
        """Close what is idle and leave the embedded server, which stops if nobody else uses it."""
        atexit.unregister(self.close)
        self._closed = True
        with self._mutex:
            idle, self._idle = self._idle, []
        if os.getpid() == self._pid:
            for connection in idle:
                connection.close()
        if self._server:
            self._server.close()

    @contextlib.contextmanager
    def _mapped_errors(self) -> Iterator[psycopg.Connection]:
        import psycopg

        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            raise explained(error, lost=connection.closed) from error
        finally:
            self._give_back(connection)

    def _take(self) -> psycopg.Connection:
        if self._closed:
            raise StoreError("the store is closed: open it again with open_store(settings).")
        address = self._server.ensure() if self._server else self._parameters
        with self._mutex:
            if os.getpid() != self._pid:  # forked: these are our parent's
                self._pid, self._idle, self._inherited = os.getpid(), [], self._idle
            while self._idle:
                connection = self._idle.pop()
                if not gone(connection):
                    return connection
                connection.close()
        try:
            return connect(address)
        except StoreUnavailableError:
            if not self._server:
                raise
        return connect(self._server.ensure(anew=True))  # it was killed a moment ago

    def _give_back(self, connection: psycopg.Connection) -> None:
        import psycopg

        usable = (
            not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        )
        with self._mutex:
            if usable and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _check_server(self, connection: psycopg.Connection) -> None:
        version = connection.info.server_version
        if version < _LEAST_SERVER * 10_000:
            raise StoreVersionError(
                f"quantlab needs PostgreSQL {_LEAST_SERVER} or later, the server is {version // 10_000}: "
                "upgrade it, or unset QUANTLAB_DSN to use the embedded one."
            )


def parsed(dsn: str) -> dict[str, Any]:
    """Split a DSN into connection parameters.

    Raises
    ------
    StoreUnavailableError
        It is malformed; no part of it is shown, for the password may be anywhere in it.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parameters = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        parameters = {}
    if not parameters or "@" in str(parameters.get("host", "")):
        raise StoreUnavailableError(
            "QUANTLAB_DSN is not a connection string (it is not shown, because of the password): write "
            "postgresql://user:password@host:5432/database, special characters of the password "
            "percent-encoded."
        ) from None
    return {"connect_timeout": 10, "application_name": "quantlab"} | dict(parameters)


def connect(parameters: dict[str, Any]) -> psycopg.Connection:
    """Open a connection in autocommit mode.

    Raises
    ------
    StoreUnavailableError
        Nothing answers, or it does not let us in. Names the place and the user, never the password.
    """
    import psycopg

    try:
        return psycopg.connect(**parameters, autocommit=True)
    except psycopg.OperationalError as error:
        where = ", ".join(
            f"{key} {parameters[key]}" for key in ("host", "port", "dbname", "user") if key in parameters
        )
        reason = " ".join(str(error).split())
        secret = parameters.get("password")
        if secret:
            reason = reason.replace(secret, "***")
        raise StoreUnavailableError(
            f"PostgreSQL does not answer at {where or 'the default place'}: {reason.rstrip('.?')}. Start the "
            "server or correct QUANTLAB_DSN; unset it to use the embedded server."
        ) from None


def explained(error: psycopg.Error, lost: bool) -> StoreError:
    """Say what an error of the database means for the caller.

    Parameters
    ----------
    error : psycopg.Error
        As raised.
    lost : bool
        Whether the connection is gone.
    """
    import psycopg

    said = error.diag.message_primary or str(error).strip()
    if isinstance(error, psycopg.errors.DiskFull) or re.search("No space left on device", str(error)):
        return StoreError(
            f"the disk of the database is full ({said}): nothing of this call was written and nothing that "
            "was stored is lost. Free space, then call again."
        )
    if lost:
        return StoreUnavailableError(
            f"the database server went away during the call ({said}): what was stored before is safe, and "
            "every call may be repeated. Call again; an embedded server is started anew."
        )
    hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
    constraint = f" (constraint {error.diag.constraint_name})" if error.diag.constraint_name else ""
    return StoreError(f"the database refused: {said}{constraint}.{hint}")
