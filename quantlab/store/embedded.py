"""The embedded PostgreSQL server: its life cycle, over the programs of a wheel.

Several processes and threads may use one server; the first starts it, the last stops it. A killed client
leaves it running for the next one. What is believed, and what is not:

* *Running* means that something answers on the socket and names our data directory. Pids are never believed.
* ``start.lock`` is held while a server is started or stopped, and by ``initdb`` itself, so that an initdb
  whose client was killed is waited for.
* ``alive.lock`` is held by every process of a server for as long as it lives. While nothing answers, a held
  lock means orphans, which are ended; a free one means that no process can touch the data.
* ``clients.lock`` is shared by all who use the server. Who leaves last waits a moment for connections that
  are just ending, and stops the server unless ``pg_stat_activity`` still shows a client of another kind.

Unix socket only, directories 0700, fsync on.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantlab.errors import StoreUnavailableError, StoreVersionError
from quantlab.store.binaries import Account, folders, launch
from quantlab.store.sockets import SOCKET, gone, listens, prepare, socket_folder

if TYPE_CHECKING:
    import psycopg

_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "client_connection_check_interval": "5s",
    "fsync": "on",
    "jit": "off",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_INITDB = "-U quantlab -A trust -E UTF8 --no-locale --data-checksums --no-instructions"
_PATIENCE_S = 60.0  # for a server that answers but refuses; a recovery is waited for as long as it takes
_GRACE_S = 2.0
_LARGEST_LOG = 4 << 20
_FULL = "No space left on device"


class _RefusedError(Exception):
    """A server answers but does not let us in."""

    @property
    def passing(self) -> bool:
        """Whether the server is on its way up or down (its messages are in English: locale C)."""
        return re.search("starting up|recovery|shutting down|not yet accepting", str(self)) is not None


class EmbeddedServer:
    """A PostgreSQL server in a folder of ours, shared by all who name the same folder.

    Parameters
    ----------
    root : Path
        The server's folder: ``root/data``, ``root/server.log``, the locks and, if short enough, the socket.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.data = self.root / "data"
        self.log = self.root / "server.log"
        self._name = f"quantlab {os.getpid()} {secrets.token_hex(4)}"
        self._mutex = threading.RLock()
        self._presence: psycopg.Connection | None = None
        self._seat: int | None = None
        self._address: dict[str, Any] = {}
        self._pid = os.getpid()
        self._inherited: list[object] = []

    def ensure(self, anew: bool = False) -> dict[str, Any]:
        """Return the parameters of a connection to the running server, after starting it if need be.

        Parameters
        ----------
        anew : bool
            Do not believe that it still runs because it did.

        Raises
        ------
        StoreUnavailableError
            It cannot be started, or does not let us in.
        StoreVersionError
            The data directory was written by another major version of PostgreSQL.
        """
        with self._mutex:
            if os.getpid() != self._pid:  # forked: the connection is our parent's
                self._inherited.append(self._presence)
                self._pid, self._presence, self._seat = os.getpid(), None, None
            if anew or self._presence is None or gone(self._presence):
                self._leave()
                with self._locked() as lock:
                    self._presence = self._find() or self._start(lock)
                    self._seat = os.open(self.root / "clients.lock", os.O_RDWR | os.O_CREAT, 0o600)
                    fcntl.flock(self._seat, fcntl.LOCK_SH)
                atexit.register(self.close)
            return dict(self._address)

    def close(self) -> None:
        """Leave the server, and stop it if nobody else uses it."""
        with self._mutex:
            if self._presence is None or os.getpid() != self._pid:
                return
            atexit.unregister(self.close)
            if not self.data.exists():  # deleted under the server, which notices within a minute and ends
                self._leave()
                return
            with self._locked():
                postmaster = self._postmaster_if_last()
                self._leave()
                if postmaster:
                    os.kill(postmaster, signal.SIGINT)
                    self._wait_for_end("it was told to stop but runs on")
                    with contextlib.suppress(OSError):
                        os.rmdir(self._address["host"])

    def _leave(self) -> None:
        self._stand_up()
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    def _stand_up(self) -> None:
        if self._seat is not None:
            os.close(self._seat)
            self._seat = None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the lock of starts and stops; yields its file descriptor."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.root / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unavailable(f"its folder cannot be used: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock
        except OSError as error:
            raise self._unavailable(str(error)) from error
        finally:
            os.close(lock)

    def _find(self) -> psycopg.Connection | None:
        """Connect to our server if there is one."""
        return next((line for line in map(self._enter, self._socket_folders()) if line), None)

    def _enter(self, folder: Path) -> psycopg.Connection | None:
        """Connect to the server behind `folder`, if it is ours; one that starts or recovers is waited for."""
        deadline = time.monotonic() + _PATIENCE_S
        while listens(folder):
            try:
                return self._connect(folder)
            except _RefusedError as refusal:
                if not refusal.passing and (time.monotonic() > deadline or _FULL in str(refusal)):
                    raise self._unavailable(f"it runs but lets nobody in: {refusal}") from None
                time.sleep(0.02)
        return None

    def _socket_folders(self) -> list[Path]:
        """Where a server of ours may listen: where we would have it, and where its pid file says."""
        folders = [socket_folder(self.root)]
        with contextlib.suppress(FileNotFoundError, IndexError):
            noted = Path((self.data / "postmaster.pid").read_text().splitlines()[4])
            if noted.is_absolute() and noted not in folders:
                folders.append(noted)
        return folders

    def _connect(self, folder: Path) -> psycopg.Connection | None:
        """Connect through `folder`; None if it is another server that answers there."""
        import psycopg

        address: dict[str, Any] = {
            "host": str(folder),
            "port": 5432,
            "user": "quantlab",
            "dbname": "postgres",
        }
        fixed = {"hostaddr": "", "options": "", "target_session_attrs": "any"}  # whatever PG* variables say
        self._address = address | fixed | {"connect_timeout": 10, "application_name": self._name}
        try:
            connection = psycopg.connect(**self._address, autocommit=True)
        except psycopg.OperationalError as error:
            raise _RefusedError(str(error).strip().splitlines()[-1]) from error
        row = connection.execute("show data_directory").fetchone()
        with contextlib.suppress(FileNotFoundError):
            if row and os.path.samefile(row[0], self.data):
                return connection
        connection.close()
        return None

    def _start(self, lock: int) -> psycopg.Connection:
        account = Account.choose(self.data)
        if not self.data.exists():
            self._initialise(account, lock)
        self._check_version(account)
        folder = socket_folder(self.root)
        prepare(folder, *((account.uid, account.gid) if account else (os.geteuid(), os.getegid())))
        seen = self.log.stat().st_size
        alive = os.open(self.root / "alive.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._clear_the_way(account, folder, alive)
            options = _OPTIONS | {"unix_socket_directories": f'"{folder}"'}
            flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
            self._run(account, "postgres", "-D", self.data, *flags, how=("--detach",), keep=alive)
        finally:
            os.close(alive)
        return self._await_start(folder, seen)

    def _initialise(self, account: Account | None, lock: int) -> None:
        """Make the data directory beside its place and move it there when it is whole."""
        fresh = self.data.with_name("data.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        if account:
            os.chown(self.root, account.uid, account.gid)
        self._run(account, "initdb", "-D", fresh, *_INITDB.split(), keep=lock)
        fresh.rename(self.data)
        directory = os.open(self.root, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def _check_version(self, account: Account | None) -> None:
        programs = folders()
        ours, theirs = max(programs), int((self.data / "PG_VERSION").read_text())
        if theirs != ours:
            whom = f", as the account {account.name}" if account else ""
            new, old = programs[ours], programs.get(theirs, f"<programs of PostgreSQL {theirs}>")
            raise StoreVersionError(
                f"the data in {self.data} is of PostgreSQL {theirs}, the installed programs are of {ours}. "
                f"Upgrade it{whom}: make NEW with `'{new}/initdb' -D NEW {_INITDB}`, then "
                f"`'{new}/pg_upgrade' -b '{old}' -B '{new}' -d '{self.data}' -D NEW -U quantlab`, then put "
                "NEW in its place."
            )

    def _clear_the_way(self, account: Account | None, folder: Path, alive: int) -> None:
        """Take the lock that the server's processes will hold, after ending those of a dead server."""
        if not _try_lock(alive):
            self._run(account, how=("--end-orphans", str(self.data)))
            self._wait_for_end("processes of an earlier server hold its data and do not answer")
            fcntl.flock(alive, fcntl.LOCK_EX)
        for stale in (self.data / "postmaster.pid", folder / SOCKET, folder / f"{SOCKET}.lock"):
            stale.unlink(missing_ok=True)

    def _await_start(self, folder: Path, seen: int) -> psycopg.Connection:
        while not self._ended():
            connection = self._enter(folder)
            if connection:
                return connection
            time.sleep(0.01)
        raise self._unavailable(f"it ended while starting: {self._tail(seen)}")

    def _run(
        self,
        account: Account | None,
        *command: str | Path,
        how: tuple[str, ...] = (),
        keep: int | None = None,
    ) -> None:
        """Run a program of PostgreSQL through the launcher; what it prints goes to the log."""
        programs = folders()[max(folders())]
        whole = ("--", programs / command[0], *command[1:]) if command else ()
        with open(self.log, "ab") as log:
            if log.tell() > _LARGEST_LOG:
                log.truncate(0)
            seen = os.fstat(log.fileno()).st_size
            descriptors = () if keep is None else (keep,)
            code = launch(account, [self.root, programs], *how, *whole, log=log, pass_fds=descriptors)
        if code:
            what = Path(command[0]).name if command else "ending orphans"
            raise self._unavailable(f"{what} failed: {self._tail(seen)}")

    def _postmaster_if_last(self) -> int | None:
        """The pid of the postmaster, as the living server states it, if we are its only client."""
        import psycopg

        self._stand_up()
        if not self._is_free("clients.lock"):
            return None

        others = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        mine = "split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int"
        query = f"select {mine} where ({others} and application_name <> %s) = 0"
        deadline = time.monotonic() + _GRACE_S
        while self._presence is not None:
            try:
                row = self._presence.execute(query, [self._name]).fetchone()
            except psycopg.OperationalError:  # it has ended already
                return None
            if row or time.monotonic() > deadline:
                return row[0] if row else None
            time.sleep(0.02)
        return None

    def _wait_for_end(self, otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not self._ended():
            if time.monotonic() > deadline:
                raise self._unavailable(otherwise)
            time.sleep(0.005)

    def _ended(self) -> bool:
        """Whether no process of any server of ours is alive."""
        return self._is_free("alive.lock")

    def _is_free(self, lock: str) -> bool:
        probe = os.open(self.root / lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            return _try_lock(probe)
        finally:
            os.close(probe)

    def _tail(self, seen: int) -> str:
        """What the server said last, since byte `seen` of its log."""
        with open(self.log, "rb") as log:
            log.seek(seen)
            lines = log.read().decode(errors="replace").split("\n")
        loud = [line for line in lines if re.search("(?i)fatal|panic|error|launcher", line)]
        return " / ".join((loud or lines)[-3:]).strip() or "it said nothing"

    def _unavailable(self, evidence: str) -> StoreUnavailableError:
        full = _FULL in evidence or _free_bytes(self.root) < 1 << 20
        remedy = "Its disk is full: free space; nothing committed is lost" if full else f"See {self.log}"
        return StoreUnavailableError(
            f"the embedded PostgreSQL in {self.root} is not available: {evidence}. {remedy}, "
            "or set QUANTLAB_HOME to another folder or QUANTLAB_DSN to a server."
        )


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
