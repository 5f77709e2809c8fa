"""The ledger: every search ever made, with the cells it evaluated. Complete, or it is worth nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


def record(
    connection: psycopg.Connection,
    key: str,
    fingerprint: str,
    family: str,
    strategy: str,
    cells: int,
    kind: str,
) -> bool:
    """Count a search once, however often it is repeated.

    Parameters
    ----------
    connection : psycopg.Connection
        In a transaction.
    key : str
        Identity of the search; of a sweep the surface's key.
    fingerprint : str
        Of the candles it ran on.
    family : str
        The market whatever the timeframe and period, ``exchange:symbol``.
    strategy : str
        Name of the strategy.
    cells : int
        Cells evaluated, above 0.
    kind : str
        How it searched, e.g. ``"grid"``.

    Returns
    -------
    bool
        False if it was in the ledger already.
    """
    query = (
        "insert into trial_ledger (key, fingerprint, family, strategy, cells, kind) "
        "values (%s, %s, %s, %s, %s, %s) on conflict (key) do nothing"
    )
    return connection.execute(query, [key, fingerprint, family, strategy, int(cells), kind]).rowcount == 1


def totals(connection: psycopg.Connection, family: str) -> tuple[int, int]:
    """Searches ever made on a family and cells ever evaluated in them."""
    query = "select count(*), coalesce(sum(cells), 0)::bigint from trial_ledger where family = %s"
    row = connection.execute(query, [family]).fetchone()
    return (row[0], row[1]) if row else (0, 0)
