"""Comparisons of two arrays that never hold the product of their axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from quantlab.clauses.clause import Clause, row_of
from quantlab.clauses.kernels import keep_crossings, pack_above, pack_known
from quantlab.errors import InputError


@dataclass(frozen=True, eq=False)
class Comparison(Clause):
    """Where one array is greater than another, or has become so; each is held on its own axes.

    Parameters
    ----------
    greater, lesser : float64 array
        Each broadcastable to (parameter axes..., n_bars). NaN is neither greater nor lesser.
    crossed : bool
        On the bar before it must not have been greater, and both must have been known.
    """

    greater: np.ndarray
    lesser: np.ndarray
    crossed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Broadcast shape of both arrays."""
        return np.broadcast_shapes(self.greater.shape, self.lesser.shape)

    def to_array(self) -> np.ndarray:
        """The comparison as one boolean array of the broadcast shape."""
        found = np.asarray(self.greater > self.lesser)
        if self.crossed:
            before = self.greater <= self.lesser
            found[..., 1:] &= before[..., :-1]
            found[..., :1] = False
        return found

    def worth_ranking(self, rows: int) -> bool:
        """Whether it compares many rows with many rows, and over nearly all axes of `rows` entry rows."""
        own = prod(self.greater.shape[:-1]) + prod(self.lesser.shape[:-1])
        return 4 * own <= rows <= 4 * prod(self.shape[:-1])

    def rows(self, n_bars: int) -> tuple[np.ndarray, np.ndarray]:
        """Both sides as contiguous rows of `n_bars` over their own parameter axes."""
        return _rows(self.greater, n_bars), _rows(self.lesser, n_bars)

    def words(self, n_bars: int) -> np.ndarray:
        """Bits of the comparison, a row per cell over the axes of both arrays."""
        axes = self.shape[:-1]
        a, b = self.rows(n_bars)
        rows = row_of(self.greater.shape[:-1], axes), row_of(self.lesser.shape[:-1], axes)
        out = np.empty((len(rows[0]), (n_bars + 63) // 64), np.uint64)
        pack_above(a, b, *rows, out)
        if self.crossed:
            keep_crossings(out, _known(a), _known(b), *rows)
        return out


def above(a: np.ndarray | float, b: np.ndarray | float) -> Comparison:
    """Where `a` is greater than `b`; NaN on either side is no.

    Parameters
    ----------
    a, b : number or array
        Each broadcastable to (parameter axes..., n_bars); their product is not evaluated. Known when the
        later of the two is known.
    """
    return Comparison(_numbers(a), _numbers(b))


def below(a: np.ndarray | float, b: np.ndarray | float) -> Comparison:
    """Where `a` is less than `b`; otherwise as `above`."""
    return Comparison(_numbers(b), _numbers(a))


def crossed_above(a: np.ndarray | float, b: np.ndarray | float) -> Comparison:
    """Where `a` is greater than `b` and was not on the bar before; otherwise as `above`.

    Both must be known on both bars: no cross on the first bar, nor on the bar after a lost one.
    """
    return Comparison(_numbers(a), _numbers(b), crossed=True)


def crossed_below(a: np.ndarray | float, b: np.ndarray | float) -> Comparison:
    """Where `a` is less than `b` and was not on the bar before; otherwise as `crossed_above`."""
    return Comparison(_numbers(b), _numbers(a), crossed=True)


def _numbers(x: Any) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype.kind not in "fiu":
        raise InputError(f"above, below and crossings compare numbers, got {array.dtype}.")
    return np.atleast_1d(array).astype(np.float64, copy=False)


def _rows(x: np.ndarray, n_bars: int) -> np.ndarray:
    """Contiguous rows of `n_bars` over the parameter axes of `x`, writable as kernels are compiled for."""
    whole = x if x.shape[-1] == n_bars else np.broadcast_to(x, (*x.shape[:-1], n_bars))
    flat = whole.reshape(-1, n_bars)
    return flat if flat.flags.writeable and flat.flags.c_contiguous else flat.copy()


def _known(rows: np.ndarray) -> np.ndarray:
    out = np.empty((len(rows), (rows.shape[1] + 63) // 64), np.uint64)
    pack_known(rows, out)
    return out
