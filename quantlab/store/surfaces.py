"""Surfaces in the database: who, where, on what, and one compressed column per metric."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import InputError, NotStoredError
from quantlab.store.arrow import pack, unpack

if TYPE_CHECKING:
    import psycopg

_IDENTITY = ("strategy", "exchange", "symbol", "timeframe", "fingerprint")


def dumps(document: Mapping[str, Any], what: str) -> str:
    """Write JSON text, keeping the order of keys.

    Raises
    ------
    InputError
        It holds NaN, infinity or something that JSON has no form for.
    """
    try:
        return json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} must be plain JSON values: {error}. Write null for what is undefined."
        ) from error


def put(
    connection: psycopg.Connection,
    key: str,
    meta: Mapping[str, Any],
    metrics: Mapping[str, np.ndarray],
    shape: Sequence[int],
) -> None:
    """Store a surface once; the same key again changes nothing.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    key : str
        SHA-256 (hex) of everything that decides the result.
    meta : mapping
        JSON values. ``strategy`` (a name, or a mapping with ``name``) and exchange, symbol, timeframe and
        fingerprint (here, or under ``identity`` or ``candles``) also become columns.
    metrics : mapping of str to ndarray of float64
        Each of `shape`; NaN where undefined.
    shape : sequence of int
        Length of each axis.

    Raises
    ------
    InputError
        A metric has another shape, or `meta` is not JSON.
    """
    shape = tuple(map(int, shape))
    for name, values in metrics.items():
        if np.shape(values) != shape:
            raise InputError(
                f"metric {name!r} must have the shape {shape} of the surface, got {np.shape(values)}."
            )
    row = [key, *identity(meta), math.prod(shape), list(shape), dumps(meta, "meta of a surface")]
    added = connection.execute(
        "insert into surface (key, strategy, exchange, symbol, timeframe, fingerprint, cells, shape, meta) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (key) do nothing",
        row,
    ).rowcount
    if added:
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into surface_metric (key, metric, place, data) values (%s, %s, %s, %b)",
                ((key, name, place, pack(values)) for place, (name, values) in enumerate(metrics.items())),
            )


def get(connection: psycopg.Connection, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a surface: its meta as it was given, and its metrics as read-only float64 arrays.

    Raises
    ------
    NotStoredError
        There is no surface with that key.
    """
    row = connection.execute("select meta, shape from surface where key = %s", [key]).fetchone()
    if row is None:
        count = connection.execute("select count(*) from surface").fetchone()
        raise NotStoredError(
            f"no surface {key} is stored, {count[0] if count else 0} others are: sweep it, which stores it."
        )
    query = "select metric, data from surface_metric where key = %s order by place"
    data = connection.execute(query, [key], binary=True)
    return row[0], {metric: unpack(packed, tuple(row[1])) for metric, packed in data}


def has(connection: psycopg.Connection, key: str) -> bool:
    """Whether a surface with that key is stored."""
    return connection.execute("select from surface where key = %s", [key]).rowcount == 1


def identity(meta: Mapping[str, Any]) -> list[str | None]:
    """Strategy, exchange, symbol, timeframe and fingerprint that `meta` names, None where it does not."""
    flat = {**meta}
    for nested in ("identity", "candles"):
        if isinstance(meta.get(nested), Mapping):
            flat = {**meta[nested], **flat}
    strategy = flat.get("strategy")
    if isinstance(strategy, Mapping):
        flat["strategy"] = strategy.get("name")
    return [None if flat.get(name) is None else str(flat[name]) for name in _IDENTITY]
