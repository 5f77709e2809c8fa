"""Hold-outs: the last part of a market's history, and every touch of it, counted before it is answered.

What must hold is held by the database itself (``migrations/0007``): no search is counted whose bars reach
into a hold-out in force, no look beyond the last one, and nothing is moved, taken back or answered twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from quantlab.errors import InputError, NotStoredError
from quantlab.market.candles import iso

if TYPE_CHECKING:
    import psycopg

    from quantlab.store.queue import Transactions

_LOCK = "select pg_advisory_xact_lock(hashtextextended('quantlab.ledger ' || %s, 0))"


class HoldOut(NamedTuple):
    """A hold-out as it is stored.

    Attributes
    ----------
    number : int
    family : str
        ``exchange:symbol``; every timeframe of it.
    start_ms : int
        First moment that no search may see [epoch ms]: a UTC midnight.
    looks : int
        Candidates that may ever be traded on it.
    alpha : float
        Chance of a false pass over all looks together.
    locked_at : datetime
    used : int
        Looks that were counted.
    ended : str or None
        ``"spend"`` (something was searched or seen on it) or ``"release"``; None while it is in force.
    ended_at : datetime or None
    ended_by, reason : str or None
        Who ended it, and why.
    """

    number: int
    family: str
    start_ms: int
    looks: int
    alpha: float
    locked_at: datetime
    used: int
    ended: str | None
    ended_at: datetime | None
    ended_by: str | None
    reason: str | None

    @property
    def touches(self) -> int:
        """How often it was touched: looks, and the end."""
        return self.used + (self.ended is not None)

    @property
    def threshold(self) -> float:
        """Highest p-value at which a look passes: `alpha` shared by all looks alike."""
        return self.alpha / self.looks

    @property
    def start(self) -> str:
        """The day on which it begins."""
        return iso(self.start_ms)[:10]

    def __str__(self) -> str:
        what = f"hold-out of {self.family} from {self.start} on, {self.used} of {self.looks} looks used"
        if self.ended is None:
            return what
        how = {"spend": "spent", "release": f"released by {self.ended_by}"}[self.ended]
        return f"{what}, {how} on {self.ended_at:%Y-%m-%d}: {self.reason}"


class Touch(NamedTuple):
    """A look that was counted.

    Attributes
    ----------
    number : int
    last_ms : int
        Open time of the last bar that it may see [epoch ms].
    answer : dict or None
        None until it is answered.
    """

    number: int
    last_ms: int
    answer: dict[str, Any] | None


_SELECT = """
    select h.number, h.family, h.start_ms, h.looks, h.alpha, h.locked_at,
        (select count(*) from hold_out_touch t where t.hold_out = h.number and t.kind = 'look'),
        e.kind, e.touched_at, e.actor, e.reason
    from hold_out h left join hold_out_touch e on e.hold_out = h.number and e.kind <> 'look'"""


class HoldOuts:
    """The hold-outs of a store. Every method is one transaction.

    Parameters
    ----------
    connections : Transactions
    """

    def __init__(self, connections: Transactions) -> None:
        self._connections = connections

    def listed(self, family: str | None = None) -> list[HoldOut]:
        """Every hold-out ever locked, oldest first; or those of a family (``exchange:symbol``)."""
        with self._connections.transaction() as connection:
            query = f"{_SELECT} where %(family)s::text is null or h.family = %(family)s order by h.number"
            return [HoldOut(*row) for row in connection.execute(query.encode(), {"family": family})]

    def of(self, family: str) -> HoldOut | None:
        """The hold-out of a family that was locked last, in force or ended; None if there never was one."""
        return next(reversed(self.listed(family)), None)

    def in_force(self, family: str) -> HoldOut | None:
        """The hold-out of a family that no search may reach into; None if there is none."""
        last = self.of(family)
        return last if last is not None and last.ended is None else None

    def lock(self, family: str, start_ms: int, looks: int, alpha: float) -> HoldOut:
        """Lock away what begins at `start_ms`; the same again finds what is locked already.

        Raises
        ------
        InputError
            One is in force that is another, or bars of it were searched before.
        StoreError
            Bars of it were seen under an earlier hold-out, or a value makes no sense.
        """
        with self._connections.transaction() as connection:
            connection.execute(_LOCK, [family])
            row = connection.execute(f"{_SELECT} where h.family = %s and e.kind is null".encode(), [family])
            if found := row.fetchone():
                held = HoldOut(*found)
                if (held.start_ms, held.looks, held.alpha) != (start_ms, looks, alpha):
                    raise InputError(
                        f"{held} with alpha {held.alpha:g}: it is neither moved nor changed. Keep to it, or "
                        "release it, which is recorded for ever."
                    )
                return held
            _check_unsearched(connection, family, start_ms)
            query = "insert into hold_out (family, start_ms, looks, alpha) values (%s, %s, %s, %s)"
            connection.execute(query, [family, start_ms, looks, alpha])
            last = f"{_SELECT} where h.family = %s order by h.number desc limit 1"
            row = connection.execute(last.encode(), [family])
            return HoldOut(*row.fetchone())  # type: ignore[misc]

    def end(
        self, held: HoldOut, kind: Literal["spend", "release"], reason: str, actor: str | None = None
    ) -> None:
        """End a hold-out for ever; StoreError if it has ended already."""
        with self._connections.transaction() as connection:
            query = """insert into hold_out_touch (hold_out, kind, last_ms, actor, reason)
                values (%s, %s, %s, %s, %s)"""
            connection.execute(query, [held.number, kind, held.start_ms, actor, reason])

    def find_look(self, family: str, candidate: str) -> Touch | None:
        """The look that a candidate had at the hold-out locked last; None if it had none."""
        held = self.of(family)
        if held is None:
            return None
        with self._connections.transaction() as connection:
            return _look(connection, held, candidate)

    def count_look(self, held: HoldOut, candidate: str, last_ms: int, reason: str) -> Touch:
        """Count a look before it is answered; a candidate that had one gets that, and none is counted.

        Parameters
        ----------
        held : HoldOut
        candidate : str
            SHA-256 (hex) of what is traded.
        last_ms : int
            Open time of the last bar that it will see [epoch ms].
        reason : str
            What is looked at, for a reader.

        Raises
        ------
        StoreError
            No look is left, or the hold-out has ended.
        """
        with self._connections.transaction() as connection:
            connection.execute(_LOCK, [held.family])
            if (found := _look(connection, held, candidate)) is not None:
                return found
            query = """insert into hold_out_touch (hold_out, kind, candidate, last_ms, reason)
                values (%s, 'look', %s, %s, %s)"""
            connection.execute(query, [held.number, candidate, last_ms, reason])
            found = _look(connection, held, candidate)
            assert found is not None, "it was just written"
            return found

    def answer_look(self, touch: Touch, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Write the answer of a look, once; returns the one that is stored."""
        with self._connections.transaction() as connection:
            connection.execute(
                "update hold_out_touch set answer = %s where number = %s and answer is null",
                [json.dumps(answer, allow_nan=False), touch.number],
            )
            query = "select answer from hold_out_touch where number = %s"
            row = connection.execute(query, [touch.number]).fetchone()
            assert row is not None, "looks are never deleted"
            return dict(row[0])

    def looks(self, held: HoldOut) -> list[Touch]:
        """Every look at a hold-out, oldest first."""
        with self._connections.transaction() as connection:
            query = """select number, last_ms, answer from hold_out_touch
                where hold_out = %s and kind = 'look' order by number"""
            return [Touch(*row) for row in connection.execute(query, [held.number])]


def _look(connection: psycopg.Connection, held: HoldOut, candidate: str) -> Touch | None:
    query = """select number, last_ms, answer from hold_out_touch
        where hold_out = %s and candidate = %s and kind = 'look'"""
    row = connection.execute(query, [held.number, candidate]).fetchone()
    return None if row is None else Touch(*row)


def _check_unsearched(connection: psycopg.Connection, family: str, start_ms: int) -> None:
    query = """
        select count(*), max(coalesce(last_ms, 9e15)::bigint) from trial_ledger
        where family = %s and search is null and (last_ms is null or last_ms >= %s)"""
    count, last = connection.execute(query, [family, start_ms]).fetchone() or (0, None)
    if count:
        known = last < 9e15
        until = f"up to {iso(last)}" if known else "of an unknown period"
        raise InputError(
            f"a hold-out is locked before anything is searched on it, but {count} searches on {family} saw "
            f"bars {until}: " + ("begin it after them, on bars to come." if known else "use another market.")
        )


def get(held: HoldOut | None, family: str) -> HoldOut:
    """The hold-out, or NotStoredError."""
    if held is None:
        raise NotStoredError(
            f"no hold-out of {family} is locked: lab.hold_out(exchange, symbol, start=...) locks one."
        )
    return held
