"""Checks of the time rule: no decision knows a later bar, and the warm-up is all that a decision needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from quantlab.errors import InputError, QuantlabError
from quantlab.testing.case import Case, read, sides
from quantlab.validation.battery import Battery
from quantlab.validation.findings import Finding
from quantlab.validation.live import replay
from quantlab.validation.lookahead import CUTS, REPLAYS, replay_findings

_RULES = {
    "lookahead": ("a decision may read bars up to its own only", "shift what is not known yet"),
    "repetition": ("the same candles must give the same signals", "keep no state, draw no random numbers"),
    "fields": ("the same fields must be returned on all candles", "return all of them always"),
    "raises": ("signals must be returned for any candles", "handle that case"),
    "warmup": (
        "the warm-up alone must give the same decision",
        "declare a longer warm-up, or read fewer bars",
    ),
}
"""Kind of a finding to the rule that it breaks and the remedy."""


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
    with _named(case):
        found = Battery(case.strategy, case.candles, case.grid, CUTS, seed=len(case.candles)).findings()
    _refuse(case, found)


def check_live_parity(case: Case) -> None:
    """A bot that knows just the warm-up decides as the whole history did: at all changes of a signal."""
    with _named(case):
        replayed = replay(case.strategy, case.candles, case.cells, REPLAYS)
        found = replay_findings(case.strategy, case.candles, replayed, seed=len(case.candles))
    _refuse(case, found)


def _refuse(case: Case, findings: list[Finding]) -> None:
    for finding in findings:
        rule, remedy = _RULES[finding.kind]
        raise case.fault(rule, finding.detail.rstrip("."), remedy)


@contextlib.contextmanager
def _named(case: Case) -> Iterator[None]:
    """Turn what the strategy raises into a fault that names it."""
    try:
        yield
    except QuantlabError:
        raise
    except Exception as error:
        notes = "; ".join(getattr(error, "__notes__", ()))
        evidence = f"it raised {type(error).__name__}: {error} ({notes.rstrip('.')})"
        rule, remedy = _RULES["raises"]
        raise case.fault(rule, evidence, remedy) from error
