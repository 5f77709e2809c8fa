"""From what a caller says to what a search uses: the narrowed space and the sampler."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from quantlab.errors import InputError, UnknownNameError
from quantlab.search.cmaes import CMAESSampler
from quantlab.search.evolution import EvolutionSampler
from quantlab.search.grid import GridSampler
from quantlab.search.halving import HalvingSampler
from quantlab.search.nsga2 import NSGA2Sampler
from quantlab.search.random import RandomSampler
from quantlab.search.sampler import Factory, Sampler
from quantlab.search.sobol import SobolSampler
from quantlab.search.surrogate import ExtraTreesSampler, ForestSampler, GPSampler
from quantlab.search.tpe import TPESampler
from quantlab.signals import Strategy
from quantlab.space import Choice, Grid, Parameter, Space

SAMPLERS: dict[str, Factory] = {
    "random": RandomSampler,
    "sobol": SobolSampler,
    "tpe": TPESampler,
    "gp": GPSampler,
    "rf": ForestSampler,
    "et": ExtraTreesSampler,
    "cmaes": CMAESSampler,
    "nsga2": NSGA2Sampler,
    "evolution": EvolutionSampler,
    "halving": HalvingSampler,
}
"""Samplers by name; ``"grid"`` is known besides."""

Bounds = Mapping[str, Any]


def narrow(space: Space, bounds: Bounds) -> Space:
    """The part of `space` within `bounds`.

    Parameters
    ----------
    space : Space
    bounds : mapping
        Per parameter ``(low, high)``, for a choice the options kept, or one value that fixes it.

    Raises
    ------
    UnknownNameError
        A parameter or option does not exist.
    InputError
        A bound lies outside the space, or low > high.
    """
    for name in bounds:
        space[name]
    parameters = [
        _narrowed(p, bounds[p.name], space.owner) if p.name in bounds else p for p in space.parameters
    ]
    return Space(*parameters, constraints=space.constraints, owner=space.owner)


def _narrowed(parameter: Parameter, given: Any, owner: str) -> Parameter:
    values = parameter.check(np.atleast_1d(np.asarray(given)), owner).tolist()
    if isinstance(parameter, Choice):
        default = parameter.default if parameter.default in values else values[0]
        return replace(parameter, options=tuple(values), default=default)
    if len(values) > 2:
        raise InputError(f"bounds of `{parameter.name}` are (low, high) or one value, got {given!r}.")
    low, high = values[0], values[-1]
    return replace(parameter, low=low, high=high, default=min(max(parameter.default, low), high))


def make_sampler(given: str | Grid | Factory, strategy: Strategy, space: Space, seed: int) -> Sampler:
    """A fresh sampler over `space`.

    Parameters
    ----------
    given : str, Grid or callable ``(space, seed) -> Sampler``
        ``"grid"`` is the reference grid of the strategy, as far as it lies in `space`; a Grid is
        searched as it is.
    strategy : Strategy
    space : Space
        The space of the strategy, or a part of it.
    seed : int

    Raises
    ------
    UnknownNameError
        There is no sampler of that name.
    InputError
        The space has no parameters, or one without finite bounds; a package that the sampler needs is not
        installed; or what was given makes no sampler.
    """
    _check_space(space)
    if isinstance(given, Grid):
        return GridSampler(given)
    if not isinstance(given, str):
        return _made(given, space, seed)
    if given == "grid":
        return GridSampler(_reference(strategy, space))
    if given not in SAMPLERS:
        raise UnknownNameError("sampler", given, [*SAMPLERS, "grid"])
    return SAMPLERS[given](space, seed)


def _made(given: Any, space: Space, seed: int) -> Sampler:
    """A sampler of the caller's own."""
    made: Any = given(space, seed) if callable(given) else None
    if missing := [name for name in ("name", "batch", "ask", "tell") if not hasattr(made, name)]:
        got = (
            f"{given!r}, which makes {made!r} without `{'`, `'.join(missing)}`" if callable(given) else given
        )
        raise InputError(
            f"a sampler is a name, a Grid or a callable (space, seed) that makes one, got {got}: see "
            "`quantlab.search.sampler.Sampler`."
        )
    return made


def identity_of(given: str | Grid | Factory, sampler: Sampler) -> str:
    """What names a sampler and what it was made from: a search that goes on must have the same."""
    if isinstance(given, Grid):
        what = json.dumps(given.to_json(), sort_keys=True).encode()
        return f"{sampler.name} {hashlib.sha256(what).hexdigest()[:16]}"
    if isinstance(given, str):
        return sampler.name
    function = getattr(given, "func", given)  # of a functools.partial
    bound = [*getattr(given, "args", ()), *sorted(getattr(given, "keywords", {}).items())]
    return (
        f"{sampler.name} {function.__module__}.{getattr(function, '__qualname__', '')} {bound or ''}".strip()
    )


def _check_space(space: Space) -> None:
    if not len(space):
        raise InputError(
            f"{space.owner} has no parameters, so there is nothing to search: sweep its only cell instead."
        )
    for p in space.parameters:
        if not isinstance(p, Choice) and not np.isfinite([p.low, p.high]).all():
            raise InputError(
                f"`{p.name}` of {space.owner} has no finite bounds, got [{p.low}, {p.high}]: a search needs "
                f"them, e.g. in the space of the strategy."
            )


def _reference(strategy: Strategy, space: Space) -> Grid:
    """The reference grid, cut to `space`; a parameter that `space` fixes has that value."""
    grid = strategy.grid()
    axes = {name: _within(space[name], along.tolist()) for name, along in grid.axes.items()}
    return space.grid(
        **axes, **{name: _within(space[name], [value])[0] for name, value in grid.fixed.items()}
    )


def _within(parameter: Parameter, values: list[Any]) -> list[Any]:
    if isinstance(parameter, Choice):
        inside, fixed = [v for v in values if v in parameter.options], len(parameter.options) == 1
    else:
        inside = [v for v in values if parameter.low <= v <= parameter.high]
        fixed = parameter.low == parameter.high
    if not inside and not fixed:
        raise InputError(
            f"the reference grid has no `{parameter.name}` within the bounds, it has {values}: "
            "widen them, or hand a grid of your own to `sampler`."
        )
    return inside or [parameter.default]
