"""The verbs about hold-outs: lock the end of a history away, list, look, release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.terminal import AnyQuestion, answer, group, judged, open_lab, verb
from quantlab.verbs import AsJson

if TYPE_CHECKING:
    from quantlab.store.holdouts import HoldOut

holdout = group("Hold-outs: the end of a market's history, kept apart from every search.")

Exchange = Annotated[str, typer.Argument(help="E.g. coinbase.")]
Symbol = Annotated[str, typer.Argument(help="E.g. BTC/USD.")]


def _described(held: HoldOut) -> dict[str, Any]:
    names = (
        "family",
        "start",
        "looks",
        "used",
        "alpha",
        "threshold",
        "touches",
        "ended",
        "ended_by",
        "reason",
    )
    times = {
        name: at.isoformat() if (at := getattr(held, name)) else None for name in ("locked_at", "ended_at")
    }
    return {name: getattr(held, name) for name in names} | times


@verb(holdout)
def lock(
    exchange: Exchange,
    symbol: Symbol,
    start: Annotated[str, typer.Option(help="The day (UTC) on which it begins; it has no end.")],
    looks: Annotated[int, typer.Option(help="Candidates that may ever be traded on it.")] = 3,
    alpha: Annotated[float, typer.Option(help="Chance of a false pass over all looks together.")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Lock the end of a market's history away, for every timeframe; it is never moved or given more looks.

    JSON: family, start, looks, used, alpha, threshold, touches, ended, ended_by, reason, locked_at, ended_at.
    """
    with open_lab() as lab:
        held = lab.hold_out(exchange, symbol, start=start, looks=looks, alpha=alpha)
    answer(_described(held), held, as_json)


@verb(holdout, "list")
def listed(as_json: AsJson = False) -> None:
    """List every hold-out that was ever locked.

    JSON: hold_outs [family, start, looks, used, alpha, threshold, touches, ended, ended_by, reason,
    locked_at, ended_at].
    """
    with open_lab() as lab:
        found = lab.store.hold_outs.listed()
    text = "\n".join(map(str, found)) or "nothing is locked away: try `quantlab holdout lock`."
    answer({"hold_outs": [_described(held) for held in found]}, text, as_json)


@verb(holdout)
def look(question: AnyQuestion, as_json: AsJson = False) -> None:
    """Trade what the gate approved on the hold-out; counted first. Exit code 1 if the gate refuses it.

    JSON: looked, reasons, look {family, timeframe, strategy, params, first_ms, last_ms, value, p, threshold,
    passed, net_return, sharpe, days, trades, number, looks} (null if the gate refused).
    """
    with judged(question) as (lab, verdict):
        found = lab.look(verdict) if verdict.approved else None
    document = {"looked": found is not None, "reasons": verdict.reasons, "look": found and found.to_json()}
    answer(document, found or "\n  - ".join(["REFUSED", *verdict.reasons]), as_json)
    if found is None:
        raise typer.Exit(1)


@verb(holdout)
def release(
    exchange: Exchange,
    symbol: Symbol,
    by: Annotated[str, typer.Option(help="Who gives it free.")],
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")],
    as_json: AsJson = False,
) -> None:
    """Give the bars of a hold-out free for searches, for ever.

    JSON: family, start, looks, used, alpha, threshold, touches, ended, ended_by, reason, locked_at, ended_at.
    """
    with open_lab() as lab:
        held = lab.release_hold_out(exchange, symbol, by=by, reason=reason)
    answer(_described(held), held, as_json)
