"""The embedded server's life: kill -9 of everything, threads, processes, paths, root, versions."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from server_helpers import NewHome, ask, client, ended, holder, postmaster, processes, wait_until
from stored_candles import market

from quantlab.errors import StoreUnavailableError
from quantlab.settings import Settings
from quantlab.store import open_store
from quantlab.store.embedded import EmbeddedServer


def test_the_first_starts_it_and_the_last_stops_it(new_home: NewHome) -> None:
    home = new_home()
    one, two = EmbeddedServer(home / "postgres"), EmbeddedServer(home / "postgres")
    address = one.ensure()
    assert two.ensure()["host"] == address["host"]
    assert ask(address, "show fsync") == "on"
    assert ask(address, "show listen_addresses") == ""
    assert ask(address, "show client_connection_check_interval") == "5s"
    assert Path(str(ask(address, "show data_directory"))).samefile(home / "postgres" / "data")
    for folder in (address["host"], home / "postgres" / "data"):
        assert os.stat(folder).st_mode & 0o777 == 0o700
    listening = postmaster(address).net_connections(kind="inet")
    assert not [line for line in listening if line.status == psutil.CONN_LISTEN]
    one.close()
    assert ask(two.ensure(), "select 1") == 1
    two.close()
    assert ended(home)


def test_connections_that_are_just_ending_do_not_keep_it_running(new_home: NewHome) -> None:
    home = new_home()
    for _ in range(3):
        server = EmbeddedServer(home / "postgres")
        address = server.ensure() | {"application_name": "psql"}
        others = [psycopg.connect(**address) for _ in range(20)]
        for other in others:
            other.close()
        server.close()
        assert ended(home)


def test_another_client_keeps_it_running(new_home: NewHome) -> None:
    home = new_home()
    server = EmbeddedServer(home / "postgres")
    address = server.ensure() | {"application_name": "psql"}
    with psycopg.connect(**address, autocommit=True) as other:
        server.close()
        assert other.execute("select 1").fetchone() == (1,)
    server.ensure()
    server.close()
    assert ended(home)


def test_a_killed_server_is_started_again_and_has_lost_nothing(new_home: NewHome) -> None:
    home = new_home()
    with open_store(Settings(home)) as store:
        candles = market(2_000)
        store.put_candles(candles)
        other = EmbeddedServer(home / "postgres")
        victim = postmaster(other.ensure())
        backends = victim.children()
        victim.kill()
        assert not psutil.wait_procs(backends, timeout=30)[1]
        assert store.candles("coinbase", "BTC/USD", "1h") == candles
        assert store.put_candles(candles) == 1
        assert other.ensure()
        other.close()
    assert ended(home)


def test_backends_that_outlive_a_killed_server_are_ended(new_home: NewHome) -> None:
    home = new_home()
    server = EmbeddedServer(home / "postgres")
    address = server.ensure()
    parent = postmaster(address)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(ask, address, "select count(*) from generate_series(1, 1000000000000)")
        wait_until(
            lambda: ask(address, "select count(*) from pg_stat_activity where query like '%generate%'") == 2
        )
        orphans = parent.children()
        parent.kill()
        psutil.wait_procs([parent], timeout=10)
        assert any(orphan.is_running() for orphan in orphans)
        assert ask(server.ensure(), "select 1") == 1
        with pytest.raises(psycopg.OperationalError):
            busy.result(timeout=30)
    assert not [
        orphan for orphan in orphans if orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE
    ]
    server.close()


def test_a_client_killed_in_the_middle_of_a_copy_leaves_nothing_and_a_running_server(
    new_home: NewHome,
) -> None:
    home = new_home()
    process = client(
        home,
        """
        store.put_candles(market(100, symbol="ETH/USD"))
        with store._connections.transaction() as connection:
            with connection.cursor().copy("copy candle from stdin") as copy:
                for i in range(100_000):
                    copy.write(f"1\\t{-i}\\t1\\t1\\t1\\t1\\t1\\n")
                print("copying", flush=True)
                time.sleep(60)
        """,
    )
    assert process.stdout
    assert process.stdout.readline() == "copying\n"
    other = EmbeddedServer(home / "postgres")
    running = postmaster(other.ensure())
    process.kill()
    process.wait()
    process.stdout.close()
    other.close()
    with open_store(Settings(home)) as store:
        assert len(store.candles("coinbase", "ETH/USD", "1h")) == 100
        assert [entry.rows for entry in store.markets()] == [100]
    assert ended(home)
    assert not running.is_running() or running.status() == psutil.STATUS_ZOMBIE


def test_a_killed_client_leaves_the_server_for_the_next_one(new_home: NewHome) -> None:
    home = new_home()
    process = client(home, "print('open', flush=True); time.sleep(60)")
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert not ended(home)
    server = EmbeddedServer(home / "postgres")
    server.ensure()
    server.close()
    assert ended(home)


def test_initdb_and_its_client_may_be_killed_at_any_point(tmp_path: Path) -> None:
    home = tmp_path / "new home"
    fresh, data = home / "postgres" / "data.new", home / "postgres" / "data"
    process = client(home, "")
    wait_until(lambda: (fresh / "PG_VERSION").exists() or data.exists())
    process.kill()  # initdb lives on, and holds the lock
    process.wait()
    assert process.stdout
    process.stdout.close()
    assert not data.exists()
    server = EmbeddedServer(home / "postgres")
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(server.ensure)
        marks = [str(fresh)]
        wait_until(
            lambda: (fresh / "PG_VERSION").exists() and processes("initdb", marks) and holder(home) == "ours"
        )
        for found in processes("initdb", marks):
            found.kill()
        with pytest.raises(StoreUnavailableError, match="initdb failed"):
            start.result(timeout=60)
    assert not data.exists()
    assert ask(server.ensure(), "select 1") == 1
    assert not fresh.exists()
    server.close()


def test_several_processes_at_once_share_one_server(new_home: NewHome) -> None:
    home = new_home()
    clients = [
        client(home, f"print(store.put_candles(market(50, symbol='S{i}'))); store.close()") for i in range(4)
    ]
    printed = [process.communicate(timeout=120)[0] for process in clients]
    assert printed == ["1\n"] * 4
    assert [process.returncode for process in clients] == [0] * 4
    assert ended(home)
    with open_store(Settings(home)) as store:
        assert [entry.symbol for entry in store.markets()] == ["S0", "S1", "S2", "S3"]


def test_a_client_that_forgets_to_close_stops_the_server_when_it_exits(new_home: NewHome) -> None:
    home = new_home()
    process = client(home, "print(len(store.markets()))")
    assert process.communicate(timeout=60)[0] == "0\n"
    assert process.returncode == 0
    assert ended(home)


def test_threads_open_use_and_close_at_once(new_home: NewHome) -> None:
    home = new_home()

    def work(number: int) -> int:
        with open_store(Settings(home)) as store:
            store.put_candles(market(20, symbol=f"S{number}"))
            return len(store.candles("coinbase", f"S{number}", "1h"))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [20] * 6
    assert ended(home)


def test_one_store_serves_many_threads_while_the_server_is_killed(new_home: NewHome) -> None:
    home = new_home()
    with open_store(Settings(home)) as store, ThreadPoolExecutor(6) as pool:
        victim = postmaster(store._connections._server.ensure())
        errors = []

        def work(number: int) -> int:
            while True:
                try:
                    if number == 20:
                        victim.kill()
                    store.put_candles(market(20, symbol=f"S{number}"))
                    return len(store.candles("coinbase", f"S{number}", "1h"))
                except StoreUnavailableError as error:
                    errors.append(error)

        assert list(pool.map(work, range(60))) == [20] * 60
        assert len(errors) <= 6, "one error a thread at most"
        assert len(store.markets()) == 60
