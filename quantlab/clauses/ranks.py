"""The two sides of a comparison, ranked bar by bar so that many rows compare with many rows quickly."""

from __future__ import annotations

import numpy as np

from quantlab.clauses.rank_kernels import STEPS, Ranked, bar_bounds, rank_rows
from quantlab.threads import share

_ROWS = 16
_LEAST_VALUES = 200_000


def ranked(a: np.ndarray, b: np.ndarray) -> tuple[Ranked, Ranked]:
    """Rank all values of a bar, of both sides together, between the bounds of some of the rows.

    Values beyond these bounds tie, which costs time and no more.

    Parameters
    ----------
    a, b : float64 array (rows, n_bars)
        Contiguous and writable.
    """
    n = a.shape[1]
    low, high = np.full(n, np.inf), np.full(n, -np.inf)

    for values in (a, b):
        bar_bounds(values, max(1, len(values) // _ROWS), low, high)
    with np.errstate(all="ignore"):
        scale = STEPS / (high - low)
    sides = unranked(a), unranked(b)
    for side in sides:

        def rank(first: int, last: int, side: Ranked = side) -> None:
            rank_rows(low, scale, first, last, side)

        share(rank, len(side.values), max(1, _LEAST_VALUES // n))
    return sides


def unranked(values: np.ndarray) -> Ranked:
    """Rows of values and room for their ranks."""
    rows, n = values.shape
    words = -(-n // 64)
    wide = (rows, -(-words // 64) * 64)
    return Ranked(
        values=values,
        ranks=np.empty((rows, 64 * words), np.int16),
        least=np.empty(wide, np.int16),
        greatest=np.empty(wide, np.int16),
        known=np.empty(wide, np.uint64),
    )
