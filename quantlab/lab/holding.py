"""The part of the lab that hands out candles and keeps hold-outs apart from every search: see `Lab`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from quantlab.errors import InputError
from quantlab.lab.documents import Judged
from quantlab.lab.given import check_verdict
from quantlab.lab.look import Look, candidate_key, check_same_past, first_held_bar, trade
from quantlab.market.candles import Candles, check_period, iso, parse_ms
from quantlab.store.holdouts import HoldOut, get
from quantlab.store.store import Store
from quantlab.validation.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

DAY_MS = 86_400_000


class HoldOutWarning(UserWarning):
    """Candles end before a hold-out."""


class HoldingOut:
    """What a `Lab` does with candles and hold-outs."""

    store: Store
    _candles: dict[str, Candles]

    def candles(
        self,
        exchange: str,
        symbol: str,
        timeframe: str,
        *,
        start: str | None = None,
        end: str | None = None,
        spend_hold_out: bool = False,
    ) -> Candles:
        """Candles from the database, missing bars masked; they end before the market's hold-out.

        Parameters
        ----------
        exchange, symbol, timeframe : str
            E.g. ``"coinbase"``, ``"BTC/USD"``, ``"1h"``.
        start, end : str, optional
            ISO dates or times (UTC) of the first and last bar wanted, both included.
        spend_hold_out : bool
            Hand out the bars of the hold-out too: recorded, and it answers nothing any more.

        Raises
        ------
        NotStoredError
            Names what is stored, nearest first.
        InputError
            `start` or `end` lies in the hold-out.

        Warns
        -----
        HoldOutWarning
            Stored bars were left out.
        """
        period = self._period(exchange, symbol, start, end, spend_hold_out)
        found = self._remember(self.store.candles(exchange, symbol, timeframe, *period))
        held = self.store.hold_outs.in_force(found.family)
        if held is not None and end is None:
            warnings.warn(
                f"{found.family} {timeframe} ends at {iso(found.last_ms)}, before the {held}.",
                HoldOutWarning,
                stacklevel=2,
            )
        return found

    def hold_out(
        self, exchange: str, symbol: str, *, start: str | None = None, looks: int = 3, alpha: float = 0.05
    ) -> HoldOut:
        """Lock the end of a market's history away from every search; or say what is locked.

        From then on candles end before it, whatever the timeframe, and the database counts no search that
        reaches into it. Only `look` trades on it. It is never moved and never given more looks.

        Parameters
        ----------
        exchange, symbol : str
        start : str, optional
            The day (UTC) on which it begins; it has no end. Without it: the one that was locked last.
        looks : int
            Candidates that may ever be traded on it.
        alpha : float
            Chance of a false pass over all looks together; each look may spend ``alpha / looks``.

        Raises
        ------
        InputError
            Another one is in force, or bars of it were searched before.
        NotStoredError
            Without `start`: there is none.
        """
        family = f"{exchange}:{symbol}"
        if start is None:
            return get(self.store.hold_outs.of(family), family)
        begin = parse_ms(start)
        assert begin is not None, "a moment was given"
        if begin % DAY_MS or not 1 <= looks <= 100 or not 0.0 < alpha < 1.0:
            raise InputError(
                f"a hold-out begins with a UTC day, has 1 to 100 looks and an alpha in (0, 1); got {start}, "
                f"{looks}, {alpha}."
            )
        return self.store.hold_outs.lock(family, begin, looks, alpha)

    def hold_outs(self) -> pd.DataFrame:
        """Every hold-out ever locked, one row each."""
        import pandas as pd

        frame = pd.DataFrame(self.store.hold_outs.listed(), columns=list(HoldOut._fields))
        frame["start"] = pd.to_datetime(frame.pop("start_ms"), unit="ms")
        return frame

    def release_hold_out(self, exchange: str, symbol: str, *, by: str, reason: str) -> HoldOut:
        """Give the bars of a hold-out free for searches; who did it and why is kept for ever.

        A later hold-out of the market must begin after the last bar that is stored now.

        Parameters
        ----------
        exchange, symbol : str
        by, reason : str
            Who takes responsibility, and why.

        Raises
        ------
        InputError
            Nobody or no reason is named.
        NotStoredError
            No hold-out of the market is in force.
        """
        if not by.strip() or not reason.strip():
            raise InputError(f"a release names who and why, got by={by!r}, reason={reason!r}: write both.")
        family = f"{exchange}:{symbol}"
        held = get(self.store.hold_outs.in_force(family), family)
        self.store.hold_outs.end(held, "release", reason.strip(), by.strip())
        return get(self.store.hold_outs.of(family), family)

    def look(self, verdict: Verdict) -> Look:
        """Trade an approved candidate on its market's hold-out. The look is counted before it is answered.

        The same candidate again returns the stored answer and costs nothing; so it does after a kill -9.

        Parameters
        ----------
        verdict : Verdict
            From `validate`.

        Raises
        ------
        InputError
            The gate refused it, its market has no hold-out or one that has ended, or no look is left.
        """
        check_verdict(verdict)
        if not verdict.approved:
            raise InputError(
                f"a look is spent on approved candidates only, the gate refused {verdict.strategy}: "
                f"{verdict.reasons[0]}"
            )
        origin, where = self._origin(verdict), verdict.market
        strategy, execution = origin.surface.strategy, origin.surface.execution
        family, params = origin.candles.family, _traded(verdict)
        key = candidate_key(strategy, params, where, execution)
        touch = self.store.hold_outs.find_look(family, key)
        if touch is not None and touch.answer is not None:
            return Look.from_json(touch.answer)
        held = get(self.store.hold_outs.of(family), family)
        if touch is None:
            _check_open(held)
        until = None if touch is None else touch.last_ms
        candles = self.store.candles(
            where["exchange"], where["symbol"], where["timeframe"], where["first_ms"], until
        )
        check_same_past(candles, where)
        first_held_bar(candles, held)  # what cannot be answered is not counted
        touch = self.store.hold_outs.count_look(held, key, candles.last_ms, f"{strategy.name} {params[0]}")
        number = [look.number for look in self.store.hold_outs.looks(held)].index(touch.number) + 1
        answer = trade(strategy, candles, params, execution, held, number)
        return Look.from_json(self.store.hold_outs.answer_look(touch, answer.to_json()))

    def _touches(self, family: str) -> int | None:
        """How often the hold-out of a family was touched; None if none was ever locked."""
        held = self.store.hold_outs.of(family)
        return None if held is None else held.touches

    def _held_out(self, verdict: Verdict) -> dict[str, str]:
        """What a page about a verdict says of the hold-out."""
        held = self.store.hold_outs.of(verdict.market["family"])
        if held is None:
            return {"hold-out": "none was locked away"}
        origin = self._origin(verdict).surface
        key = candidate_key(origin.strategy, _traded(verdict), verdict.market, origin.execution)
        touch = self.store.hold_outs.find_look(held.family, key)
        said = {"hold-out": f"{held}; {held.touches} touches"}
        if touch is not None:
            said["look at the hold-out"] = str(Look.from_json(touch.answer)) if touch.answer else "unanswered"
        return said

    def _period(
        self, exchange: str, symbol: str, start: str | None, end: str | None, spend: bool
    ) -> tuple[int | None, int | None]:
        """First and last moment that may be read; a hold-out is spent, or ends what is read."""
        check_period(start, end)
        first, last = parse_ms(start), parse_ms(end)
        held = self.store.hold_outs.in_force(f"{exchange}:{symbol}")
        if held is None or (last is not None and last < held.start_ms):
            return first, last
        if spend:
            self._spend(held, f"bars up to {end or 'the last one'} were asked for")
            return first, last
        if last is not None or (first is not None and first >= held.start_ms):
            raise InputError(
                f"bars from {start or 'the first one'} to {end or 'the last one'} reach into the {held}: end "
                "before it, or pass spend_hold_out=True, which is recorded and ends it."
            )
        return first, held.start_ms - 1

    def _spend(self, held: HoldOut, reason: str) -> None:
        self.store.hold_outs.end(held, "spend", reason)

    def _remember(self, candles: Candles, spend: bool = False) -> Candles:
        """Keep candles for later questions; refuse those that reach into a hold-out, or spend it."""
        held = self.store.hold_outs.in_force(candles.family)
        if held is not None and candles.last_ms >= held.start_ms:
            if not spend:
                raise InputError(
                    f"{candles!r} reach into the {held}: use those before it, or pass "
                    "spend_hold_out=True, which is recorded and ends it."
                )
            self._spend(held, f"{candles.timeframe} bars up to {iso(candles.last_ms)} were searched")
        return self._candles.setdefault(candles.fingerprint, candles)

    if TYPE_CHECKING:

        def _origin(self, verdict: Verdict) -> Judged: ...


def _traded(verdict: Verdict) -> list[dict[str, Any]]:
    return [dict(cell.params) for cell in verdict.members or (verdict.cell,)]


def _check_open(held: HoldOut) -> None:
    if held.ended is not None:
        raise InputError(f"the {held}: it answers nothing any more. Lock away bars to come.")
    if held.used >= held.looks:
        raise InputError(f"the {held}: none is left. Lock away bars to come, or wait for live results.")
