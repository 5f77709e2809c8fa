"""What can be changed while a surface is looked at: costs, fills, sizing, dates, fixed parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from quantlab.backtest.execution import AllIn, Assumption, Costs, Direction, Execution, Risk
from quantlab.errors import InputError
from quantlab.explore.planes import Searched
from quantlab.explore.tables import date
from quantlab.market.candles import iso, parse_ms
from quantlab.space import Choice, Grid, Int

_COSTS = ("taker", "maker", "slippage_bps", "funding_8h")


def written_rules(searched: Searched) -> dict[str, Any]:
    """The rules of a surface as controls show them."""
    surface = searched.whole
    execution, where = surface.execution, surface.identity
    sizing = execution.sizing
    fixed = dict(surface.cells.fixed) if isinstance(surface.cells, Grid) else {}
    extras = surface.extras
    return {
        **{name: getattr(execution.costs, name) for name in _COSTS},
        "assumption": execution.assumption,
        "direction": execution.direction,
        "delay_bars": execution.delay_bars,
        "sizing": type(sizing).__name__,
        "fraction": sizing.fraction if isinstance(sizing, AllIn) else 1.0,
        "risk": sizing.risk if isinstance(sizing, Risk) else 0.01,
        "leverage": sizing.leverage if isinstance(sizing, Risk) else 1.0,
        "first": date(where.first_ms),
        "last": date(where.last_ms),
        "split": iso(searched.split_ms)[:10] if searched.split_ms else "",
        "fills": extras is not None and len(extras.request.assumptions) > 0,
        "fixed": fixed,
    }


def read_rules(searched: Searched, given: Mapping[str, Any]) -> dict[str, Any]:
    """Rules that a control may ask for; those not named stay as they are.

    Returns
    -------
    dict
        ``execution`` (Execution), ``fixed`` (mapping), ``first``, ``last``, ``split`` (epoch ms or None),
        ``fills`` (bool: all three fill assumptions).

    Raises
    ------
    InputError
        A value that makes no sense, with the reason.
    """
    now = written_rules(searched)
    rules = now | {name: value for name, value in given.items() if name != "fixed"}
    costs = Costs(**{name: _number(name, rules[name]) for name in _COSTS})
    if rules["sizing"] == "Risk":
        sizing: AllIn | Risk = Risk(_number("risk", rules["risk"]), _number("leverage", rules["leverage"]))
    else:
        sizing = AllIn(_number("fraction", rules["fraction"]))
    before = searched.whole.execution
    execution = Execution(
        costs=costs,
        direction=cast(Direction, rules["direction"]),
        assumption=cast(Assumption, rules["assumption"]),
        delay_bars=int(_number("delay_bars", rules["delay_bars"])),
        sizing=sizing,
        days_per_year=before.days_per_year,
        fill=before.fill,
    )
    return {
        "execution": execution,
        "fixed": _fixed(searched, now["fixed"], given.get("fixed") or {}),
        **{name: parse_ms(rules[name] or None) for name in ("first", "last", "split")},
        "fills": bool(rules["fills"]),
    }


def _fixed(searched: Searched, now: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    space, fixed = searched.whole.cells.space, dict(now)
    for name, value in given.items():
        if name not in fixed:
            raise InputError(
                f"{name} is no fixed parameter of this surface: it has {', '.join(fixed) or 'none'}."
            )
        about = space[name]
        if isinstance(about, Choice):
            fixed[name] = str(value)
        else:
            fixed[name] = _number(name, value)
            if isinstance(about, Int) and fixed[name] == int(fixed[name]):
                fixed[name] = int(fixed[name])
    return fixed


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} must be a number, got {value!r}.")
    return number
