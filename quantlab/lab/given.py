"""What a caller gave to the lab: taken as it is, or refused with how to come by the right thing."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from quantlab.backtest.markets import MarketSurface
from quantlab.backtest.surface import Surface
from quantlab.errors import UnknownNameError, demand
from quantlab.search.run import search
from quantlab.search.study import Study
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Verdict

OF_THE_LAB = ("name", "restart", "spend_hold_out")
"""Options of `Lab.search` that decide no trial."""


def as_surface(searched: Surface | Study) -> Surface:
    """The surface of a sweep, or of all cells that a search evaluated; InputError if it is neither.

    A sweep of several markets is handed on: who can't take it says how to choose one.
    """
    remedy = "lab.sweep(...) and lab.search(...) return one"
    demand(searched, Surface | MarketSurface | Study, "a Surface or a Study is needed", remedy)
    return searched.surface if isinstance(searched, Study) else searched


def as_gate(gate: Gate | None) -> Gate:
    """The thresholds that were given, the usual ones for None; InputError if they are no Gate."""
    if gate is None:
        return Gate()
    demand(gate, Gate, "`gate` must be a Gate", "write ql.Gate(alpha=0.01, choice='ensemble'), say")
    return gate


def check_options(given: Iterable[str]) -> None:
    """Raise UnknownNameError unless these are options of a search of the lab."""
    known = [name for name, p in inspect.signature(search).parameters.items() if p.kind is p.KEYWORD_ONLY]
    known = [*(name for name in known if name != "journal"), *OF_THE_LAB]
    for name in given:
        if name not in known:
            raise UnknownNameError("option of a search", name, known)


def check_verdict(verdict: Any) -> None:
    """Raise InputError unless it is a verdict of the gate."""
    demand(verdict, Verdict, "a Verdict is needed", "lab.validate(surface) returns one")
