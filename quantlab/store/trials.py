"""The ledger: every search ever made, with the cells it evaluated. Complete, or it is worth nothing.

A search is counted before its first cell is evaluated, so that whatever ends it afterwards takes nothing
back. A sweep is one row with all of its cells; a search by a sampler is a row of its own without cells, and
a row for each batch. The same row is counted once, however often a search is resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg

_TOUCHING = "family = %(family)s and (first_ms is null or (first_ms <= %(last)s and last_ms >= %(first)s))"


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Parameters
    ----------
    key : str
        Identity of what was evaluated; of a sweep the surface's key.
    fingerprint : str
        Of the candles it ran on.
    family : str
        The market whatever the timeframe and period, ``exchange:symbol``.
    strategy : str
        Name of the strategy.
    cells : int
        Cells evaluated, above 0; of a search in batches 0.
    kind : str
        How it searched, e.g. ``"grid"``.
    search : str, optional
        Key of the search that this batch belongs to.
    in_batches : bool
        A search whose batches count its cells.
    timeframe : str, optional
    period : (int, int), optional
        Open times of the first and last bar [epoch ms]; without it any period is taken to be touched.
    """

    key: str
    fingerprint: str
    family: str
    strategy: str
    cells: int
    kind: str
    search: str | None = None
    in_batches: bool = False
    timeframe: str | None = None
    period: tuple[int, int] | None = None


class Counted(NamedTuple):
    """What the ledger holds about a period of a market.

    Attributes
    ----------
    trials : int
        Cells ever evaluated on bars of it.
    searches : int
        Searches ever made on bars of it.
    place : int or None
        Which of these, from 1 on, the search asked for was; None if it is not among them.
    """

    trials: int
    searches: int
    place: int | None


class Search(NamedTuple):
    """One search of the ledger, its batches summed."""

    number: int
    family: str
    timeframe: str | None
    first_ms: int | None
    last_ms: int | None
    strategy: str
    kind: str
    cells: int
    place: int


def record(connection: psycopg.Connection, entries: Sequence[Entry]) -> int:
    """Count what was not counted before; returns how many entries that were.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    entries : sequence of Entry
    """
    for family in sorted({entry.family for entry in entries}):
        lock = "select pg_advisory_xact_lock(hashtextextended('quantlab.ledger ' || %s, 0))"
        connection.execute(lock, [family])
    return sum(_record(connection, entry) for entry in entries)


def _record(connection: psycopg.Connection, entry: Entry) -> int:
    given = vars(entry) | {"cells": int(entry.cells)}
    given["first_ms"], given["last_ms"] = given.pop("period") or (None, None)
    names, marks = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    query = f"insert into trial_ledger ({names}) values ({marks}) on conflict (key) do nothing"
    return connection.execute(query.encode(), given).rowcount


def totals(connection: psycopg.Connection, family: str) -> tuple[int, int]:
    """Searches ever made on a family and cells ever evaluated in them."""
    query = (
        "select count(*) filter (where search is null), coalesce(sum(cells), 0)::bigint "
        "from trial_ledger where family = %s"
    )
    row = connection.execute(query, [family]).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def counted(
    connection: psycopg.Connection, family: str, first_ms: int, last_ms: int, search: str | None = None
) -> Counted:
    """What was ever evaluated on bars of a period of a market, and which search of these `search` was."""
    query = f"""
        select coalesce(sum(cells), 0)::bigint, count(*) filter (where search is null),
            count(*) filter (where search is null and number <= (
                select number from trial_ledger where key = %(search)s and search is null))
        from trial_ledger where {_TOUCHING}"""
    given = {"family": family, "first": first_ms, "last": last_ms, "search": search}
    row = connection.execute(query.encode(), given).fetchone()
    assert row is not None, "an aggregate has a row"
    return Counted(row[0], row[1], row[2] or None)


def searches(
    connection: psycopg.Connection, family: str | None, first_ms: int | None, last_ms: int | None
) -> list[Search]:
    """Every search, oldest first; with a family and a period those on bars of it."""
    where = "true" if family is None else _TOUCHING
    query = f"""
        with made as (select * from trial_ledger where search is null and {where})
        select made.number, made.family, made.timeframe, made.first_ms, made.last_ms, made.strategy,
            made.kind, made.cells + coalesce(
                (select sum(batch.cells)::bigint from trial_ledger batch where batch.search = made.key), 0),
            (select count(*) from trial_ledger other where other.search is null
                and other.family = made.family and other.number <= made.number
                and (other.first_ms is null or made.first_ms is null
                    or (other.first_ms <= made.last_ms and other.last_ms >= made.first_ms)))
        from made order by made.number"""
    given = {"family": family, "first": first_ms, "last": last_ms}
    return [Search(*row) for row in connection.execute(query.encode(), given)]
