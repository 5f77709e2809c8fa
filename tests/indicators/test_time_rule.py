"""Every indicator: no value knows a later bar, and none depends on more bars than it says, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab import indicators as ind
from quantlab.market.candles import Candles
from quantlab.market.synthetic import garch

Rows = Callable[[Candles], tuple[np.ndarray, ...]]
W = np.array([3, 8, 20])[:, None]
LONGEST = int(W.max())
SMOOTHED, FADED = ind.wilder_memory(8), ind.ema_memory(26) + ind.ema_memory(9)
DAY = 24
MARKET = garch(1_200, seed=5)


def swing(c: Candles) -> tuple[np.ndarray, ...]:
    bars = np.arange(len(c))
    ages = [
        np.where(at < 0, np.nan, bars - at)
        for at in (ind.latest_swing_low(c.low, 2, 60), ind.latest_swing_high(c.high, 3, 60))
    ]
    return (*ages, ind.value_at(c.low, ind.latest_swing_low(c.low, 2, 60)))


def joined(c: Candles) -> tuple[np.ndarray, ...]:
    bars = ind.higher_bars(c.timestamps, c.open, c.high, c.low, c.close, c.volume, np.array([[4], [24]]))
    return bars.closed, bars.open, bars.high, bars.low, bars.close, bars.volume


def events(c: Candles) -> tuple[np.ndarray, ...]:
    rises, big = c.close > c.open, c.volume > 1.5 * ind.sma(c.volume, 5)
    return (
        np.asarray(ind.first_within(big, rises, W, c.close < c.low + 0.1 * (c.high - c.low))),
        np.asarray(ind.score_at_least([rises, big], [0.4, 0.6], np.array([[0.4], [1.0]]))),
        np.asarray(ind.reclaimed(big, c.close, c.high[None], W)),
    )


# name: the arrays of an indicator, and the bars that its last value depends on
INDICATORS: dict[str, tuple[Rows, int]] = {
    "sma": (lambda c: (ind.sma(c.close, W),), LONGEST),
    "ema": (lambda c: (ind.ema(c.close, 20), ind.ema(c.close, W, 100)), ind.ema_memory(20)),
    "wilder": (lambda c: (ind.wilder(c.close, 8), ind.wilder(c.close, W, 50)), SMOOTHED),
    "true_range": (lambda c: (ind.true_range(c.high, c.low, c.close),), 2),
    "mean_true_range": (lambda c: (ind.mean_true_range(c.high, c.low, c.close, W),), LONGEST + 1),
    "average_true_range": (lambda c: (ind.average_true_range(c.high, c.low, c.close, 8),), SMOOTHED + 1),
    "rolling_max": (lambda c: (ind.rolling_max(c.high, W),), LONGEST),
    "rolling_min": (lambda c: (ind.rolling_min(c.low, W),), LONGEST),
    "rolling_std": (lambda c: (ind.rolling_std(c.close, W),), LONGEST),
    "zscore": (lambda c: (ind.zscore(c.close, W),), LONGEST),
    "donchian": (lambda c: ind.donchian(c.high, c.low, W), LONGEST),
    "bollinger": (lambda c: ind.bollinger(c.close, W), LONGEST),
    "rsi": (lambda c: (ind.rsi(c.close, 8),), SMOOTHED + 1),
    "macd": (lambda c: ind.macd(c.close), FADED),
    "stochastic": (lambda c: ind.stochastic(c.high, c.low, c.close, W, 3), LONGEST + 2),
    "adx": (lambda c: ind.adx(c.high, c.low, c.close, 8), 2 * SMOOTHED + 1),
    "obv": (lambda c: (ind.obv(c.close, c.volume, W),), LONGEST + 1),
    "vwap": (lambda c: (ind.vwap(c.high, c.low, c.close, c.volume, W),), LONGEST),
    "daily_vwap": (lambda c: (ind.daily_vwap(c.timestamps, c.high, c.low, c.close, c.volume),), DAY),
    "latest_swing_low": (swing, 64),
    "latest_swing_high": (swing, 64),
    "value_at": (swing, 64),
    "divergence": (lambda c: (ind.divergence(c.low, ind.stochastic(c.high, c.low, c.close)[0]),), 150),
    "support": (lambda c: (ind.support(c.low, W, np.array([1]), np.array([0.002])),), LONGEST + 3),
    "resistance": (lambda c: (ind.resistance(c.high, W, np.array([1]), np.array([0.002])),), LONGEST + 3),
    "higher_bars": (joined, 47),
    "higher_closes": (lambda c: (ind.higher_closes(c.timestamps, W),), 2),
    "HigherBars": (joined, 47),
    "first_within": (events, LONGEST + 8),
    "score_at_least": (events, LONGEST + 8),
    "reclaimed": (events, LONGEST + 8),
    "shift": (lambda c: (ind.shift(c.close, 5),), 6),
    "lag": (lambda c: (ind.lag(c.close, W),), LONGEST + 1),
    "hold": (lambda c: (ind.hold(c.close, c.close > c.open, 5),), 6),
    "bars_since": (lambda c: (np.fmin(ind.bars_since(c.close > c.open), 5),), 7),
}


def test_every_indicator_is_here() -> None:
    assert set(INDICATORS) == set(ind.__all__) - {"ema_memory", "wilder_memory"}


def with_lost_bars(seed: int) -> Candles:
    rng = np.random.default_rng(seed)
    lost = rng.random(len(MARKET)) < 0.02
    columns = [np.where(lost, np.nan, getattr(MARKET, c)) for c in ("open", "high", "low", "close", "volume")]
    return Candles.from_arrays("test", "BTC/USD", "1h", MARKET.timestamps, *columns)


@pytest.mark.parametrize("name", INDICATORS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(cut=st.integers(1, len(MARKET) - 1), seed=st.integers(0, 50))
def test_a_later_bar_changes_no_earlier_value(name: str, cut: int, seed: int) -> None:
    rows, _ = INDICATORS[name]
    candles = with_lost_bars(seed) if seed % 2 else MARKET
    for whole, past in zip(rows(candles), rows(candles[:cut]), strict=True):
        assert np.array_equal(whole[..., :cut], past, equal_nan=past.dtype.kind == "f")


@pytest.mark.parametrize("name", INDICATORS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_stated_number_of_bars_gives_the_very_same_value(name: str, data: st.DataObject) -> None:
    rows, needed = INDICATORS[name]
    last = data.draw(st.integers(needed, len(MARKET)))
    window = MARKET[last - needed : last]
    for whole, alone in zip(rows(MARKET), rows(window), strict=True):
        assert np.array_equal(whole[..., last - 1], alone[..., -1], equal_nan=alone.dtype.kind == "f")


@pytest.mark.parametrize("name", [n for n in INDICATORS if n not in ("macd", "adx", "ema", "rsi", "wilder")])
def test_the_table_has_something_to_compare(name: str) -> None:
    rows, _ = INDICATORS[name]
    for row in rows(MARKET):
        filled = row.any() if row.dtype == bool else np.isfinite(row[..., 300:]).mean() > 0.1
        assert filled


def every_row() -> dict[str, np.ndarray]:
    """Every array of every indicator on some bars, lost ones among them."""
    candles = with_lost_bars(1)[:460]
    return {f"{name} {i}": row for name, (of, _) in INDICATORS.items() for i, row in enumerate(of(candles))}


def test_the_kernels_mean_the_same_without_compilation(tmp_path: Path) -> None:
    script, compiled = Path(__file__).with_name("uncompiled_indicators.py"), tmp_path / "compiled.npz"
    np.savez(compiled, **every_row())
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", str(script), str(compiled)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal without compilation", done.stderr[-3000:]
