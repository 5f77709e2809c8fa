"""Finished parts of a sweep, kept so that an interrupted or killed one goes on where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def drop(connection: psycopg.Connection, key: str) -> None:
    """Forget the parts of the sweep `key`."""
    connection.execute("delete from sweep_checkpoint where key = %s", [key])
