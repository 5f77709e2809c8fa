"""The verb about a strategy itself: does it look into the future, does it keep the contract?"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.errors import CandlesError, InputError
from quantlab.terminal import Moment, Values, answer, open_lab, parsed, progress, verb
from quantlab.verbs import AsJson, app
from quantlab.verbs.candles import read_frame

if TYPE_CHECKING:
    from quantlab.market.candles import Candles
    from quantlab.signals import Strategy

CONTRACT_BARS = 4_000
"""Bars of the candles, from the first, on which the contract is checked."""
_SYNTHETIC_BARS = 4_000
_ALL_OR_NONE = "name EXCHANGE, SYMBOL and TIMEFRAME of stored candles, or none of them"

Target = Annotated[str, typer.Argument(help="A name, module:name or file.py[:name].")]
Part = Annotated[str | None, typer.Argument(help="Of stored candles; without them see --candles.")]
Source = Annotated[str, typer.Option(help="sample, synthetic, or a .csv or .parquet file.")]
Replays = Annotated[int | None, typer.Option(min=0, help="Most warm-up windows to replay.")]


@verb(app)
def check(
    target: Target,
    exchange: Part = None,
    symbol: Part = None,
    timeframe: Part = None,
    candles: Source = "sample",
    start: Moment = None,
    end: Moment = None,
    values: Values = None,
    replays: Replays = None,
    as_json: AsJson = False,
) -> None:
    """Look for look-ahead in a strategy and check that it keeps the contract; exit code 1 if not.

    The strategy is one of `quantlab strategies`, of a module (my_module:name) or of a file (file.py:name).
    Cells: the reference grid, thinned where it is large, or what --set names.

    JSON: ok, strategy, market {exchange, symbol, timeframe, first_ms, last_ms, bars}, lookahead {ok, findings
    [kind, field, detail, bar, time_ms, params, clause, of, nearest, furthest, to_end, columns, decided,
    needed_bars, seen, of_runs], looked_at, cannot_show, evaluations, replayed, changes, changes_replayed,
    seconds; or error}, contract [name, ok, message].
    """
    from quantlab.testing.target import load_strategy

    strategy = load_strategy(target)
    named = [exchange, symbol, timeframe]
    if any(named) and not all(named):
        raise InputError(f"got {' '.join(filter(None, named))} alone: {_ALL_OR_NONE}.")
    bars = _stored(named, start, end) if all(named) else _of(candles, start, end)
    document = _checked(strategy, bars, values, replays)
    answer(document, _told(document), as_json)
    if not document["ok"]:
        raise typer.Exit(1)


def _stored(named: list[str | None], start: datetime | None, end: datetime | None) -> Candles:
    first, last = (moment.isoformat() if moment else None for moment in (start, end))
    with open_lab() as lab:
        return lab.candles(*map(str, named), start=first, end=last)


def _of(source: str, start: datetime | None, end: datetime | None) -> Candles:
    from quantlab.market.candles import parse_ms

    bars = _source(source)
    first, last = (parse_ms(moment.isoformat()) if moment else None for moment in (start, end))
    kept = bars.timestamps >= (bars.first_ms if first is None else first)
    kept &= bars.timestamps <= (bars.last_ms if last is None else last)
    if not kept.any():
        raise CandlesError(f"no bar of {bars!r} lies between --start and --end: choose others.")
    return bars[int(kept.argmax()) : int(kept.argmax() + kept.sum())]


def _source(source: str) -> Candles:
    if source == "sample":
        from quantlab.market.sample import sample_candles

        return sample_candles()
    if source == "synthetic":
        from quantlab.market.synthetic import garch

        return garch(_SYNTHETIC_BARS, seed=7)
    path = Path(source)
    if not path.is_file():
        raise CandlesError(f"--candles is sample, synthetic or an existing file, got {source!r}.")
    return _of_file(path)


def _of_file(path: Path) -> Candles:
    import numpy as np

    from quantlab.market.candles import TIMEFRAMES, Candles
    from quantlab.market.frames import columns

    frame = read_frame(path)
    gaps = np.diff(np.asarray(columns(frame)[0], np.int64))
    names = {ms: name for name, ms in TIMEFRAMES.items()}
    step = int(gaps[gaps > 0].min()) if (gaps > 0).any() else 0
    if step not in names:
        raise CandlesError(
            f"the bars of {path} must be {', '.join(TIMEFRAMES)} apart, the nearest two are {step:,} ms "
            "apart: give candles of one of these timeframes."
        )
    return Candles.from_frame(frame, exchange="file", symbol=path.stem, timeframe=names[step])


def _checked(
    strategy: Strategy, candles: Candles, values: list[str] | None, replays: int | None
) -> dict[str, Any]:
    from quantlab.errors import QuantlabError
    from quantlab.validation.lookahead import REPLAYS, find_lookahead

    cells = strategy.space.grid(**parsed(values)) if values else None
    most = REPLAYS if replays is None else replays
    try:
        report = find_lookahead(strategy, candles, cells, replays=most, progress=progress())
        looked = report.to_json() | {"text": str(report)}
    except QuantlabError:
        raise
    except Exception as error:
        words = f"the strategy raised {type(error).__name__}: {error}"
        looked = {"ok": False, "error": words, "text": f"{strategy.name}: {words}"}
    contract = _contract(strategy, candles[:CONTRACT_BARS])
    names = ("exchange", "symbol", "timeframe", "first_ms", "last_ms")
    return {
        "ok": looked["ok"] and all(one["ok"] for one in contract),
        "strategy": strategy.name,
        "market": {name: getattr(candles, name) for name in names} | {"bars": len(candles)},
        "lookahead": looked,
        "contract": contract,
    }


def _contract(strategy: Strategy, candles: Candles) -> list[dict[str, Any]]:
    from quantlab.testing import CHECKS, Case, ContractError

    case, outcomes = Case(strategy, candles), []
    for name, rule in CHECKS.items():
        if name == "mirror" and not strategy.mirrored:
            continue
        message = None
        try:
            rule(case)
        except ContractError as error:
            message = str(error)
        except InputError as error:
            message = f"{strategy.name}: {error}"
        outcomes.append({"name": name, "ok": message is None, "message": message})
    return outcomes


def _told(document: dict[str, Any]) -> str:
    bars = min(CONTRACT_BARS, document["market"]["bars"])
    lines = [document["lookahead"]["text"], "", f"The contract, on the first {bars:,} bars:"]
    for one in document["contract"]:
        lines.append(
            f"  {'yes' if one['ok'] else 'NO':>3}  {one['name']:<12} {one['message'] or ''}".rstrip()
        )
    return "\n".join([*lines, "", "OK" if document["ok"] else "NOT OK"])
