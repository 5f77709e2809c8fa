"""The schema: numbered SQL files, each applied once, in order, by whoever comes first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from quantlab.errors import StoreError, StoreVersionError

if TYPE_CHECKING:
    import psycopg

_FOLDER = Path(__file__).with_name("migrations")
_LOCK = int.from_bytes(sha256(b"quantlab.migrations").digest()[:8], "big", signed=True)
_LEDGER = """create table schema_migration (
    number int primary key, name text not null, sha256 text not null,
    applied_at timestamptz not null default now())"""


@dataclass(frozen=True)
class Migration:
    """One step of the schema.

    Parameters
    ----------
    number : int
        Its place, from 1.
    name : str
        The file's name.
    sql : str
        What it does.
    """

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the SQL."""
        return sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = _FOLDER) -> list[Migration]:
    """Read the migrations of this version of quantlab, in order."""
    paths = sorted(folder.glob("[0-9]*.sql"))
    steps = [
        Migration(int(re.findall(r"^\d+", path.name)[0]), path.name, path.read_text(encoding="utf-8"))
        for path in paths
    ]
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise StoreError(
            f"migrations in {folder} must be numbered 1, 2, 3 ..., got {[p.name for p in paths]}."
        )
    return steps


def migrate(connection: psycopg.Connection, steps: Sequence[Migration] | None = None) -> int:
    """Bring the schema to the newest version; everything or nothing, one process at a time.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode; its first schema of the search path is used.
    steps : sequence of Migration, optional
        Instead of those of this version.

    Returns
    -------
    int
        How many steps were applied.

    Raises
    ------
    StoreVersionError
        A file that was applied has changed since, or the database is newer than this code.
    """
    steps = migrations() if steps is None else steps
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute(
            "select set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)"
        )
        row = connection.execute("select to_regclass('schema_migration')").fetchone()
        if row == (None,):
            connection.execute(_LEDGER)
        done: dict[int, tuple[str, str]] = {
            number: (name, digest)
            for number, name, digest in connection.execute(
                "select number, name, sha256 from schema_migration"
            )
        }
        _check(done, steps)
        waiting = [step for step in steps if step.number not in done]
        for step in waiting:
            connection.execute(step.sql.encode())
            entry = [step.number, step.name, step.sha256]
            connection.execute(
                "insert into schema_migration (number, name, sha256) values (%s, %s, %s)", entry
            )
    return len(waiting)


def _check(done: dict[int, tuple[str, str]], steps: Sequence[Migration]) -> None:
    known = {step.number: step for step in steps}
    for number, (name, digest) in sorted(done.items()):
        if number not in known:
            raise StoreVersionError(
                f"the database is newer than this quantlab: it has the schema step {name}, this version "
                f"knows {len(known)} steps. Upgrade quantlab, or use another QUANTLAB_HOME or QUANTLAB_DSN."
            )
        if known[number].sha256 != digest:
            raise StoreVersionError(
                f"schema step {known[number].name} differs from the one that made this database "
                f"({digest[:12]}, now {known[number].sha256[:12]}): restore the file; changes "
                "belong into a new step."
            )
