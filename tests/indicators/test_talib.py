"""Every indicator that TA-Lib has too, against TA-Lib on real hours, where the definitions agree."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from quantlab import indicators as ind
from quantlab.market.sample import sample_candles

BTC = sample_candles()[2_000:8_000]
H, L, C, V = BTC.high, BTC.low, BTC.close, BTC.volume


def same(ours: np.ndarray, theirs: np.ndarray, first: int, atol: float = 1e-8) -> None:
    """Both defined and equal from bar `first` on, ours undefined before."""
    assert np.isnan(ours[:first]).all()
    assert not np.isnan(ours[first:]).any()
    np.testing.assert_allclose(ours[first:], theirs[first:], rtol=1e-8, atol=atol)


@pytest.mark.parametrize("window", [5, 20, 100])
def test_indicators_of_one_window(window: int) -> None:
    smoothed = ind.wilder_memory(window)
    same(ind.sma(C, window), talib.SMA(C, window), window - 1)
    same(ind.ema(C, window), talib.EMA(C, window), ind.ema_memory(window) - 1)
    same(ind.rsi(C, window), talib.RSI(C, window), smoothed)
    same(ind.average_true_range(H, L, C, window), talib.ATR(H, L, C, window), smoothed)
    same(ind.rolling_max(H, window), talib.MAX(H, window), window - 1)
    same(ind.rolling_min(L, window), talib.MIN(L, window), window - 1)


def test_true_range() -> None:
    same(ind.true_range(H, L, C), talib.TRANGE(H, L, C), 1)


@pytest.mark.parametrize("window", [5, 20, 200])
def test_deviation(window: int) -> None:
    """TA-Lib subtracts a squared mean from a mean of squares and so loses digits as the price is high."""
    lost = C.max() * 1e-7
    same(ind.rolling_std(C, window), talib.STDDEV(C, window), window - 1, atol=lost)
    for ours, theirs in zip(
        ind.bollinger(C, window, 2.5), reversed(talib.BBANDS(C, window, 2.5, 2.5)), strict=True
    ):
        same(ours, theirs, window - 1, atol=3 * lost)


@pytest.mark.parametrize("window", [7, 14])
def test_directional_movement(window: int) -> None:
    first = ind.wilder_memory(window)
    trend, plus, minus = ind.adx(H, L, C, window)
    same(plus, talib.PLUS_DI(H, L, C, window), first)
    same(minus, talib.MINUS_DI(H, L, C, window), first)
    same(trend, talib.ADX(H, L, C, window), 2 * first - 1)


def test_macd() -> None:
    first = ind.ema_memory(26) - 1
    line, signal, histogram = talib.MACD(C)
    ours = ind.macd(C)
    same(ours[0], line, first)
    same(ours[1], signal, first + ind.ema_memory(9) - 1)
    same(ours[2], histogram, first + ind.ema_memory(9) - 1)


def test_stochastic() -> None:
    k, d = ind.stochastic(H, L, C, 14, 3)
    theirs = talib.STOCHF(H, L, C, 14, 3)
    ranging = np.flatnonzero(~np.isnan(d))  # TA-Lib calls %K of a flat window 0
    assert len(ranging) > 5_900
    assert np.isnan(d[:15]).all()
    same(k[ranging], theirs[0][ranging], 0)
    same(d[ranging], theirs[1][ranging], 0)


def test_on_balance_volume_is_a_difference_of_the_running_total() -> None:
    total = talib.OBV(C, V)
    same(ind.obv(C, V, 50)[50:], (total[50:] - total[:-50]), 0, atol=1e-6)
