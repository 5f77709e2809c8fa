"""The contract of a strategy: what it returns, how it is declared, and the registry it joins.

A strategy is a pure function ``signals(candles, p) -> Signals`` over whole arrays: time is the last
axis, the parameters lie before it. **Time rule**: a value in row t may use bars up to and including t
(it is known at the close of bar t); the engine fills the order at the open of bar t+1.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from quantlab.clauses import AllOf, Clause, FromBar, above, all_of, below, crossed_above, crossed_below
from quantlab.errors import InputError, UnknownNameError
from quantlab.space import Grid, Params, Space

OnOpposite = Literal["ignore", "close", "reverse"]


class Columns(Protocol):
    """What a strategy may read of the candles: columns of shape ``(n_bars,)``."""

    @property
    def open(self) -> np.ndarray:
        """Price of the first trade of each bar."""
        ...

    @property
    def high(self) -> np.ndarray:
        """Highest price of each bar."""
        ...

    @property
    def low(self) -> np.ndarray:
        """Lowest price of each bar."""
        ...

    @property
    def close(self) -> np.ndarray:
        """Price of the last trade of each bar."""
        ...

    @property
    def volume(self) -> np.ndarray:
        """Traded quantity of each bar, in units of the base currency."""
        ...

    @property
    def timestamps(self) -> np.ndarray:
        """Open time of each bar, int64 epoch milliseconds, UTC."""
        ...


@dataclass(frozen=True)
class Signals:
    """Decisions of a strategy for every cell and bar.

    Every array broadcasts to ``(parameter axes..., n_bars)`` and is known at the close of its bar.

    Parameters
    ----------
    long, short : boolean array, clause or None
        Enter at the next open. May vary over entry parameters only.
    stop, target : float array or None
        Distance in **price units** from the entry fill, read at the decision bar. An entry whose
        distance is NaN or not positive is not taken. May vary over any parameter.
    trail : float array or None
        Distance of a trailing stop, a distance as `stop` is: it starts there (the tighter of both, if there
        is a `stop`) and follows the best price since entry; a raised level is live from the next bar on.
    break_even : float array or None
        Distance as `stop` is: once a bar has gone that far in favour, the stop is at the raw entry price or
        better from the next bar on.
    partial_target : float array or None
        Distance as `target` is, of a limit order that closes a part of the position once. It counts where
        it is nearer than `target`.
    partial_fraction : float array or None
        The part of the units that `partial_target` closes, in (0, 1). May vary over any parameter but not
        over time: its last axis has length one.
    max_holding : integer array or None
        The position is closed at the open of bar ``entry + max_holding``.
    exit_long, exit_short : boolean array or None
        Close a long (short) at the next open.
    on_opposite : {"ignore", "close", "reverse"}
        What an opposite entry signal does while a position is open.

    Raises
    ------
    InputError
        Only one of `partial_target` and `partial_fraction` is given, or a fraction is out of range or
        changes over time.
    """

    long: np.ndarray | Clause | None = None
    short: np.ndarray | Clause | None = None
    stop: np.ndarray | None = None
    target: np.ndarray | None = None
    trail: np.ndarray | None = None
    break_even: np.ndarray | None = None
    partial_target: np.ndarray | None = None
    partial_fraction: np.ndarray | None = None
    max_holding: np.ndarray | None = None
    exit_long: np.ndarray | None = None
    exit_short: np.ndarray | None = None
    on_opposite: OnOpposite = "ignore"

    def __post_init__(self) -> None:
        if (self.partial_target is None) != (self.partial_fraction is None):
            given = "partial_target" if self.partial_fraction is None else "partial_fraction"
            raise InputError(
                f"`partial_target` and `partial_fraction` go together, got `{given}` alone: give both."
            )
        if self.partial_fraction is None:
            return
        fraction = np.asarray(self.partial_fraction, np.float64)
        if fraction.shape[-1:] not in ((), (1,)):
            raise InputError(
                f"`partial_fraction` must not change over time, got {fraction.shape[-1]} bars on its last "
                "axis: give it one of length one."
            )
        if not ((fraction > 0) & (fraction < 1)).all():
            raise InputError(
                f"`partial_fraction` must be in (0, 1), got {fraction.min():g} to {fraction.max():g}: "
                "it is the part of the units that is closed."
            )


SignalFunction = Callable[[Any, Params], Signals]
Warmup = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Strategy:
    """A registered strategy: its space, its signal function, its warm-up and its reference grid.

    Calling `signals` evaluates the function and drops every entry before the warm-up is over, so that
    whoever evaluates a strategy sees the same decisions as a bot that starts with exactly that history.
    Entries on lost bars are dropped too: an average over a window may be defined on a bar that is not.

    Parameters
    ----------
    name : str
    space : Space
    signals : callable ``(candles, p) -> Signals``
    warmup : callable ``(params) -> int``
        Bars of history needed for a decision: the first can be made at bar ``warmup - 1``. Receives a
        mapping of parameter values, scalars or arrays that broadcast.
    reference : mapping
        Values of the reference grid, as `Space.grid` takes them.
    mirrored : bool
        Whether every cell's short side is meant to be the mirror image of its long side.
    """

    name: str
    space: Space
    signals: SignalFunction
    warmup: Warmup
    reference: Mapping[str, Any] = field(default_factory=dict)
    mirrored: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "signals", _after_warmup(self.signals, self.warmup))

    @property
    def code_hash(self) -> str:
        """SHA-256 (hex) of the source that defines the strategy: its file, or its function in a notebook."""
        function = inspect.unwrap(self.signals)
        try:  # read each time: two edits within a tick of the clock may leave time and size as they were
            return hashlib.sha256(Path(_source_file(function)).read_bytes()).hexdigest()
        except OSError:
            return _source_hash(function)

    def grid(self, **values: Any) -> Grid:
        """A grid over this strategy's space; without values, its reference grid."""
        return self.space.grid(**(values or self.reference))


