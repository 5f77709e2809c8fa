"""Checks of the time rule: no decision knows a later bar, and the warm-up is all that a decision needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from quantlab.errors import InputError
from quantlab.market.candles import COLUMNS, Candles
from quantlab.testing.case import FLAGS, Case, Decisions, entered, read, sides

_CUTS = 4
_EXIT_BARS = 100
_OTHER_BARS = 12
_HIGHER = 2 * 3 * 5 * 7


def check_warmup(case: Case) -> None:
    """The warm-up is a whole number of bars, no entry comes before its end, shorter candles raise nothing."""
    rule = "the warm-up must be a whole number of bars, at least 1"
    bars = np.asarray(case.strategy.warmup(case.grid.mesh()))
    if bars.dtype.kind not in "iu" or (bars < 1).any():
        got = f"it is {bars.ravel()[:3].tolist()} ({bars.dtype})"
        raise case.fault(rule, got, "count the bars that a decision reads")
    if len(case.candles) < 2 * bars.max():
        raise InputError(
            f"{case.strategy.name} needs up to {bars.max()} bars of warm-up and the candles have "
            f"{len(case.candles)}: check it on at least twice its warm-up."
        )
    for n in (1, 2, 8, int(bars.max())):
        case.decide(case.candles[:n], case.grid, f"the first {n} bars")
    early = np.arange(len(case.candles)) < bars[..., None] - 1
    for name in sides(case.whole):
        held = case.whole[name] & early & read(case.grid, case.whole[name].shape)
        if held.any():
            place = case.place(case.grid, tuple(np.argwhere(held)[0]))
            raise case.fault("no entry may lie in the warm-up", f"`{name}` holds {place}", "start later")


def check_causality(case: Case) -> None:
    """No decision of any cell changes with later bars: not when they are cut off, not when they run wild."""
    remedy = "shift what is not known yet"
    for cut in _cuts(case):
        past = {name: a[..., :cut] for name, a in case.whole.items()}
        for future, candles in _futures(case.candles, cut):
            decided = case.decide(candles, case.grid, f"candles {future} from bar {cut}")
            rule = f"a decision may read bars up to its own only (bars from {cut} on {future})"
            case.equal(past, {name: a[..., :cut] for name, a in decided.items()}, case.grid, (rule, remedy))


def _cuts(case: Case) -> list[int]:
    """Bars right after entries, spread over the candles, that begin no bar of a higher timeframe."""
    candles = case.candles
    late = np.arange(len(candles)) >= len(candles) // 4
    apart = late & (np.gcd(candles.timestamps // candles.step_ms, _HIGHER) == 1)
    any_cell = np.asarray(entered(case.whole).reshape(-1, len(candles)).any(axis=0))
    after = np.flatnonzero(apart & np.append(False, any_cell[:-1]))
    found = after if len(after) >= _CUTS else np.flatnonzero(apart)
    return sorted({int(found[i]) for i in np.linspace(0, len(found) - 1, _CUTS).astype(int)})


def _futures(candles: Candles, cut: int) -> Iterator[tuple[str, Candles]]:
    """The bars before `cut` alone, and with two wild futures; volume takes a wild path of its own."""
    yield "cut off", candles[:cut]
    rng = np.random.default_rng(cut)
    later = np.arange(len(candles)) >= cut
    for factor, name in ((3.0, "three times as high"), (1 / 3, "a third as high")):
        prices, flow = factor * np.exp(np.cumsum(rng.normal(0.0, 0.02, (2, len(candles))) * later, axis=1))
        columns: dict[str, Any] = {}
        for c in COLUMNS:
            columns[c] = np.where(
                later, getattr(candles, c) * (flow if c == "volume" else prices), getattr(candles, c)
            )
        yield name, replace(candles, **columns)


def check_live_parity(case: Case) -> None:
    """A bot that knows just the warm-up decides as the whole history did: at all entries and other bars."""
    words = "the warm-up alone must give the same decision", "declare a longer warm-up, or read fewer bars"
    needed = [int(np.asarray(case.strategy.warmup(case.cells.cell((i,))))) for i in range(case.cells.size)]
    for bars in sorted(set(needed)):
        alike = [case.cells.cell((i,)) for i, n in enumerate(needed) if n == bars]
        cells = case.strategy.space.points(alike)
        whole = case.decide(case.candles, cells, "a list of cells")
        for t in _telling_bars(whole, bars - 1, len(case.candles)):
            live = case.decide(
                case.candles[t - bars + 1 : t + 1], cells, f"the {bars} bars ending at bar {t}"
            )
            then = {name: a[..., t : t + 1] if a.shape[-1] > 1 else a for name, a in whole.items()}
            now = {name: a[..., -1:] for name, a in live.items()}
            case.equal(then, now, cells, words, rtol=1e-6, first=t)


def _telling_bars(whole: Decisions, first: int, n: int) -> list[int]:
    """All bars from `first` on with an entry, some with an exit signal, some others."""
    exits = np.zeros(n, bool)
    for name in set(FLAGS) & set(whole):
        exits |= whole[name].any(axis=0)
    leaving = np.flatnonzero(exits)[:: max(1, int(exits.sum()) // _EXIT_BARS)]
    others = np.linspace(first, n - 1, _OTHER_BARS).astype(int)
    found = np.concatenate([np.flatnonzero(entered(whole).any(axis=0)), leaving, others])
    return np.unique(found[found >= first]).tolist()
