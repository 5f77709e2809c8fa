"""The usual tests, against figures that are computed here in another way."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

import quantlab as ql
from quantlab.backtest.engine import run_cell
from quantlab.market.synthetic import garch, planted_momentum
from quantlab.validation.naive import naive_tests, says_yes, yes_rates
from quantlab.validation.statistics import psr

GRID = {"fast": [5, 10, 20], "slow": [50, 100, 200]}
noise = partial(garch, 3_000, timeframe="4h")


def test_the_split_chooses_on_the_first_part_alone() -> None:
    candles = noise(seed=3)
    measured = naive_tests(ql.sweep("sma_cross", candles, GRID, progress=False), candles, min_trades=10)
    cut = next(i for i, t in enumerate(candles.timestamps) if i >= 0.7 * len(candles) and t % 86_400_000 == 0)
    least = math.ceil(10 * cut / len(candles))
    past = ql.sweep("sma_cross", candles[:cut], GRID, progress=False).best("sharpe", least)
    held = run_cell("sma_cross", candles, past.params, start=cut).daily[cut // 6 :]
    by_hand = held.mean() / held.std(ddof=1) * math.sqrt(365)
    assert measured["Sharpe of the last 30%"] == pytest.approx(by_hand, abs=0.05)  # the end is closed there


def test_the_peak_is_that_of_the_surface_with_its_own_record() -> None:
    candles = noise(seed=4)
    surface = ql.sweep("sma_cross", candles, GRID, progress=False)
    measured, best = naive_tests(surface, candles, min_trades=10), surface.best("sharpe", 10)
    assert measured["best Sharpe"] == best.metrics["sharpe"]
    assert measured["its PSR"] == psr(run_cell("sma_cross", candles, best.params).daily)


def test_a_planted_edge_passes_all_and_noise_passes_often() -> None:
    planted = planted_momentum(6_000, timeframe="4h", true_sharpe=3.0, half_life_bars=80)
    found = naive_tests(ql.sweep("sma_cross", planted, GRID, progress=False), planted, min_trades=10)
    assert says_yes(found) == dict.fromkeys(says_yes(found), True)
    rates = yes_rates("sma_cross", GRID, noise, range(6), min_trades=10)
    each = [
        says_yes(naive_tests(ql.sweep("sma_cross", c, GRID, progress=False), c, min_trades=10))
        for c in (noise(seed=seed) for seed in range(6))
    ]
    for name, rate in rates.items():
        assert rate == np.mean([one[name] for one in each])
    assert rates["any of them"] >= max(rates["its PSR"], rates["walk-forward PSR"]) > -1


def test_what_was_not_measured_is_no_yes() -> None:
    said = says_yes({"its PSR": math.nan, "Sharpe of the last 30%": math.nan, "walk-forward PSR": math.nan})
    assert not any(said.values())