@functools.lru_cache(maxsize=256)
def _source_file(function: SignalFunction) -> str:
    return inspect.getsourcefile(function) or ""


@functools.lru_cache(maxsize=256)
def _source_hash(function: SignalFunction) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()


def _after_warmup(function: SignalFunction, warmup: Warmup) -> SignalFunction:
    @functools.wraps(function)
    def signals(candles: Any, p: Params) -> Signals:
        decided = function(candles, p)
        first = np.asarray(warmup({name: getattr(p, name) for name in p})) - 1
        ready = FromBar(first, candles.close.size), ~np.isnan(candles.close)  # told apart by `own_clauses`
        long, short = (
            None if side is None else all_of(side, *ready) for side in (decided.long, decided.short)
        )
        return dataclasses.replace(decided, long=long, short=short)

    return signals


def own_clauses(side: AllOf) -> tuple[np.ndarray | Clause, ...]:
    """The clauses that a strategy itself gave, of an entry as `Strategy.signals` returns it."""
    return side.clauses[:-2]


def dropping_clauses(side: AllOf) -> tuple[np.ndarray | Clause, ...]:
    """The clauses of such an entry that drop it in the warm-up and on lost bars."""
    return side.clauses[-2:]


REGISTRY: dict[str, Strategy] = {}


def strategy(
    name: str,
    space: Space,
    warmup: Warmup,
    reference: Mapping[str, Any] | None = None,
    *,
    mirrored: bool = True,
) -> Callable[[SignalFunction], SignalFunction]:
    """Decorator that registers a signal function as the strategy `name`.

    Registering a name again replaces it, so that a notebook cell can be run twice.
    """

    def register(function: SignalFunction) -> SignalFunction:
        owned = Space(*space.parameters, constraints=space.constraints, owner=name)
        REGISTRY[name] = Strategy(name, owned, function, warmup, dict(reference or {}), mirrored)
        return function

    return register


def pick(choice: np.ndarray, **options: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of the option that each cell chose; options that no cell chose are not evaluated.

    So a fixed choice costs nothing, and only the axes of what is chosen appear.

    Parameters
    ----------
    choice : str array (..., 1)
        A `Choice` parameter.
    **options : callable
        Called without arguments; returns an array that broadcasts to (parameter axes..., n_bars).

    Raises
    ------
    UnknownNameError
        A cell chose what is not among the options.
    """
    chosen = sorted(set(choice.ravel().tolist()))
    for name in chosen:
        if name not in options:
            raise UnknownNameError("option", name, options)
    picked = options[chosen[0]]()
    for name in chosen[1:]:
        picked = np.where(choice == name, options[name](), picked)
    return picked


def load_packages() -> None:
    """Import every package with an entry point in ``quantlab.strategies``: it registers what it holds."""
    for package in importlib.metadata.entry_points(group="quantlab.strategies"):
        package.load()  # the library itself comes in by this door


def find_strategy(name: str | Strategy) -> Strategy:
    """The registered strategy called `name` (a Strategy is returned as it is)."""
    if isinstance(name, Strategy):
        return name
    if not isinstance(name, str):
        raise InputError(
            f"a strategy is given by its name or as a Strategy, got {type(name).__name__}: the decorator "
            "registers a function under the name that it is given."
        )
    if name not in REGISTRY:
        load_packages()
    if name not in REGISTRY:
        raise UnknownNameError("strategy", name, REGISTRY)
    return REGISTRY[name]


__all__ = [
    "REGISTRY",
    "AllOf",
    "Clause",
    "Columns",
    "OnOpposite",
    "Signals",
    "Strategy",
    "above",
    "all_of",
    "below",
    "crossed_above",
    "crossed_below",
    "dropping_clauses",
    "find_strategy",
    "load_packages",
    "own_clauses",
    "pick",
    "strategy",
]
