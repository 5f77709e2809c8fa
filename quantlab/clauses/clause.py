"""What every clause can do, and the conjunction of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from quantlab.clauses.kernels import conjoin, from_bar
from quantlab.errors import InputError


class Clause(ABC):
    """A condition for every cell and bar that is not evaluated before it is asked for."""

    dtype = np.dtype(np.bool_)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Its own parameter axes and the time axis, as those of the boolean array."""

    @property
    def ndim(self) -> int:
        """Number of axes, time included."""
        return len(self.shape)

    @abstractmethod
    def to_array(self) -> np.ndarray:
        """The plain boolean array of `shape`."""

    @abstractmethod
    def words(self, n_bars: int) -> np.ndarray:
        """Bits along time of every row over its own parameter axes.

        Returns
        -------
        uint64 array (rows, n_words)
            Bar b is bit ``b % 64`` of word ``b // 64``; bits beyond `n_bars` are zero.
        """

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.to_array() if dtype is None else self.to_array().astype(dtype)


@dataclass(frozen=True, eq=False)
class AllOf(Clause):
    """A conjunction kept as its clauses, each on its own axes, so that no product of them is held."""

    clauses: tuple[np.ndarray | Clause, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Broadcast shape of the clauses."""
        return np.broadcast_shapes(*(np.shape(clause) for clause in self.clauses))

    def to_array(self) -> np.ndarray:
        """The conjunction as one boolean array of the broadcast shape."""
        result = np.asarray(self.clauses[0])
        for clause in self.clauses[1:]:
            result = result & np.asarray(clause)
        return result

    def words(self, n_bars: int) -> np.ndarray:
        """Bits of the conjunction, a row per cell over the axes of all its clauses."""
        if len(self.clauses) == 1:
            return words_of(self.clauses[0], n_bars)
        axes = self.shape[:-1]
        words = [words_of(clause, n_bars) for clause in self.clauses]
        offsets = np.cumsum([0, *map(len, words)])
        index = [row_of(np.shape(c)[:-1], axes) + o for c, o in zip(self.clauses, offsets, strict=False)]
        out = np.empty((len(index[0]), words[0].shape[1]), np.uint64)
        conjoin(np.concatenate(words), np.array(index), out)
        return out


@dataclass(frozen=True, eq=False)
class Bits(Clause):
    """A condition that was computed as bits along time.

    Parameters
    ----------
    packed : uint64 array (rows, n_words)
        As `Clause.words` returns them.
    axes : tuple of int
        Parameter axes of the rows.
    n_bars : int
    """

    packed: np.ndarray
    axes: tuple[int, ...]
    n_bars: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Parameter axes and bars."""
        return (*self.axes, self.n_bars)

    def to_array(self) -> np.ndarray:
        """One boolean for every bit."""
        flat = np.unpackbits(self.packed.view(np.uint8), axis=1, count=self.n_bars, bitorder="little")
        return flat.view(np.bool_).reshape(self.shape)

    def words(self, n_bars: int) -> np.ndarray:
        """The bits as they are, to be read only."""
        return self.packed


@dataclass(frozen=True, eq=False)
class FromBar(Clause):
    """All bars from a bar on, which may differ from cell to cell.

    Parameters
    ----------
    first : int array (..., 1) or ()
        The bar of each cell.
    n_bars : int
    """

    first: np.ndarray
    n_bars: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Parameter axes and bars."""
        return (*self.first.shape[:-1], self.n_bars)

    def to_array(self) -> np.ndarray:
        """One boolean for every bar."""
        return np.asarray(np.arange(self.n_bars) >= self.first)

    def words(self, n_bars: int) -> np.ndarray:
        """Bits of the bars, a row per cell over the axes of `first`."""
        out = np.empty((self.first.size, (n_bars + 63) // 64), np.uint64)
        from_bar(np.array(self.first, np.int64).ravel(), n_bars, out)
        return out


def all_of(*clauses: np.ndarray | Clause) -> AllOf:
    """Join clauses with "and" without evaluating their product.

    Parameters
    ----------
    *clauses : boolean arrays or clauses, each broadcastable to (parameter axes..., n_bars)
        `above`, `below`, `crossed_above`, `crossed_below` and `all_of` return clauses.
    """
    if not clauses:
        raise InputError("all_of needs at least one clause, got none.")
    flat: list[np.ndarray | Clause] = []
    for clause in clauses:
        if isinstance(clause, AllOf):
            flat += clause.clauses
        else:
            flat.append(clause if isinstance(clause, Clause) else np.asarray(clause))
    return AllOf(tuple(flat))


def words_of(clause: np.ndarray | Clause, n_bars: int) -> np.ndarray:
    """Bits along time of a clause or a boolean array, as `Clause.words` returns them."""
    if isinstance(clause, Clause):
        return clause.words(n_bars)
    if clause.shape[-1] != n_bars:
        clause = np.broadcast_to(clause, (*clause.shape[:-1], n_bars))
    packed = np.packbits(clause.reshape(-1, n_bars), axis=1, bitorder="little")
    out = np.zeros((len(packed), 8 * ((n_bars + 63) // 64)), np.uint8)
    out[:, : packed.shape[1]] = packed
    return out.view(np.uint64)


def row_of(own: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    """Row of an array with parameter axes `own` that each row over `axes` reads: int64 array (rows,)."""
    out = np.empty(axes, np.int64)
    out[...] = np.arange(prod(own)).reshape(own)
    return out.reshape(-1)
