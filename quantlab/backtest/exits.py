"""From the exit rules of a strategy's `Signals` to the distinct rows that the kernels read."""

from __future__ import annotations

import numpy as np

from quantlab.backtest import kernels, record
from quantlab.backtest.rows import axes_shape, later, own
from quantlab.clauses import AllOf, Clause
from quantlab.errors import InputError
from quantlab.signals import Signals

_LEAVES = ("exit_long", "exit_short")


def find_exits(signals: Signals, n: int, k: int, delay: int) -> tuple[record.Exits, tuple[int, ...]]:
    """The exit rules of every exit cell, and the shape of the exit axes (padded with ones to `k`).

    Parameters
    ----------
    signals : Signals
    n : int
        Number of bars.
    k : int
        Number of parameter axes.
    delay : int
        Bars by which decisions are delayed.

    Raises
    ------
    InputError
        A flag that is not boolean, a holding limit below a bar, a time axis of another length.
    """
    names = (*record.EXIT_KINDS, *_LEAVES)
    given = {name: _array(value) for name in names if (value := getattr(signals, name)) is not None}
    shape = axes_shape(list(given.values()), k) if given else (1,) * k
    cells = int(np.prod(shape))
    constant = np.full((cells, len(record.EXIT_KINDS)), np.inf)
    row = np.full((cells, len(names)), -1, np.int64)
    matrix: list[np.ndarray] = [np.empty((0, n))]
    leave: list[np.ndarray] = [np.empty((0, n + 1), np.int32)]
    for column, name in enumerate(names):
        if name not in given:
            continue
        value = _checked(name, given[name])
        value = value.reshape((1,) * (k + 1 - value.ndim) + value.shape)
        flat = value.reshape(-1, value.shape[-1])
        if flat.shape[1] not in (1, n):
            raise InputError(f"`{name}` must have 1 or {n} bars on its last axis, got {flat.shape[1]}.")
        if name not in _LEAVES and flat.shape[1] == 1:
            constant[:, column] = np.broadcast_to(value[..., 0], shape).ravel()
            continue
        rows = leave if name in _LEAVES else matrix
        own_row = np.arange(len(flat)).reshape(value.shape[:-1]) + sum(map(len, rows))
        row[:, column] = np.broadcast_to(own_row, shape).ravel()
        rows.append(_first_exits(flat, n, delay) if name in _LEAVES else later(flat, delay))
    one = matrix[1] if len(matrix) == 2 else np.concatenate(matrix)
    return record.Exits(constant, row, one, np.concatenate(leave)), shape


def _array(value: np.ndarray | AllOf | Clause) -> np.ndarray:
    return value.to_array() if isinstance(value, AllOf | Clause) else np.asarray(value)


def _first_exits(flags: np.ndarray, n: int, delay: int) -> np.ndarray:
    return np.asarray(kernels.next_true(own(later(np.broadcast_to(flags, (len(flags), n)), delay))))


def _checked(name: str, value: np.ndarray) -> np.ndarray:
    if name in _LEAVES:
        if value.dtype != np.bool_:
            raise InputError(f"`{name}` must be boolean, got {value.dtype}: compare before returning.")
        return value
    if name == "max_holding":
        if not (value >= 1).all():
            raise InputError(f"`max_holding` must be at least 1 bar, got {value.min():g}.")
        return value.astype(np.float64)
    out = value.astype(np.float64, order="C")
    np.copyto(out, np.nan, where=np.isinf(out))
    return out
