from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from quantlab.errors import StoreError, StoreVersionError
from quantlab.settings import Settings
from quantlab.store import binaries, open_store
from quantlab.store.migrate import Migration, migrate, migrations
from quantlab.store.trials import Entry


def connection(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True)


def schema(dsn: str) -> str:
    """The schema as pg_dump writes it, without what differs from dump to dump."""
    program = binaries.folders()[18] / "pg_dump"
    dump = subprocess.run(
        [program, "--schema-only", "-d", dsn], capture_output=True, text=True, check=True
    ).stdout
    return re.sub(r"^\\(un)?restrict .*$|^--.*$", "", dump, flags=re.M)


def test_step_by_step_and_at_once_give_the_same_schema(empty_dsn: str, dsn: str) -> None:
    steps = migrations()
    with connection(empty_dsn) as line:
        assert [migrate(line, steps[: number + 1]) for number in range(len(steps))] == [1] * len(steps)
        assert migrate(line) == 0
    assert schema(empty_dsn) == schema(dsn) != ""


def test_concurrent_starts_apply_every_step_once(empty_dsn: str) -> None:
    def start(_: int) -> int:
        with connection(empty_dsn) as line:
            return migrate(line)

    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(start, range(6)))
    assert sorted(applied) == [0] * 5 + [len(migrations())]


def test_a_changed_step_is_refused(dsn: str, tmp_path: Path) -> None:
    with connection(dsn) as line:
        line.execute("update schema_migration set sha256 = repeat('0', 64) where number = 2")
    with pytest.raises(
        StoreVersionError, match=r"0002_configurations.sql differs from the one .*000000, now"
    ):
        open_store(Settings(tmp_path, dsn))


def test_a_newer_database_is_refused(dsn: str, tmp_path: Path) -> None:
    with connection(dsn) as line:
        line.execute("insert into schema_migration (number, name, sha256) values (99, '0099_future.sql', '')")
    with pytest.raises(
        StoreVersionError, match=r"newer than this quantlab: .*0099_future.sql.*Upgrade quantlab"
    ):
        open_store(Settings(tmp_path, dsn))


def test_a_failing_step_leaves_what_was_before(dsn: str) -> None:
    steps = [*migrations(), Migration(99, "0099_bad.sql", "create table half (a int); select 1 / 0")]
    before = schema(dsn)
    with connection(dsn) as line:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(line, steps)
        assert migrate(line) == 0
    assert schema(dsn) == before


def test_a_killed_migration_leaves_no_lock_and_nothing_half_done(empty_dsn: str) -> None:
    script = f"""
import psycopg
from quantlab.store.migrate import Migration, migrate, migrations
steps = [*migrations(), Migration(99, "0099_slow.sql", "create table half (a int); select pg_sleep(120)")]
migrate(psycopg.connect({empty_dsn!r}, autocommit=True), steps)
"""
    process = subprocess.Popen([sys.executable, "-c", script], env=dict(os.environ))
    with connection(empty_dsn) as line:
        here = "pg_stat_activity where datname = current_database()"
        sleeping = f"select count(*) from {here} and wait_event = 'PgSleep'"
        while line.execute(sleeping).fetchone() == (0,):
            assert process.poll() is None
        process.kill()
        process.wait()
        assert migrate(line) == len(migrations())  # waits until the server has noticed, within 5 s
        assert line.execute("select to_regclass('half')").fetchone() == (None,)


def test_a_ledger_of_the_first_release_goes_on_counting(empty_dsn: str, tmp_path: Path) -> None:
    with connection(empty_dsn) as line:
        migrate(line, migrations()[:4])
        line.execute(
            "insert into trial_ledger (key, fingerprint, family, strategy, kind, cells) values "
            "('a', 'f', 'x:Y', 's', 'grid', 5), ('b', 'f', 'x:Y', 's', 'tpe', 7)"
        )
    with open_store(Settings(tmp_path, empty_dsn)) as store:
        assert store.count(Entry("c", "f", "x:Y", "s", 2, "grid", period=(10, 20))) == 1
        assert store.counted("x:Y", 30, 40) == (12, 2, None)  # of unknown period: any
        assert store.counted("x:Y", 20, 40, "c") == (14, 3, 3)


def test_another_schema_may_be_chosen(empty_dsn: str, tmp_path: Path) -> None:
    with connection(empty_dsn) as line:
        line.execute('create schema "my lab"')
    chosen = psycopg.conninfo.make_conninfo(empty_dsn, options='-c search_path="my\\ lab"')
    with open_store(Settings(tmp_path, chosen)) as store:
        assert store.markets() == []
    with connection(empty_dsn) as line:
        query = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        assert line.execute(query).fetchone() == (0,)


def test_files_are_numbered_without_a_gap(tmp_path: Path) -> None:
    assert [step.name[:4] for step in migrations()] == [f"{n:04}" for n in range(1, 9)]
    (tmp_path / "0001_a.sql").write_text("select 1")
    (tmp_path / "0003_b.sql").write_text("select 1")
    with pytest.raises(StoreError, match="numbered 1, 2, 3"):
        migrations(tmp_path)


def test_line_endings_of_a_checkout_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"select 1;\nselect 2\n")
    (unix,) = migrations(tmp_path)
    (tmp_path / "0001_a.sql").write_bytes(b"select 1;\r\nselect 2\r\n")
    assert migrations(tmp_path)[0].sha256 == unix.sha256
