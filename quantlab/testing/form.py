"""Checks of what a strategy returns: form, purity, cells apart from each other, parameters that matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from quantlab.market.candles import COLUMNS, MISSING, Candles
from quantlab.signals import Clause, Signals
from quantlab.testing.case import DISTANCES, ENTRIES, FIELDS, FLAGS, Case, entered, read, sides, spread
from quantlab.validation.decisions import clauses_of, lifted

_MOST_GAPS = 8
_KINDS = {
    **dict.fromkeys(FLAGS, ("b", "boolean")),
    **dict.fromkeys(DISTANCES, ("f", "float")),
    "partial_fraction": ("f", "float"),
    "max_holding": ("iu", "integer"),
}


def check_arrays(case: Case) -> None:
    """Every array has the dtype of its field and the axes of the grid; entries have none of the exits."""
    try:
        signals = case.strategy.signals(case.candles, case.grid.params())
    except Exception as error:
        raise case.fault(
            "signals must be returned for every cell", f"it raised {error!r}", "correct it"
        ) from error
    if not isinstance(signals, Signals) or (signals.long is None and signals.short is None):
        raise case.fault("Signals with entries must be returned", f"got {signals!r:.60}", "set long or short")
    if signals.on_opposite not in ("ignore", "close", "reverse"):
        got = f"it is {signals.on_opposite!r}"
        raise case.fault("`on_opposite` must be ignore, close or reverse", got, "choose one of them")
    for name in FIELDS:
        value = getattr(signals, name)
        clauses = clauses_of(name, value)
        for number, array in enumerate(clauses, start=1):
            called = f"clause {number} of {len(clauses)} of `{name}`" if len(clauses) > 1 else f"`{name}`"
            _check_dtype(case, name, called, array)
            _check_axes(case, name, called, array.shape)


def _check_dtype(case: Case, name: str, called: str, array: Any) -> None:
    kinds, word = _KINDS[name]
    kept = isinstance(array, np.ndarray | Clause)
    dtype = array.dtype if kept else type(array).__name__
    if not kept or array.dtype.kind not in kinds:
        raise case.fault(f"{called} must be {word}", f"it is {dtype}", "compare or cast before returning")


def _check_axes(case: Case, name: str, called: str, shape: tuple[int, ...]) -> None:
    n, k = len(case.candles), len(case.grid.shape)
    axes = (1,) * (k + 1 - len(shape)) + shape
    fits = len(axes) == k + 1 and axes[-1] in ((n,) if name in FLAGS else (1, n))
    if not fits or any(a not in (1, b) for a, b in zip(axes[:-1], case.grid.shape, strict=True)):
        raise case.fault(
            f"{called} must broadcast to (parameters..., bars) = {(*case.grid.shape, n)}",
            f"its shape is {shape}",
            "keep time last and every parameter on its own axis",
        )
    for p, size in zip(case.grid.axes, axes[:-1], strict=True):
        if name in ENTRIES and size > 1 and case.strategy.space[p].role == "exit":
            raise case.fault(
                f"{called} may vary over entry parameters only", f"`{p}` is an exit", "make it an entry"
            )


class _Columns:
    """Writable copies of the columns of some candles."""

    def __init__(self, candles: Candles) -> None:
        self.open, self.high, self.low, self.close, self.volume = (
            getattr(candles, c).copy() for c in COLUMNS
        )
        self.timestamps = candles.timestamps.copy()


def check_untouched(case: Case) -> None:
    """Neither candles nor parameters are written to."""
    rule, remedy = "inputs must be left as they are", "work on a copy"
    columns, params = _Columns(case.candles), case.grid.params()
    before = {name: getattr(params, name).copy() for name in params}
    try:
        case.strategy.signals(columns, params)
    except Exception as error:
        raise case.fault(
            "plain columns must do", f"it raised {error!r}", "read columns and no more"
        ) from error
    for name in (*COLUMNS, "timestamps"):
        if not np.array_equal(getattr(columns, name), getattr(case.candles, name), equal_nan=True):
            raise case.fault(rule, f"it changed the column `{name}` of the candles", remedy)
    for name, values in before.items():
        if not np.array_equal(values, getattr(params, name)):
            raise case.fault(rule, f"it changed the parameter `{name}`", remedy)


def check_determinism(case: Case) -> None:
    """The same candles give the same signals twice."""
    again = case.decide(case.candles, case.grid, "the same candles again")
    words = "the same candles must give the same signals", "keep no state, draw no random numbers"
    case.equal(case.whole, again, case.grid, words)


def check_single(case: Case) -> None:
    """A cell of the grid decides as it does in a list of cells and alone."""
    words = "a cell must decide alone as it does among others", "let no cell read the values of another"
    together = case.decide(case.candles, case.cells, "a list of cells")
    for i in range(case.cells.size):
        alone = case.cells.take(i, i + 1)
        decided = case.decide(case.candles, alone, "one cell")
        case.equal({n: a[min(i, len(a) - 1)][None] for n, a in together.items()}, decided, alone, words)
        cell = alone.cell((0,))
        index = [np.flatnonzero(values == cell[name]) for name, values in case.grid.axes.items()]
        if all(len(found) for found in index):
            own = {n: _row(a, [int(found[0]) for found in index]) for n, a in case.whole.items()}
            case.equal(own, decided, alone, words)


def _row(array: np.ndarray, index: list[int]) -> np.ndarray:
    """The row of one cell of a grid, shape ``(1, n)``."""
    place = tuple(i if n > 1 else 0 for i, n in zip(index, array.shape[:-1], strict=True))
    return np.asarray(array[place])[None]


def check_alive(case: Case) -> None:
    """Every parameter changes some decision within its bounds; distances count where there are entries."""
    bases = [case.cells.cell((i,)) for i in range(case.cells.size)]
    for p in case.strategy.space.parameters:
        values = spread(p, 7)
        if len(values) > 1 and not any(_matters(case, base, p.name, values) for base in bases):
            raise case.fault(
                "every parameter must matter",
                f"`{p.name}` changes nothing over {values} in {len(bases)} cells on {len(case.candles)} bars",
                "read it, remove it, or give candles on which it can matter",
            )


def _matters(case: Case, base: Mapping[str, Any], name: str, values: list[Any]) -> bool:
    cells = case.strategy.space.points([{**base, name: value} for value in values])
    decided = case.decide(case.candles, cells, f"values of `{name}`")
    bars = (entered(decided) & read(cells, entered(decided).shape)).any(axis=0)
    for field, array in decided.items():
        rows = array[cells.allowed] if len(array) > 1 else array
        if field in DISTANCES and rows.shape[-1] > 1:
            rows = rows[:, bars]
        if len(rows) > 1 and not np.array_equal(rows[1:], rows[:-1], equal_nan=rows.dtype.kind == "f"):
            return bool(bars.any())
    return False


def check_missing(case: Case) -> None:
    """Lost bars raise nothing and carry no entry, and what is unknown after them counts as a no."""
    _check_lost(case)
    _check_unknown(case)


def _check_lost(case: Case) -> None:
    lost = np.random.default_rng(11).random(len(case.candles)) < 0.02
    lost[len(lost) // 2 : len(lost) // 2 + 12] = True
    decided = case.decide(_losing(case.candles, lost), case.grid, "candles with lost bars")
    for name in sides(decided):
        held = decided[name] & lost & read(case.grid, decided[name].shape)
        if held.any():
            place = case.place(case.grid, tuple(np.argwhere(held)[0]))
            raise case.fault(
                "no entry may be decided on a lost bar", f"`{name}` holds {place}", "ask for its close"
            )


def _check_unknown(case: Case) -> None:
    """Right after a whole warm-up of lost bars, nothing is entered that would not be entered anyway."""
    longest, n = int(np.max(case.strategy.warmup(case.grid.mesh()))), len(case.candles)
    first = np.arange(longest, n, longest + 1)[-_MOST_GAPS:]
    lost = np.zeros(n, bool)
    for bar in first:
        lost[bar - longest : bar] = True
    candles, known = _losing(case.candles, lost), np.isin(np.arange(n), first)
    decided = case.decide(candles, case.grid, f"candles of which {longest} bars in a row were lost")
    for name in sides(decided):
        new = decided[name] & known & ~case.whole[name]
        new &= read(case.grid, new.shape)
        if new.any():
            where = tuple(np.argwhere(new)[0])
            evidence = (
                f"{_unknown_clause(case, candles, name, int(where[-1]))} {case.place(case.grid, where)}"
            )
            raise case.fault(
                "what is unknown must count as a no",
                f"{evidence} holds after {longest} lost bars and not without them",
                "compare without a negation, which NaN turns into a yes",
            )


def _unknown_clause(case: Case, candles: Candles, name: str, bar: int) -> str:
    """The words for the first clause that came to hold at a bar, or for the field."""
    signals = (case.strategy.signals(c, case.grid.params()) for c in (case.candles, candles))
    before, after = (clauses_of(name, getattr(s, name)) for s in signals)
    for number, (a, b) in enumerate(zip(before, after, strict=False), start=1):
        was, now = (lifted(np.asarray(x), len(case.grid.shape))[..., bar] for x in (a, b))
        if len(after) > 1 and (now & ~was).any():
            return f"clause {number} of {len(after)} of `{name}`"
    return f"`{name}`"


def _losing(candles: Candles, lost: np.ndarray) -> Candles:
    flags = np.where(lost, candles.flags | MISSING, candles.flags).astype(np.uint8)
    columns: dict[str, Any] = {name: np.where(lost, np.nan, getattr(candles, name)) for name in COLUMNS}
    return replace(candles, flags=flags, **columns)
