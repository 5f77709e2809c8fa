"""Averages over windows, broadcast over the parameter axes: simple, exponential, Wilder's."""

from __future__ import annotations

from math import ceil, log

import numpy as np

from quantlab.errors import InputError
from quantlab.indicators.kernels import moving_means, present_values
from quantlab.indicators.window_kernels import weighted_sums
from quantlab.indicators.windows import LEAST_PRESENT, per_window, shift
from quantlab.threads import share

_BLOCK_BARS = 1_536
_LEAST_ADDITIONS = 400_000
TAIL = 1e-12
"""Weight of the bars that an exponential average leaves out, unless a shorter memory is asked for."""


def sma(x: np.ndarray, window: np.ndarray | int) -> np.ndarray:
    """Simple moving average over the last `window` bars; known at the close of its bar.

    Parameters
    ----------
    x : float array (n_bars,)
    window : int or int array (..., 1)
        Bars. Each distinct window is computed once; all of them cost as much as the longest.

    Returns
    -------
    float array (..., n_bars)
        Mean of the values present; NaN before the window is full and where fewer than 80 % of it are
        present.
    """
    column = np.array(x, dtype=np.float64)
    return per_window(window, lambda windows: _means(column, windows))


def _means(x: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Moving means over ascending windows, shape ``(len(windows), n_bars)``."""
    values, counts = present_values(x, int(windows[-1]))
    out = np.empty((len(windows), x.size))

    def block(first: int, last: int) -> None:
        moving_means(values, counts, windows, LEAST_PRESENT, first, last, out)

    share(block, x.size, max(_BLOCK_BARS, _LEAST_ADDITIONS // int(windows[-1])))
    return out


def ema(x: np.ndarray, span: np.ndarray | int, memory: int | None = None) -> np.ndarray:
    """Exponential moving average with the factor ``2 / (span + 1)``; known at the close of its bar.

    Not a recursion but a weighted mean of the last `memory` bars, newest first, whose weights fall by the
    same factor and are divided by their sum. So a value depends on these bars alone, to the last bit,
    wherever the series starts.

    Parameters
    ----------
    x : float array (n_bars,)
    span : int or int array (..., 1)
        Bars. Each distinct span is computed once.
    memory : int, optional
        Bars that count. By default as many as leave out a weight below 1e-12: about 13.8 times the span
        (`ema_memory`); a recursion of that age then differs by less than any price can show.

    Returns
    -------
    float array (..., n_bars)
        NaN before `memory` bars from the first known one on, and where less than 80 % of the weight is
        present; the weight of a lost bar is shared among the others.
    """
    column = np.array(x, dtype=np.float64)
    return per_window(span, lambda spans: _decaying(column, spans, 2.0 / (spans + 1), memory), "span")


def wilder(x: np.ndarray, window: np.ndarray | int, memory: int | None = None) -> np.ndarray:
    """Wilder's smoothing, an exponential average with the factor ``1 / window``; otherwise as `ema`.

    The default memory is about 27.6 times the window (`wilder_memory`).

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 23.
    """
    column = np.array(x, dtype=np.float64)
    return per_window(window, lambda windows: _decaying(column, windows, 1.0 / windows, memory))


def ema_memory(span: int) -> int:
    """Bars that `ema` remembers by default: those whose weight is not below 1e-12 in all."""
    return _memory(2.0 / (span + 1))


def wilder_memory(window: int) -> int:
    """Bars that `wilder` remembers by default: those whose weight is not below 1e-12 in all."""
    return _memory(1.0 / window)


def _memory(factor: float) -> int:
    return 1 if factor >= 1 else ceil(log(TAIL) / log(1 - factor))


def _decaying(x: np.ndarray, windows: np.ndarray, factors: np.ndarray, memory: int | None) -> np.ndarray:
    if memory is not None and memory < 1:
        raise InputError(f"`memory` must be at least 1 bar, got {memory}.")
    out = np.empty((len(windows), x.size))
    for row, factor in zip(out, factors.tolist(), strict=True):
        bars = _memory(factor) if memory is None else memory
        weights = (1 - factor) ** np.arange(bars)
        row[:] = _weighted_mean(x, weights / weights.sum())
    return out


def _weighted_mean(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the last values by `weights` (newest first, their sum is 1), shape ``(n_bars,)``."""
    known = ~np.isnan(x)
    out = _weighted_sum(np.where(known, x, 0.0), weights)
    if not known.all():
        there = _weighted_sum(known.astype(np.float64), weights)
        enough = there >= LEAST_PRESENT
        out = np.where(enough, out / np.where(enough, there, 1.0), np.nan)
    begun = int(known.argmax()) if known.any() else x.size  # an input may itself need bars to be defined
    out[: begun + len(weights) - 1] = np.nan
    return out


def _weighted_sum(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    values, out = np.concatenate((np.zeros(len(weights)), x)), np.empty(x.size)

    def block(first: int, last: int) -> None:
        weighted_sums(values, weights, first, last, out)

    share(block, x.size, max(_BLOCK_BARS, _LEAST_ADDITIONS // len(weights)))
    return out


__all__ = ["ema", "ema_memory", "shift", "sma", "wilder", "wilder_memory"]
