"""Drawn histories against a plain loop, and against what is known of trades that are independent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.validation import resampling
from quantlab.validation.resampling import _outcome, trade_histories

TRADES = np.random.default_rng(4).normal(0.004, 0.03, 200)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.9, 2.0), min_size=1, max_size=30))
def test_an_outcome_is_that_of_a_plain_loop(returns):
    equity, peak, worst = 1.0, 1.0, 0.0
    for r in returns:
        equity *= 1.0 + r
        peak = max(peak, equity)
        worst = min(worst, equity / peak - 1.0)
    profit, drawdown = _outcome(1.0 + np.array([returns]))
    assert profit[0] == pytest.approx(equity - 1.0)
    assert drawdown[0] == pytest.approx(worst)


def test_shuffling_keeps_the_trades_and_drawing_keeps_their_mean():
    drawn = trade_histories(TRADES, draws=4_000)
    logs = np.log1p(drawn.profit)
    expected, spread = np.log1p(TRADES).sum(), np.log1p(TRADES).std() * np.sqrt(len(TRADES))
    assert logs.mean() == pytest.approx(expected, abs=4 * spread / np.sqrt(4_000))
    assert logs.std() == pytest.approx(spread, rel=0.06)
    assert (drawn.drawdown <= 0).all()
    assert (drawn.shuffled <= 0).all()
    winners = np.abs(TRADES)
    assert (trade_histories(winners).shuffled == 0).all()  # whatever the order


def test_shuffled_histories_hold_the_very_same_trades():
    """Two trades: in one of the two orders the fall comes first and from 1, in the other from the peak."""
    two = trade_histories(np.array([0.5, -0.5]), draws=500)
    assert set(np.round(two.shuffled, 12)) == {-0.5}
    three = trade_histories(np.array([-0.5, -0.5, 1.0]), draws=2_000)
    assert set(np.round(three.shuffled, 12)) == {-0.75, -0.5}
    assert np.mean(three.shuffled == -0.75) == pytest.approx(2 / 3, abs=0.05)


def test_the_same_seed_gives_the_same_and_memory_is_bounded(monkeypatch):
    one, again, other = (trade_histories(TRADES, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.drawdown, again.drawdown)
    assert not np.array_equal(one.drawdown, other.drawdown)
    assert len(trade_histories(np.zeros(20_000)).profit) == 200
    assert len(trade_histories(np.zeros(100_000)).profit) == resampling.LEAST
    monkeypatch.setattr(resampling, "_AT_ONCE", 1_000)
    parts = trade_histories(TRADES, draws=333)
    assert np.isfinite(parts.profit).all()
    assert len(parts.profit) == 333


def test_ruin_is_ruin():
    ruined = trade_histories(np.array([-1.5]))
    assert (ruined.profit == -1).all()
    assert (ruined.drawdown == -1).all()
