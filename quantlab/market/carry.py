"""Carrying the last known value over lost bars."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def carried(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Replace each NaN by the last value before it; leading NaN stay.

    Parameters
    ----------
    values : ndarray of float64, shape (n_bars,)
        Known at the close of their bar; so is the result.

    Returns
    -------
    ndarray of float64, shape (n_bars,)
        New array.
    """
    known = np.where(np.isnan(values), 0, np.arange(values.size))
    return values[np.maximum.accumulate(known)]
