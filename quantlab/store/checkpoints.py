"""Finished parts of a sweep, kept so that an interrupted or killed one goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantlab.errors import NotStoredError

if TYPE_CHECKING:
    import psycopg


def save(connection: psycopg.Connection, key: str, index: int, data: bytes) -> None:
    """Keep part `index` of the sweep `key`; the same part again replaces it."""
    connection.execute(
        "insert into sweep_checkpoint (key, chunk, data) values (%s, %s, %b) "
        "on conflict (key, chunk) do update set data = excluded.data, saved_at = now()",
        [key, index, data],
    )


def load(connection: psycopg.Connection, key: str) -> dict[int, bytes]:
    """Finished parts of the sweep `key`: number to bytes; empty if there are none."""
    query = "select chunk, data from sweep_checkpoint where key = %s order by chunk"
    return dict(connection.execute(query, [key], binary=True).fetchall())


def numbers(connection: psycopg.Connection, key: str) -> list[int]:
    """Numbers of the finished parts of the sweep `key`."""
    query = "select chunk from sweep_checkpoint where key = %s order by chunk"
    return [row[0] for row in connection.execute(query, [key])]


def load_one(connection: psycopg.Connection, key: str, index: int) -> bytes:
    """Finished part `index` of the sweep `key`.

    Raises
    ------
    NotStoredError
        There is no such part.
    """
    query = "select data from sweep_checkpoint where key = %s and chunk = %s"
    row = connection.execute(query, [key, index], binary=True).fetchone()
    if row is None:
        raise NotStoredError(f"no part {index} of the sweep {key} is stored: sweep again, which computes it.")
    return bytes(row[0])


def drop(connection: psycopg.Connection, keys: Sequence[str]) -> None:
    """Forget the parts of the sweeps `keys`."""
    connection.execute("delete from sweep_checkpoint where key = any(%s)", [list(keys)])
