"""Verdicts of the gate, whole, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantlab.errors import NotStoredError
from quantlab.store.surfaces import dumps

if TYPE_CHECKING:
    import psycopg


def put(connection: psycopg.Connection, key: str, surface_key: str, document: Mapping[str, Any]) -> None:
    """Store the verdict on a surface; the same key again replaces it.

    Raises
    ------
    InputError
        The document is not JSON (NaN is not).
    """
    connection.execute(
        "insert into verdict (key, surface_key, document) values (%s, %s, %s) on conflict (key) do update "
        "set surface_key = excluded.surface_key, document = excluded.document, recorded_at = now()",
        [key, surface_key, dumps(document, "a verdict")],
    )


def get(connection: psycopg.Connection, key: str) -> dict[str, Any]:
    """Read a verdict, its keys in the order they were given.

    Raises
    ------
    NotStoredError
        There is none with that key.
    """
    row = connection.execute("select document from verdict where key = %s", [key]).fetchone()
    if row is None:
        raise NotStoredError(f"no verdict {key} is stored: validate the surface, which stores it.")
    return row[0]
