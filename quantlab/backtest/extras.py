"""What a surface holds beside the metrics: other fill assumptions, regimes, sums by block of days."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantlab.backtest.metrics import METRICS
from quantlab.backtest.request import BLOCK_SUMS, REGIME_METRICS, Request


@dataclass(frozen=True, eq=False)
class Blocks:
    """Sums over the days of each block: the raw material of validation.

    Attributes
    ----------
    first_day : int64 array (S + 1,)
        First day of each of the S blocks, counted from the first day of the candles, then their number.
    sum, sum_of_squares : float64 array (S, *shape of the cells)
        Of daily returns.
    exposure : float64 array (S, *shape of the cells)
        Sum over bars of the signed notional over equity, taken at the entry and anew as each UTC day begins.
    market : float64 array (S,)
        Sum of the market's own daily returns.
    """

    first_day: np.ndarray
    sum: np.ndarray
    sum_of_squares: np.ndarray
    exposure: np.ndarray
    market: np.ndarray


@dataclass(frozen=True, eq=False)
class Extras:
    """Rows beside the metrics.

    Attributes
    ----------
    request : Request
    rows : float64 array (request.rows - metrics, *shape of the cells)
        The rows of the request after those of the metrics.
    n_days : int
        Days of the candles.
    market : float64 array (blocks,)
        Sum of the market's daily returns over each block.
    keys : mapping of str to str
        Fill assumption to the key of a sweep under it alone, the surface's own included.
    """

    request: Request
    rows: np.ndarray
    n_days: int
    market: np.ndarray
    keys: Mapping[str, str]

    def metrics(self, assumption: str) -> dict[str, np.ndarray]:
        """`METRICS` under another fill assumption of the request."""
        place = self.request.assumption_rows(self.request.assumptions.index(assumption))
        return dict(zip(METRICS, self._rows(place), strict=True))

    @property
    def regimes(self) -> dict[str, np.ndarray]:
        """`REGIME_METRICS`, each of shape (regimes, *shape of the cells)."""
        return self._split(self.request.regime_rows, REGIME_METRICS)

    @property
    def blocks(self) -> Blocks:
        """Sums by block."""
        sums = self._split(self.request.block_rows, BLOCK_SUMS)
        return Blocks(self.request.bounds(self.n_days), **sums, market=self.market)

    def at(self, place: tuple[Any, ...], chosen: str) -> Extras:
        """The extras of the cells at an index; `chosen` says which, for the keys."""
        keys = {name: part_key(key, chosen) for name, key in self.keys.items()}
        return replace(self, rows=self.rows[(slice(None), *place)], keys=keys)

    def _rows(self, place: slice) -> np.ndarray:
        """Rows of the layout; `rows` begins after the metrics."""
        return self.rows[place.start - len(METRICS) : place.stop - len(METRICS)]

    def _split(self, place: slice, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        found = self._rows(place)
        found = found.reshape(-1, len(names), *self.rows.shape[1:])
        return {name: found[:, i] for i, name in enumerate(names)}


def part_key(key: str, chosen: str) -> str:
    """Key of the part of a surface that `chosen` describes: SHA-256 (hex)."""
    return hashlib.sha256(f"{key}:{chosen}".encode()).hexdigest()
