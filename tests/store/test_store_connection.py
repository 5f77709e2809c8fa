"""DSNs that do not answer, passwords that are never shown, servers that go away, disks that are full."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from stored_candles import market

from quantlab.errors import StoreError, StoreUnavailableError, StoreVersionError
from quantlab.settings import Settings
from quantlab.store import connection as connection_module
from quantlab.store import open_store
from quantlab.store.store import Store

SECRET = "hunter2"


def refusal(dsn: str, home: Path) -> str:
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(Settings(home, dsn))
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert SECRET not in shown, "the password is shown"
    return str(caught.value)


def test_a_dsn_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        said = refusal(f"postgresql://ana:{SECRET}@127.0.0.1:{port}/lab", tmp_path)
    assert f"host 127.0.0.1, port {port}, dbname lab, user ana" in said
    assert "refused" in said
    assert "unset it to use the embedded server" in said


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://ana:{SECRET}@[::1/lab",
        f"postgresql://ana:{SECRET}@x@127.0.0.1/lab",
        f"postgresql://ana:x@{SECRET}@127.0.0.1/lab",
        f"host=localhost password {SECRET}",
        f"mysql://ana:{SECRET}@localhost/lab",
        f"{SECRET}",
    ],
)
def test_a_malformed_dsn_is_not_shown(dsn: str, tmp_path: Path) -> None:
    assert "is not a connection string" in refusal(dsn, tmp_path)


def test_a_wrong_database_is_named(dsn: str, tmp_path: Path) -> None:
    wrong = psycopg.conninfo.make_conninfo(dsn, dbname="nowhere", password=SECRET)
    assert 'database "nowhere" does not exist' in refusal(wrong, tmp_path)


def test_a_dsn_makes_nothing_in_home(dsn: str, tmp_path: Path) -> None:
    with open_store(Settings(tmp_path / "home", dsn)):
        assert not (tmp_path / "home").exists()


def test_an_old_server_is_refused(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_LEAST_SERVER", 99)
    with pytest.raises(StoreVersionError, match="needs PostgreSQL 99 or later"):
        open_store(Settings(tmp_path, dsn))


def test_a_closed_store_says_so(dsn: str, tmp_path: Path) -> None:
    store = open_store(Settings(tmp_path, dsn))
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.markets()


def test_connections_that_end_while_idle_are_replaced(store: Store, sql: psycopg.Connection) -> None:
    store.markets()
    others = "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    query = f"select count(pg_terminate_backend(pid, 5000)) from {others}"
    assert sql.execute(query).fetchone() == (1,)
    assert store.markets() == []


def test_a_connection_that_ends_during_a_call_gives_one_clear_error(
    store: Store, sql: psycopg.Connection
) -> None:
    def call() -> None:
        with store._connections.transaction() as connection:
            connection.execute("create table half (a int)")
            sql.execute("select pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
            connection.execute("select 1")

    with pytest.raises(StoreUnavailableError, match=r"went away during the call.*Call again"):
        call()
    assert store.markets() == []
    assert sql.execute("select to_regclass('half')").fetchone() == (None,)


def test_an_error_in_the_callers_code_rolls_back_and_passes(store: Store, sql: psycopg.Connection) -> None:
    def call() -> None:
        with store._connections.transaction() as connection:
            connection.execute("create table half (a int)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call()
    assert sql.execute("select to_regclass('half')").fetchone() == (None,)


def test_a_full_disk_is_said_as_such(store: Store) -> None:
    def call() -> None:
        with store._connections.transaction() as connection:
            connection.execute("do $$ begin raise 'cannot extend' using errcode = 'disk_full'; end $$")

    with pytest.raises(StoreError, match=r"disk of the database is full.*Free space"):
        call()


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", place], check=False, capture_output=True
    )
    if mount.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_up_loses_nothing(template: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        home = tmp_path / "disk" / "home"
        home.mkdir()
        subprocess.run(["cp", "-a", template, home / "postgres"], check=True)
        with open_store(Settings(home)) as store:
            kept = market(1_000)
            store.put_candles(kept)
            filler = fill(tmp_path / "disk")
            with pytest.raises(StoreError, match=r"disk is full|disk of the database is full|went away"):
                until_it_fails(store)
            with pytest.raises(StoreUnavailableError, match=r"initdb failed.*disk is full: free space"):
                open_store(Settings(tmp_path / "disk" / "other"))
            filler.unlink()
            assert store.candles("coinbase", "BTC/USD", "1h") == kept
            assert store.put_candles(market(50_000, symbol="ETH/USD")) == 1


def fill(disk: Path) -> Path:
    # the last bytes may fail only when the file is closed
    with contextlib.suppress(OSError), open(disk / "filler", "wb") as file:
        while True:
            file.write(bytes(1 << 16))
    return disk / "filler"


def until_it_fails(store: Store) -> None:
    for number in range(20):
        store.put_candles(market(50_000, symbol=f"S{number}"))
