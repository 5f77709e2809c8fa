"""Disturbed candles: still candles, off by as much as was asked, and no gift to whoever buys dips."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab.backtest.engine import run_cell
from quantlab.backtest.execution import Costs, Execution
from quantlab.indicators.ranges import mean_true_range
from quantlab.market.candles import Candles
from quantlab.market.noise import disturbed
from quantlab.market.quality import Quality
from quantlab.market.sample import sample_candles
from quantlab.market.synthetic import iid
from quantlab.signals import Signals, Strategy
from quantlab.space import Int, Space

BTC = sample_candles()[:6_000]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_it_is_a_market_like_before():
    noisy = disturbed(BTC, rng())
    known = ~BTC.missing
    assert np.array_equal(noisy.missing, BTC.missing)
    assert np.array_equal(noisy.timestamps, BTC.timestamps)
    assert np.array_equal(noisy.volume, BTC.volume, equal_nan=True)
    o, h, lo, c = (getattr(noisy, name)[known] for name in ("open", "high", "low", "close"))
    assert (lo > 0).all()
    assert (h >= np.maximum(o, c)).all()
    assert (lo <= np.minimum(o, c)).all()
    assert not np.array_equal(c, BTC.close[known])
    again = Candles.from_frame(
        noisy.to_frame().drop(columns="flags"), exchange="x", symbol="y", timeframe="1h"
    )
    assert isinstance(again.quality(), Quality)


def test_the_noise_is_a_tenth_of_the_atr():
    atr = mean_true_range(BTC.high, BTC.low, BTC.close, 14)
    off = (disturbed(BTC, rng()).close - BTC.close) / atr
    off = off[~np.isnan(off)]
    assert off.std() == pytest.approx(0.1, rel=0.05)
    assert abs(off.mean()) < 4 * 0.1 / np.sqrt(off.size)
    none = disturbed(BTC, rng(), share=0.0)
    for name in ("open", "high", "low", "close"):
        assert getattr(none, name) == pytest.approx(getattr(BTC, name), nan_ok=True)
    assert np.array_equal(none.flags, BTC.flags)


def test_gaps_stay_as_they_are():
    noisy = disturbed(BTC, rng())
    gap, before = (c.open[1:] / c.close[:-1] for c in (noisy, BTC))
    known = ~np.isnan(before)
    assert gap[known] == pytest.approx(before[known])


def test_bars_without_a_trade_stay_flat_at_the_last_close():
    quiet = BTC.volume.copy()
    columns = {name: getattr(BTC, name).copy() for name in ("open", "high", "low", "close")}
    for i in (200, 201, 500):
        quiet[i] = 0.0
        for values in columns.values():
            values[i] = columns["close"][i - 1]
    market = Candles.from_arrays("x", "y", "1h", BTC.timestamps, *columns.values(), quiet)
    noisy = disturbed(market, rng())
    for i in (200, 201, 500):
        assert noisy.high[i] == noisy.low[i] == noisy.close[i] == noisy.close[i - 1]
        assert noisy.flags[i] == market.flags[i]


def _dips(candles, p):
    """Buy what fell on this bar, for one bar."""
    fell = np.concatenate([[False], np.diff(candles.close) < 0])
    return Signals(long=fell, max_holding=p.bars)


def test_fills_at_disturbed_prices_would_pay_whoever_buys_dips():
    """On a market without an edge: decided and filled on disturbed candles the rule earns the noise back."""
    rule = Strategy("dips", Space(Int("bars", 1, 5, 1, role="exit"), owner="dips"), _dips, lambda p: 2)
    market = iid(20_000, seed=3)
    free = Execution(costs=Costs(taker=0.0, maker=0.0, slippage_bps=0.0))
    seen = disturbed(market, rng(), share=0.3)
    filled = run_cell(rule, seen, {}, free).metrics["timing_t"]
    misled = Strategy("dips", rule.space, lambda _, p: rule.signals(seen, p), rule.warmup)
    honest = run_cell(misled, market, {}, free).metrics["timing_t"]
    assert filled > 4.0
    assert abs(honest) < 3.0
