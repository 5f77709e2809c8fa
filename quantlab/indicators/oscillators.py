"""Oscillators: RSI, MACD, stochastic, ADX. Those that are customary percentages stay in 0..100."""

from __future__ import annotations

import numpy as np

from quantlab.indicators.averages import ema, sma, wilder
from quantlab.indicators.ranges import donchian, true_range
from quantlab.indicators.windows import shift


def rsi(x: np.ndarray, window: np.ndarray | int = 14) -> np.ndarray:
    """Relative strength index, 0..100, with Wilder's smoothing; known at the close of its bar.

    100 x mean gain / (mean gain + mean loss) of the changes from bar to bar.

    Parameters
    ----------
    x : float array (n_bars,)
    window : int or int array (..., 1)
        Bars. Each distinct window is computed once.

    Returns
    -------
    float array (..., n_bars)
        Depends on the last ``wilder_memory(window) + 1`` bars. NaN before, and where nothing has changed
        in all of them.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 65.
    """
    change = x - shift(x, 1)
    gain, loss = wilder(np.maximum(change, 0.0), window), wilder(np.maximum(-change, 0.0), window)
    both = gain + loss
    return 100.0 * gain / np.where(both > 0, both, np.nan)


def macd(
    x: np.ndarray, fast: int = 12, slow: int = 26, signal: int = 9
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moving average convergence/divergence, in price units; known at the close of its bar.

    Returns
    -------
    (float array, float array, float array), each (n_bars,)
        ``ema(x, fast) - ema(x, slow)``, its average over `signal` bars, and their difference. NaN before
        ``ema_memory(slow)`` bars (the line), and ``ema_memory(signal) - 1`` more (the other two).

    References
    ----------
    G. Appel, The Moving Average Convergence-Divergence Trading Method (1985).
    """
    line = ema(x, fast) - ema(x, slow)
    smooth = ema(line, signal)
    return line, smooth, line - smooth


def stochastic(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, window: np.ndarray | int = 14, smooth: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Fast stochastic oscillator, 0..100; known at the close of its bar.

    Parameters
    ----------
    high, low, close : float array (n_bars,)
    window : int or int array (..., 1)
        Bars of the range.
    smooth : int
        Bars of the simple mean that makes %D of %K.

    Returns
    -------
    (float array (..., n_bars), float array (..., n_bars))
        %K, where the close lies in the range of the window, and %D. NaN where there is no range.

    References
    ----------
    G. Lane, "Lane's stochastics", Technical Analysis of Stocks & Commodities 2 (1984).
    """
    top, bottom = donchian(high, low, window)
    width = top - bottom
    k = 100.0 * (close - bottom) / np.where(width > 0, width, np.nan)
    return k, np.apply_along_axis(sma, -1, k, smooth)


def adx(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, window: int = 14
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average directional index and the two directional indicators, 0..100; known at the close of its bar.

    Returns
    -------
    (float array, float array, float array), each (n_bars,)
        ADX, +DI, -DI. The indicators depend on ``wilder_memory(window) + 1`` bars, ADX on
        ``wilder_memory(window) - 1`` more; NaN before, and where there is no range.

    References
    ----------
    J. W. Wilder, New Concepts in Technical Trading Systems (1978), p. 35.
    """
    up, down = high - shift(high, 1), shift(low, 1) - low
    lost = np.isnan(up) | np.isnan(down)
    rising = np.where(lost, np.nan, np.where((up > down) & (up > 0), up, 0.0))
    falling = np.where(lost, np.nan, np.where((down > up) & (down > 0), down, 0.0))
    ranged = wilder(true_range(high, low, close), window)
    ranged = np.where(ranged > 0, ranged, np.nan)
    plus, minus = (100.0 * wilder(moved, window) / ranged for moved in (rising, falling))
    both = plus + minus
    directed = 100.0 * np.abs(plus - minus) / np.where(both > 0, both, np.nan)
    return wilder(directed, window), plus, minus
